/** Imports that are interrupted: at every sending, before and after it acted, and in mid-line. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { PAYLOADS } from '../../../src/apps/quorum/tables.ts';
import { ImportJournal } from '../../../src/cli/quorum/import-journal.ts';
import { Importer, type Sourced } from '../../../src/cli/quorum/importer.ts';
import { payloadTransfer } from '../../../src/cli/quorum/transfer-body.ts';
import { QuorumClient, transactionPath } from '../../support/quorum-client.ts';
import { type PartyKeyPair, quorumInMemory } from '../../support/quorum-network.ts';
import { ServiceInMemory } from './service-in-memory.ts';
import { realKeys, type SealedByTessera, sealedByTessera } from './tessera-payloads.ts';

const scratch = mkdtempSync(join(tmpdir(), 'interrupted-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const [one, two] = realKeys(2) as [PartyKeyPair, PartyKeyPair];
const base = sealedByTessera({ from: one, to: [two], privacyFlag: 1 });
const held: readonly SealedByTessera[] = [
  base,
  ...[1, 2, 3].map((n) => sealedByTessera({ from: one, to: [two], payload: `${n}` })),
  sealedByTessera({ from: one, to: [two], privacyFlag: 1, affected: [base] }),
  sealedByTessera({ from: two, to: [one] }),
];

async function* source(): AsyncGenerator<Sourced, void, void> {
  for (const sealed of held) {
    const mine = Buffer.from(sealed.whole.senderKey).toString('base64') === one.publicKey;
    const payload = mine ? sealed.whole : sealed.for(one);
    yield { kind: 'transfer', transfer: payloadTransfer(sealed.hash, payload) };
  }
}

function network() {
  const runtime = quorumInMemory([one, two], 2);
  const client = new QuorumClient(runtime, 1);
  const complete = () =>
    held.every(
      ({ hash }) => client.get(transactionPath(hash.toString('base64'))).status === 200,
    ) &&
    held.every(({ hash }) => runtime.store.current.archive(PAYLOADS).find(hash).length === 1);
  return { service: new ServiceInMemory(runtime, 1), complete, runtime };
}

async function run(service: ServiceInMemory, path: string, atOnce: number) {
  const journal = ImportJournal.open(path, 'a test');
  const importer = new Importer(service, journal, () => undefined);
  try {
    await importer.takeAll(source(), atOnce);
  } finally {
    journal.close();
  }
  return importer.counts;
}

describe.each([1, 3])('with %i under way at once', (atOnce) => {
  test.each([false, true])(
    'broken off at every sending (acted: %s), it goes on',
    async (acted) => {
      for (let at = 0; at < held.length; at += 1) {
        const { service, complete } = network();
        service.failsAt = at;
        service.failsAfterActing = acted;
        const path = join(scratch, `${atOnce}-${acted}-${at}`);
        await expect(run(service, path, atOnce)).rejects.toMatchObject({
          code: 'ServiceUnreachable',
        });
        const noted = readFileSync(path, 'utf8').split('\n').length - 2;
        expect(noted).toBeGreaterThanOrEqual(Math.max(0, at - atOnce));
        const before = service.sent.length;
        const counts = await run(service, path, atOnce);
        expect(complete()).toBe(true);
        expect(counts).toMatchObject({ read: held.length, refused: 0 });
        // What was acknowledged is not sent a second time.
        expect(service.sent.length - before).toBe(held.length - noted);
        expect(await run(service, path, atOnce)).toMatchObject({
          stored: 0,
          known: held.length,
        });
        expect(service.sent.length - before).toBe(held.length - noted);
      }
    },
  );
});

test('a journal that was cut at any byte is gone on with', async () => {
  const path = join(scratch, 'cut');
  const first = network();
  await run(first.service, path, 2);
  const whole = readFileSync(path);
  const head = whole.indexOf(10) + 1;
  for (let length = head; length < whole.length; length += 7) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    const { service, complete } = network();
    const lines = whole.subarray(0, length).toString().split('\n').length - 2;
    await run(service, path, 2);
    expect(service.sent.length).toBe(held.length - lines);
    // These were noted for another service, which has them: here only the others are.
    expect(complete()).toBe(lines === 0);
    expect(await run(service, path, 2)).toMatchObject({ known: held.length });
  }
});

test('a journal of another import, or no journal at all, is refused', () => {
  const path = join(scratch, 'other');
  ImportJournal.open(path, 'service a').close();
  expect(() => ImportJournal.open(path, 'service b')).toThrow('tells of another import');
  const foreign = join(scratch, 'foreign');
  writeFileSync(foreign, 'a shopping list');
  expect(() => ImportJournal.open(foreign, 'service a')).toThrow('is no journal');
  writeFileSync(foreign, 'a\nshopping\nlist\n');
  expect(() => ImportJournal.open(foreign, 'service a')).toThrow('tells of another import');
  expect(readFileSync(foreign, 'utf8')).toBe('a\nshopping\nlist\n');
});

test('what is refused is tried again the next time', async () => {
  const { service } = network();
  const path = join(scratch, 'refused');
  const stranger = realKeys(2) as [PartyKeyPair, PartyKeyPair];
  const sealed = sealedByTessera({ from: stranger[0], to: [stranger[1]] });
  const transfer = payloadTransfer(sealed.hash, sealed.whole);
  for (let times = 0; times < 2; times += 1) {
    const journal = ImportJournal.open(path, 'a test');
    const importer = new Importer(service, journal, () => undefined);
    await importer.take({ kind: 'transfer', transfer });
    expect(importer.counts).toMatchObject({ refused: 1, stored: 0 });
    expect(importer.notMoved[0]?.name).toBe(sealed.hash.toString('base64'));
    journal.close();
  }
  expect(service.sent).toHaveLength(2);
});

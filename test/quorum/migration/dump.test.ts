/** Dumps of Tessera's tables: what real nodes encoded, each kind of row, and rows that are none. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { DUMP_SQL, readDump, rowOf } from '../../../src/cli/quorum/dump.ts';
import { Importer, type Sourced } from '../../../src/cli/quorum/importer.ts';
import { payloadKeyOf } from '../../../src/crypto/payload.ts';
import {
  decodePushed,
  VERSIONS_HEADER,
  versionsOf,
} from '../../../src/federation/api-versions.ts';
import { decodeCbor, encodeCbor } from '../../../src/federation/cbor-codec.ts';
import { encodeLegacy } from '../../../src/federation/legacy-codec.ts';
import { encodePrivacyGroup } from '../../../src/federation/privacy-group.ts';
import { headerIn, recordedExchanges } from '../../federation/recordings.ts';
import { QuorumClient, transactionPath } from '../../support/quorum-client.ts';
import { quorumInMemory } from '../../support/quorum-network.ts';
import { withSeeds } from '../../support/seeded-random.ts';
import { recordedKeys } from '../replay/setting.ts';
import { noJournal, ServiceInMemory } from './service-in-memory.ts';
import { bytesOf } from './tessera-payloads.ts';

const scratch = mkdtempSync(join(tmpdir(), 'dump-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

/** A row as a database's JSON functions print it. */
function transactionRow(hash: Uint8Array, encoded: Uint8Array, codec: string | null): string {
  return JSON.stringify({
    table: 'ENCRYPTED_TRANSACTION',
    hash: hex(hash),
    encoded_payload: hex(encoded),
    payload_codec: codec,
  });
}

const kept = recordedExchanges()
  .filter(({ request, response }) => request.path === '/push' && response.status === 201)
  .map(({ peer, request }) => {
    const versions = versionsOf(headerIn(request, VERSIONS_HEADER));
    const bytes = Buffer.from(request.body, 'base64');
    const isCbor = versions.includes('5.0');
    const payload = decodePushed(bytes, versions);
    const hash = payloadKeyOf(payload.cipherText);
    // A node keeps what it was pushed in the codec that it came in.
    return { peer, hash, row: transactionRow(hash, bytes, isCbor ? 'CBOR' : 'LEGACY') };
  });

describe('what real nodes were pushed', () => {
  test('is all moved, and then read by its recipients', async () => {
    expect(kept.length).toBeGreaterThan(40);
    const runtime = quorumInMemory(recordedKeys(false), 3);
    for (const organisation of [1, 2, 3]) {
      const mine = kept.filter(({ peer }) => peer === organisation);
      const path = join(scratch, `node${organisation}.jsonl`);
      writeFileSync(path, `${mine.map(({ row }) => row).join('\n')}\n`);
      const service = new ServiceInMemory(runtime, organisation);
      const importer = new Importer(service, noJournal(), () => undefined);
      await importer.takeAll(readDump(path), 8);
      const hashes = new Set(mine.map(({ hash }) => hash.toString('base64')));
      expect(importer.notMoved).toEqual([]);
      expect(importer.counts.stored).toBe(hashes.size);
      const client = new QuorumClient(runtime, organisation);
      for (const hash of hashes) {
        expect(client.get(transactionPath(hash)).status).toBe(200);
      }
    }
  });

  test('is moved alike from the legacy encoding', () => {
    for (const { hash, row } of kept) {
      const { encoded_payload: encoded, payload_codec: codec } = JSON.parse(row);
      if (codec !== 'CBOR') continue;
      const legacy = encodeLegacy(decodeCbor(Buffer.from(encoded, 'hex')));
      expect(rowOf(transactionRow(hash, legacy, 'LEGACY'), 'a')).toEqual(rowOf(row, 'a'));
      // Before there were two codecs there was no column.
      expect(rowOf(transactionRow(hash, legacy, null), 'a')).toEqual(rowOf(row, 'a'));
    }
  });
});

describe('a row', () => {
  const [first] = kept;
  if (first === undefined) throw new Error('there are no recordings');
  const whole = JSON.parse(first.row) as Record<string, unknown>;

  test('has its columns in any case, and bytes as PostgreSQL shows them', () => {
    const shouted = Object.fromEntries(
      Object.entries(whole).map(([name, value]) => [name.toUpperCase(), value]),
    );
    const slashed = { ...whole, hash: `\\x${whole.hash}` };
    const upper = { ...whole, encoded_payload: String(whole.encoded_payload).toUpperCase() };
    for (const row of [shouted, slashed, upper]) {
      expect(rowOf(JSON.stringify(row), 'a')).toEqual(rowOf(first.row, 'a'));
    }
  });

  test('of raw payloads and of privacy groups', () => {
    const raw = {
      table: 'ENCRYPTED_RAW_TRANSACTION',
      ...{
        hash: 'aa',
        encrypted_payload: 'bb',
        encrypted_key: 'cc',
        nonce: 'dd',
        sender: 'ee',
      },
    };
    expect(rowOf(JSON.stringify(raw), 'a')).toMatchObject({
      kind: 'transfer',
      transfer: { path: '/raw', name: 'qg==', body: { encryptedKey: 'zA==', from: '7g==' } },
    });
    const group = (type: 'LEGACY' | 'PANTHEON' | 'RESIDENT', state: 'ACTIVE' | 'DELETED') => {
      const members = [bytesOf('AQID')];
      const seed = Buffer.alloc(20);
      const encoded = encodePrivacyGroup({
        ...{ name: 'g', description: 'd', members, seed, type, state },
      });
      const row = { table: 'PRIVACY_GROUP', id: 'aabb', data: hex(encoded) };
      return rowOf(JSON.stringify(row), 'a');
    };
    expect(group('PANTHEON', 'ACTIVE')).toMatchObject({
      kind: 'transfer',
      transfer: { path: '/group', body: { privacyGroupId: 'qrs=', members: ['AQID'] } },
    });
    expect(group('PANTHEON', 'DELETED')).toMatchObject({ kind: 'skipped', name: 'qrs=' });
    expect(group('RESIDENT', 'ACTIVE')).toMatchObject({
      kind: 'skipped',
      why: expect.stringContaining('import-config'),
    });
    expect(group('LEGACY', 'ACTIVE')).toMatchObject({
      kind: 'skipped',
      why: expect.stringContaining('Besu'),
    });
  });

  test.each([
    ['no JSON', '{', 'is no JSON object'],
    ['a list', '[]', 'is no JSON object'],
    ['no table', '{}', 'has no table'],
    ['another table', '{"table":"PEOPLE"}', 'is of a table "PEOPLE"'],
    ['no payload', '{"table":"ENCRYPTED_TRANSACTION"}', 'has no encoded_payload'],
    ['no hexadecimal', JSON.stringify({ ...whole, hash: 'xy' }), 'has hash that is not'],
    ['half a payload', JSON.stringify({ ...whole, encoded_payload: 'ab66' }), 'CBOR'],
    [
      'the other codec',
      JSON.stringify({ ...whole, payload_codec: 'LEGACY' }),
      'a payload in the legacy encoding',
    ],
  ])('with %s is refused under its line', (_what, line, why) => {
    expect(rowOf(line, 'line 7')).toMatchObject({
      kind: 'refused',
      name: 'line 7',
      why: expect.stringContaining(why),
    });
  });

  test('spoilt at random is refused or read, and never breaks anything', async () => {
    let refused = 0;
    await withSeeds(4, (random) => {
      for (let round = 0; round < 400; round += 1) {
        const { hash, row } = random.pick(kept);
        const { encoded_payload: encoded, payload_codec: codec } = JSON.parse(row);
        const payload = decodePushed(
          Buffer.from(encoded, 'hex'),
          codec === 'CBOR' ? ['5.0'] : [],
        );
        const inCbor = random.oneIn(2);
        const bytes = Buffer.from(inCbor ? encodeCbor(payload) : encodeLegacy(payload));
        const spoilt = random.oneIn(3) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
        for (let times = random.below(4); times >= 0 && spoilt.length > 0; times -= 1) {
          spoilt[random.below(spoilt.length)] = random.below(256);
        }
        const sourced = rowOf(transactionRow(hash, spoilt, inCbor ? 'CBOR' : null), 'a row');
        if (sourced.kind === 'refused') refused += 1;
        else expect(sourced).toHaveProperty('transfer.path', '/transaction');
      }
    });
    expect(refused).toBeGreaterThan(100);
  });
});

test('a dump is read line by line; one that is not there is said', async () => {
  const path = join(scratch, 'mixed.jsonl');
  writeFileSync(path, `\n${kept[0]?.row}\n{\r\n\n${kept[1]?.row}`);
  const found: Sourced[] = [];
  for await (const item of readDump(path)) found.push(item);
  expect(found.map(({ kind }) => kind)).toEqual(['transfer', 'refused', 'transfer']);
  expect(found[1]).toMatchObject({ name: 'line 3' });
  const reading = async () => {
    for await (const _ of readDump(join(scratch, 'none'))) expect(_).toBeUndefined();
  };
  await expect(reading()).rejects.toThrow('none');
});

test.each(Object.entries(DUMP_SQL))(
  'the statements for %s name every column',
  (_, statements) => {
    const [transactions = '', raw = '', groups = ''] = statements;
    for (const name of ['hash', 'encoded_payload', 'payload_codec']) {
      expect(transactions).toContain(`'${name}'`);
    }
    expect(transactions).toMatch(/ORDER BY timestamp/i);
    for (const name of ['hash', 'encrypted_payload', 'encrypted_key', 'nonce', 'sender']) {
      expect(raw).toContain(`'${name}'`);
    }
    for (const name of ['id', 'data']) expect(groups).toContain(`'${name}'`);
  },
);

// Disasters at random moments of a loaded service of three nodes. From two of the ledgers that are
// left, nothing acknowledged is missing; from one, what is said about completeness is true.

import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { rekeyLedger } from '../../src/governance/recovery-shares.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { Service } from '../support/cluster-service.ts';
import { allowOpening, Disaster, opened, submitOwn, withMembers } from '../support/disaster.ts';
import { holdsRow, newWorld, writeRow } from '../support/node-rig.ts';
import { recoveryMembers } from '../support/recovery-members.ts';

const ROUNDS = process.env.CONCORDAT_LONG === '1' ? 20 : 3;
const LOAD_MS_MAX = 900;
const members = recoveryMembers(['Participant', 'Participant', 'Participant']);

let disaster: Disaster;

beforeEach(async () => {
  disaster = await Disaster.begin();
});

afterEach(async () => {
  await disaster.end();
});

/** Writes until the service is gone; what was acknowledged, and up to which entry. */
function load(service: Service, acknowledged: Map<number, number>): void {
  let next = 0;
  const write = async (): Promise<void> => {
    for (;;) {
      const { node } = await service.primary();
      const number = next;
      next += 1;
      // One that is lost with its primary was not acknowledged: the next one goes elsewhere.
      await writeRow(node, number).then(
        ({ seqno }) => acknowledged.set(number, seqno),
        () => undefined,
      );
    }
  };
  for (let writer = 0; writer < 4; writer += 1) write().catch(() => undefined);
}

async function brought(node: RunningNode, certificate: string): Promise<void> {
  await allowOpening(node, certificate);
  for (const member of members.slice(1)) await submitOwn(node, member);
  await opened(node);
}

describe('all nodes die at a random moment', () => {
  test.each(Array.from({ length: ROUNDS }, (_, round) => ({ round })))(
    'round $round',
    async ({ round }) => {
      const service = await Service.of(3);
      await withMembers(service, members, 2);
      const primary = (await service.primary()).node;
      const certificate = primary.serviceCertificatePem;
      const acknowledged = new Map<number, number>();
      load(service, acknowledged);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await primary.commitService((tx) => rekeyLedger(tx, primary.secretKeeper()));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * LOAD_MS_MAX));
      const all = [...service.members];
      await Promise.all(all.map((member) => service.crash(member, 'lost')));
      const told = new Map(acknowledged);
      expect(told.size).toBeGreaterThan(0);
      const folders = await Promise.all(
        all.map((member, index) => disaster.leftOf(member, `node-${index}`)),
      );
      const left = folders.filter((_, index) => index !== round % 3);

      const { node, choice } = await disaster.recover({
        ledgers: left,
        previousCertificatePem: certificate,
      });
      expect(choice).toMatchObject({ isComplete: true, given: 2, nodes: 3 });
      await brought(node, certificate);
      const missing = [...told.keys()].filter((number) => !holdsRow(node, number));
      expect(missing, `of ${told.size} acknowledged`).toEqual([]);

      const [one = ''] = left;
      const alone = await disaster.recover(
        { ledgers: [one], previousCertificatePem: certificate, acceptLoss: true },
        newWorld(),
      );
      expect(alone.choice).toMatchObject({ isComplete: false, given: 1, needed: 2 });
      const provenTo = alone.choice?.provenTo?.seqno ?? 0;
      await brought(alone.node, certificate);
      const before = [...told].filter(([, seqno]) => seqno <= provenTo);
      const lost = before.filter(([number]) => !holdsRow(alone.node, number));
      expect(lost, `up to ${provenTo} nothing is missing`).toEqual([]);
    },
    60_000,
  );
});

describe('what a crash leaves of a ledger is read as its node would read it', () => {
  const cases: readonly {
    readonly what: string;
    readonly change: (bytes: Buffer, words: { readonly tableAt: number }) => Buffer;
  }[] = [
    { what: 'a closed chunk without its name', change: (bytes) => bytes },
    {
      what: 'a chunk with its table and no word',
      change: (bytes) => Buffer.concat([Buffer.alloc(8), bytes.subarray(8)]),
    },
    {
      what: 'a chunk with half of its table',
      change: (bytes, { tableAt }) =>
        Buffer.concat([Buffer.alloc(8), bytes.subarray(8, tableAt + 6)]),
    },
    {
      what: 'a chunk that had grown',
      change: (bytes, { tableAt }) =>
        Buffer.concat([Buffer.alloc(8), bytes.subarray(8, tableAt), Buffer.alloc(100)]),
    },
    {
      what: 'half of an entry',
      change: (bytes, { tableAt }) =>
        Buffer.concat([Buffer.alloc(8), bytes.subarray(8, tableAt), bytes.subarray(8, 8 + 40)]),
    },
  ];
  test.each(cases)(
    '$what',
    async ({ what, change }) => {
      const service = await Service.of(1);
      await withMembers(service, members, 2);
      await service.write(60);
      const { node: before } = await service.primary();
      const certificate = before.serviceCertificatePem;
      const [only] = service.members;
      if (only === undefined) throw new Error('there is one');
      await service.end();
      const left = await disaster.leftOf(only, 'left');
      const start = (name: string): number => Number(/_(\d+)/.exec(name)?.[1]);
      const names = (await readdir(left)).sort((one, other) => start(one) - start(other));
      const closed = names.filter((name) => name.endsWith('.committed'));
      const last = closed.at(-1) ?? '';
      const isWhole = what.includes('closed');
      if (!isWhole) for (const name of names.slice(closed.length)) await rm(join(left, name));
      const bytes = await readFile(join(left, last));
      const tableAt = Number(bytes.readBigUInt64LE(0));
      await rm(join(left, last));
      await writeFile(join(left, `ledger_${start(last)}`), change(bytes, { tableAt }));
      // A file that was only just made counts for nothing.
      if (!isWhole) await writeFile(join(left, 'ledger_9999'), '');
      const request = { ledgers: [left], previousCertificatePem: certificate };
      const { node } = await disaster.recover(request);
      await brought(node, certificate);
      const kept = [...service.acknowledged].filter(
        ([, { seqno }]) => isWhole || seqno <= Number(/-(\d+)/.exec(last)?.[1]),
      );
      expect(kept.length).toBeGreaterThan(10);
      expect(kept.filter(([number]) => !holdsRow(node, number))).toEqual([]);
    },
    30_000,
  );
});

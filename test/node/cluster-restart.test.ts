// Restart in place for mixes of running and stopped nodes of three (design decision 11): whose
// freshness is proven, what is never lost, and how an unproven restart goes on.

import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { type TxId, VIEW_MAX } from '../../src/base/ids.ts';
import { UNCOMMITTED_TRANSACTIONS_MAX } from '../../src/base/limits.ts';
import { realTimers } from '../../src/node/real-time.ts';
import { eventually, Member } from '../support/cluster-rig.ts';
import { Service } from '../support/cluster-service.ts';
import type { CrashKind } from '../support/crashing-disk.ts';
import {
  afterCrash,
  copyOf,
  FOLDER,
  newWorld,
  ROWS,
  start,
  type World,
} from '../support/node-rig.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const isLong = process.env.CONCORDAT_LONG === '1';

/** What befalls a node; `older`: it crashes, and its host puts an older copy of its disk back. */
type Fate = 'runs' | 'stops' | 'crashes' | 'older';

interface Story {
  /** Of the primary, and of the two backups. */
  readonly fates: readonly [Fate, Fate, Fate];
  /** Who comes back together, one group after the other; 0 was the primary. */
  readonly back: readonly (readonly number[])[];
}

/** How the nodes that came back were judged: in some races an unproven one finds a leader first. */
type Verdict = 'proven' | 'unproven' | 'one of them' | 'waits';

/** What decision 11 says of each group that comes back, given how many run then. */
function verdictsOf({ fates, back }: Story): readonly Verdict[] {
  let running = fates.filter((fate) => fate === 'runs').length;
  let waiting = 0;
  return back.map(({ length }) => {
    waiting += length;
    // A majority of the other two is both of them; and a quorum must be there to go on without.
    if (running < 2 && waiting < 2) return 'waits';
    const verdict = running === 2 ? 'proven' : waiting === 2 ? 'unproven' : 'one of them';
    running += waiting;
    waiting = 0;
    return verdict;
  });
}

const STORIES: readonly Story[] = [
  { fates: ['stops', 'runs', 'runs'], back: [[0]] },
  { fates: ['crashes', 'runs', 'runs'], back: [[0]] },
  { fates: ['older', 'runs', 'runs'], back: [[0]] },
  { fates: ['runs', 'older', 'runs'], back: [[1]] },
  { fates: ['crashes', 'crashes', 'runs'], back: [[0], [1]] },
  { fates: ['stops', 'runs', 'older'], back: [[2], [0]] },
  { fates: ['runs', 'crashes', 'older'], back: [[1, 2]] },
  { fates: ['stops', 'stops', 'stops'], back: [[0, 1, 2]] },
  { fates: ['crashes', 'crashes', 'crashes'], back: [[2], [1], [0]] },
  { fates: ['crashes', 'older', 'stops'], back: [[1], [0], [2]] },
  { fates: ['older', 'crashes', 'older'], back: [[0, 1], [2]] },
];

/** Every mix in which not all run and, of those that come back first, one has the newest state. */
function allStories(): readonly Story[] {
  const fates: readonly Fate[] = ['runs', 'stops', 'crashes', 'older'];
  const orders = [[[0], [1], [2]], [[2], [1], [0]], [[1], [0, 2]], [[0, 1], [2]], [[0, 1, 2]]];
  const stories: Story[] = [];
  for (const first of fates)
    for (const second of fates)
      for (const third of fates)
        for (const order of orders) {
          const story: Story = {
            fates: [first, second, third],
            back: order
              .map((group) => group.filter((index) => [first, second, third][index] !== 'runs'))
              .filter((group) => group.length > 0),
          };
          if (story.back.length > 0 && keepsAll(story)) stories.push(story);
        }
  const texts = new Map(stories.map((story) => [titleOf(story), story]));
  return [...texts.values()];
}

/** Whether those who can go on first surely have all that was acknowledged. */
function keepsAll({ fates, back }: Story): boolean {
  const verdicts = verdictsOf({ fates, back });
  const served = verdicts.findIndex((verdict) => verdict !== 'waits');
  const first = back.slice(0, served + 1).flat();
  const older = first.filter((index) => fates[index] === 'older').length;
  // Two that are older may go on as a quorum before they hear of the third.
  return verdicts[served] === 'proven' || older < 2;
}

function titleOf({ fates, back }: Story): string {
  return `${fates.join(', ')}; back ${back.map((group) => group.join(' and ')).join(', then ')}`;
}

const WRITTEN = 12;
/** A service of three that was stopped in order: every story begins from a copy. */
let members: readonly Member[];
let worlds: readonly World[];
let acknowledged: Service['acknowledged'];
let service: Service | undefined;

beforeAll(async () => {
  const first = await Service.of(3, { unprovenRestart: 'allow' });
  await first.write(WRITTEN);
  await first.settle();
  members = first.members;
  acknowledged = first.acknowledged;
  await first.stopAll();
  worlds = members.map(({ world }) => copyOf(world));
});

afterEach(async () => {
  const ended = service;
  service = undefined;
  await ended?.end();
});

/** The service of the copy, running: its primary first. */
async function opened(): Promise<Service> {
  const copies = worlds.map((world, index) => {
    const { options, peers } = members[index] as Member;
    return new Member(copyOf(world), options, peers);
  });
  const begun = new Service(copies, []);
  service = begun;
  begun.goOn(acknowledged);
  await Promise.all(copies.map((member) => begun.start(member)));
  await begun.write(3);
  await begun.ready();
  const primary = await begun.primary();
  return begun.inOrder([primary, ...(await begun.backups())]);
}

const CRASHES: readonly CrashKind[] = ['kept', 'lost', 'names', 'contents'];

/** Lets each node meet its fate, all at once. */
async function meetFates(running: Service, fates: Story['fates']): Promise<void> {
  const random = new SeededRandom(fates.join().length * 7919);
  const older = running.members.map(({ world }) => copyOf(world));
  await running.write(6, 2);
  await Promise.all(
    running.members.map(async (member, index) => {
      const fate = fates[index];
      if (fate === 'stops') await running.stop(member);
      if (fate === 'crashes') await running.crash(member, random.pick(CRASHES));
      if (fate !== 'older') return;
      await running.crash(member, 'kept');
      member.world = older[index] ?? member.world;
    }),
  );
  if (running.up.size > 1) await running.write(4);
  // Alone it gives up; two that came back at once would find it leading as if nothing had been.
  await eventually('no primary without a quorum', () => {
    return running.up.size > 1 || [...running.up].every(({ node }) => !node.isPrimary());
  });
}

describe.each(
  (isLong ? allStories() : STORIES).map((story) => [titleOf(story), story] as const),
)('of a primary and two backups: %s', (_title, story) => {
  const verdicts = verdictsOf(story);

  test(`they are judged ${verdicts.join(', then ')}`, async () => {
    const running = await opened();
    const rowsBefore = (await running.unprovenRestarts()).size;
    await meetFates(running, story.fates);
    let isUnproven = false;
    let back: Member[] = [];
    for (const [at, group] of story.back.entries()) {
      const verdict = verdicts[at];
      const those = group.map((index) => running.members[index] as Member);
      await Promise.all(those.map((member) => running.start(member)));
      back = [...back, ...those];
      if (verdict === 'waits') {
        await staysWaiting(running, back);
        continue;
      }
      await running.write(3);
      await running.ready();
      const judged = back.map(({ node }) => node.node().restart?.proven);
      if (verdict === 'one of them') {
        expect(judged).toContain(false);
      } else {
        expect(new Set(judged)).toEqual(new Set([verdict === 'proven']));
      }
      isUnproven ||= verdict !== 'proven';
      back = [];
    }
    await running.write(3);
    await running.settle();
    await expectSecrets(running, rowsBefore, isUnproven);
  });
});

test('a restart is recorded although its first primary dies before it has said so', async () => {
  const running = await opened();
  await running.write(3);
  const rowsBefore = (await running.unprovenRestarts()).size;
  for (const member of running.members) await running.crash(member, 'lost');
  // Whoever is elected first can tell the others nothing of what it writes.
  let first: Member | undefined;
  for (const member of running.members) {
    member.onSend = (_to, message) => {
      if (message.kind !== 'append' || message.entries.length === 0) return;
      first ??= member;
      member.isCut = first === member;
    };
  }
  await Promise.all(running.members.map((member) => running.start(member)));
  await eventually('one of them elected', () => first !== undefined);
  if (first === undefined) throw new Error('one was elected');
  first.onSend = undefined;
  await running.crash(first, 'kept');
  await running.write(3);
  await running.start(first);
  await running.write(3);
  await running.settle();
  await expectSecrets(running, rowsBefore, true);
});

test('a node that has more than a rolled-back service stops, says why, harms none', async () => {
  const running = await opened();
  const [behind, other, ahead] = running.members as [Member, Member, Member];
  await running.stop(behind);
  await running.stop(other);
  const older = [copyOf(behind.world), copyOf(other.world)];
  await running.start(behind);
  await running.start(other);
  await running.write(5);
  await running.settle();
  await running.stop(ahead);
  for (const [index, member] of [behind, other].entries()) {
    await running.crash(member, 'kept');
    member.world = older[index] ?? member.world;
  }
  // The operator, who cannot know better, lets the two go on without the third.
  await Promise.all([behind, other].map((member) => running.start(member)));
  for (const { node } of [behind, other]) node.acceptUnproven();
  await running.write(1);
  await running.start(ahead);
  await eventually('it stops', () => ahead.fatal.length > 0);
  expect(ahead.fatal[0]).toMatchObject({
    code: 'LedgerForked',
    message: expect.stringContaining('join again as a new node'),
  });
  await running.stop(ahead);
  running.inOrder([behind, other]);
  await running.write(3);
  expect([behind, other].flatMap(({ fatal }) => fatal)).toEqual([]);
});

test('a host that writes a vote record of its own making moves no view', async () => {
  const running = await opened();
  await running.write(3);
  const [backup] = await running.backups();
  if (backup === undefined) throw new Error('there is a backup');
  await running.crash(backup, 'kept');
  const record = Buffer.from(JSON.stringify({ view: VIEW_MAX - 1, incarnation: Date.now() }));
  const folder = `${FOLDER}/votes`;
  const names = await backup.world.disk.list(folder);
  for (const name of [...names, 'vote.json']) {
    backup.world.disk.tamper(`${folder}/${name}`, record);
  }
  await running.start(backup);
  await running.write(3);
  await running.settle();
  for (const { node } of running.members) expect(node.node().view).toBeLessThan(10_000);
});

describe('where it is refused to go on unproven', () => {
  test('all wait for the operator, and a quorum that he lets go on is enough', async () => {
    const running = await opened();
    const rowsBefore = (await running.unprovenRestarts()).size;
    await meetFates(running, ['crashes', 'stops', 'crashes']);
    const { members: all } = running;
    const refusing = { unprovenRestart: 'refuse' } as const;
    await Promise.all(all.map((member) => running.start(member, refusing)));
    await eventually('each asking for the operator', () =>
      all.every(({ world }) => world.warnings.some((text) => /--accept-unproven/.test(text))),
    );
    await staysWaiting(running, all);
    const [first, second, third] = all as [Member, Member, Member];
    first.node.acceptUnproven();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(first.node.isPrimary(), 'one is no quorum').toBe(false);
    expect(second.node.waitsFor).not.toEqual([]);
    second.node.acceptUnproven();
    await running.write(3);
    await running.ready();
    expect(third.node.node().restart, 'it was told').toMatchObject({ proven: true });
    await running.settle();
    await expectSecrets(running, rowsBefore, true);
  });

  test('one of three needs nobody: two that run prove what is new', async () => {
    const running = await opened();
    const rowsBefore = (await running.unprovenRestarts()).size;
    await meetFates(running, ['older', 'runs', 'runs']);
    const [first] = running.members as [Member];
    await running.start(first, { unprovenRestart: 'refuse' });
    await running.settle();
    expect(first.node.node().restart).toMatchObject({ proven: true });
    await expectSecrets(running, rowsBefore, false);
  });
});

test.runIf(isLong)(
  'one node restarts however much it is not known to have committed',
  async () => {
    const world = newWorld();
    const huge = { chunkBytes: 1e9, checkpointEntries: 1e9, snapshotEntries: 1e9 };
    const dependencies = { timers: realTimers };
    const { node } = await start(world, huge, dependencies);
    const put = (number: number): Promise<TxId> =>
      node.commitService((tx) => tx.table(ROWS).put(utf8(`row ${number % 10}`), utf8('value')));
    // More than a leader may take in before something is committed.
    while (node.committed().seqno < 4 * UNCOMMITTED_TRANSACTIONS_MAX) {
      await Promise.all(Array.from({ length: 2_000 }, (_, number) => put(number)));
    }
    const left = afterCrash(world, 'kept');
    await node.stop();
    const again = await start(left, huge, dependencies);
    expect(again.node.committed().seqno).toBeGreaterThan(4 * UNCOMMITTED_TRANSACTIONS_MAX);
    await again.node.stop();
  },
  120_000,
);

/** Nobody leads, and those who came back say whom they wait for. */
async function staysWaiting(running: Service, back: readonly Member[]): Promise<void> {
  await eventually('each waiting for somebody', () =>
    back.every(({ node }) => node.waitsFor.length > 0),
  );
  await new Promise((resolve) => setTimeout(resolve, 400));
  for (const { node } of running.up) expect(node.isPrimary()).toBe(false);
  for (const { node } of back) expect(node.node().restart).toBeUndefined();
}

/** Each unproven restart has a row and a fresh secret, and every node has learned it. */
async function expectSecrets(
  running: Service,
  rowsBefore: number,
  isUnproven: boolean,
): Promise<void> {
  const rows = await running.unprovenRestarts();
  expect(rows.size > rowsBefore, 'a row tells of it').toBe(isUnproven);
  const known = running.members.map(({ node }) =>
    node
      .secretsForJoiners()
      .ledgerSecrets.map(({ from, view, bytes }) => [`${view}.${from}`, bytes]),
  );
  expect(known[1]).toEqual(known[0]);
  expect(known[2]).toEqual(known[0]);
  const places = new Set((known[0] ?? []).map(([place]) => place));
  expect(places).toEqual(new Set(['2.1', ...rows.keys()]));
}

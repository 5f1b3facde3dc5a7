// A node crashes at every disk operation of a short life, in each way in which a disk can be left:
// with everything, with nothing that was not synced, with names but no contents and the reverse,
// with torn and zero-filled writes. Nothing acknowledged may be lost, and every restart must
// succeed.

import { beforeAll, expect, test } from 'vitest';
import {
  enumerateCrashes,
  FIRST_LIFE,
  laterLife,
  openedWorld,
  restartOn,
  type Verdicts,
} from '../support/crash-enumerator.ts';
import type { CrashKind, Lies } from '../support/crashing-disk.ts';
import type { World } from '../support/node-rig.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
/** Thousands of restarts in the long form; the short one takes seconds. */
const LONG_MS_MAX = isLong ? 1_200_000 : 60_000;
/** A service whose node was stopped; one whose node just ceased: no checkpoint, an open chunk. */
let stopped: World;
let ceased: World;

beforeAll(async () => {
  stopped = await openedWorld();
  ceased = await openedWorld(false);
});

/** The kinds that differ most; the others are left to the long run and to every sixth operation. */
const SHORT_KINDS: readonly CrashKind[] = ['lost', 'kept', 'torn-half', 'zeros'];

function tell(what: string, { operations, crashes, missed, cut }: Verdicts): void {
  expect(missed).toBeLessThanOrEqual(Math.ceil(crashes / 10));
  console.log(`${what}: ${operations} operations, ${crashes} crashes, ${cut} tails cut`);
}

test('a node that restarts and writes across chunks loses nothing if it crashes', async () => {
  const verdicts = await enumerateCrashes({
    life: laterLife(stopped),
    ...(isLong ? {} : { kinds: SHORT_KINDS }),
  });
  tell('restart after a stop', verdicts);
  expect(verdicts.failures).toEqual([]);
  expect(verdicts.operations).toBeGreaterThan(40);
  for (const kind of ['create', 'write', 'sync', 'rename', 'sync-folder']) {
    expect(verdicts.byOperation.get(kind), `crashes at ${kind}`).toBeGreaterThan(4);
  }
  expect(verdicts.cut, 'some crashes leave a torn tail').toBeGreaterThan(5);
});

test('nor does one that restarts after a kill', async () => {
  const verdicts = await enumerateCrashes({ life: laterLife(ceased), stride: isLong ? 1 : 6 });
  tell('restart after a kill', verdicts);
  expect(verdicts.failures).toEqual([]);
});

test('a first start that crashes begins anew, or continues if anybody was told of it', async () => {
  const verdicts = await enumerateCrashes({
    life: FIRST_LIFE,
    ...(isLong ? {} : { kinds: ['kept', 'lost'], stride: 4 }),
  });
  tell('first start', verdicts);
  expect(verdicts.failures).toEqual([]);
});

test(
  'a restart that itself crashes while it repairs loses nothing either',
  async () => {
    // What the first crash leaves: a torn batch, a chunk without table, one without its word, one
    // without its final name.
    const left: { world: World; told: readonly number[]; what: string }[] = [];
    const kinds: readonly CrashKind[] = ['kept', 'lost', 'torn-half', 'torn-last', 'zeros'];
    for (const kind of isLong ? kinds : kinds.slice(2, 3)) {
      await enumerateCrashes({
        life: laterLife(stopped),
        kinds: [kind],
        offset: 4,
        stride: isLong ? 1 : 3,
        onCrashed: (world, { acknowledged }, { kind: done, path }) => {
          if (path.includes('/ledger')) {
            left.push({ world, told: [...acknowledged], what: `${done} ${path}` });
          }
        },
      });
    }
    expect(new Set(left.map(({ what }) => what)).size).toBeGreaterThan(isLong ? 12 : 3);
    let crashes = 0;
    for (const { world, told, what } of left) {
      const verdicts = await enumerateCrashes({
        life: restartOn(world),
        told,
        kinds: ['lost', 'kept'],
        stride: isLong ? 1 : 5,
        offset: isLong ? 0 : crashes % 5,
      });
      crashes += verdicts.crashes;
      expect(verdicts.failures, `after ${what}`).toEqual([]);
    }
    console.log(`${left.length} crashed folders, ${crashes} crashes while they were repaired`);
  },
  LONG_MS_MAX,
);

test.each<[string, CrashKind, Lies]>([
  ['entries are acknowledged before they are synced', 'lost', { sync: true }],
  [
    'chunks are created and renamed without a sync of their folder',
    'contents',
    { syncFolder: true },
  ],
])('planted, and caught: %s', async (_what, kind, lies) => {
  const sound = { life: laterLife(stopped), kinds: [kind], untilFailure: true } as const;
  const verdicts = await enumerateCrashes({ ...sound, lies });
  expect(verdicts.failures).toHaveLength(1);
  expect(verdicts.failures[0]).toMatch(/acknowledged, but lost|the restart was refused/);
  console.log(`caught after ${verdicts.crashes} crashes: ${verdicts.failures[0]}`);
});

// A service of real processes under kills, pauses and partitions: what was acknowledged is there,
// fresh reads are fresh, plain ones are explained by their TxID, nothing is stored twice, and the
// nodes' files agree. A build that is broken on purpose is caught by the same means.
//
// The short form is one round of 3 nodes; the long one has 3 and 5 nodes, 200 kills, and each kind
// of trouble many times over.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { porcupineJudge, testWithPorcupine } from '../judges/porcupine/judge.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import { judgeFiles } from './files-judged.ts';
import { chunksOf } from './ledger-rows.ts';
import { MUTANTS, type Mutant, plant } from './mutants.ts';
import { discard, figuresOf, runTrial, type Trial, type TrialOptions } from './trial.ts';
import * as troubles from './troubles.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
// Which process is which node is read from /proc.
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED: a service of real processes is tried on Linux alone');
const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);
const MINUTE_MS = 60_000;

/** Runs a trial that must find nothing wrong, and prints its figures. */
async function soundTrial(
  title: string,
  options: Omit<TrialOptions, 'seed'>,
  examine: (trial: Trial) => Promise<void> = async () => undefined,
): Promise<Trial> {
  const trial = await runTrial({ ...options, seed: SEED });
  console.log(`${title} (SEED=${SEED})\n${figuresOf(trial)}`);
  const where = `SEED=${SEED}, kept in ${trial.folder}`;
  expect(trial.unexpected, where).toEqual([]);
  expect(trial.unanswered, where).toEqual([]);
  expect(trial.files.faults, where).toEqual([]);
  expect(trial.exitCode, where).toBe(0);
  if ('program' in porcupineJudge()) {
    expect(trial.verdict?.verdict, `${where}\n${trial.verdict?.text}`).toBe('good');
  }
  await examine(trial);
  discard(trial);
  return trial;
}

/** One bit in one node's ledger is another: whoever finds nothing then has not looked. */
async function mustFindAChangedBit({ folder, committed }: Trial): Promise<void> {
  const nodes = [1, 2, 3].map((number) => join(folder, 'data', `node${number}`));
  const chunk = (await chunksOf(join(nodes[1] ?? '', 'ledger'))).at(-1) ?? '';
  const bytes = readFileSync(chunk);
  const at = Math.floor(bytes.length / 3);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(chunk, bytes);
  const { faults, skipped } = await judgeFiles(nodes, committed);
  expect(faults.filter((fault) => fault.includes('is not the same'))).toHaveLength(1);
  if (skipped.length === 0) {
    expect(faults.filter((fault) => fault.startsWith('PyPI ccf'))).toHaveLength(1);
  }
}

test.skipIf(isLong || !isLinux)(
  'three nodes keep every promise through kills, pauses and a partition',
  async () => {
    const options: Omit<TrialOptions, 'seed'> = {
      nodes: 3,
      troubles: (random) => [
        troubles.KILL_PRIMARY,
        troubles.PAUSE_PRIMARY,
        random.pick([troubles.ISOLATE_PRIMARY, troubles.BRIDGE, troubles.ONE_WAY]),
        troubles.KILL_ANY,
      ],
      nemesis: { lastMs: [500, 2_500], quietMs: [300, 1_000] },
    };
    const { counts, verdict } = await soundTrial(
      'a short round of 3 nodes',
      options,
      mustFindAChangedBit,
    );
    expect(counts['kill primary']).toBe(1);
    // A round in which hardly anything was done would show nothing.
    if (verdict !== undefined) expect(verdict.figures['write ok']).toBeGreaterThan(100);
  },
  3 * MINUTE_MS,
);

const repeated =
  (kinds: readonly troubles.Trouble[], times: number) => (random: SeededRandom) =>
    random.shuffled(Array.from({ length: times }, () => kinds).flat());

describe.runIf(isLong && isLinux)('at length', () => {
  test(
    '200 kills lose nothing that was acknowledged, on three nodes',
    async () => {
      const { KILL_PRIMARY, KILL_ANY, KILL_SEVERAL } = troubles;
      const kinds = [KILL_PRIMARY, KILL_PRIMARY, KILL_PRIMARY, KILL_ANY, KILL_SEVERAL];
      const { counts } = await soundTrial('200 kills, 3 nodes', {
        nodes: 3,
        troubles: repeated(kinds, 40),
        nemesis: { lastMs: [0, 1_000], quietMs: [0, 2_000] },
      });
      expect(counts).toEqual({ 'kill primary': 120, 'kill any': 40, 'kill several': 40 });
    },
    90 * MINUTE_MS,
  );

  test.each([3, 5])(
    'every kind of trouble, on %d nodes',
    async (nodes) => {
      await soundTrial(`every kind of trouble, ${nodes} nodes`, {
        nodes,
        troubles: repeated(troubles.ALL_TROUBLES, 5),
        nemesis: { lastMs: [300, 5_000], quietMs: [200, 2_500] },
        workload: { thinkMsMax: 40 },
      });
    },
    60 * MINUTE_MS,
  );
});

const ROUNDS_MAX = 6;

describe.runIf(isLinux)('planted in a build, and caught', () => {
  const chosen = isLong ? MUTANTS : MUTANTS.slice(0, 1);
  for (const mutant of chosen) {
    testWithPorcupine(
      mutant.name,
      async () => {
        const { root, remove } = plant(mutant);
        try {
          expect(await roundsUntilCaught(mutant, root)).toBeLessThanOrEqual(ROUNDS_MAX);
        } finally {
          remove();
        }
      },
      15 * MINUTE_MS,
    );
  }
});

/** Trials of a broken build until the judge says so; gives back how many it took. */
async function roundsUntilCaught(mutant: Mutant, root: string): Promise<number> {
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    const trial = await runTrial({
      root,
      seed: SEED + round,
      nodes: 3,
      troubles: () => mutant.troubles,
      nemesis: { lastMs: [2_000, 3_000], quietMs: [300, 800] },
      workload: { logClients: 9, registers: 3, movesOneIn: 2, thinkMsMax: 10 },
    });
    discard(trial);
    const broken = trial.verdict?.broken ?? [];
    if (!broken.some((promise) => mutant.breaks.includes(promise))) continue;
    console.log(`"${mutant.name}" was caught in round ${round}: ${broken.join(', ')}`);
    return round;
  }
  return Number.POSITIVE_INFINITY;
}

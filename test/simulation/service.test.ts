// Whole services of the code that ships, each living from a seed: nothing may break while troubles
// last, everything must resolve once they end, and the ledger is judged as a whole. The figures of
// a long run: npm run test:long, or npm run sim -- --seeds 5000 --minutes 60.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CRASH_POINTS } from './crash-points.ts';
import { DAMAGES } from './damage.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import type { SimSummary } from './sim-pool.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const RUN = isLong
  ? ['--seeds', '5000', '--minutes', '60']
  : ['--seeds', '200', '--minutes', '2'];
const FIRST_SEED = process.env.CONCORDAT_FIRST_SEED ?? '1';
const HOURS_4 = 4 * 3_600_000;
/** Planted bugs that may take more seeds are left to the long form. */
const SHORT_SEEDS_MAX = 100;

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function sim(...args: readonly string[]): Promise<Ended> {
  const main = join(import.meta.dirname, 'main.ts');
  const child = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning',
    main,
    ...args,
  ]);
  let out = '';
  let err = '';
  child.stdout.on('data', (piece: Buffer) => {
    out += piece.toString();
  });
  child.stderr.on('data', (piece: Buffer) => {
    err += piece.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

/**
 * Faults that every run of so many seeds must have injected, or it shows nothing about them. Writes
 * that reach the disk in another order are not among them: a node has two unsynced writes to one
 * file only if a life ended between them. That the disk does it is shown in `disk.test.ts`.
 */
const FAULTS = [
  ...['crash: power lost', 'crash: process killed', 'crash: with unsynced state'],
  ...['crash: several at once', 'disk: torn write', 'disk: unsynced suffix lost'],
  ...['disk: rename lost', 'disk: name lost'],
  ...['disk: write cut by a crash', 'index: newest writes lost'],
  ...['disk: EIO on read', 'disk: EIO on write', 'disk: EIO on sync', 'disk: ENOSPC'],
  ...['disk: slow', 'restart', 'restart: old disk', 'double start'],
  ...['pause', 'pause: primary', 'clock: jump', 'clock: jump back', 'clock: freeze'],
  ...['clock: years', 'partition: halves', 'partition: isolate', 'partition: primary'],
  ...['partition: one way', 'partition: bridge', 'network: lost', 'network: delayed'],
  ...['network: duplicated', 'network: overtaken', 'network: old message replayed'],
  ...['network: corrupted', 'network: reset', 'network: half-open', 'network: cut off'],
  ...['membership: joined', 'membership: remove', 'membership: swap'],
  ...['membership: remove primary', 'membership: change during a partition'],
  ...['membership: retired node returns', 'client: request repeated'],
  'partition: the late, then those that know',
  ...['client: recipient away', 'client: key added in flight'],
  ...['disaster: a majority survives', 'disaster: too few survive'],
  'disaster: a copy among the survivors',
];

/** Rarer ones, that a long run must have injected as well. */
const RARE_FAULTS = [
  ...[
    'disk: unwritten zeros',
    'restart: empty disk',
    "restart: another node's disk",
    'disk: misdirected write',
  ],
  ...['membership: broken node replaced', 'network: corruption refused by the codec'],
  ...['membership: joined with a ledger', 'membership: joined with a snapshot'],
  'membership: interrupted join goes on',
  ...CRASH_POINTS.map((point) => `crash at: ${point}`),
  ...DAMAGES.map((damage) => `disk: ${damage}`),
];

describe('a simulated service', () => {
  test(`keeps its promises: ${RUN.join(' ')}`, { timeout: HOURS_4 }, async () => {
    const { code, out, err } = await sim(...RUN, '--first-seed', FIRST_SEED, '--json');
    expect([code, err.split('\n').filter((line) => !line.startsWith('sim: '))], err).toEqual([
      0,
      [''],
    ]);
    const summary = JSON.parse(out) as SimSummary;
    console.log(JSON.stringify(summary, undefined, 2));
    expect(summary.seeds).toBeGreaterThanOrEqual(isLong ? 5_000 : 200);
    expect(summary.runTwice).toBeGreaterThanOrEqual(Math.floor(summary.seeds / 25) - 1);
    const wanted = [...FAULTS, ...(isLong ? RARE_FAULTS : [])];
    const missing = wanted.filter((fault) => (summary.faults[fault] ?? 0) === 0);
    expect(missing, 'faults that never happened').toEqual([]);
    expect(summary.elections).toBeGreaterThan(summary.seeds);
    for (const figure of ['acknowledged', 'absencesProven', 'reads', 'receipts', 'snapshots']) {
      expect(summary.figures[figure], figure).toBeGreaterThan(summary.seeds / 2);
    }
  });

  test('that takes chance from elsewhere is noticed', { timeout: HOURS_4 }, async () => {
    const { code, err } = await sim('--plant', 'chance from elsewhere', '--seeds', '100');
    expect(err).toContain('Determinism');
    expect(code).toBe(0);
  });
});

describe('planted bugs', () => {
  const few = PLANTED_BUGS.filter(({ seedsMax }) => isLong || seedsMax <= SHORT_SEEDS_MAX);

  test.each(few)('$name is caught', { timeout: HOURS_4 }, async ({ name, seedsMax }) => {
    const { code, out, err } = await sim('--plant', name, '--seeds', `${seedsMax}`, '--json');
    const { seeds, violations } = JSON.parse(out) as SimSummary;
    console.log(`${name} | ${seeds} seeds | ${violations[0]?.message.slice(0, 100)}`);
    expect(code, err).toBe(0);
    expect(violations.length).toBeGreaterThan(0);
  });

  test('that are not there are refused', async () => {
    const { code, err } = await sim('--plant', 'nothing');
    expect([code, err]).toEqual([2, expect.stringContaining('there is no bug "nothing"')]);
  });
});

describe('the command', () => {
  test.each([
    [['--seeds', 'many'], '--seeds is "many", not a whole number'],
    [['--trace', 'file'], '--trace needs --scenario'],
    [['--frobnicate'], 'frobnicate'],
  ])('refuses %j', async (args, sentence) => {
    const { code, err } = await sim(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(sentence)]);
  });

  test('plays a scenario and writes its trace', async () => {
    const scenario = join(import.meta.dirname, '../consensus/scenarios/alone');
    const { code, out } = await sim('--scenario', scenario);
    expect([code, out]).toEqual([0, expect.stringContaining('lines of trace')]);
  });
});

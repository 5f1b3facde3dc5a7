/**
 * The ratios that landed last, and whether a run has lost some of them. Ratios are compared, not
 * figures: both sides of each were measured in turns on one machine. A loss counts when it is
 * larger than the noise that both runs measured in themselves.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { CodedError, messageOf } from '../src/base/errors.ts';
import type { NamedRatio, RunResults } from './result.ts';
import { percent, type Ratio } from './statistics.ts';
import { BARE_HTTPS } from './systems/bare-https.ts';

export const LANDED_FILE = new URL('./landed.json', import.meta.url).pathname;

const LANDED_VERSION = 1;

export interface Landed {
  readonly version: number;
  readonly at: string;
  readonly cores: number;
  readonly processor: string;
  readonly ratios: readonly LandedRatio[];
}

export interface LandedRatio {
  readonly work: string;
  readonly to: string;
  readonly of: Measure;
  readonly median: number;
  readonly spread: number;
}

/** Of throughput more is better, of the others less. */
type Measure = (typeof MEASURES)[number];
const MEASURES = ['throughput', 'p50', 'cpu'] as const;

/** However quiet both runs were, less than this is no loss. */
const NOISE_MIN = 0.05;

export interface Comparison {
  readonly lines: readonly string[];
  readonly losses: readonly string[];
}

/** The ratios of a run that are worth keeping: those that were not refused. */
export function landedOf({ at, machine, works }: RunResults): Landed {
  const ratios = works.flatMap(({ name, ratios, judgedBy = 'throughput' }) =>
    ratios.flatMap((ratio) =>
      MEASURES.flatMap((of): LandedRatio[] => {
        // Beside the bare server, processor time is the figure that a busy machine spoils least.
        const wanted = of === judgedBy || (of === 'cpu' && ratio.to === BARE_HTTPS);
        const told = wanted ? toldRatio(ratio, of) : undefined;
        if (told === undefined) return [];
        const { median, spread } = told;
        return [{ work: name, to: ratio.to, of, median, spread }];
      }),
    ),
  );
  const { cores, processor } = machine;
  return { version: LANDED_VERSION, at, cores, processor, ratios };
}

function toldRatio(ratio: NamedRatio, of: Measure): Ratio | undefined {
  const told = ratio[of];
  return told !== null && told.kind === 'ratio' ? told : undefined;
}

/** Each ratio that both have, and which of them are losses. */
export function compareWith(landed: Landed, results: RunResults): Comparison {
  const now = landedOf(results);
  const { cores, processor } = now;
  if (cores !== landed.cores) {
    const why = `they are of ${landed.cores} cores, this machine has ${cores}`;
    return { lines: [`not compared with the figures landed last: ${why}`], losses: [] };
  }
  const lines = [`against the figures landed on ${landed.at.slice(0, 10)}:`];
  if (processor !== landed.processor) {
    lines.push(`  they were taken on ${landed.processor}, so small changes say little`);
  }
  const losses: string[] = [];
  for (const before of landed.ratios) {
    if (results.works.every(({ name }) => name !== before.work)) continue;
    const what = `${before.work} to ${before.to}, ${before.of}`;
    const after = now.ratios.find(
      ({ work, to, of }) => work === before.work && to === before.to && of === before.of,
    );
    if (after === undefined) {
      lines.push(`  ${what}: not compared, this run gave no ratio`);
      continue;
    }
    const { text, isLoss } = judge(before, after);
    lines.push(`  ${what}: ${text}`);
    if (isLoss) losses.push(`${what}: ${text}`);
  }
  if (lines.length === 1) lines.push('  none of this run is among them');
  return { lines, losses };
}

function judge(
  before: LandedRatio,
  after: LandedRatio,
): { readonly text: string; readonly isLoss: boolean } {
  // A spread is a width; what a median may be off by is rather its half, on either side.
  const noise = Math.max(NOISE_MIN, (before.spread + after.spread) / 2);
  const change =
    before.of === 'throughput'
      ? after.median / before.median - 1
      : before.median / after.median - 1;
  const isLoss = change < -noise / (1 + noise);
  const verdict = isLoss ? 'LOST' : change > noise ? 'gained' : 'the same';
  const text =
    `${before.median.toFixed(3)} then, ${after.median.toFixed(3)} now: ${verdict} ` +
    `(${change < 0 ? '−' : '+'}${percent(Math.abs(change))}, noise ${percent(noise)})`;
  return { text, isLoss };
}

/** Undefined when nothing has landed yet. */
export function readLanded(path: string = LANDED_FILE): Landed | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  let landed: Landed;
  try {
    landed = JSON.parse(text) as Landed;
  } catch (error) {
    throw new CodedError('BadLanded', `${path} is not JSON (${messageOf(error)})`, { path });
  }
  if (landed.version === LANDED_VERSION) return landed;
  const why = `its version is ${landed.version}, not ${LANDED_VERSION}; write it anew with --land`;
  throw new CodedError('BadLanded', `${path}: ${why}`, { path });
}

/** Keeps what landed before of works that this run did not measure. */
export function writeLanded(results: RunResults, path: string = LANDED_FILE): Landed {
  const now = landedOf(results);
  const before = readLanded(path);
  const kept = (before?.ratios ?? []).filter(({ work }) =>
    results.works.every(({ name }) => name !== work),
  );
  const landed = { ...now, ratios: [...kept, ...now.ratios] };
  writeFileSync(path, `${JSON.stringify(landed, undefined, 2)}\n`);
  return landed;
}

// One trial of a service: clients at work, trouble made, everything read back at rest, and then
// judged: the history by Porcupine, the nodes' files by PyPI `ccf` and by comparison.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { judgeHistory, porcupineJudge, type Verdict } from '../judges/porcupine/judge.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { Cluster } from './cluster.ts';
import { type FilesJudged, judgeFiles } from './files-judged.ts';
import { type Call, History } from './history.ts';
import { rowsOf } from './ledger-rows.ts';
import { countsOf, type Done, Nemesis, type NemesisOptions } from './nemesis.ts';
import type { Trouble } from './troubles.ts';
import { Workload, type WorkloadOptions } from './workload.ts';

export interface TrialOptions {
  readonly seed: number;
  readonly nodes: number;
  /** What is made trouble of, in order. */
  readonly troubles: (random: SeededRandom) => readonly Trouble[];
  readonly nemesis?: Partial<NemesisOptions>;
  readonly workload?: Partial<WorkloadOptions>;
  /** The tree whose program runs; this one when absent. */
  readonly root?: string;
}

export interface Trial {
  /** Undefined when the judge of histories is not there. */
  readonly verdict: Verdict | undefined;
  readonly files: FilesJudged;
  readonly troubles: readonly Done[];
  readonly counts: Readonly<Record<string, number>>;
  /** What was read back in the end without an answer. */
  readonly unanswered: readonly Call[];
  /** Answers that no client should have been given. */
  readonly unexpected: readonly string[];
  /** From each death of a primary to the first write begun and acknowledged after it. */
  readonly outagesMs: readonly number[];
  /** The last committed seqno. */
  readonly committed: number;
  /** The sandbox's own exit code. */
  readonly exitCode: number | null;
  /** Kept when something is wrong: history, picture and the nodes' folders. */
  readonly folder: string;
}

const SETTLE_MS_MAX = 30_000;

/** Runs a trial. Its folder is left to `discard`. */
export async function runTrial(options: TrialOptions): Promise<Trial> {
  const { seed, nodes, root } = options;
  const folder = mkdtempSync(join(tmpdir(), 'concordat-trial-'));
  const data = join(folder, 'data');
  mkdirSync(data);
  const random = new SeededRandom(seed);
  const history = new History(join(folder, 'history.jsonl'));
  const cluster = await Cluster.start({ nodes, data, ...(root === undefined ? {} : { root }) });
  let workload: Workload | undefined;
  try {
    await cluster.settled(SETTLE_MS_MAX);
    workload = new Workload(
      cluster.service,
      history,
      new SeededRandom(random.below(2 ** 31)),
      options.workload,
    );
    const nemesis = new Nemesis(
      cluster,
      history,
      new SeededRandom(random.below(2 ** 31)),
      options.nemesis,
    );
    workload.start();
    for (const trouble of options.troubles(random)) await nemesis.make(trouble);
    cluster.heal();
    await workload.stop();
    await cluster.settled(SETTLE_MS_MAX);
    const unanswered = await workload.readBack();
    const end = await cluster.settled(SETTLE_MS_MAX);
    history.add(Cluster.endOf(end));
    workload.close();
    const exitCode = await cluster.stop();
    const committed = Number(end.committed.split('.')[1]);
    const folders = cluster.names.map((name) => join(data, `node${name}`));
    for (const row of await rowsOf(folders, committed)) history.add(row);
    history.close();
    return {
      verdict: await verdictOf(history.path, folder),
      files: await judgeFiles(folders, committed),
      troubles: nemesis.done,
      counts: countsOf(nemesis.done),
      unanswered,
      unexpected: workload.unexpected(),
      outagesMs: outagesOf(nemesis.done, history.calls()),
      committed,
      exitCode,
      folder,
    };
  } catch (error) {
    workload?.close();
    await cluster.stop();
    throw new Error(`trial with SEED=${seed} in ${folder}: ${String(error)}`, { cause: error });
  }
}

/** Removes what a trial left. */
export function discard({ folder }: Trial): void {
  rmSync(folder, { recursive: true });
}

async function verdictOf(history: string, folder: string): Promise<Verdict | undefined> {
  const judge = porcupineJudge();
  if ('program' in judge) return await judgeHistory(history, join(folder, 'picture.html'));
  console.warn(`SKIPPED the judgement of a history: ${judge.missing}`);
  return undefined;
}

function outagesOf(troubles: readonly Done[], calls: readonly Call[]): readonly number[] {
  const written = calls.filter(({ kind, outcome }) => kind === 'write' && outcome === 'ok');
  return troubles
    .filter(({ kind }) => kind === 'kill primary')
    .flatMap(({ from }) => {
      const returns = written
        .filter(({ call }) => call >= from)
        .map((each) => each.return ?? 0);
      return returns.length === 0 ? [] : [Math.round((Math.min(...returns) - from) / 1000)];
    });
}

/** A trial's figures in a few lines. */
export function figuresOf(trial: Trial): string {
  const { verdict, files, counts, outagesMs, troubles } = trial;
  const sorted = [...outagesMs].sort((left, right) => left - right);
  const at = (part: number): number => sorted[Math.floor(part * (sorted.length - 1))] ?? 0;
  const outages =
    sorted.length === 0
      ? ''
      : `, writes again after a primary's death: median ${at(0.5)} ms, most ${at(1)} ms`;
  return [
    `${troubles.length} troubles ${JSON.stringify(counts)}${outages}`,
    `history: ${verdict?.verdict ?? 'not judged'} ${JSON.stringify(verdict?.figures ?? {})}`,
    `files: ${JSON.stringify(files.figures)}`,
  ].join('\n');
}

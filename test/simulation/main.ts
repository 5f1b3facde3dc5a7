// `npm run sim`: lives services from seeds and says what came of them.

import { readFileSync, writeFileSync } from 'node:fs';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { ScenarioPlayer } from '../consensus/scenario-player.ts';
import { simulate } from '../consensus/simulation.ts';
import { TraceWriter } from '../consensus/trace-writer.ts';
import { HELP, type SimOptions, simOptions } from './arguments.ts';
import { FaultCounts } from './fault-counts.ts';
import { PLANTED_BUGS } from './planted-bugs.ts';
import type { SeedReport } from './sim-job.ts';
import { runSeeds, summaryOf } from './sim-pool.ts';

const out = (text: string): void => void process.stdout.write(`${text}\n`);
const err = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(args: readonly string[]): Promise<number> {
  let options: SimOptions;
  try {
    options = simOptions(args);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    err(`sim: ${error.message}\n\n${HELP}`);
    return EXIT.usage;
  }
  if (options.help) {
    out(HELP);
    return EXIT.good;
  }
  if (options.scenario !== undefined) return playScenario(options.scenario, options.trace);
  if (options.consensus) return liveConsensus(options);
  return await liveServices(options);
}

async function liveServices(options: SimOptions): Promise<number> {
  const { plant, replays, minutes, json, jobs } = options;
  if (plant === 'list') {
    for (const { name, seedsMax } of PLANTED_BUGS) out(`${name} (at most ${seedsMax} seeds)`);
    return EXIT.good;
  }
  const bug = PLANTED_BUGS.find(({ name }) => name === plant);
  if (plant !== undefined && bug === undefined) {
    err(`sim: there is no bug ${JSON.stringify(plant)}; --plant list tells which there are`);
    return EXIT.usage;
  }
  let done = 0;
  const reports = await runSeeds({
    firstSeed: options.firstSeed,
    seeds: options.seeds,
    faultsMs: options.faultsMs,
    changes: bug?.changes ?? [],
    untilViolation: bug !== undefined,
    ...(jobs === undefined ? {} : { jobs }),
    ...(minutes === undefined ? {} : { msMin: minutes * 60_000 }),
    onReport: (report) => {
      done += 1;
      tell(report, replays);
      if (done % 100 === 0) err(`sim: ${done} seeds`);
    },
  });
  const summary = summaryOf(reports);
  if (json) out(JSON.stringify(summary, undefined, 2));
  else out(textOf(summary));
  if (bug !== undefined) {
    err(summary.violations.length > 0 ? 'sim: caught' : 'sim: not caught');
    return summary.violations.length > 0 ? EXIT.good : EXIT.bad;
  }
  return summary.violations.length === 0 ? EXIT.good : EXIT.bad;
}

function tell({ seed, violation, digest }: SeedReport, replays: boolean): void {
  if (replays) err(`seed ${seed}: event hash ${digest}`);
  if (violation === undefined) return;
  err(`seed ${seed}: ${violation.message}`);
  err(replays ? violation.story : `  to see it again: npm run sim -- --seed ${seed}`);
}

function textOf({
  faults,
  figures,
  violations,
  ...rest
}: ReturnType<typeof summaryOf>): string {
  const lines = (of: object): readonly string[] =>
    Object.entries(of).map(([name, value]) => {
      const shown = Number.isInteger(value) ? String(value) : Number(value).toFixed(2);
      return `  ${name.padEnd(40)} ${shown.padStart(12)}`;
    });
  return [
    ...lines(rest),
    'figures',
    ...lines(figures),
    'faults',
    ...lines(faults),
    `violations: ${violations.length}`,
  ].join('\n');
}

function liveConsensus({ firstSeed, seeds, faultsMs, trace }: SimOptions): number {
  const faults = new FaultCounts();
  let failures = 0;
  const written: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + seeds; seed += 1) {
    const result = simulate({
      seed,
      ...(faultsMs === undefined ? {} : { faultsMs }),
      ...(trace === undefined ? {} : { trace: new TraceWriter((line) => written.push(line)) }),
    });
    faults.add(result.faults);
    if (result.violation === undefined) continue;
    failures += 1;
    err(`seed ${seed}: ${result.violation.stack}`);
  }
  if (trace !== undefined) writeFileSync(trace, `${written.join('\n')}\n`);
  out(JSON.stringify({ seeds, failures, faults: faults.table }, undefined, 2));
  return failures === 0 ? EXIT.good : EXIT.bad;
}

function playScenario(path: string, trace: string | undefined): number {
  const lines: string[] = [];
  const writer = new TraceWriter((line) => lines.push(line));
  try {
    new ScenarioPlayer('refuse', writer).play(readFileSync(path, 'utf8'));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    err(`sim: ${path}: ${error.message}`);
    return EXIT.bad;
  } finally {
    if (trace !== undefined) writeFileSync(trace, `${lines.join('\n')}\n`);
  }
  out(`${path}: played, ${lines.length} lines of trace`);
  return EXIT.good;
}

process.exitCode = await main(process.argv.slice(2));

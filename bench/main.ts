/**
 * `npm run bench`: measures the service beside its limits and says what it found.
 */
import { writeFileSync } from 'node:fs';
import { isCoded } from '../src/base/errors.ts';
import type { CommandIo } from '../src/cli/command.ts';
import { processIo, stopSignal } from '../src/cli/command-io.ts';
import { EXIT } from '../src/cli/exit-codes.ts';
import { holdLifeline } from '../src/cli/lifeline.ts';
import { type BenchOptions, benchOptions, HELP } from './arguments.ts';
import { compareWith, LANDED_FILE, readLanded, writeLanded } from './landed.ts';
import { pageOf } from './pictures/page.ts';
import { reportOf } from './report.ts';
import type { RunResults } from './result.ts';
import { runBench } from './run.ts';

async function main(args: readonly string[]): Promise<number> {
  const io = processIo(stopSignal());
  let options: BenchOptions;
  try {
    options = benchOptions(args);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    io.err(`bench: ${error.message}\n\n${HELP}`);
    return EXIT.usage;
  }
  if (options.help) {
    io.out(HELP);
    return EXIT.good;
  }
  try {
    const results = await runBench(options, io);
    if (options.json !== undefined) {
      writeFileSync(options.json, `${JSON.stringify(results, undefined, 2)}\n`);
    }
    if (options.html !== undefined) writeFileSync(options.html, pageOf(results));
    io.out(reportOf(results));
    return judged(results, options, io);
  } catch (error) {
    if (io.signal.aborted) {
      io.err('bench: stopped before the end; nothing was measured');
      return EXIT.bad;
    }
    io.err(`bench: ${error instanceof Error ? error.message : String(error)}`);
    return isCoded(error) ? EXIT.unable : EXIT.bad;
  }
}

/** A quick run is compared; one that is to be landed has nothing to be compared with. */
function judged(results: RunResults, { quick, land }: BenchOptions, io: CommandIo): number {
  if (land) {
    const { ratios } = writeLanded(results);
    io.err(`bench: ${ratios.length} ratios are kept in ${LANDED_FILE}`);
    return EXIT.good;
  }
  if ((results.soak?.faults.length ?? 0) > 0) return EXIT.bad;
  if (!quick) return EXIT.good;
  const landed = readLanded();
  if (landed === undefined) {
    io.out('\nnot compared: nothing has landed yet; --land keeps the ratios of a quiet run');
    return EXIT.good;
  }
  const { lines, losses } = compareWith(landed, results);
  io.out(`\n${lines.join('\n')}`);
  for (const loss of losses) io.err(`bench: lost: ${loss}`);
  return losses.length === 0 ? EXIT.good : EXIT.bad;
}

holdLifeline();
process.exitCode = await main(process.argv.slice(2));

/**
 * `npm run bench`: measures the service beside its limits and says what it found.
 */
import { writeFileSync } from 'node:fs';
import { isCoded } from '../src/base/errors.ts';
import { processIo, stopSignal } from '../src/cli/command-io.ts';
import { EXIT } from '../src/cli/exit-codes.ts';
import { holdLifeline } from '../src/cli/lifeline.ts';
import { type BenchOptions, benchOptions, HELP } from './arguments.ts';
import { pageOf } from './pictures/page.ts';
import { reportOf } from './report.ts';
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
    return EXIT.good;
  } catch (error) {
    if (io.signal.aborted) {
      io.err('bench: stopped before the end; nothing was measured');
      return EXIT.bad;
    }
    io.err(`bench: ${error instanceof Error ? error.message : String(error)}`);
    return isCoded(error) ? EXIT.unable : EXIT.bad;
  }
}

holdLifeline();
process.exitCode = await main(process.argv.slice(2));

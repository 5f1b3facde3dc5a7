// The command line of `npm run sim`.

import { parseArgs } from 'node:util';
import { CodedError } from '../../src/base/errors.ts';

export interface SimOptions {
  readonly help: boolean;
  readonly firstSeed: number;
  readonly seeds: number;
  /** One seed alone, told as a story. */
  readonly replays: boolean;
  readonly minutes: number | undefined;
  readonly jobs: number | undefined;
  readonly faultsMs: number | undefined;
  readonly json: boolean;
  readonly consensus: boolean;
  readonly scenario: string | undefined;
  readonly trace: string | undefined;
  readonly plant: string | undefined;
}

const SEEDS_DEFAULT = 200;
const SEED_MAX = 0xffff_ffff;

export const HELP = `Usage: npm run sim -- [OPTIONS]

Lives whole services, each from a seed, on simulated machines: first troubles, then peace, then
judgement. test/simulation/README.md says what is simulated, and what holds.

  --seeds N         so many seeds (default ${SEEDS_DEFAULT}), and with --minutes at least so many
  --first-seed S    beginning with this one (default 1)
  --seed S          this one alone, with what happened in it
  --minutes M       goes on with further seeds until so many minutes have passed
  --jobs N          on so many threads (default: one for each core)
  --faults-ms MS    troubles last so many virtual milliseconds (default 8000)
  --plant NAME      with a bug planted, and until it is caught ("list": their names)
  --json            writes the figures to standard output as JSON
  --consensus       lives consensus alone, without the rest of a node
  --scenario FILE   plays one scenario of consensus, in the grammar of CCF's
  --trace FILE      writes what consensus does in a scenario, or in one seed of --consensus, as the
                    events of CCF's traces, one JSON object a line
  --help            this text

Progress goes to standard error. Exit codes: 0 all held, 1 something did not, 2 not understood.`;

/** Reads the options; throws `Usage`, or what `parseArgs` throws for words that are not options. */
export function simOptions(args: readonly string[]): SimOptions {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      consensus: { type: 'boolean' },
      seeds: { type: 'string' },
      'first-seed': { type: 'string' },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      jobs: { type: 'string' },
      'faults-ms': { type: 'string' },
      plant: { type: 'string' },
      scenario: { type: 'string' },
      trace: { type: 'string' },
    },
  });
  const seed = whole('seed', values.seed, 0, SEED_MAX);
  const consensus = values.consensus === true;
  const isOne = consensus && seed !== undefined;
  if (values.trace !== undefined && values.scenario === undefined && !isOne) {
    throw new CodedError(
      'Usage',
      '--trace needs --scenario FILE, or --consensus and --seed S: it tells what consensus does',
    );
  }
  return {
    help: values.help === true,
    firstSeed: seed ?? whole('first-seed', values['first-seed'], 0, SEED_MAX) ?? 1,
    seeds:
      seed === undefined ? (whole('seeds', values.seeds, 1, 1_000_000) ?? SEEDS_DEFAULT) : 1,
    replays: seed !== undefined,
    minutes: whole('minutes', values.minutes, 1, 100_000),
    jobs: whole('jobs', values.jobs, 1, 256),
    faultsMs: whole('faults-ms', values['faults-ms'], 0, 3_600_000),
    json: values.json === true,
    consensus,
    scenario: values.scenario,
    trace: values.trace,
    plant: values.plant,
  };
}

function whole(
  name: string,
  text: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (text === undefined) return undefined;
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new CodedError(
    'Usage',
    `--${name} is ${JSON.stringify(text)}, not a whole number from ${least} to ${most}`,
  );
}

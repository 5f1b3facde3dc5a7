/**
 * The command line of `npm run bench`.
 */
import { parseArgs } from 'node:util';
import { CodedError } from '../src/base/errors.ts';
import { CURVES } from './curves.ts';
import type { Curve } from './growth.ts';
import { WORKS, type Work } from './works.ts';

export interface BenchOptions {
  readonly help: boolean;
  readonly quick: boolean;
  readonly works: readonly Work[];
  readonly json: string | undefined;
  /** A page with pictures is written there. */
  readonly html: string | undefined;
  /** Curves that are drawn. */
  readonly curves: readonly Curve[];
  readonly growthMinutes: number;
  /** Length of a long run; undefined when there is none. */
  readonly soakMinutes: number | undefined;
  /** Whether the ratios are kept as those that later runs are compared with. */
  readonly land: boolean;
  /** Where the ledger and the bare file lie; a temporary folder is made inside. */
  readonly data: string | undefined;
  readonly profile: string | undefined;
  readonly durability: 'fsync' | 'os';
  readonly rounds: number;
  readonly sliceMs: number;
  readonly warmUpMs: number;
  /** From then on no round is repeated because others disturbed it. */
  readonly repeatUntilMs: number;
  readonly connections: number;
  readonly payloadBytes: number;
  /** Size of the ledger that is restarted. */
  readonly ledgerMib: number;
  readonly spreadMax: number;
}

/** So many rounds of so many milliseconds: `--quick` ends within 40 s. */
const FULL = { rounds: 11, sliceMs: 1500, warmUpMs: 4000, repeatUntilMs: 900_000 };
const QUICK = { rounds: 5, sliceMs: 250, warmUpMs: 700, repeatUntilMs: 20_000 };
const CONNECTIONS_DEFAULT = 16;
const PAYLOAD_BYTES_DEFAULT = 512;
const GROWTH_MINUTES = 20;
const LEDGER_MIB_DEFAULT = 256;
const LEDGER_MIB_MAX = 1024 * 1024;
/** Rounds that differ by more than this part of their median give no ratio. */
const SPREAD_MAX = 0.25;

function workLine({ name, summary }: Pick<Work, 'name' | 'summary'>): string {
  return `${' '.repeat(24)}${name.padEnd(21)}${summary}`;
}

export const HELP = `Usage: npm run bench -- [OPTIONS]

Measures the service beside the limits of what it could reach (a bare node:https server, a bare
append-and-sync file) and beside peers that are there, in one run, in turns, with the same client.
Starts and stops everything itself. bench/README.md says how.

  --quick             short rounds, at most 40 s in all; compared with the ratios that landed last
  --only NAME         this work alone (may be repeated):
${WORKS.map(workLine).join('\n')}
  --json FILE         write all figures to FILE as well
  --html FILE         write a page with pictures to FILE
  --land              keep the ratios as those that later runs are compared with
  --soak MINUTES      instead of all works, one for so long (--only, or send): is memory flat, is
                      latency flat, how long did the node stand still; exit 1 if it is not so
  --growth            draw curves instead, and of the works do only those named by --only:
${CURVES.map(workLine).join('\n')}
  --curve NAME        this curve alone (may be repeated)
  --minutes N         time for all curves; what is left then is left out (default ${GROWTH_MINUTES})
  --durability KIND   fsync (default) or os
  --connections N     connections of the client (default ${CONNECTIONS_DEFAULT})
  --payload BYTES     size of a private payload (default ${PAYLOAD_BYTES_DEFAULT})
  --rounds N          rounds of each work (default ${FULL.rounds}, quick ${QUICK.rounds})
  --slice MS          length of one turn (default ${FULL.sliceMs}, quick ${QUICK.sliceMs})
  --ledger MIB        size of the ledger that is restarted (default ${LEDGER_MIB_DEFAULT})
  --data DIR          measure in a folder inside DIR: its file system is what is measured
  --profile DIR       write a processor profile of the service to DIR (slower: ratios are void)
  --help              this text

Peers are found by these variables of the environment, and named when they are missing:
  CONCORDAT_ETCD        etcd's program; else the one in PATH
  CONCORDAT_POSTGRESQL  folder of PostgreSQL's programs; else PATH, or where Debian has them
  CONCORDAT_TESSERA     http://A:PORT,http://B:PORT,PUBLIC-KEY-OF-B: Q2T servers that run already
  CONCORDAT_CCF         https://HOST:PORT of a service with CCF's logging application; PEM files in
                        CONCORDAT_CCF_CA (its certificate), CONCORDAT_CCF_CERT, CONCORDAT_CCF_KEY
  CONCORDAT_TESSERA_PIDS, CONCORDAT_CCF_PIDS   their processes, if they run on this machine

Progress goes to standard error, the table to standard output.
Exit codes: 0 measured, 1 something failed, a quick run has lost, or a long one is not flat,
2 not understood, 3 could not be done.`;

/** Reads the options; throws `Usage`, or what `parseArgs` throws for words that are not options. */
export function benchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      help: { type: 'boolean', short: 'h' },
      quick: { type: 'boolean' },
      only: { type: 'string', multiple: true },
      json: { type: 'string' },
      html: { type: 'string' },
      growth: { type: 'boolean' },
      land: { type: 'boolean' },
      soak: { type: 'string' },
      curve: { type: 'string', multiple: true },
      minutes: { type: 'string' },
      data: { type: 'string' },
      profile: { type: 'string' },
      durability: { type: 'string' },
      rounds: { type: 'string' },
      slice: { type: 'string' },
      connections: { type: 'string' },
      payload: { type: 'string' },
      ledger: { type: 'string' },
    },
  });
  const quick = values.quick === true;
  const lengths = quick ? QUICK : FULL;
  const growth = values.growth === true || values.curve !== undefined;
  const sliceMs = wholeNumber('slice', values.slice, lengths.sliceMs, 10, 600_000);
  return {
    help: values.help === true,
    quick,
    soakMinutes:
      values.soak === undefined ? undefined : wholeNumber('soak', values.soak, 0, 1, 100_000),
    land: values.land === true,
    works:
      values.soak !== undefined
        ? soakWork(values.only)
        : growth && values.only === undefined
          ? []
          : worksNamed(values.only, quick),
    curves: growth ? named('curve', CURVES, values.curve) : [],
    growthMinutes: wholeNumber('minutes', values.minutes, GROWTH_MINUTES, 1, 10_000),
    json: values.json,
    html: values.html,
    data: values.data,
    profile: values.profile,
    durability: durabilityOf(values.durability),
    rounds: wholeNumber('rounds', values.rounds, lengths.rounds, 1, 10_000),
    sliceMs,
    warmUpMs: values.slice === undefined ? lengths.warmUpMs : 2 * sliceMs,
    repeatUntilMs: lengths.repeatUntilMs,
    connections: wholeNumber('connections', values.connections, CONNECTIONS_DEFAULT, 1, 1000),
    payloadBytes: wholeNumber(
      'payload',
      values.payload,
      PAYLOAD_BYTES_DEFAULT,
      1,
      10 * 1024 * 1024,
    ),
    ledgerMib: wholeNumber('ledger', values.ledger, LEDGER_MIB_DEFAULT, 1, LEDGER_MIB_MAX),
    spreadMax: SPREAD_MAX,
  };
}

/** A quick run holds what it can in its time; the rest must be asked for by name. */
function worksNamed(names: readonly string[] | undefined, quick: boolean): readonly Work[] {
  if (names === undefined) return WORKS.filter((work) => !quick || work.quick === true);
  return named('only', WORKS, names);
}

/** One work whose requests can be repeated for as long as one likes. */
function soakWork(names: readonly string[] = ['send']): readonly Work[] {
  const works = named('only', WORKS, names);
  if (works.length === 1 && works[0]?.kind === 'requests' && works[0].nodes === undefined) {
    return works;
  }
  throw new CodedError('Usage', '--soak takes one work, of requests to one node, by --only');
}

/** Those of these names, or all. */
function named<Thing extends { readonly name: string }>(
  option: string,
  all: readonly Thing[],
  names: readonly string[] | undefined,
): readonly Thing[] {
  if (names === undefined) return all;
  const known = all.map(({ name }) => JSON.stringify(name)).join(', ');
  for (const name of names) {
    if (all.some((each) => each.name === name)) continue;
    throw new CodedError('Usage', `--${option} ${JSON.stringify(name)}: there are ${known}`);
  }
  return all.filter(({ name }) => names.includes(name));
}

function durabilityOf(text: string | undefined): BenchOptions['durability'] {
  if (text === undefined || text === 'fsync' || text === 'os') return text ?? 'fsync';
  throw new CodedError('Usage', `--durability is ${JSON.stringify(text)}; it is fsync or os`);
}

function wholeNumber(
  name: string,
  text: string | undefined,
  standard: number,
  least: number,
  most: number,
): number {
  if (text === undefined) return standard;
  const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new CodedError(
    'Usage',
    `--${name} is ${JSON.stringify(text)}, not a whole number from ${least} to ${most}`,
  );
}

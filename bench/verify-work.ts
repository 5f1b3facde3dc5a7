/**
 * Verifying a ledger folder offline at the highest level: our command, and PyPI `ccf` on the same
 * folder. Once with many transactions to a signature, once with one to each.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { logWriteTarget } from './log-requests.ts';
import type { OwnContext, OwnWork } from './own-work.ts';
import { oneRunSlice, runConcordat, runToEnd } from './program-run.ts';
import type { SystemStatement } from './result.ts';
import { CONCORDAT, Concordat } from './systems/concordat.ts';

export const PYPI_CCF = 'PyPI ccf';

const MISSING = {
  name: PYPI_CCF,
  how: 'not found; set CONCORDAT_CCF_PYTHON to a Python >= 3.12 that has the package ccf',
};
const MESSAGE_CHARACTERS = 512;
const CONNECTIONS = 16;
const IN_FLIGHT = 32;

/** It tells its own time, as our command does: loading either program is not counted. */
const PROGRAM = `
import sys, json, time, importlib.metadata
import ccf.ledger as L
full = L.VerificationLevel.FULL
start = time.perf_counter()
validator = L.LedgerValidator(verification_level=full)
count = 0
for chunk in L.Ledger([sys.argv[1]], committed_only=False, verification_level=full):
    for transaction in chunk:
        validator.add_transaction(transaction)
        count += 1
seconds = time.perf_counter() - start
print(json.dumps([count, seconds, importlib.metadata.version('ccf')]))
`;

interface Kind {
  readonly name: string;
  readonly perSignature: string;
  /** Laid over the node's settings. */
  readonly signatures: { readonly tx_count: number; readonly delay: string };
  readonly writes: number;
  /** Each writes, waits for the commit, and writes again: a round for each. */
  readonly oneByOne: boolean;
}

const KINDS: Readonly<Record<'many' | 'one', Kind>> = {
  many: {
    name: 'verify',
    perSignature: '1,000 transactions and more to a signature',
    signatures: { tx_count: 2000, delay: '10s' },
    writes: 40_000,
    oneByOne: false,
  },
  one: {
    name: 'verify signatures',
    perSignature: 'a signature to each transaction',
    signatures: { tx_count: 1, delay: '1ms' },
    writes: 2_000,
    oneByOne: true,
  },
};

export function verifyWork(kind: keyof typeof KINDS): OwnWork {
  const { name, perSignature } = KINDS[kind];
  return {
    kind: 'own',
    name,
    summary: `a ledger of messages of ${MESSAGE_CHARACTERS} characters, ${perSignature}`,
    unit: 'transactions',
    judgedBy: 'throughput',
    roundsMax: 5,
    async prepare(context) {
      const folder = await writeLedger(context, KINDS[kind]);
      const python = pythonOf(context.env);
      const { count, signatures } = await ourVerdict(folder);
      context.progress(`${count} transactions, ${signatures} signatures`);
      const version = python === undefined ? '' : await mustAgree(python, folder, count);
      const ours = {
        name: CONCORDAT,
        async slice() {
          const verdict = await ourVerdict(folder);
          return oneRunSlice(verdict.count, verdict.seconds * 1000);
        },
      };
      const theirs = {
        name: PYPI_CCF,
        async slice() {
          const { count, seconds } = await theirVerdict(python ?? '', folder);
          return oneRunSlice(count, seconds * 1000);
        },
      };
      const statement: SystemStatement = {
        name: PYPI_CCF,
        version,
        durability: 'keeps nothing',
        load: 'LedgerValidator at FULL; the time it takes once Python has loaded it',
      };
      return {
        ours,
        others: python === undefined ? [] : [theirs],
        missing: python === undefined ? [MISSING] : [],
        statements: python === undefined ? [] : [statement],
        load: { connections: 1, inFlight: 1, payloadBytes: MESSAGE_CHARACTERS },
        stop: () => Promise.resolve(),
      };
    },
  };
}

/** A ledger that a service of its own has written, which has ended since. */
async function writeLedger(
  { generator, folder, options }: OwnContext,
  { signatures, writes, name, oneByOne }: Kind,
): Promise<string> {
  const inside = join(folder, name.replace(' ', '-'));
  mkdirSync(inside, { recursive: true });
  const nodeSettings = join(inside, 'settings.json');
  writeFileSync(nodeSettings, JSON.stringify({ ledger_signatures: signatures }));
  const { durability } = options;
  const data = join(inside, 'sandbox');
  const service = await Concordat.start({ folder: data, durability, nodeSettings });
  try {
    const load = {
      ...{ generator, payloadBytes: MESSAGE_CHARACTERS },
      connections: oneByOne ? 1 : CONNECTIONS,
      inFlight: oneByOne ? 1 : IN_FLIGHT,
    };
    const write = { characters: MESSAGE_CHARACTERS, committed: oneByOne };
    const target = await logWriteTarget(service, load, write);
    await generator.open(name, target);
    const requests = options.quick ? writes / 10 : writes;
    await generator.run(name, { requests });
    await generator.close(name);
    await service.settledLedgerBytes();
    return service.ready.nodes[0]?.ledger ?? '';
  } finally {
    await service.stop();
  }
}

interface Verdict {
  /** Transactions that were accepted. */
  readonly count: number;
  readonly seconds: number;
}

async function ourVerdict(folder: string): Promise<Verdict & { readonly signatures: number }> {
  const said = await runConcordat(['ledger', 'verify', folder, '--json']);
  const { totals, seconds } = JSON.parse(said) as {
    readonly totals: { readonly transactions: number; readonly signatures: number };
    readonly seconds: number;
  };
  return { count: totals.transactions, signatures: totals.signatures, seconds };
}

async function theirVerdict(
  python: string,
  folder: string,
): Promise<Verdict & { readonly version: string }> {
  const said = JSON.parse(await runToEnd(python, ['-c', PROGRAM, folder])) as unknown[];
  const [count, seconds, version] = said;
  return { count: Number(count), seconds: Number(seconds), version: String(version) };
}

/** A comparison of who read more of the folder would mean nothing. */
async function mustAgree(python: string, folder: string, expected: number): Promise<string> {
  const { count, version } = await theirVerdict(python, folder);
  if (count === expected) return version;
  throw new Error(`we verified ${expected} transactions and PyPI ccf ${count}`);
}

function pythonOf({ CONCORDAT_CCF_PYTHON: named }: NodeJS.ProcessEnv): string | undefined {
  return named === undefined || named === '' || !existsSync(named) ? undefined : named;
}

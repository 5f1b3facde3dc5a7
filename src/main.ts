/**
 * The program: finds the command, runs it, and says how it ended.
 */
import { isCoded } from './base/errors.ts';
import { VERSION } from './base/version.ts';
import type { Command } from './cli/command.ts';
import { processIo, stopSignal } from './cli/command-io.ts';
import { EXIT } from './cli/exit-codes.ts';
import { holdLifeline } from './cli/lifeline.ts';

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly load: () => Promise<Command>;
}

/** Commands load when they are asked for: `ledger verify` needs no web server. */
const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'start',
    summary: 'start a sandbox: a service, its organisations and their transaction managers',
    load: async () => (await import('./cli/start.ts')).command,
  },
  {
    name: 'sandbox',
    summary: 'the same for programs: one JSON line when it is ready',
    load: async () => (await import('./cli/sandbox.ts')).command,
  },
  {
    name: 'node',
    summary: 'run one node of a service, or ask something of it as its operator',
    load: async () => (await import('./cli/node.ts')).command,
  },
  {
    name: 'gov',
    summary: 'propose, vote and acknowledge as a member of the consortium',
    load: async () => (await import('./cli/gov.ts')).command,
  },
  {
    name: 'status',
    summary: 'show the nodes of a cluster: roles, lag, sessions, commit latency',
    load: async () => (await import('./cli/status.ts')).command,
  },
  {
    name: 'federation',
    summary: 'show the Tessera nodes outside that a service speaks with',
    load: async () => (await import('./cli/federation.ts')).command,
  },
  {
    name: 'connector',
    summary: 'stand beside a Quorum node as its transaction manager',
    load: async () => (await import('./cli/connector.ts')).command,
  },
  {
    name: 'quorum',
    summary: 'make party keys, and move over from Tessera',
    load: async () => (await import('./cli/quorum.ts')).command,
  },
  {
    name: 'ledger',
    summary: 'verify or show a ledger folder, offline',
    load: async () => (await import('./cli/ledger.ts')).command,
  },
  {
    name: 'backup',
    summary: "keep a verified copy of a service's ledger as it is committed",
    load: async () => (await import('./cli/backup.ts')).command,
  },
  {
    name: 'receipt',
    summary: 'verify a receipt, offline',
    load: async () => (await import('./cli/receipt.ts')).command,
  },
  {
    name: 'verify',
    summary: 'judge attestation: a report, a token, a live service, a saved verdict',
    load: async () => (await import('./cli/verify.ts')).command,
  },
  {
    name: 'policy',
    summary: 'make the policies of a release: container, attestation, key release, join',
    load: async () => (await import('./cli/policy.ts')).command,
  },
];

const HELP = `Usage: concordat COMMAND [OPTIONS]

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join('\n')}

  concordat COMMAND --help   what a command takes
  concordat --version

Exit codes: 0 good, 1 bad or failed, 2 not understood, 3 could not be done or judged; 10 to 16 of
\`verify\`: refused, by the kind of failure.`;

async function main(args: readonly string[]): Promise<number> {
  const io = processIo(stopSignal());
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    io.out(HELP);
    return name === undefined ? EXIT.usage : EXIT.good;
  }
  if (name === '--version') {
    io.out(VERSION);
    return EXIT.good;
  }
  const entry = COMMANDS.find((each) => each.name === name);
  if (entry === undefined) {
    io.err(`concordat: there is no command ${JSON.stringify(name)}\n\n${HELP}`);
    return EXIT.usage;
  }
  const command = await entry.load();
  const usage = command.usageOf?.(rest) ?? command.usage;
  if (rest.includes('--help') || rest.includes('-h')) {
    io.out(usage);
    return EXIT.good;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (isUsageError(error)) {
      io.err(`concordat ${name}: ${error.message}\n\n${usage}`);
      return EXIT.usage;
    }
    if (!isCoded(error) && !isSystemError(error)) throw error;
    if (rest.includes('--json')) {
      io.out(
        JSON.stringify({ ok: false, error: { code: error.code, message: error.message } }),
      );
    }
    io.err(`concordat ${name}: ${error.message}`);
    return EXIT.unable;
  }
}

/** What the operating system refused: its message names the call and the path. */
function isSystemError(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}

/** What `node:util`'s parseArgs throws, and our own refusals of option values. */
function isUsageError(error: unknown): error is Error {
  if (isCoded(error, 'Usage')) return true;
  if (!(error instanceof Error) || !('code' in error)) return false;
  return typeof error.code === 'string' && error.code.startsWith('ERR_PARSE_ARGS');
}

holdLifeline();
process.exitCode = await main(process.argv.slice(2));

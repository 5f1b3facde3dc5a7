/**
 * `concordat verify`: what auditors ask of evidence, tokens, services and saved verdicts. It needs
 * no node, and but for `verify service` no network.
 */
import { AMD_ROOTS } from '../attestation/amd-roots.ts';
import { CodedError } from '../base/errors.ts';
import type { Command, CommandIo } from './command.ts';
import { BUNDLE_USAGE, verifyBundle } from './verify/bundle.ts';
import { REPORT_USAGE, verifyReport } from './verify/report.ts';
import { SERVICE_USAGE, verifyService } from './verify/service.ts';
import { TOKEN_USAGE, verifyToken } from './verify/token.ts';
import { EXIT_CODES } from './verify/verdict-exit.ts';
import type { VerifyWorld } from './verify/world.ts';

interface Action {
  readonly name: string;
  readonly summary: string;
  readonly usage: string;
  run(args: readonly string[], io: CommandIo, world: VerifyWorld): Promise<number>;
}

const ACTIONS: readonly Action[] = [
  {
    name: 'report',
    summary: 'an attestation report in files, offline',
    usage: REPORT_USAGE,
    run: verifyReport,
  },
  {
    name: 'token',
    summary: 'a token of Microsoft Azure Attestation, offline',
    usage: TOKEN_USAGE,
    run: verifyToken,
  },
  {
    name: 'service',
    summary: 'a live service: every node by its evidence',
    usage: SERVICE_USAGE,
    run: verifyService,
  },
  {
    name: 'bundle',
    summary: 'a verdict that was saved: is it still the same?',
    usage: BUNDLE_USAGE,
    run: verifyBundle,
  },
];

const USAGE = `Usage: concordat verify ACTION [OPTIONS]

${ACTIONS.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join('\n')}

  concordat verify ACTION --help   what an action takes

${EXIT_CODES}`;

const WORLD: VerifyWorld = { roots: AMD_ROOTS, nowMs: () => Date.now() };

/** The command in a world: AMD's and the clock's, or that of a test. */
export function verifyCommand(world: VerifyWorld): Command {
  return {
    name: 'verify',
    summary: 'judge attestation: a report, a token, a live service, a saved verdict',
    usage: USAGE,
    usageOf: ([name]) => ACTIONS.find((action) => action.name === name)?.usage ?? USAGE,
    run: async ([name, ...rest], io) => {
      const action = ACTIONS.find((each) => each.name === name);
      if (action !== undefined) return await action.run(rest, io, world);
      const names = ACTIONS.map((each) => each.name).join(', ');
      throw new CodedError('Usage', `say what to verify: ${names}`);
    },
  };
}

export const command: Command = verifyCommand(WORLD);

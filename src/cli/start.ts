/**
 * `concordat start`: what `npm start` runs. A sandbox for people, or one demonstration of it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command, CommandIo } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { nodeLog } from './node-log.ts';
import { runDemo } from './sandbox/demo.ts';
import { startSandbox } from './sandbox/sandbox.ts';
import {
  DATA_DEFAULT,
  SANDBOX_USAGE,
  type SandboxArguments,
  sandboxArguments,
} from './sandbox/sandbox-arguments.ts';
import { runSandbox } from './sandbox.ts';

export const command: Command = {
  name: 'start',
  summary: 'start a sandbox: a service, its organisations and their transaction managers',
  usage: `Usage: npm start -- [OPTIONS]      (or: concordat start [OPTIONS])

Starts a service with organisations that a Quorum node can use at once. Ctrl-C stops it.

  --demo                run one private exchange as a Quorum node would, say what happened, and end;
                        without --data in a temporary folder
${SANDBOX_USAGE}`,
  async run(args: readonly string[], io: CommandIo): Promise<number> {
    const parsed = sandboxArguments(args);
    if (parsed.demo) return await demonstrate(parsed, io);
    return await runSandbox(
      { ...parsed.options, data: parsed.data ?? DATA_DEFAULT },
      parsed.json,
      io,
    );
  },
};

async function demonstrate(parsed: SandboxArguments, io: CommandIo): Promise<number> {
  const temporary =
    parsed.data === undefined ? mkdtempSync(join(tmpdir(), 'concordat-demo-')) : undefined;
  const beganMs = Date.now();
  try {
    const sandbox = await startSandbox(
      { ...parsed.options, data: parsed.data ?? temporary ?? DATA_DEFAULT },
      { log: nodeLog(io), signal: io.signal },
    );
    try {
      // Words go where they do not mix with the JSON that a program reads.
      const say = parsed.json ? io.err : io.out;
      const result = await runDemo(sandbox.ready, say);
      const seconds = (Date.now() - beganMs) / 1000;
      io.out(JSON.stringify({ ...result, seconds }));
      return result.ok ? EXIT.good : EXIT.bad;
    } finally {
      await sandbox.stop();
    }
  } finally {
    if (temporary !== undefined) rmSync(temporary, { recursive: true, force: true });
  }
}

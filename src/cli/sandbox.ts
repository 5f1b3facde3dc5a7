/**
 * `concordat sandbox`: a sandbox for programs. One JSON line says that it is ready, and where.
 */
import { isCoded } from '../base/errors.ts';
import type { Command, CommandIo } from './command.ts';
import { whenStopped } from './command-io.ts';
import { EXIT } from './exit-codes.ts';
import { nodeLog } from './node-log.ts';
import { readyTable } from './sandbox/ready-table.ts';
import { type RunningSandbox, startSandbox } from './sandbox/sandbox.ts';
import { DATA_DEFAULT, SANDBOX_USAGE, sandboxArguments } from './sandbox/sandbox-arguments.ts';

export const command: Command = {
  name: 'sandbox',
  summary: 'a sandbox for programs: one JSON line when it is ready',
  usage: `Usage: concordat sandbox [OPTIONS]

Runs a service with its organisations and their transaction managers until it is told to stop
(Ctrl-C, SIGTERM). With --json it prints one line when ready:
  {"ready":true,"data":…,"service":{…},"nodes":[…],"organisations":[…],"members":[…]}

${SANDBOX_USAGE}`,
  async run(args: readonly string[], io: CommandIo): Promise<number> {
    const { options, data, json } = sandboxArguments(args);
    return await runSandbox({ ...options, data: data ?? DATA_DEFAULT }, json, io);
  },
};

/** Runs a sandbox until the program is asked to stop, its nodes with it. */
export async function runSandbox(
  options: Parameters<typeof startSandbox>[0],
  json: boolean,
  io: CommandIo,
): Promise<number> {
  let sandbox: RunningSandbox;
  try {
    sandbox = await startSandbox(options, { log: nodeLog(io), signal: io.signal });
  } catch (error) {
    if (!isCoded(error, 'Stopped')) throw error;
    io.err(error.message);
    return EXIT.good;
  }
  io.out(json ? JSON.stringify(sandbox.ready) : readyTable(sandbox.ready, sandbox.isNew));
  await whenStopped(io.signal);
  io.progress('stopping …');
  await sandbox.stop();
  if (!json) io.err('stopped; everything acknowledged is in the ledger');
  return EXIT.good;
}

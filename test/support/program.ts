/** The program as others run it: a process, its lines, its exit code. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';

const ROOT = join(import.meta.dirname, '../..');
const MAIN = join(ROOT, 'src/main.ts');
const LAUNCHER = join(ROOT, 'src/launch.mjs');
/** As the launcher runs the program. */
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, on the pinned Node, without the launcher. */
export async function runProgram(args: readonly string[], cwd = ROOT): Promise<Ended> {
  return await toEnd(spawnProgram(args, cwd));
}

/** Runs the launcher itself to its end. */
export async function runLauncher(args: readonly string[], cwd = ROOT): Promise<Ended> {
  return await toEnd(spawn(process.execPath, [LAUNCHER, ...args], { cwd, stdio: 'pipe' }));
}

export interface RunningProgram {
  readonly child: ChildProcess;
  readonly ready: ReadyLine;
  /** What it has said on standard error so far. */
  said(): string;
  /** Asks it to stop; gives back its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Ends it without warning. */
  kill(): Promise<void>;
}

/** Starts `sandbox --json` and waits until it is ready. */
export async function startSandboxProgram(
  args: readonly string[],
  through: 'program' | 'launcher' = 'program',
): Promise<RunningProgram> {
  const all = ['sandbox', '--json', ...args];
  const child =
    through === 'program'
      ? spawnProgram(all, ROOT)
      : spawn(process.execPath, [LAUNCHER, ...all], { cwd: ROOT, stdio: 'pipe' });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-8000);
  });
  const exit = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  };
  return {
    child,
    ready: await readyLine(child, () => said),
    said: () => said,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal);
      return await exit();
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exit();
    },
  };
}

function spawnProgram(args: readonly string[], cwd: string): ChildProcess {
  return spawn(process.execPath, [...HARDENING, MAIN, ...args], { cwd, stdio: 'pipe' });
}

async function toEnd(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin?.end();
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

async function readyLine(child: ChildProcess, said: () => string): Promise<ReadyLine> {
  if (child.stdout === null) throw new Error('the sandbox has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as ReadyLine;
    throw new Error(`the first line of the sandbox is ${line}; it said ${said()}`);
  }
  throw new Error(`the sandbox ended before it was ready: ${said()}`);
}

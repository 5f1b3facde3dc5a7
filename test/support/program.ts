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
export async function runProgram(
  args: readonly string[],
  { cwd = ROOT, input = '' }: { readonly cwd?: string; readonly input?: string } = {},
): Promise<Ended> {
  return await toEnd(spawnProgram(args, cwd), input);
}

/** Runs the launcher itself to its end. */
export async function runLauncher(args: readonly string[], cwd = ROOT): Promise<Ended> {
  return await toEnd(spawn(process.execPath, [LAUNCHER, ...args], { cwd, stdio: 'pipe' }));
}

export interface RunningProgram<Ready = ReadyLine> {
  readonly child: ChildProcess;
  readonly ready: Ready;
  /** What it has said on standard error so far. */
  said(): string;
  /** Asks it to stop; gives back its exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
  /** Ends it without warning. */
  kill(): Promise<void>;
}

/**
 * Ports of this worker's sandboxes: one that starts again needs its own, which a test that runs at
 * the same time must not have taken meanwhile.
 */
export const PORT_OFFSET = 3_000 + 3_000 * Number(process.env.VITEST_POOL_ID ?? 0);

/** Starts `sandbox --json` of one node, unless told otherwise, and waits until it is ready. */
export async function startSandboxProgram(
  args: readonly string[],
  through: 'program' | 'launcher' = 'program',
): Promise<RunningProgram> {
  const nodes = args.includes('--nodes') ? [] : ['--nodes', '1'];
  const ports = ['--port-offset', `${PORT_OFFSET}`];
  return await startProgram<ReadyLine>(
    ['sandbox', '--json', ...nodes, ...ports, ...args],
    through,
  );
}

/** Starts a command that says in one line of JSON that it is ready, and waits for that. */
export async function startProgram<Ready>(
  args: readonly string[],
  through: 'program' | 'launcher' = 'program',
): Promise<RunningProgram<Ready>> {
  const child =
    through === 'program'
      ? spawnProgram(args, ROOT)
      : spawn(process.execPath, [LAUNCHER, ...args], { cwd: ROOT, stdio: 'pipe' });
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
    ready: await readyLine<Ready>(child, () => said),
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

/** Starts a command and leaves the rest to the caller. */
export function spawnProgram(args: readonly string[], cwd = ROOT): ChildProcess {
  return spawn(process.execPath, [...HARDENING, MAIN, ...args], {
    cwd,
    // The last is the lifeline: a test that fails leaves no program behind.
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, CONCORDAT_LIFELINE: `${process.pid} 3` },
  });
}

async function toEnd(child: ChildProcess, input = ''): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin?.end(input);
  await once(child, 'close');
  return { code: child.exitCode, stdout, stderr };
}

async function readyLine<Ready>(child: ChildProcess, said: () => string): Promise<Ready> {
  if (child.stdout === null) throw new Error('the program has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as Ready;
    throw new Error(`the first line of the program is ${line}; it said ${said()}`);
  }
  throw new Error(`the program ended before it was ready: ${said()}`);
}

/**
 * A program that runs to its end, as a contender: one run is one slice, however long.
 */
import { spawn } from 'node:child_process';
import type { Slice } from './contender.ts';
import { Histogram } from './histogram.ts';

/** Of a service that was started as the launcher starts it: our own commands, the same way. */
const ENTRY = new URL('../src/main.ts', import.meta.url).pathname;

/** Runs one of our own commands, and gives back its standard output; throws if it fails. */
export function runConcordat(args: readonly string[]): Promise<string> {
  return runToEnd(process.execPath, [...process.execArgv, ENTRY, ...args]);
}

export function runToEnd(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (bytes: Buffer) => {
      stdout += bytes.toString();
    });
    child.stderr.on('data', (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else
        reject(new Error(`${command} ${args.join(' ')} failed (${code}): ${stderr}${stdout}`));
    });
  });
}

/** So much done in one run of so long. */
export function oneRunSlice(done: number, elapsedMs: number): Slice {
  const latency = new Histogram();
  latency.record(elapsedMs);
  return {
    ...{ requests: done, elapsedMs, latency },
    ...{ systemCpuMs: undefined, generatorCpuMs: undefined },
  };
}

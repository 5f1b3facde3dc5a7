// Outside judges: programs that others wrote and that check what we wrote. One that is not there
// is skipped aloud: the reason is printed and stands in the skipped test's title.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type TestFunction, test } from 'vitest';

export interface JudgeOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** A judge that hangs is stopped, and counts as failed. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 300_000;
const NO_CCF = 'no PyPI ccf: set CONCORDAT_CCF_PYTHON to a Python >= 3.12 that has it';
const NO_VECTORS = 'no recorded vectors: set CONCORDAT_VECTORS to their folder';

/** A Python with PyPI `ccf` 7 or later, which `.ci/run` sets up; undefined if there is none. */
export function ccfPython(): string | undefined {
  return existing('CONCORDAT_CCF_PYTHON');
}

/** The folder of recorded exchanges and reference files; undefined if there is none. */
export function vectorsFolder(): string | undefined {
  return existing('CONCORDAT_VECTORS');
}

/** Runs that Python with these arguments: `['-m', 'ccf.…']` or `['-c', program, …]`. */
export async function runCcf(
  args: readonly string[],
  options: RunOptions = {},
): Promise<JudgeOutcome> {
  const python = ccfPython();
  if (python === undefined) throw new Error(NO_CCF);
  return await runJudge(python, args, options);
}

/** A test that needs PyPI `ccf`. */
export function testWithCcf(title: string, body: TestFunction): void {
  testWith(ccfPython(), NO_CCF, title, body);
}

/** A test that needs the recorded vectors. */
export function testWithVectors(title: string, body: TestFunction): void {
  testWith(vectorsFolder(), NO_VECTORS, title, body);
}

/** A test that needs both. */
export function testWithCcfAndVectors(title: string, body: TestFunction): void {
  if (ccfPython() === undefined) testWithCcf(title, body);
  else testWithVectors(title, body);
}

/** The judge whose path stands in this variable; undefined if there is none. */
export function judgePath(variable: string): string | undefined {
  return existing(variable);
}

/** Runs a judge to its end. A death by signal is told as exit code -1. */
export async function runJudge(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<JudgeOutcome> {
  const { cwd, timeoutMs = TIMEOUT_MS } = options;
  return await new Promise((done, refuse) => {
    const child = spawn(command, args, {
      ...(cwd === undefined ? {} : { cwd }),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', refuse);
    child.on('close', (code) => done({ code: code ?? -1, stdout, stderr }));
  });
}

/** A variable that names nothing is a mistake of whoever set it, not a missing judge. */
function existing(variable: string): string | undefined {
  const path = process.env[variable];
  if (path === undefined || path === '') return undefined;
  if (!existsSync(path)) throw new Error(`${variable} is ${path}, which does not exist`);
  return path;
}

function testWith(
  present: string | undefined,
  reason: string,
  title: string,
  body: TestFunction,
): void {
  if (present !== undefined) {
    test(title, body);
    return;
  }
  console.warn(`SKIPPED "${title}": ${reason}`);
  test.skip(`${title} [SKIPPED: ${reason}]`, body);
}

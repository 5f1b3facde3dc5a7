/**
 * Programs that talk to hardware for us: run without a shell, with a bound on time and output.
 */
import { execFile } from 'node:child_process';
import { messageOf } from '../../base/errors.ts';
import { PROGRAM_MS_MAX, PROGRAM_OUTPUT_BYTES_MAX } from './source-limits.ts';

export type ProgramOutcome =
  | { readonly kind: 'done'; readonly output: Uint8Array }
  /** It cannot be run: not there, or no right to. */
  | { readonly kind: 'missing'; readonly why: string }
  | { readonly kind: 'late'; readonly timeoutMs: number }
  | { readonly kind: 'failed'; readonly exit: string; readonly said: string };

export type RunProgram = (path: string, args: readonly string[]) => Promise<ProgramOutcome>;

export function programRunner(timeoutMs: number = PROGRAM_MS_MAX): RunProgram {
  const options = {
    encoding: 'buffer',
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: PROGRAM_OUTPUT_BYTES_MAX,
  } as const;
  return (path, args) =>
    new Promise((resolve) => {
      execFile(path, args, options, (error, output, complaints) => {
        if (error === null) resolve({ kind: 'done', output });
        else resolve(failureOf(error, complaints.toString('utf8'), timeoutMs));
      });
    });
}

const MISSING = ['ENOENT', 'EACCES', 'ENOEXEC', 'ENOTDIR'];

function failureOf(
  error: NodeJS.ErrnoException | (Error & { readonly killed?: boolean }),
  complaints: string,
  timeoutMs: number,
): ProgramOutcome {
  const code = 'code' in error ? error.code : undefined;
  if (typeof code === 'string' && MISSING.includes(code)) {
    return { kind: 'missing', why: messageOf(error) };
  }
  if ('killed' in error && error.killed === true && typeof code !== 'string') {
    return { kind: 'late', timeoutMs };
  }
  const exit = code === undefined || code === null ? 'was killed' : `ended with ${code}`;
  return { kind: 'failed', exit, said: complaints.trim().slice(0, 500) };
}

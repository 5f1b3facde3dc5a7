/**
 * Stands between the harness and a peer's program: the peer ends when this process does, and this
 * ends with the harness, however that ends. The peer has a process group of its own, so that a
 * terminal's Ctrl-C does not reach it before the harness is done with it.
 */
import { spawn } from 'node:child_process';
import { endWithHarness } from '../child-life.ts';

/** What is started, and as whom. */
export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly cwd?: string;
}

export type Kept =
  | { readonly kind: 'started'; readonly pid: number }
  /** It ended, or could not be started. */
  | { readonly kind: 'ended'; readonly why: string; readonly said: string };

const SAID_MAX = 4_000;

process.once('message', ({ command, args, user, cwd }: Program) => {
  let said = '';
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(user ?? {}),
    ...(cwd === undefined ? {} : { cwd }),
  });
  const keep = (bytes: Buffer): void => {
    said = `${said}${bytes.toString()}`.slice(-SAID_MAX);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const tell = (kept: Kept): void => {
    if (process.connected) process.send?.(kept);
  };
  child.on('spawn', () => tell({ kind: 'started', pid: child.pid ?? 0 }));
  child.on('error', ({ message }) => tell({ kind: 'ended', why: message, said }));
  child.on('close', (code, signal) => {
    tell({ kind: 'ended', why: `it ended (${signal ?? code})`, said });
  });
  // What it keeps lies in a folder that is thrown away: nothing is lost by a hard end.
  endWithHarness(() => child.kill('SIGKILL'));
});

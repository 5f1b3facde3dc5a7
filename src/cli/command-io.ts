/**
 * A command's way to speak, on the process's own streams.
 */
import type { CommandIo } from './command.ts';

/** Between two lines of progress where nobody watches. */
const PROGRESS_MS = 2_000;

/** Speaks on standard output and error; `signal` tells of a request to stop. */
export function processIo(signal: AbortSignal): CommandIo {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', forgiveClosed);
  const watched = process.stderr.isTTY === true;
  let shown = 0;
  let lastMs = 0;
  const clear = (): void => {
    if (shown > 0) process.stderr.write(`\r${' '.repeat(shown)}\r`);
    shown = 0;
  };
  return {
    out(text) {
      clear();
      process.stdout.write(`${text}\n`);
    },
    err(text) {
      clear();
      process.stderr.write(`${text}\n`);
    },
    progress(text) {
      if (watched) {
        clear();
        process.stderr.write(text);
        shown = text.length;
        return;
      }
      const nowMs = Date.now();
      if (nowMs - lastMs < PROGRESS_MS) return;
      lastMs = nowMs;
      process.stderr.write(`${text}\n`);
    },
    isTty: process.stdout.isTTY === true,
    signal,
  };
}

/** Whoever listened has gone, as `head` does: that is no failure of a command, nor of a node. */
function forgiveClosed(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

/** Turns SIGINT, SIGTERM and SIGHUP into an abort; each may come several times for one request. */
export function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(name));
  }
  return controller.signal;
}

/** Resolves when the program is asked to stop. */
export function whenStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

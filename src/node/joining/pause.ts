/**
 * Waiting that ends early when the joiner is told to stop.
 */
import type { Timers } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';

/** Resolves after `ms`; rejects with `JoinStopped` as soon as the signal is aborted. */
export function pause(timers: Timers, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(stopped());
    };
    const cancel = timers.after(ms, () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

/** Throws `JoinStopped` if the signal is aborted. */
export function mustGoOn(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw stopped();
}

function stopped(): CodedError {
  return new CodedError('JoinStopped', 'joining was stopped; start again to go on with it');
}

/**
 * Long work on the executing thread, done in steps with everything else in between.
 */
import type { Timers } from '../base/environment.ts';

/**
 * Runs a generator to its end, one step in each turn of the event loop. Rejects with what it
 * throws, or, once `stop` is aborted, with the reason of that; the generator's own `finally`
 * blocks run.
 */
export async function inSlices<Result>(
  timers: Timers,
  work: Generator<void, Result, void>,
  stop?: AbortSignal,
): Promise<Result> {
  for (;;) {
    const step = stop?.aborted ? work.throw(stop.reason) : work.next();
    if (step.done) return step.value;
    await new Promise<void>((resolve) => timers.soon(resolve));
  }
}

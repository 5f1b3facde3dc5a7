/** Timers of the running process. Nothing here keeps the process alive by itself. */
import type { Timers } from '../base/environment.ts';

export const systemTimers: Timers = {
  elapsedMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
  soon(action) {
    setImmediate(action);
  },
};

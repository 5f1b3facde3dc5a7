/**
 * Real time: what stands behind base's clock and timers in a running process.
 */
import type { Clock, Timers } from '../base/environment.ts';

export const realClock: Clock = { nowMs: () => Date.now() };

export const realTimers: Timers = {
  elapsedMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
  soon(action) {
    setImmediate(action);
  },
};

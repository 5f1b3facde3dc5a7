/**
 * What a node's process needs besides its resident memory, and how long it stood still: figures
 * that show a leak, or a task that held everybody up, without a profiler.
 */
import { Gauge, type Registry } from 'prom-client';

/** How often the event loop is looked at: a look that comes later was held up for so long. */
const LOOK_MS = 20;

/** Gives back what ends the looking. */
export function registerProcessMetrics(registry: Registry): () => void {
  const registers = [registry];
  let longestMs = 0;
  let lastMs = performance.now();
  // Not `monitorEventLoopDelay`: after a reset it forgets when it last looked, and so a stall.
  const looks = setInterval(() => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs - LOOK_MS);
    lastMs = nowMs;
  }, LOOK_MS).unref();
  new Gauge({
    name: 'concordat_event_loop_stall_milliseconds',
    help: 'Longest time that the event loop stood still since the figures were last taken',
    registers,
    collect() {
      this.set(longestMs);
      longestMs = 0;
    },
  });
  const gauge = (
    name: string,
    help: string,
    read: (now: NodeJS.MemoryUsage) => number,
  ): void => {
    new Gauge({
      name: `concordat_${name}_bytes`,
      help,
      registers,
      collect() {
        this.set(read(process.memoryUsage()));
      },
    });
  };
  gauge('heap', 'Memory that objects take', ({ heapUsed }) => heapUsed);
  gauge('buffer', 'Memory that buffers and typed arrays take', ({ external }) => external);
  return () => clearInterval(looks);
}

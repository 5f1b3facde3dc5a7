/**
 * The limit for durable writes: one file that grows by a batch of records, flushed with fdatasync
 * before the next batch. No encryption, no hash, no signature, no network.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { endWithHarness } from '../child-life.ts';
import { Histogram } from '../histogram.ts';

export interface AppendOrder {
  readonly milliseconds: number;
  readonly recordBytes: number;
  /** Records that one flush makes durable: as many as there are connections. */
  readonly records: number;
  readonly sync: boolean;
}

export interface AppendResult {
  readonly records: number;
  readonly elapsedMs: number;
  readonly latency: Float64Array;
  readonly cpuMs: number;
}

const [, , path] = process.argv;
if (path === undefined) throw new Error('usage: append-sync-process.ts FILE');
const file = openSync(path, 'a', 0o600);

function run({ milliseconds, recordBytes, records, sync }: AppendOrder): AppendResult {
  const batch = Buffer.alloc(recordBytes * records, 0x5a);
  const histogram = new Histogram();
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  let nowMs = startMs;
  let written = 0;
  while (nowMs - startMs < milliseconds) {
    writeSync(file, batch);
    if (sync) fdatasyncSync(file);
    const endMs = performance.now();
    histogram.record(endMs - nowMs);
    nowMs = endMs;
    written += records;
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuMs = (user + system) / 1000;
  return { records: written, elapsedMs: nowMs - startMs, latency: histogram.counters, cpuMs };
}

process.on('message', (order: AppendOrder) => process.send?.(run(order)));
endWithHarness(() => closeSync(file));

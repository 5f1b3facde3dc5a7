/**
 * The load generator's own process, so that it shares no thread with what it measures. Started with
 * `fork`; takes an `Order`, answers with a `Report`; ends when the harness does.
 */
import { endWithHarness } from '../child-life.ts';
import { Histogram } from '../histogram.ts';
import { Connection, type Load } from './connection.ts';
import type { Limit, Order, Report, RunResult, Target } from './job.ts';

/** Characters of a refusal that are told. */
const SAID_MAX = 300;

interface Opened {
  readonly target: Target;
  readonly connections: Connection[];
}

const opened = new Map<string, Opened>();

async function open(name: string, target: Target): Promise<void> {
  const to: Opened = { target, connections: [] };
  await connect(to);
  opened.set(name, to);
}

/** Opens those that are not, or not any more: a turn may come long after the one before. */
async function connect({ target, connections }: Opened): Promise<void> {
  const stride = Math.max(1, Math.floor(target.requests.length / target.connections));
  for (let number = 0; number < target.connections; number += 1) {
    if (connections[number]?.isOpen === true) continue;
    connections[number] = await Connection.open(target, number * stride);
  }
}

function close(name: string): void {
  for (const connection of opened.get(name)?.connections ?? []) connection.close();
  opened.delete(name);
}

function run({ target, connections }: Opened, limit: Limit): Promise<RunResult> {
  const histogram = new Histogram();
  const bodies: string[] = [];
  const requestsMax = limit.requests ?? Number.POSITIVE_INFINITY;
  const keepBodies = limit.keepBodies === true;
  let started = 0;
  let busy = 0;
  return new Promise((resolve, reject) => {
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    const endMs = startMs + (limit.milliseconds ?? Number.POSITIVE_INFINITY);
    const finish = (): void => {
      const elapsedMs = performance.now() - startMs;
      const { user, system } = process.cpuUsage(cpuBefore);
      const latency = histogram.counters;
      const cpuMs = (user + system) / 1000;
      resolve({ requests: histogram.total, elapsedMs, latency, cpuMs, bodies });
    };
    let failed = false;
    const load: Load = {
      keepBodies,
      mayStart() {
        if (failed || started >= requestsMax || performance.now() >= endMs) return false;
        started += 1;
        return true;
      },
      answered(milliseconds, reader) {
        if (reader.status !== target.expectedStatus) {
          const said = reader.body.toString().slice(0, SAID_MAX);
          const { expectedStatus: wanted } = target;
          throw new Error(`status ${reader.status} came for ${wanted}: ${said}`);
        }
        histogram.record(milliseconds);
        if (keepBodies) bodies.push(reader.body.toString());
      },
      ended() {
        busy -= 1;
        if (busy === 0) finish();
      },
      failed(error) {
        failed = true;
        reject(error);
      },
    };
    busy = connections.length;
    for (const connection of connections) connection.start(load);
  });
}

async function obey(order: Order): Promise<Report> {
  if (order.kind === 'open') {
    await open(order.name, order.target);
    return { kind: 'done' };
  }
  if (order.kind === 'close') {
    close(order.name);
    return { kind: 'done' };
  }
  const target = opened.get(order.name);
  if (target === undefined) throw new Error(`no connections are open to ${order.name}`);
  await connect(target);
  return { kind: 'ran', result: await run(target, order.limit) };
}

process.on('message', (order: Order) => {
  obey(order).then(
    (report) => process.send?.(report),
    (error: unknown) => {
      const message = error instanceof Error ? error.message : String(error);
      const report: Report = { kind: 'failed', message };
      process.send?.(report);
    },
  );
});
endWithHarness();

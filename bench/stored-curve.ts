/**
 * Payloads of 10 KiB stored, from a thousand to a million: throughput and memory while the ledger
 * grows. It comes last and ends when the time for all curves is up, wherever it is then.
 */
import { type Curve, type CurveContext, measureAt } from './growth.ts';
import type { Load } from './load.ts';
import { receiveTarget, sendTarget } from './quorum-requests.ts';
import type { GrowthPoint } from './result.ts';
import type { Concordat } from './systems/concordat.ts';
import { withService } from './with-service.ts';

const PAYLOAD_BYTES = 10 * 1024;
const CONNECTIONS = 32;
const COUNTS = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000];
const STEP = 2_000;
/** Garbage comes and goes: the least of some looks is what stays. */
const LOOKS = 5;
const LOOK_MS = 400;

export const storedCurve: Curve = {
  name: 'payloads stored',
  summary:
    'send and receive with payloads of 10 KiB while 1,000 to 1,000,000 of them are stored',
  axis: 'payloads stored',
  scale: 'log',
  draw: (context) =>
    withService(context, {}, async (service) => {
      const sent: GrowthPoint[] = [];
      const received: GrowthPoint[] = [];
      const load: Load = {
        ...{ generator: context.generator, connections: CONNECTIONS, inFlight: 1 },
        payloadBytes: PAYLOAD_BYTES,
      };
      for (const count of COUNTS) {
        if (!(await fillUpTo(count, service, load, context))) {
          const stored = await storedIn(service);
          context.warn(`the time was up at ${stored} of ${count} (--minutes)`);
          break;
        }
        context.progress(`${count}, measuring`);
        // What is sent while measuring counts as stored, so the place on the axis is read anew.
        const at = await storedIn(service);
        const memoryBytes = await leastMemory(service);
        const send = await measureAt(at, context, sendTarget(service, load));
        sent.push({ ...send, memoryBytes });
        received.push(await measureAt(at, context, await receiveTarget(service, load)));
      }
      return [
        { name: 'send', points: sent },
        { name: 'receive', points: received },
      ];
    }),
};

/** False when the time was up before. */
async function fillUpTo(
  wanted: number,
  service: Concordat,
  load: Load,
  { generator, progress, leftMs, mayGoOn }: CurveContext,
): Promise<boolean> {
  await generator.open('filling', sendTarget(service, load));
  try {
    for (;;) {
      mayGoOn();
      const missing = wanted - (await storedIn(service));
      if (missing <= 0) return true;
      if (leftMs() <= 0) return false;
      progress(`${wanted - missing} of ${wanted}`);
      await generator.run('filling', { requests: Math.min(STEP, missing) });
    }
  } finally {
    await generator.close('filling');
  }
}

/** Nearly each transaction is a payload; those that opened the service are few. */
async function storedIn(service: Concordat): Promise<number> {
  return (await service.figures()).concordat_transactions ?? 0;
}

async function leastMemory(service: Concordat): Promise<number | null> {
  const looks: number[] = [];
  for (let look = 0; look < LOOKS; look += 1) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const { concordat_heap_bytes: heap, concordat_buffer_bytes: buffers } =
      await service.figures();
    if (heap !== undefined && buffers !== undefined) looks.push(heap + buffers);
  }
  return looks.length === 0 ? null : Math.min(...looks);
}

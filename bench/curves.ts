/**
 * The curves of `--growth`: what grows, and on which service.
 */
import {
  type Curve,
  type CurveContext,
  measureAt,
  measureWriteAt,
  pointsOf,
} from './growth.ts';
import type { Load } from './load.ts';
import { logReadTarget, logWriteTarget } from './log-requests.ts';
import { receiveTarget, sendTarget } from './quorum-requests.ts';
import { storedCurve } from './stored-curve.ts';
import type { Concordat } from './systems/concordat.ts';
import { type WantedService, withService } from './with-service.ts';

const SIZES = [100, 1_024, 10_240, 102_400, 1_048_576];
const CONNECTIONS = [1, 4, 16, 64, 256, 1_024];
const NODES = [1, 3, 5];
const DELAYS_MS = [1, 3, 10, 30, 100];
const RECIPIENTS = [1, 4, 16, 64];
/** For the longest list of connections, and the few that others need. */
const SESSIONS_MAX = 2_000;

export const CURVES: readonly Curve[] = [
  {
    name: 'payload size',
    summary: 'send and receive with payloads of 100 B to 1 MiB',
    axis: 'bytes of a payload',
    scale: 'log',
    draw: (context) =>
      withService(context, {}, async (service) => {
        const loadOf = (payloadBytes: number): Load => ({ ...usual(context), payloadBytes });
        const sent = await pointsOf(context, SIZES, (size) =>
          measureWriteAt(size, context, service, sendTarget(service, loadOf(size))),
        );
        const received = await pointsOf(context, SIZES, async (size) =>
          measureAt(size, context, await receiveTarget(service, loadOf(size))),
        );
        return [
          { name: 'send', points: sent },
          { name: 'receive', points: received },
        ];
      }),
  },
  {
    name: 'connections',
    summary: `log write and log read; the session cap is raised to ${SESSIONS_MAX} for it`,
    axis: 'connections',
    scale: 'log',
    draw: (context) =>
      withService(context, sessions(SESSIONS_MAX), async (service) => {
        const loadOf = (connections: number): Load => ({ ...usual(context), connections });
        const written = await pointsOf(context, CONNECTIONS, async (count) =>
          measureAt(count, context, await logWriteTarget(service, loadOf(count))),
        );
        const read = await pointsOf(context, CONNECTIONS, async (count) =>
          measureAt(count, context, await logReadTarget(service, loadOf(count))),
        );
        return [
          { name: 'log write', points: written },
          { name: 'log read', points: read },
        ];
      }),
  },
  {
    name: 'nodes',
    summary: 'log write committed at the primary of 1, 3 and 5 nodes on this one machine',
    axis: 'nodes',
    scale: 'linear',
    draw: async (context) => [
      {
        name: 'log write committed',
        points: await pointsOf(context, NODES, (nodes) =>
          withService(context, { nodes }, async (service) =>
            measureAt(nodes, context, await committed(service, context)),
          ),
        ),
      },
    ],
  },
  {
    name: 'signature interval',
    summary: 'ledger_signatures.delay; a write that waits has its signature at once',
    axis: 'milliseconds between signatures',
    scale: 'log',
    draw: async (context) => {
      const drawn = async (waits: boolean) =>
        await pointsOf(context, DELAYS_MS, (delayMs) =>
          withService(
            context,
            { settings: { ledger_signatures: { delay: `${delayMs}ms` } } },
            async (service) => {
              const load = usual(context);
              const target = await logWriteTarget(service, load, { committed: waits });
              return await measureWriteAt(delayMs, context, service, target);
            },
          ),
        );
      return [
        { name: 'log write', points: await drawn(false) },
        { name: 'log write committed', points: await drawn(true) },
      ];
    },
  },
  {
    name: 'recipients',
    summary: 'send to 1 to 64 party keys, all of one organisation',
    axis: 'recipients',
    scale: 'log',
    draw: (context) =>
      withService(context, { partyKeys: Math.max(...RECIPIENTS) }, async (service) => [
        {
          name: 'send',
          points: await pointsOf(context, RECIPIENTS, (count) =>
            measureWriteAt(
              count,
              context,
              service,
              sendTarget(service, usual(context), service.partyKeysOf(2).slice(0, count)),
            ),
          ),
        },
      ]),
  },
  storedCurve,
];

function sessions(most: number): WantedService {
  const caps = { max_open_sessions_soft: most, max_open_sessions_hard: most + 10 };
  return {
    settings: { network: { rpc_interfaces: { primary_rpc_interface: caps } } },
  };
}

function usual({ generator, options }: CurveContext): Load {
  const { connections, payloadBytes } = options;
  return { generator, connections, payloadBytes, inFlight: 1 };
}

async function committed(service: Concordat, context: CurveContext) {
  return await logWriteTarget(service, usual(context), { committed: true });
}

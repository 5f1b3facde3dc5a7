/**
 * Restart of a ledger of payloads of 10 KiB, until the node is ready: beside reading the same bytes
 * and hashing each entry once. What starting an empty service takes is measured in the same round
 * and taken off: processes, certificates and sockets are no part of reading a ledger.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Slice } from './contender.ts';
import type { OwnContext, OwnWork } from './own-work.ts';
import { oneRunSlice, runToEnd } from './program-run.ts';
import { sendTarget } from './quorum-requests.ts';
import { CONCORDAT, Concordat } from './systems/concordat.ts';

export const READ_AND_HASH = 'read and hash';

const MIB = 1024 * 1024;
const PAYLOAD_BYTES = 10 * 1024;
const CONNECTIONS = 32;
/** What a payload takes in the ledger, about. */
const ENTRY_BYTES = 11 * 1024;
const PROGRAM = fileURLToPath(new URL('./systems/read-hash-process.ts', import.meta.url));

export const restartWork: OwnWork = {
  kind: 'own',
  name: 'restart',
  summary: 'a ledger of payloads of 10 KiB (--ledger says how large), until the node is ready',
  unit: 'MiB',
  judgedBy: 'throughput',
  roundsMax: 5,
  async prepare(context) {
    const { options, folder } = context;
    const empty = join(folder, 'empty');
    const full = join(folder, 'full');
    await (await Concordat.start({ ...ONE, folder: empty })).stop();
    const ledger = await fill(full, context);
    const limit = async (): Promise<Slice> => {
      const said = await runToEnd(process.execPath, [...process.execArgv, PROGRAM, ledger]);
      const { bytes, seconds } = JSON.parse(said) as { bytes: number; seconds: number };
      return oneRunSlice(bytes / MIB, seconds * 1000);
    };
    const { requests: mib } = await limit();
    const restarted = async (data: string): Promise<number> => {
      const startMs = performance.now();
      const service = await Concordat.start({ folder: data, durability: options.durability });
      const elapsedMs = performance.now() - startMs;
      await service.stop();
      return elapsedMs;
    };
    return {
      ours: {
        name: CONCORDAT,
        async slice() {
          const nothingMs = await restarted(empty);
          return oneRunSlice(mib, Math.max(1, (await restarted(full)) - nothingMs));
        },
      },
      others: [{ name: READ_AND_HASH, slice: limit }],
      missing: [],
      statements: [
        {
          name: READ_AND_HASH,
          version: `node:fs and node:crypto ${process.version}`,
          durability: 'keeps nothing',
          load: 'every chunk read whole, every entry hashed once, one thread',
        },
      ],
      load: { connections: CONNECTIONS, inFlight: 1, payloadBytes: PAYLOAD_BYTES },
      stop: () => Promise.resolve(),
    };
  },
};

/** Filling needs no flushes: it is not what is measured. */
const ONE = { durability: 'os' } as const;

/** Sends payloads until the ledger is as large as wanted; gives back its folder. */
async function fill(
  folder: string,
  { generator, options, progress }: OwnContext,
): Promise<string> {
  const service = await Concordat.start({ ...ONE, folder });
  try {
    const load = {
      ...{ generator, connections: CONNECTIONS, inFlight: 1 },
      payloadBytes: PAYLOAD_BYTES,
    };
    await generator.open('filling', sendTarget(service, load));
    const wanted = Math.ceil((options.ledgerMib * MIB) / ENTRY_BYTES);
    const step = Math.ceil(wanted / 20);
    for (let sent = 0; sent < wanted; sent += step) {
      progress(`filling, ${Math.round((sent / wanted) * options.ledgerMib)} MiB`);
      await generator.run('filling', { requests: step });
    }
    await generator.close('filling');
    await service.settledLedgerBytes();
    return service.ready.nodes[0]?.ledger ?? '';
  } finally {
    await service.stop();
  }
}

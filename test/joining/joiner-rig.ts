// A joiner on a disk in memory, and what it is told.

import { type KeySource, systemKeys } from '../../src/crypto/key-source.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import {
  type JoinDependencies,
  type JoinedService,
  type JoinOptions,
  prepareJoin,
} from '../../src/node/joining/prepare-join.ts';
import { realTimers } from '../../src/node/real-time.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { CrashingDisk } from '../support/crashing-disk.ts';
import { makeService, type ServiceKeys } from '../support/ledger-writer.ts';
import { closedChunks, FakeService, type Files, writeLedger } from './fake-service.ts';

export const FOLDER = '/joiner';
export const LEDGER = `${FOLDER}/ledger`;
export const PARTS = `${FOLDER}/joining`;

/** One service with a ledger of four closed chunks, made once. */
export const KEYS: ServiceKeys = await makeService();
export const STRANGER: ServiceKeys = await makeService();
export const CHUNKS: Files = closedChunks(await writeLedger(KEYS, 4));
export const NAMES: readonly string[] = [...CHUNKS.keys()];

const unwrapping = systemKeys.generateUnwrappingKey();

/** Real keys, but for one RSA key that all joiners share: making one takes long. */
export const QUICK_KEYS: KeySource = { ...systemKeys, generateUnwrappingKey: () => unwrapping };

export class JoinerRig {
  readonly service = new FakeService(KEYS);
  disk = new CrashingDisk();
  readonly warnings: string[] = [];
  readonly progress: string[] = [];
  readonly stop = new AbortController();

  async join(
    options: Partial<JoinOptions> = {},
    dependencies: Partial<JoinDependencies> = {},
  ): Promise<JoinedService> {
    return await prepareJoin(
      {
        folder: FOLDER,
        addresses: { host: '127.0.0.1', port: 8009 },
        serviceCertificatePem: KEYS.serviceCert,
        targets: [...this.service.nodes.keys()].slice(0, 1),
        fetchSnapshot: false,
        retryMs: 1,
        archivedTables: [],
        ...options,
      },
      {
        disk: this.disk,
        clock: { nowMs: () => Date.UTC(2026, 10, 21) },
        timers: realTimers,
        random: systemRandom,
        keys: QUICK_KEYS,
        log: {
          info: () => undefined,
          warn: (text) => this.warnings.push(text),
          progress: (what) => this.progress.push(what),
        },
        openSources: () => this.service,
        signal: this.stop.signal,
        ...dependencies,
      },
    );
  }

  /** Names and contents of a folder's files. */
  files(folder: string): Files {
    const all = [...this.disk.files()].filter(([path]) => path.startsWith(`${folder}/`));
    return new Map(all.map(([path, bytes]) => [path.slice(folder.length + 1), bytes]));
  }

  async sealed(): Promise<SealedFolder> {
    const folder = `${FOLDER}/sealed`;
    return new SealedFolder(
      this.disk,
      folder,
      await virtualSealer(this.disk, folder, systemRandom),
    );
  }
}

/** In a folder's order. */
export function byName(files: Files): readonly (readonly [string, Buffer])[] {
  return [...files].sort(([left], [right]) => (left < right ? -1 : 1));
}

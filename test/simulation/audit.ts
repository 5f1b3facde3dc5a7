// The judgement of a whole ledger when everything is at rest: every voter's files hold the
// committed entries byte for byte, a snapshot and what follows it lead to the state of a full
// replay, a restart would read back the same, and what clients were told is what is there.

import { textOf } from '../../src/base/bytes.ts';
import type { Disk } from '../../src/base/environment.ts';
import { seqnoOf, viewOf } from '../../src/base/ids.ts';
import { Store } from '../../src/kv/store.ts';
import { CHUNK_HEADER_BYTES, parseChunkName } from '../../src/ledger/chunk.ts';
import {
  ENTRY_HEADER_BYTES,
  openEntry,
  parseEntry,
  parseHeader,
} from '../../src/ledger/entry.ts';
import { SecretHistory } from '../../src/ledger/secret-history.ts';
import { parseSnapshotName } from '../../src/ledger/snapshot.ts';
import { loadSnapshot } from '../../src/ledger/snapshot-loading.ts';
import { scanLedger } from '../../src/node/ledger-scan.ts';
import { replay } from '../../src/node/replay.ts';
import { SecretPool } from '../../src/node/secret-pool.ts';
import { stateBytes } from '../support/state-bytes.ts';
import type { DiskState } from './disk-state.ts';
import { type Machine, NODE_FOLDER } from './machine.ts';
import { realKeys } from './real-keys.ts';
import { standInVerifier } from './stand-in-keys.ts';
import { require as mustHold } from './violation.ts';
import type { World } from './world.ts';

const LEDGER = `${NODE_FOLDER}/ledger`;
const SNAPSHOTS = `${NODE_FOLDER}/snapshots`;
const SNAPSHOTS_JUDGED_MAX = 3;

/** One committed transaction, opened. */
export interface OpenedEntry {
  readonly seqno: number;
  readonly view: number;
  readonly isSignature: boolean;
  readonly maps: ReturnType<typeof openEntry>;
}

export class Audit {
  readonly #world: World;
  readonly #archivedTables: readonly string[];
  readonly #secrets = new SecretHistory();
  readonly #pool: SecretPool;
  readonly #serviceCertificate: string;
  #entries: readonly OpenedEntry[] = [];

  /** `primary` is asked for the secrets alone. */
  constructor(world: World, primary: Machine) {
    this.#world = world;
    this.#archivedTables = primary.applications.flatMap((each) => each.archivedTables);
    const { node } = primary;
    const ledgerSecrets = node?.secretsForJoiners().ledgerSecrets ?? [];
    for (const secret of ledgerSecrets) this.#secrets.add(secret);
    this.#pool = new SecretPool(ledgerSecrets);
    this.#serviceCertificate = node?.serviceCertificatePem ?? '';
  }

  get entries(): readonly OpenedEntry[] {
    return this.#entries;
  }

  async judge(voters: readonly Machine[]): Promise<void> {
    this.#entries = this.#opened();
    // What was done to a disk may be on it until somebody reads there.
    const whole = voters.filter(({ blemishes }) => blemishes.size === 0);
    for (const machine of whole) this.#judgeFiles(machine);
    this.#judgeChunkNames(whole);
    const judged = whole[0];
    if (judged !== undefined) await this.#judgeReplay(judged);
    const snapshots = new Map<string, Buffer>();
    for (const { disk } of whole) {
      for (const [path, { current }] of disk.state.files()) {
        if (path.startsWith(`${SNAPSHOTS}/`)) snapshots.set(path, current);
      }
    }
    for (const [path, bytes] of [...snapshots].slice(-SNAPSHOTS_JUDGED_MAX)) {
      await this.#judgeSnapshot(path, bytes);
    }
  }

  #opened(): readonly OpenedEntry[] {
    const { ledger } = this.#world;
    return Array.from({ length: ledger.committedCount }, (_, index) => {
      const seqno = seqnoOf(index + 1);
      const bytes = ledger.committedEntry(seqno);
      const secret = this.#secrets.at(seqno);
      mustHold(
        bytes !== undefined && secret !== undefined,
        'LedgerWhole',
        () => `entry ${seqno} is not known`,
      );
      const entry = parseEntry(bytes);
      const { view } = entry;
      const maps = [...entry.publicMaps, ...openEntry(entry, secret)];
      return { seqno, view, isSignature: entry.isSignature(), maps };
    });
  }

  /** The state after entry `to`, from the one at `from`. */
  #extend(store: Store, from: number, to: number): Store {
    for (const { seqno, isSignature, maps } of this.#entries.slice(from, to)) {
      store.apply(seqnoOf(seqno), isSignature ? [] : maps);
      if (isSignature) store.commit(seqnoOf(seqno), maps);
    }
    return store;
  }

  #stateAt(seqno: number): string {
    return stateBytes(this.#extend(new Store(this.#archivedTables), 0, seqno));
  }

  /** Every committed entry lies in the machine's chunk files as everywhere else. */
  #judgeFiles({ name, disk }: Machine): void {
    let expected = 1;
    for (const [path, bytes] of chunksOf(disk.state)) {
      for (let at = CHUNK_HEADER_BYTES; bytes.length - at > ENTRY_HEADER_BYTES; ) {
        if (bytes[at] !== 1 || expected > this.#entries.length) break;
        const { size, seqno } = parseHeader(bytes, at);
        const end = at + ENTRY_HEADER_BYTES + size;
        if (seqno !== expected || end > bytes.length) break;
        mustHold(
          this.#world.ledger.committedEntry(seqno)?.equals(bytes.subarray(at, end)) === true,
          'LedgersEqual',
          () => `entry ${seqno} in ${path} of ${name} is not what was committed`,
        );
        expected += 1;
        at = end;
      }
    }
    mustHold(
      expected === this.#entries.length + 1,
      'LedgersEqual',
      () => `${name} holds entries up to ${expected - 1} of ${this.#entries.length}`,
    );
  }

  #judgeChunkNames(voters: readonly Machine[]): void {
    const known = new Map<string, Buffer>();
    for (const { name, disk } of voters) {
      for (const [path, bytes] of chunksOf(disk.state)) {
        if (!path.endsWith('.committed')) continue;
        const other = known.get(path);
        mustHold(
          other === undefined || other.equals(bytes),
          'LedgersEqual',
          () => `${path} of ${name} is not that of others`,
        );
        known.set(path, bytes);
      }
    }
  }

  /** What a restart would read back. */
  async #judgeReplay({ name, disk }: Machine): Promise<void> {
    const frozen = frozenDisk(disk.state);
    const { state } = await replay({
      disk: frozen,
      folder: LEDGER,
      chunks: await scanLedger(frozen, LEDGER),
      archivedTables: this.#archivedTables,
      secrets: this.#pool,
    });
    const { committed } = state.store;
    mustHold(
      stateBytes(state.store) === this.#stateAt(committed),
      'ReplayEqual',
      () => `what ${name} reads back at ${committed} is another state`,
    );
    const own = this.#world.ledger.committedViewAt(committed) ?? 0;
    mustHold(
      state.views.viewAt(committed) === viewOf(own),
      'ReplayEqual',
      () => `what ${name} reads back at ${committed} is of another view`,
    );
  }

  async #judgeSnapshot(path: string, bytes: Buffer): Promise<void> {
    const named = parseSnapshotName(path.slice(SNAPSHOTS.length + 1));
    if (named === undefined || !named.committed) return;
    const { timeline, settings } = this.#world;
    const verifier = settings.hasRealKeys
      ? realKeys(timeline.outside).verifier
      : standInVerifier;
    const loaded = await timeline.outside(
      loadSnapshot(
        {
          bytes: Buffer.from(bytes),
          archivedTables: this.#archivedTables,
          secretAt: (seqno) => this.#secrets.at(seqno),
        },
        { serviceCertificate: this.#serviceCertificate, verifier },
      ),
    );
    const end = this.#entries.length;
    this.#extend(loaded.store, loaded.seqno, end);
    mustHold(
      stateBytes(loaded.store) === this.#stateAt(end),
      'SnapshotAndSuffix',
      () => `${path} and what follows it lead to another state than the whole ledger`,
    );
  }
}

/** Chunk files by path, in the order of their entries. */
function chunksOf(disk: DiskState): readonly (readonly [string, Buffer])[] {
  return [...disk.files()]
    .flatMap(([path, { current }]) => {
      const named = path.startsWith(`${LEDGER}/`)
        ? parseChunkName(path.slice(LEDGER.length + 1))
        : undefined;
      return named === undefined ? [] : [{ path, current, start: named.start }];
    })
    .sort((left, right) => left.start - right.start)
    .map(({ path, current }) => [path, current] as const);
}

/** A disk at rest, to be read and nothing else. */
function frozenDisk(state: DiskState): Disk {
  const mustNot = (): never => {
    throw new Error('an audit writes nothing');
  };
  return {
    list: async (folder) => state.namesIn(folder),
    exists: async (path) => state.find(path) !== undefined,
    open: async (path) => {
      const bytes = state.find(path)?.current ?? Buffer.alloc(0);
      return {
        read: async (offset, length) => Buffer.from(bytes.subarray(offset, offset + length)),
        size: async () => bytes.length,
        close: async () => undefined,
        write: mustNot,
        sync: mustNot,
        truncate: mustNot,
      };
    },
    makeFolder: mustNot,
    rename: mustNot,
    remove: mustNot,
    syncFolder: mustNot,
  };
}

/** The text of a row that a transaction wrote, if it did. */
export function writtenText(
  { maps }: OpenedEntry,
  table: string,
  key: string,
): string | undefined {
  const value = maps.find(({ name }) => name === table)?.writes.get(key);
  return value === undefined ? undefined : textOf(value);
}

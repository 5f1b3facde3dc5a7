// A disk on virtual time: base's `Disk` over `DiskState`. Every operation takes its time and has
// its effect when that is over; operations that are under way together end in any order. The disk
// belongs to a machine and outlives the processes that use it, one after another.

import { posix } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Disk, DiskFile } from '../../src/base/environment.ts';
import type { Chance } from './chance.ts';
import { type Change, DiskState, type Inode, systemError } from './disk-state.ts';
import type { EventHash } from './event-hash.ts';
import type { FaultCounts } from './fault-counts.ts';

export type OperationKind =
  | 'list'
  | 'open'
  | 'create'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'remove'
  | 'sync-folder';

export interface Operation {
  readonly kind: OperationKind;
  readonly path: string;
}

/** What befalls operations for a while; probabilities, 0 to 1. */
export interface DiskMood {
  readonly readFails: number;
  readonly writeFails: number;
  readonly syncFails: number;
  readonly isFull: boolean;
  /** Times as long as usual. */
  readonly slowness: number;
  /** Of a write that goes to another place of its file. */
  readonly misdirects: number;
}

export const GOOD_MOOD: DiskMood = {
  readFails: 0,
  writeFails: 0,
  syncFails: 0,
  isFull: false,
  slowness: 1,
  misdirects: 0,
};

/** The life of a process, as its disk needs to know it. */
export interface DiskUser {
  /** Runs an action of the process after a while, unless it is dead by then. */
  after(delayMs: number, action: () => void): void;
  readonly isDead: boolean;
  /** An operation is about to have its effect, or had it: a place where a process may die. */
  onOperation(operation: Operation, when: 'before' | 'after'): void;
}

export interface SimulatedDiskDependencies {
  readonly name: string;
  readonly chance: Chance;
  readonly faults: FaultCounts;
  readonly hash: EventHash;
  /** Sees every write as it reaches the disk. */
  readonly onWrite?: (path: string, offset: number, bytes: Uint8Array) => void;
}

interface InFlight {
  readonly user: DiskUser;
  readonly path: string;
  readonly inode: Inode;
  readonly change: Change;
}

export class SimulatedDisk {
  readonly state = new DiskState();
  mood: DiskMood = GOOD_MOOD;
  /** Milliseconds that a sync may take. */
  syncMsMax = 2;
  readonly #deps: SimulatedDiskDependencies;
  readonly #inFlight = new Set<InFlight>();

  constructor(dependencies: SimulatedDiskDependencies) {
    this.#deps = dependencies;
  }

  /** The process died: a write under way may have got through, or a part of it. */
  abandon(user: DiskUser): void {
    const { chance, faults, onWrite } = this.#deps;
    for (const flight of this.#inFlight) {
      if (flight.user !== user) continue;
      this.#inFlight.delete(flight);
      const { path, inode, change } = flight;
      if (change.kind === 'truncate' || chance.flip(0.4)) continue;
      const length = chance.below(change.bytes.length + 1);
      if (length < change.bytes.length) faults.count('disk: write cut by a crash');
      const bytes = change.bytes.subarray(0, length);
      onWrite?.(path, change.offset, bytes);
      inode.make({ ...change, bytes });
    }
  }

  /** The disk as one process uses it. */
  session(user: DiskUser): Disk {
    const { state } = this;
    return {
      list: (folder) =>
        this.#run(user, { kind: 'list', path: folder }, () => state.namesIn(folder)),
      makeFolder: (path) =>
        this.#run(user, { kind: 'create', path }, () => state.makeFolder(path)),
      exists: (path) =>
        this.#run(user, { kind: 'open', path }, () => {
          return state.find(path) !== undefined || state.hasFolder(path);
        }),
      open: (path, mode) =>
        this.#run(user, { kind: mode === 'create' ? 'create' : 'open', path }, () =>
          this.#file(user, path, this.#opened(path, mode)),
        ),
      rename: (from, to) =>
        this.#run(user, { kind: 'rename', path: to }, () => {
          state.rename(from, to, this.#mustFind(from));
        }),
      remove: (path) =>
        this.#run(user, { kind: 'remove', path }, () => {
          this.#mustFind(path);
          state.remove(path);
        }),
      syncFolder: (path) =>
        this.#run(user, { kind: 'sync-folder', path }, () => state.syncFolder(path)),
    };
  }

  #opened(path: string, mode: 'read' | 'write' | 'create'): Inode {
    if (mode !== 'create') return this.#mustFind(path);
    if (this.state.find(path) !== undefined) throw systemError('EEXIST', path);
    if (!this.state.hasFolder(posix.dirname(path))) throw systemError('ENOENT', path);
    return this.state.create(path);
  }

  #mustFind(path: string): Inode {
    const inode = this.state.find(path);
    if (inode === undefined) throw systemError('ENOENT', path);
    return inode;
  }

  #file(user: DiskUser, path: string, inode: Inode): DiskFile {
    return {
      read: (offset, length) =>
        this.#run(user, { kind: 'read', path }, () =>
          Buffer.from(inode.current.subarray(offset, offset + length)),
        ),
      write: async (offset, bytes) => {
        // Whoever calls may use its buffer again only when the write has ended; a copy shows a
        // caller that does not wait.
        const flight = { user, path, inode, change: { kind: 'write', offset, bytes } } as const;
        this.#inFlight.add(flight);
        await this.#run(user, { kind: 'write', path }, () => {
          if (!this.#inFlight.delete(flight)) return;
          this.#write(path, inode, offset, Buffer.from(bytes));
        }).finally(() => this.#inFlight.delete(flight));
      },
      sync: () => {
        // What is written while it is under way is not covered.
        const { made } = inode;
        return this.#run(user, { kind: 'sync', path }, () => inode.sync(made));
      },
      truncate: (length) =>
        this.#run(user, { kind: 'truncate', path }, () =>
          inode.make({ kind: 'truncate', length }),
        ),
      size: () => this.#run(user, { kind: 'read', path }, () => inode.current.length),
      close: () => Promise.resolve(),
    };
  }

  #write(path: string, inode: Inode, offset: number, bytes: Buffer): void {
    const { chance, faults, hash, onWrite } = this.#deps;
    hash.add(`${path} at ${offset}: ${bytes.length} ${crc32(bytes)}`);
    onWrite?.(path, offset, bytes);
    if (bytes.length > 0 && chance.flip(this.mood.misdirects)) {
      faults.count('disk: misdirected write');
      const elsewhere = chance.below(offset + bytes.length + 1);
      inode.make({ kind: 'write', offset: elsewhere, bytes });
      return;
    }
    inode.make({ kind: 'write', offset, bytes });
  }

  /** Lets an operation take its time, then fail or have its effect. */
  #run<Result>(
    user: DiskUser,
    operation: Operation,
    effect: () => Result,
  ): Promise<Awaited<Result>> {
    return new Promise((resolve, reject) => {
      if (user.isDead) return;
      user.after(this.#durationMs(operation.kind), () => {
        user.onOperation(operation, 'before');
        if (user.isDead) return;
        try {
          this.#mayFail(operation);
          const result = effect();
          this.#note(operation, result);
          resolve(result as Awaited<Result>);
        } catch (error) {
          this.#deps.hash.add(`${this.#deps.name} ${operation.kind} ${String(error)}`);
          reject(error instanceof Error ? error : new Error(String(error)));
        }
        user.onOperation(operation, 'after');
      });
    });
  }

  #durationMs(kind: OperationKind): number {
    const { chance } = this.#deps;
    const isSync = kind === 'sync' || kind === 'sync-folder';
    return chance.next() * (isSync ? this.syncMsMax : 0.1) * this.mood.slowness;
  }

  #mayFail({ kind, path }: Operation): void {
    const { chance, faults } = this.#deps;
    const { mood } = this;
    const fail = (what: string, code: string): never => {
      faults.count(`disk: ${what}`);
      throw systemError(code, path);
    };
    switch (kind) {
      case 'read':
        if (chance.flip(mood.readFails)) fail('EIO on read', 'EIO');
        break;
      case 'write':
      case 'create':
        if (mood.isFull) fail('ENOSPC', 'ENOSPC');
        if (chance.flip(mood.writeFails)) fail('EIO on write', 'EIO');
        break;
      case 'sync':
      case 'sync-folder':
        if (chance.flip(mood.syncFails)) fail('EIO on sync', 'EIO');
        break;
      default:
        break;
    }
  }

  #note({ kind, path }: Operation, result: unknown): void {
    const { hash, name } = this.#deps;
    const seen = result instanceof Uint8Array ? `${result.length} ${crc32(result)}` : '';
    hash.add(`${name} ${kind} ${path} ${seen}`);
  }
}

// A disk in memory that tells what is durable from what is not, and that can die at any operation.
//
// Contents become durable with the file's sync, names with their folder's. What a crash leaves of
// the rest is the crash's kind: the death of a process keeps all of it, that of the machine any
// part.

import { join } from 'node:path';
import type { Disk, DiskFile } from '../../src/base/environment.ts';
import { messageOf } from '../../src/base/errors.ts';

/** What survives of that which was not synced. */
export type CrashKind =
  /** All of it: only the process died. */
  | 'kept'
  /** Nothing of it. */
  | 'lost'
  /** Names, but no contents: new files are empty, renamed ones have their new names. */
  | 'names'
  /** Contents, but no names. */
  | 'contents'
  /** All, and of the write that was under way its first byte, its first half, all but one byte. */
  | 'torn-first'
  | 'torn-half'
  | 'torn-last'
  /** All, and of the write that was under way the length, with zeros for its second half. */
  | 'zeros';

export const TORN_KINDS: readonly CrashKind[] = [
  'torn-first',
  'torn-half',
  'torn-last',
  'zeros',
];
export const WHOLE_KINDS: readonly CrashKind[] = ['kept', 'lost', 'names', 'contents'];

export type OperationKind =
  | 'create'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'remove'
  | 'make-folder'
  | 'sync-folder';

export interface Operation {
  readonly kind: OperationKind;
  readonly path: string;
}

/** Planted faults, in the ledger's folder: promises that a careless implementation would break. */
export interface Lies {
  /** `sync` returns without having made anything durable. */
  readonly sync?: boolean;
  /** `syncFolder` likewise. */
  readonly syncFolder?: boolean;
}

interface Inode {
  current: Buffer;
  durable: Buffer;
}

type Names = Map<string, Inode>;

interface Folder {
  current: Names;
  durable: Names;
}

export interface CrashPlan {
  /** The operation, counted from 0, at which everything stops; it does not take effect. */
  readonly at: number;
  readonly kind: CrashKind;
}

export class CrashingDisk implements Disk {
  readonly operations: Operation[] = [];
  /** Resolves when the crash has come. */
  readonly crashed: Promise<void>;
  /** Called before every operation; may wait, or throw what a disk would. */
  intercept: ((operation: Operation) => Promise<void> | void) | undefined;
  /** Reads, with where they began: what a restart looks at. */
  onRead: ((path: string, offset: number, length: number) => void) | undefined;
  readonly #folders = new Map<string, Folder>();
  readonly #lies: Lies;
  #plan: CrashPlan | undefined;
  #dead = false;
  #announce: () => void = () => undefined;

  constructor(lies: Lies = {}) {
    this.#lies = lies;
    this.crashed = new Promise((resolve) => {
      this.#announce = resolve;
    });
  }

  /** Arms the crash: operations are counted from now on. */
  crashAt(plan: CrashPlan): void {
    this.operations.length = 0;
    this.#plan = plan;
  }

  /** A disk with what this one would hold after a crash of this kind, now. */
  survivor(kind: CrashKind, lies: Lies = this.#lies): CrashingDisk {
    const keepsNames = kind !== 'lost' && kind !== 'contents';
    const keepsContents = kind !== 'lost' && kind !== 'names';
    const disk = new CrashingDisk(lies);
    const copies = new Map<Inode, Inode>();
    for (const [path, folder] of this.#folders) {
      const names: Names = new Map();
      for (const [name, inode] of keepsNames ? folder.current : folder.durable) {
        const copy =
          copies.get(inode) ?? settled(keepsContents ? inode.current : inode.durable);
        copies.set(inode, copy);
        names.set(name, copy);
      }
      disk.#folders.set(path, { current: names, durable: new Map(names) });
    }
    return disk;
  }

  /** Paths and contents of all files, as a running process sees them. */
  files(): ReadonlyMap<string, Buffer> {
    const all = new Map<string, Buffer>();
    for (const [path, folder] of this.#folders) {
      for (const [name, inode] of folder.current) all.set(join(path, name), inode.current);
    }
    return new Map([...all].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  /** Replaces, adds or (with undefined) removes a file behind the node's back; durable at once. */
  tamper(path: string, contents: Buffer | undefined): void {
    const { folder, name } = this.#at(path);
    folder.current.delete(name);
    folder.durable.delete(name);
    if (contents === undefined) return;
    const inode = settled(contents);
    folder.current.set(name, inode);
    folder.durable.set(name, inode);
  }

  async list(folder: string): Promise<readonly string[]> {
    return [...this.#folder(folder).current.keys()].sort();
  }

  async exists(path: string): Promise<boolean> {
    const { folder, name } = this.#at(path);
    return folder.current.has(name) || this.#folders.has(path);
  }

  /** Folders are durable at once: what is at stake here is files. */
  async makeFolder(path: string): Promise<void> {
    if (this.#folders.has(path)) return;
    await this.#step({ kind: 'make-folder', path });
    this.#folders.set(path, { current: new Map(), durable: new Map() });
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    if (mode === 'create') await this.#step({ kind: 'create', path });
    const { folder, name } = this.#at(path);
    const there = folder.current.get(name);
    if (mode !== 'create') {
      if (there === undefined) throw systemError('ENOENT', path);
      return this.#file(path, there);
    }
    if (there !== undefined) throw systemError('EEXIST', path);
    const inode = settled(Buffer.alloc(0));
    folder.current.set(name, inode);
    return this.#file(path, inode);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step({ kind: 'rename', path: to });
    const source = this.#at(from);
    const target = this.#at(to);
    const inode = source.folder.current.get(source.name);
    if (inode === undefined) throw systemError('ENOENT', from);
    source.folder.current.delete(source.name);
    target.folder.current.set(target.name, inode);
  }

  async remove(path: string): Promise<void> {
    await this.#step({ kind: 'remove', path });
    const { folder, name } = this.#at(path);
    if (!folder.current.delete(name)) throw systemError('ENOENT', path);
  }

  async syncFolder(path: string): Promise<void> {
    await this.#step({ kind: 'sync-folder', path });
    const folder = this.#folder(path);
    if (!(this.#lies.syncFolder && path.endsWith('/ledger')))
      folder.durable = new Map(folder.current);
  }

  #file(path: string, inode: Inode): DiskFile {
    return {
      read: async (offset, length) => {
        await this.#mustLive();
        this.onRead?.(path, offset, length);
        return Buffer.from(inode.current.subarray(offset, offset + length));
      },
      write: async (offset, bytes) => {
        await this.#step({ kind: 'write', path }, (kind) => {
          const part = tornPart(kind, bytes);
          if (part !== undefined) inode.current = overwritten(inode.current, offset, part);
        });
        inode.current = overwritten(inode.current, offset, bytes);
      },
      sync: async () => {
        await this.#step({ kind: 'sync', path });
        if (!(this.#lies.sync && path.includes('/ledger/'))) inode.durable = inode.current;
      },
      truncate: async (length) => {
        await this.#step({ kind: 'truncate', path });
        inode.current = Buffer.from(inode.current.subarray(0, length));
      },
      size: async () => {
        await this.#mustLive();
        return inode.current.length;
      },
      close: async () => undefined,
    };
  }

  async #mustLive(): Promise<void> {
    if (this.#dead) await never();
  }

  /** Counts an operation. A dead process hears nothing any more, so its calls never return. */
  async #step(operation: Operation, tear?: (kind: CrashKind) => void): Promise<void> {
    await this.#mustLive();
    await this.intercept?.(operation);
    await this.#mustLive();
    if (this.#plan?.at === this.operations.length) {
      tear?.(this.#plan.kind);
      this.#dead = true;
      this.operations.push(operation);
      this.#announce();
      await never();
    }
    this.operations.push(operation);
  }

  #folder(path: string): Folder {
    const folder = this.#folders.get(path);
    if (folder === undefined) throw systemError('ENOENT', path);
    return folder;
  }

  #at(path: string): { readonly folder: Folder; readonly name: string } {
    const cut = path.lastIndexOf('/');
    return { folder: this.#folder(path.slice(0, cut)), name: path.slice(cut + 1) };
  }
}

function settled(contents: Buffer): Inode {
  const bytes = Buffer.from(contents);
  return { current: bytes, durable: bytes };
}

function overwritten(old: Buffer, offset: number, bytes: Uint8Array): Buffer {
  const whole = Buffer.alloc(Math.max(old.length, offset + bytes.length));
  old.copy(whole);
  whole.set(bytes, offset);
  return whole;
}

function tornPart(kind: CrashKind, bytes: Uint8Array): Uint8Array | undefined {
  switch (kind) {
    case 'torn-first':
      return bytes.subarray(0, 1);
    case 'torn-half':
      return bytes.subarray(0, bytes.length >>> 1);
    case 'torn-last':
      return bytes.subarray(0, bytes.length - 1);
    case 'zeros': {
      const zeroed = Buffer.alloc(bytes.length);
      zeroed.set(bytes.subarray(0, bytes.length >>> 1));
      return zeroed;
    }
    default:
      return undefined;
  }
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

/** The files of a folder and below, with a short digest each, to see whether anything changed. */
export function fingerprint(disk: CrashingDisk): readonly string[] {
  return [...disk.files()].map(([path, bytes]) => `${path} ${bytes.toString('base64')}`);
}

/** What an operation was, for the title of a failure. */
export function describeOperation(operation: Operation | undefined): string {
  return operation === undefined ? 'the end' : `${operation.kind} ${operation.path}`;
}

/** The code of what was thrown, or its message. */
export function codeOf(thrown: unknown): string {
  const code: unknown =
    typeof thrown === 'object' && thrown !== null ? Reflect.get(thrown, 'code') : undefined;
  return typeof code === 'string' ? code : messageOf(thrown);
}

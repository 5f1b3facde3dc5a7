// What a disk holds, in two layers: as running processes see it, and as it is on stable storage.
// A file's contents become durable with its sync, a name with its folder's. The death of a process
// changes neither: its successor sees what it wrote, and may still lose it with the machine's
// power. What that leaves of the unsynced is drawn from the seed.

import { posix } from 'node:path';
import type { Chance } from './chance.ts';
import type { FaultCounts } from './fault-counts.ts';

/** A change of a file's contents that no sync has made durable yet. */
export type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly length: number };

export class Inode {
  current: Buffer;
  durable: Buffer;
  /** In the order in which they were made. */
  unsynced: Change[] = [];
  #synced = 0;

  constructor(contents: Buffer = Buffer.alloc(0)) {
    this.current = contents;
    this.durable = contents;
  }

  make(change: Change): void {
    this.current = changed(this.current, change);
    this.unsynced.push(change);
  }

  /** How many changes were ever made. */
  get made(): number {
    return this.#synced + this.unsynced.length;
  }

  /** All changes up to this number become durable. */
  sync(number: number): void {
    const count = Math.max(0, number - this.#synced);
    for (const change of this.unsynced.splice(0, count)) {
      this.durable = changed(this.durable, change);
      this.#synced += 1;
    }
    if (this.unsynced.length === 0) this.durable = this.current;
  }

  /** The contents become these, durably. */
  settle(contents: Buffer): void {
    this.current = contents;
    this.durable = contents;
    this.#synced += this.unsynced.length;
    this.unsynced = [];
  }
}

/** Never changes the buffer it is given: an image of the disk may hold it. */
export function changed(old: Buffer, change: Change): Buffer {
  if (change.kind === 'truncate') {
    if (change.length <= old.length) return old.subarray(0, change.length);
    return Buffer.concat([old], change.length);
  }
  const { offset, bytes } = change;
  const end = offset + bytes.length;
  if (offset === old.length) return Buffer.concat([old, bytes]);
  const whole = Buffer.alloc(Math.max(old.length, end));
  old.copy(whole);
  whole.set(bytes, offset);
  return whole;
}

type Folders = Map<string, Map<string, Inode>>;

/** One step of the folders' journal: names that come and go together. */
interface NameChange {
  readonly set: readonly (readonly [path: string, inode: Inode])[];
  readonly remove: readonly string[];
}

/** All of a disk at rest: what can be put back later. */
export type DiskImage = ReadonlyMap<string, Buffer>;

export class DiskState {
  readonly #current: Folders = new Map();
  readonly #durable: Folders = new Map();
  #journal: NameChange[] = [];

  hasFolder(path: string): boolean {
    return this.#current.has(path);
  }

  /** Folders are durable at once: what is at stake here is files. */
  makeFolder(path: string): void {
    for (let at = path; at !== '/' && !this.#current.has(at); at = posix.dirname(at)) {
      this.#current.set(at, new Map());
      this.#durable.set(at, new Map());
    }
  }

  namesIn(folder: string): readonly string[] {
    return [...this.#folderOf(this.#current, folder).keys()].sort();
  }

  find(path: string): Inode | undefined {
    return this.#current.get(posix.dirname(path))?.get(posix.basename(path));
  }

  create(path: string): Inode {
    const inode = new Inode();
    this.#change({ set: [[path, inode]], remove: [] });
    return inode;
  }

  rename(from: string, to: string, inode: Inode): void {
    this.#change({ set: [[to, inode]], remove: [from] });
  }

  remove(path: string): void {
    this.#change({ set: [], remove: [path] });
  }

  /** Behind everybody's back. */
  removeDurably(path: string): void {
    const change = { set: [], remove: [path] };
    apply(this.#current, change);
    apply(this.#durable, change);
  }

  syncFolder(folder: string): void {
    const kept: NameChange[] = [];
    for (const change of this.#journal) {
      if (foldersOf(change).includes(folder)) apply(this.#durable, change);
      else kept.push(change);
    }
    this.#journal = kept;
  }

  /** Contents by path, as a running process sees them. */
  files(): ReadonlyMap<string, Inode> {
    const all = new Map<string, Inode>();
    for (const [folder, names] of this.#current) {
      for (const [name, inode] of names) all.set(posix.join(folder, name), inode);
    }
    return new Map([...all].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  get hasUnsynced(): boolean {
    if (this.#journal.length > 0) return true;
    return [...this.files().values()].some(({ unsynced }) => unsynced.length > 0);
  }

  /** What would be there if the machine lost its power now and all that is unsynced with it. */
  image(): DiskImage {
    const image = new Map<string, Buffer>();
    for (const [folder, names] of this.#durable) {
      for (const [name, inode] of names) image.set(posix.join(folder, name), inode.durable);
    }
    return image;
  }

  /** Puts an image in the place of all that is there; its folders are those that are there. */
  restore(image: DiskImage): void {
    for (const folders of [this.#current, this.#durable]) {
      for (const names of folders.values()) names.clear();
    }
    this.#journal = [];
    for (const [path, contents] of image) {
      this.makeFolder(posix.dirname(path));
      const inode = new Inode(contents);
      const change = { set: [[path, inode]], remove: [] } as const;
      apply(this.#current, change);
      apply(this.#durable, change);
    }
  }

  /** The machine died: decides what is left of everything that no sync had made durable. */
  losePower(chance: Chance, faults: FaultCounts): void {
    this.#loseNames(chance, faults);
    const settled = new Set<Inode>();
    for (const [folder, names] of this.#durable) {
      for (const inode of names.values()) {
        if (settled.has(inode)) continue;
        settled.add(inode);
        inode.settle(survivingContents(inode, chance, faults));
      }
      this.#current.set(folder, new Map(names));
    }
  }

  #loseNames(chance: Chance, faults: FaultCounts): void {
    const journal = this.#journal.splice(0);
    const kept = chance.pick([0, journal.length, chance.below(journal.length + 1)]);
    for (const change of journal.slice(0, kept)) apply(this.#durable, change);
    for (const { set, remove } of journal.slice(kept)) {
      if (set.length > 0 && remove.length > 0) faults.count('disk: rename lost');
      else faults.count('disk: name lost');
    }
  }

  #change(change: NameChange): void {
    apply(this.#current, change);
    this.#journal.push(change);
  }

  #folderOf(folders: Folders, path: string): Map<string, Inode> {
    const names = folders.get(path);
    if (names === undefined) throw systemError('ENOENT', path);
    return names;
  }
}

function apply(folders: Folders, { set, remove }: NameChange): void {
  for (const path of remove) folders.get(posix.dirname(path))?.delete(posix.basename(path));
  for (const [path, inode] of set) {
    folders.get(posix.dirname(path))?.set(posix.basename(path), inode);
  }
}

function foldersOf({ set, remove }: NameChange): readonly string[] {
  return [...set.map(([path]) => path), ...remove].map((path) => posix.dirname(path));
}

const SECTOR_BYTES = 512;
const FEW_BYTES = 16;

/** What a crash of the machine leaves of a file. */
function survivingContents(inode: Inode, chance: Chance, faults: FaultCounts): Buffer {
  const { unsynced, durable, current } = inode;
  if (unsynced.length === 0) return current;
  const kind = chance.pick(['all', 'none', 'torn', 'torn', 'zeros', 'reordered'] as const);
  if (kind === 'all') return current;
  if (kind === 'none') {
    faults.count('disk: unsynced suffix lost');
    return durable;
  }
  if (kind === 'reordered') return reordered(inode, chance, faults);
  const whole = chance.below(unsynced.length);
  const last = unsynced[whole];
  const before = unsynced.slice(0, whole).reduce(changed, durable);
  if (last?.kind !== 'write') return before;
  const cut = kind === 'torn' ? chance.below(last.bytes.length + 1) : zerosFrom(last, chance);
  const bytes = Buffer.from(last.bytes.subarray(0, kind === 'torn' ? cut : last.bytes.length));
  if (kind === 'zeros') bytes.fill(0, cut);
  faults.count(kind === 'torn' ? 'disk: torn write' : 'disk: unwritten zeros');
  return changed(before, { ...last, bytes });
}

/**
 * Where zeros begin in a write whose end did not reach the disk: at a sector, which is written
 * whole or not at all. A sector of which the write has a few bytes only is left alone: for a node
 * the loss of those is damage (`torn-tail.ts`).
 */
function zerosFrom(
  { offset, bytes }: Change & { readonly kind: 'write' },
  chance: Chance,
): number {
  const end = offset + bytes.length;
  const sectors = Math.ceil(end / SECTOR_BYTES) - Math.floor(offset / SECTOR_BYTES);
  const first = Math.floor(offset / SECTOR_BYTES) + chance.below(sectors + 1);
  const from = Math.min(Math.max(first * SECTOR_BYTES - offset, 0), bytes.length);
  return bytes.length - from < FEW_BYTES ? bytes.length : from;
}

/** Some of the changes reached the disk and others, made before them, did not. */
function reordered({ unsynced, durable }: Inode, chance: Chance, faults: FaultCounts): Buffer {
  const kept = unsynced.filter(() => chance.flip(0.5));
  const isReordered = kept.some((change) => unsynced.indexOf(change) !== kept.indexOf(change));
  faults.count(isReordered ? 'disk: reordered writes' : 'disk: unsynced suffix lost');
  return kept.reduce(changed, durable);
}

export function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${path}`), { code });
}

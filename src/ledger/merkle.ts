/**
 * The Merkle tree over the ledger (ledger-format.md §9 and §6.3).
 *
 * Leaf 0 is 32 zero bytes; leaf i is the leaf digest of seqno i. A parent is SHA-256(left ‖ right),
 * and an odd last node rises unchanged: the shape of RFC 6962 without its prefixes.
 *
 * Kept are the roots of all *complete* subtrees, level by level, from the flushed leaves on. The
 * node of level k and index j covers the leaves [j·2^k, (j+1)·2^k) and never changes once its last
 * leaf is in. Hence an append costs one hash on average, a root of any earlier size can still be
 * computed, rolling back is forgetting, and siblings lie side by side, ready to be hashed.
 */
import { invariant } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { readU64BE, writeU64BE } from '../base/words.ts';
import { sha256Into, sha256Pair } from '../crypto/hash.ts';

const HASH = 32;
/** A tree of 2^40 leaves is a ledger of more than a petabyte. */
const LEAVES_MAX = 2 ** 40;

export interface PathStep {
  /** On which side the sibling lies. */
  readonly side: 'left' | 'right';
  readonly hash: Uint8Array;
}

/** The root that a leaf and its path lead to. */
export function rootFromPath(leaf: Uint8Array, path: readonly PathStep[]): Uint8Array {
  let hash = leaf;
  for (const step of path) {
    hash = step.side === 'left' ? sha256Pair(step.hash, hash) : sha256Pair(hash, step.hash);
  }
  return hash;
}

/** The complete nodes of one level, from index `base` on, back to back. */
class Level {
  base = 0;
  count = 0;
  private bytes = Buffer.allocUnsafeSlow(8 * HASH);

  /** Where node `index` lies. */
  at(index: number): Buffer {
    const offset = (index - this.base) * HASH;
    invariant(index >= this.base && index < this.count, 'the node is kept');
    return this.bytes.subarray(offset, offset + HASH);
  }

  /** Nodes `index` and `index + 1`, ready to be hashed. */
  pairAt(index: number): Buffer {
    const offset = (index - this.base) * HASH;
    return this.bytes.subarray(offset, offset + 2 * HASH);
  }

  /** Makes room for one more node and gives back the bytes to write it in, with its offset. */
  push(): number {
    const offset = (this.count - this.base) * HASH;
    if (offset === this.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * this.bytes.length);
      this.bytes.copy(larger);
      this.bytes = larger;
    }
    this.count += 1;
    return offset;
  }

  get buffer(): Buffer {
    return this.bytes;
  }

  /** Forgets the nodes before `base`. */
  dropBefore(base: number): void {
    if (base <= this.base) return;
    const kept = Math.max(0, this.count - base);
    const from = (base - this.base) * HASH;
    const size = Math.max(8 * HASH, kept * HASH);
    // Shrinks what a long wait for commitment made large; else moves within the same bytes.
    const target = this.bytes.length > 4 * size ? Buffer.allocUnsafeSlow(2 * size) : this.bytes;
    if (kept > 0) this.bytes.copy(target, 0, from, from + kept * HASH);
    this.bytes = target;
    this.base = base;
    if (this.count < base) this.count = base;
  }
}

export class MerkleTree {
  private readonly levels: Level[] = [];
  private leaves = 0;
  private flushedLeaves = 0;

  /** A tree that holds leaf 0. */
  constructor() {
    this.append(ZERO_LEAF);
  }

  /** Number of leaves, leaf 0 included: the seqno that comes next. */
  get size(): number {
    return this.leaves;
  }

  /** Leaves before this one are known only through the subtrees that cover them. */
  get flushed(): number {
    return this.flushedLeaves;
  }

  append(leaf: Uint8Array): void {
    invariant(leaf.length === HASH, `a leaf has 32 bytes, not ${leaf.length}`);
    invariant(this.leaves < LEAVES_MAX, 'the tree has room');
    const level = this.level(0);
    const offset = level.push();
    level.buffer.set(leaf, offset);
    let index = this.leaves;
    this.leaves += 1;
    for (let k = 0; index % 2 === 1; k += 1) {
      const pair = this.level(k).pairAt(index - 1);
      const parents = this.level(k + 1);
      const parentAt = parents.push();
      sha256Into(pair, parents.buffer, parentAt);
      index = (index - 1) / 2;
    }
  }

  /** The root over all leaves, or over the first `size`. */
  root(size = this.leaves): Uint8Array {
    this.mustHold(size);
    const children = this.rootChildren(size);
    if (children === undefined) return Buffer.from(this.level(0).at(0));
    return sha256Pair(children.left, children.right);
  }

  /**
   * The two nodes whose hash is the root: signing SHA-256 of `left ‖ right` signs the root as its
   * own digest (ledger-format.md §6.1). Undefined for a single leaf.
   */
  rootChildren(size = this.leaves): { left: Uint8Array; right: Uint8Array } | undefined {
    this.mustHold(size);
    if (size === 1) return undefined;
    const top = levelsOf(size) - 1;
    return { left: this.node(top, 0, size), right: this.node(top, 1, size) };
  }

  /** From leaf to root: the siblings of leaf `index` in the tree of the first `size` leaves. */
  path(index: number, size = this.leaves): PathStep[] {
    this.mustHold(size);
    if (index < this.flushedLeaves || index >= size) {
      throw new CodedError(
        'LeafNotHeld',
        `leaf ${index} is not among the leaves ${this.flushedLeaves} to ${size - 1} at hand`,
        { leaf: index, flushed: this.flushedLeaves, size },
      );
    }
    const path: PathStep[] = [];
    let at = index;
    for (let k = 0, count = size; count > 1; k += 1, count = Math.ceil(count / 2)) {
      const sibling = at % 2 === 0 ? at + 1 : at - 1;
      if (sibling < count) {
        const side = sibling < at ? 'left' : 'right';
        path.push({ side, hash: Buffer.from(this.node(k, sibling, size)) });
      }
      at = Math.floor(at / 2);
    }
    return path;
  }

  /** Leaf `index`, if it is not flushed. */
  leaf(index: number): Uint8Array | undefined {
    if (index < this.flushedLeaves || index >= this.leaves) return undefined;
    return Buffer.from(this.level(0).at(index));
  }

  /**
   * Forgets the leaves before `leafCount` but for the subtrees that cover them. At least the last
   * leaf stays, because a serialised tree must hold one.
   */
  flushTo(leafCount: number): void {
    invariant(leafCount < this.leaves, `${leafCount} of ${this.leaves} leaves may be flushed`);
    if (leafCount <= this.flushedLeaves) return;
    this.flushedLeaves = leafCount;
    for (let k = 0; k < this.levels.length; k += 1) {
      this.level(k).dropBefore(keptFrom(leafCount, k));
    }
  }

  /** Rolls back to the first `size` leaves, of which at least one must not be flushed. */
  truncate(size: number): void {
    invariant(size > this.flushedLeaves && size <= this.leaves, `there are ${size} leaves`);
    this.leaves = size;
    for (let k = 0; k < this.levels.length; k += 1) {
      const level = this.level(k);
      level.count = Math.max(level.base, Math.floor(size / 2 ** k));
    }
  }

  /** The tree's row in a signature transaction (ledger-format.md §6.3). */
  serialise(): Buffer {
    return this.serialiseFrom(this.flushedLeaves);
  }

  /** The same as it would be if `first` leaves were flushed, and no fewer are. */
  serialiseFrom(first: number): Buffer {
    invariant(first >= this.flushedLeaves && first < this.leaves, `leaf ${first} is held`);
    const subtrees = setBits(first);
    const count = this.leaves - first;
    const target = Buffer.allocUnsafe(16 + (count + subtrees.length) * HASH);
    let at = writeU64BE(target, first, writeU64BE(target, count, 0));
    const leaves = this.level(0);
    const from = (first - leaves.base) * HASH;
    leaves.buffer.copy(target, at, from, from + count * HASH);
    at += count * HASH;
    for (const k of subtrees) {
      target.set(this.level(k).at(Math.floor(first / 2 ** k) - 1), at);
      at += HASH;
    }
    return target;
  }

  /** Reads a serialised tree; throws `BadTree` on anything that `serialise` does not write. */
  static deserialise(source: Uint8Array): MerkleTree {
    const bytes = bufferOf(source);
    if (bytes.length < 16) throw badTree(bytes.length, 'its two counts are cut off');
    const count = readU64BE(bytes, 0);
    const first = readU64BE(bytes, 8);
    if (count + first > LEAVES_MAX) throw badTree(count, 'so many leaves cannot be');
    if (count === 0) throw badTree(count, 'it holds no leaf');
    const subtrees = setBits(first);
    const expected = 16 + (count + subtrees.length) * HASH;
    if (bytes.length !== expected) {
      throw badTree(bytes.length, `its counts (${count}, ${first}) ask for ${expected} bytes`);
    }
    const tree = new MerkleTree();
    if (first > 0) tree.startAt(first, subtrees, bytes.subarray(16 + count * HASH));
    else tree.clear();
    for (let i = 0; i < count; i += 1) {
      tree.append(bytes.subarray(16 + i * HASH, 16 + (i + 1) * HASH));
    }
    return tree;
  }

  /** Empties even leaf 0, which a serialised tree brings along. */
  private clear(): void {
    this.levels.length = 0;
    this.leaves = 0;
  }

  /** Becomes the tree of `first` flushed leaves, whose subtrees come smallest first. */
  private startAt(first: number, subtrees: readonly number[], hashes: Buffer): void {
    this.clear();
    this.leaves = first;
    this.flushedLeaves = first;
    const height = levelsOf(first) + 1;
    for (let k = 0; k < height; k += 1) {
      const level = this.level(k);
      level.base = keptFrom(first, k);
      level.count = level.base;
    }
    subtrees.forEach((k, position) => {
      const level = this.level(k);
      const offset = level.push();
      level.buffer.set(hashes.subarray(position * HASH, (position + 1) * HASH), offset);
    });
  }

  /** Node `index` of level `k` in the tree of `size` leaves: complete, or made of what is there. */
  private node(k: number, index: number, size: number): Uint8Array {
    const width = 2 ** k;
    if ((index + 1) * width <= size) {
      const level = this.level(k);
      if (index < level.base) throw this.flushedAway(k, index);
      return level.at(index);
    }
    const left = this.node(k - 1, 2 * index, size);
    const rightStart = (2 * index + 1) * (width / 2);
    if (rightStart >= size) return left;
    return sha256Pair(left, this.node(k - 1, 2 * index + 1, size));
  }

  private flushedAway(k: number, index: number): CodedError {
    return new CodedError(
      'LeafNotHeld',
      `the subtree of ${2 ** k} leaves from ${index * 2 ** k} on was flushed`,
      { level: k, index, flushed: this.flushedLeaves },
    );
  }

  private level(k: number): Level {
    let level = this.levels[k];
    if (level === undefined) {
      level = new Level();
      this.levels[k] = level;
    }
    return level;
  }

  private mustHold(size: number): void {
    invariant(size > this.flushedLeaves || size === this.leaves, `size ${size} is not flushed`);
    invariant(size > 0 && size <= this.leaves, `there are ${size} of ${this.leaves} leaves`);
  }
}

const ZERO_LEAF = new Uint8Array(HASH);

/** The first node of level `k` still needed when the first `flushed` leaves are gone. */
function keptFrom(flushed: number, k: number): number {
  const index = Math.floor(flushed / 2 ** k);
  return index - (index % 2);
}

/** Levels above the leaves in a tree of `size` leaves. */
function levelsOf(size: number): number {
  let levels = 0;
  for (let count = size; count > 1; count = Math.ceil(count / 2)) levels += 1;
  return levels;
}

/** Positions of the set bits, lowest first. */
function setBits(value: number): number[] {
  const bits: number[] = [];
  for (let k = 0, left = value; left > 0; k += 1, left = Math.floor(left / 2)) {
    if (left % 2 === 1) bits.push(k);
  }
  return bits;
}

function badTree(value: number, why: string): CodedError {
  return new CodedError('BadTree', `not a serialised Merkle tree (${value}): ${why}`, {
    value,
  });
}

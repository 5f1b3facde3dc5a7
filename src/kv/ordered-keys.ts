/**
 * Keys in order: a list of sorted blocks. A hash map answers point reads; this answers listings.
 * Insertion moves at most one block's worth of references, which beats a tree of small objects in
 * both memory and time for the sizes a table has.
 */

/** Keys a block may hold before it is split in two. */
const BLOCK_KEYS_MAX = 512;

export class OrderedKeys {
  #blocks: string[][] = [];

  /** Adds a key that is not present. */
  add(key: string): void {
    const blockIndex = this.#blockFor(key);
    const block = this.#blocks[blockIndex];
    if (block === undefined) {
      this.#blocks.push([key]);
      return;
    }
    block.splice(lowerBound(block, key), 0, key);
    if (block.length > BLOCK_KEYS_MAX) {
      this.#blocks.splice(blockIndex + 1, 0, block.splice(block.length >>> 1));
    }
  }

  /** Removes a key that is present. */
  remove(key: string): void {
    const blockIndex = this.#blockFor(key);
    const block = this.#blocks[blockIndex];
    if (block === undefined) return;
    const at = lowerBound(block, key);
    if (block[at] !== key) return;
    block.splice(at, 1);
    if (block.length === 0) this.#blocks.splice(blockIndex, 1);
  }

  /** Keys from `from` on (inclusive), in order. Must not be interleaved with changes. */
  *from(from: string): Generator<string, void, void> {
    if (this.#blocks.length === 0) return;
    let blockIndex = this.#blockFor(from);
    let at = lowerBound(this.#blocks[blockIndex] ?? [], from);
    for (; blockIndex < this.#blocks.length; blockIndex += 1, at = 0) {
      const block = this.#blocks[blockIndex] ?? [];
      for (; at < block.length; at += 1) yield block[at] as string;
    }
  }

  /** Index of the last block whose first key is not after `key`; 0 if there is none. */
  #blockFor(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      const first = this.#blocks[middle]?.[0];
      if (first !== undefined && first <= key) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** Index of the first key that is not before `key`. */
function lowerBound(block: readonly string[], key: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * What a node keeps in memory of every entry: 16 bytes of its leaf digest, and which entries are
 * signatures. The first lets it tell that an entry read from disk belongs to this history, and not
 * to a forked one that was sealed just as validly (design decision 3). Sixteen bytes suffice: the
 * digest is fixed before whoever holds the disk could look for another entry with the same one.
 */
import { invariant } from '../base/assert.ts';
import type { Seqno } from '../base/ids.ts';

const LEAF_BYTES = 16;
const BLOCK_LEAVES = 4096;

export class LeafIndex {
  #blocks: Buffer[] = [];
  /** Number of leaves, leaf 0 not among them: the newest seqno. */
  #length = 0;
  /** Seqnos of signatures, oldest first. */
  #signatures = new Float64Array(1024);
  #signatureCount = 0;
  /** Seqnos of the signatures that the service's key signed as well, oldest first. */
  #dual: number[] = [];

  get newest(): number {
    return this.#length;
  }

  /** Notes the leaf digest of the next entry. */
  append(leaf: Uint8Array): void {
    const offset = (this.#length % BLOCK_LEAVES) * LEAF_BYTES;
    if (offset === 0) this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK_LEAVES * LEAF_BYTES));
    const block = this.#blocks.at(-1);
    invariant(block !== undefined, 'there is a block to append to');
    block.set(leaf.subarray(0, LEAF_BYTES), offset);
    this.#length += 1;
  }

  /** Notes that the newest entry is a signature. */
  noteSignature(dual: boolean): void {
    if (this.#signatureCount === this.#signatures.length) {
      const larger = new Float64Array(this.#signatures.length * 2);
      larger.set(this.#signatures);
      this.#signatures = larger;
    }
    this.#signatures[this.#signatureCount] = this.#length;
    this.#signatureCount += 1;
    if (dual) this.#dual.push(this.#length);
  }

  /** Whether an entry with this leaf digest stands at `seqno`. */
  matches(seqno: Seqno, leaf: Uint8Array): boolean {
    invariant(seqno > 0 && seqno <= this.#length, `entry ${seqno} is in the ledger`);
    const block = this.#blocks[Math.floor((seqno - 1) / BLOCK_LEAVES)];
    const offset = ((seqno - 1) % BLOCK_LEAVES) * LEAF_BYTES;
    return block?.compare(leaf, 0, LEAF_BYTES, offset, offset + LEAF_BYTES) === 0;
  }

  /** The first signature at or after `seqno`, of the given kind; undefined if there is none yet. */
  signatureFrom(seqno: number, kind: 'any' | 'dual'): Seqno | undefined {
    const list = kind === 'any' ? this.#signatures : this.#dual;
    let low = 0;
    let high = kind === 'any' ? this.#signatureCount : this.#dual.length;
    const count = high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((list[middle] ?? 0) < seqno) low = middle + 1;
      else high = middle;
    }
    return low < count ? (list[low] as Seqno) : undefined;
  }

  isSignature(seqno: Seqno): boolean {
    return this.signatureFrom(seqno, 'any') === seqno;
  }

  get lastSignature(): number {
    return this.#signatureCount === 0 ? 0 : (this.#signatures[this.#signatureCount - 1] ?? 0);
  }

  get lastDualSignature(): number {
    return this.#dual.at(-1) ?? 0;
  }

  /** Forgets the entries after `seqno`. */
  truncate(seqno: Seqno): void {
    this.#length = Math.min(this.#length, seqno);
    this.#blocks.length = Math.ceil(this.#length / BLOCK_LEAVES);
    while (this.lastSignature > seqno) this.#signatureCount -= 1;
    while (this.lastDualSignature > seqno) this.#dual.pop();
  }
}

/**
 * A ledger as it stands in memory: the state of its tables, its Merkle tree and what goes with
 * them, always at the same entry. A leader appends what it wrote, a follower what it was sent, a
 * restart what it reads back; all of them commit and roll back here.
 */
import { invariant } from '../base/assert.ts';
import { type Seqno, seqnoAfter, seqnoOf, type TxId, type View } from '../base/ids.ts';
import type { Store } from '../kv/store.ts';
import type { MapWrites } from '../kv/write-set.ts';
import { FLAG_CHUNK_AFTER } from '../ledger/entry.ts';
import type { LeafIndex } from '../ledger/leaf-index.ts';
import type { MerkleTree } from '../ledger/merkle.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';
import type { ViewHistory } from '../ledger/view-history.ts';
import { type KnownNodes, NO_NODES } from './membership.ts';

/** An entry whose writes are in the store, on its way into everything else. */
export interface AppendedEntry {
  readonly seqno: Seqno;
  readonly view: View;
  readonly flags: number;
  readonly byteLength: number;
  readonly leaf: Uint8Array;
  /** Of a signature: its own tables, which come in when it commits. */
  readonly signature?: { readonly maps: readonly MapWrites[]; readonly isDual: boolean };
  /** The nodes from this entry on, if it changes them. */
  readonly nodes?: KnownNodes;
}

/** A signature that was committed, with what it brought to its end. */
export interface CommittedSignature {
  readonly seqno: Seqno;
  /** Entries that it covers and that no signature before it did, signatures not counted. */
  readonly transactions: number;
  readonly bytes: number;
  /** Its chunk ends with it. */
  readonly endsChunk: boolean;
}

interface UncommittedEntry {
  readonly seqno: Seqno;
  readonly byteLength: number;
  /** Bytes of entries in its chunk up to and with this one; 0 when the chunk ends with it. */
  readonly bytesInChunk: number;
  readonly signature: readonly MapWrites[] | undefined;
}

export interface LedgerParts {
  readonly store: Store;
  readonly tree: MerkleTree;
  readonly leaves: LeafIndex;
  readonly views: ViewHistory;
  readonly secrets: SecretHistory;
}

export class LedgerState implements LedgerParts {
  readonly store: Store;
  readonly tree: MerkleTree;
  readonly leaves: LeafIndex;
  readonly views: ViewHistory;
  readonly secrets: SecretHistory;
  /** Oldest first. */
  #uncommitted: UncommittedEntry[] = [];
  /** What stands at the last committed entry. */
  #bytesInChunkBefore: number;
  #nodes: { readonly seqno: Seqno; readonly nodes: KnownNodes }[];

  constructor(parts: LedgerParts, bytesInChunk = 0, nodes: KnownNodes = NO_NODES) {
    this.store = parts.store;
    this.tree = parts.tree;
    this.leaves = parts.leaves;
    this.views = parts.views;
    this.secrets = parts.secrets;
    this.#bytesInChunkBefore = bytesInChunk;
    this.#nodes = [{ seqno: seqnoOf(0), nodes }];
  }

  /** The last entry in the tree: the store may be ahead while a signature is being made. */
  get newest(): Seqno {
    return seqnoOf(this.tree.size - 1);
  }

  get committed(): TxId {
    return this.txIdAt(this.store.committed);
  }

  txIdAt(seqno: Seqno): TxId {
    return { view: this.views.viewAt(seqno), seqno };
  }

  /** Bytes of the entries since the last end of a chunk. */
  get bytesInChunk(): number {
    return this.#uncommitted.at(-1)?.bytesInChunk ?? this.#bytesInChunkBefore;
  }

  /** The nodes that stand after the newest entry. */
  get nodes(): KnownNodes {
    return this.#nodes.at(-1)?.nodes ?? NO_NODES;
  }

  /** The nodes that stand after an entry that is not committed, or the last that is. */
  nodesAt(seqno: Seqno): KnownNodes {
    const found = this.#nodes.findLast((each) => each.seqno <= seqno) ?? this.#nodes[0];
    return found?.nodes ?? NO_NODES;
  }

  /** Sets the nodes of the last committed entry, once they are known. */
  setCommittedNodes(nodes: KnownNodes): void {
    this.#nodes[0] = { seqno: seqnoOf(0), nodes };
  }

  append(entry: AppendedEntry): void {
    const { seqno, view, leaf, signature, flags, byteLength } = entry;
    invariant(seqno === this.tree.size, `entry ${seqno} is the next leaf`);
    const ends = (flags & FLAG_CHUNK_AFTER) !== 0;
    const bytesInChunk = ends ? 0 : this.bytesInChunk + byteLength;
    this.tree.append(leaf);
    this.leaves.append(leaf);
    if (signature !== undefined) this.leaves.noteSignature(signature.isDual);
    this.views.note(view, seqno);
    this.#uncommitted.push({ seqno, byteLength, bytesInChunk, signature: signature?.maps });
    if (entry.nodes !== undefined) this.#nodes.push({ seqno, nodes: entry.nodes });
  }

  /**
   * Makes what is up to `seqno`, a signature, final, one signature after the other: `onSignature`
   * is told while the state stands just there.
   */
  commit(seqno: Seqno, onSignature: (signature: CommittedSignature) => void): void {
    this.#settle(seqno, (signature, maps) => {
      this.store.commit(signature.seqno, maps);
      onSignature(signature);
    });
  }

  /** The same for entries whose writes never came into the store: a later state stands for them. */
  pass(seqno: Seqno): void {
    this.#settle(seqno, () => undefined);
  }

  /** Undoes the entries after `seqno`, none of which may be committed. */
  rollback(seqno: Seqno): void {
    this.store.rollback(seqno);
    if (this.tree.size > seqno + 1) this.tree.truncate(seqno + 1);
    this.leaves.truncate(seqno);
    this.views.rollback(seqno);
    this.secrets.rollback(seqno);
    while ((this.#uncommitted.at(-1)?.seqno ?? 0) > seqno) this.#uncommitted.pop();
    while ((this.#nodes.at(-1)?.seqno ?? 0) > seqno) this.#nodes.pop();
  }

  #settle(
    seqno: Seqno,
    onSignature: (signature: CommittedSignature, maps: readonly MapWrites[]) => void,
  ): void {
    let transactions = 0;
    let bytes = 0;
    let done = 0;
    for (const [index, entry] of this.#uncommitted.entries()) {
      if (entry.seqno > seqno) break;
      bytes += entry.byteLength;
      if (entry.signature === undefined) {
        transactions += 1;
        continue;
      }
      const endsChunk = entry.bytesInChunk === 0;
      onSignature({ seqno: entry.seqno, transactions, bytes, endsChunk }, entry.signature);
      this.tree.flushTo(entry.seqno);
      this.#bytesInChunkBefore = entry.bytesInChunk;
      done = index + 1;
      transactions = 0;
      bytes = 0;
    }
    this.#uncommitted = this.#uncommitted.slice(done);
    invariant((this.#uncommitted[0]?.seqno ?? seqnoAfter(seqno)) > seqno, `${seqno} is signed`);
    const base = this.#nodes.findLastIndex((each) => each.seqno <= seqno);
    if (base > 0) this.#nodes.splice(0, base);
  }
}

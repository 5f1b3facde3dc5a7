/**
 * Verifies a ledger chunk by chunk while it is being fetched, without any secret: framing and order
 * of the entries, the Merkle tree against every signature, and the last signature of each chunk by
 * a node that the ledger itself trusts, whose certificate its service endorsed (ledger-format.md §2
 * to §9, §15).
 *
 * All of it is about one service: until its key is the one that the joiner trusts, nothing counts.
 */
import { FaultError, rule } from '../../audit/fault.ts';
import { equalBytes } from '../../base/bytes.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { type Seqno, seqnoOf, type TxId, viewOf } from '../../base/ids.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { layoutOf, parseChunkName } from '../../ledger/chunk.ts';
import { MerkleTree } from '../../ledger/merkle.ts';
import { ChunkJudge, type LedgerKnowledge, nothingKnown } from './chunk-judge.ts';

/** A chunk that was found good; it counts once it is accepted. */
export interface JudgedChunk {
  /** Its last entry, a signature. */
  readonly last: TxId;
  /** Whether all up to its end is of the service that the joiner trusts. */
  readonly isTrusted: boolean;
  accept(): void;
}

export class LedgerVerifier {
  readonly #trustedKey: Uint8Array;
  readonly #verifier: Verifier;
  /** All entries that were accepted. */
  readonly #tree = new MerkleTree();
  #known: LedgerKnowledge;

  /** `trustedKey`: of the service to be joined (SPKI, DER). */
  constructor(trustedKey: Uint8Array, verifier: Verifier) {
    this.#trustedKey = trustedKey;
    this.#verifier = verifier;
    this.#known = nothingKnown(verifier);
  }

  /** The entry with which the next chunk begins. */
  get next(): Seqno {
    return seqnoOf(this.#tree.size);
  }

  /**
   * Judges the chunk that comes next, by its name and all of its bytes; nothing has changed until
   * it is accepted. Rejects with `ChunkRefused`. One at a time.
   */
  async judge(name: string, bytes: Buffer): Promise<JudgedChunk> {
    const before = this.#tree.size;
    const judge = new ChunkJudge(name, this.#tree, this.#known, this.#verifier);
    try {
      judge.take(bytes, this.#positions(name, bytes));
      const fault = await judge.settle();
      if (fault !== undefined) throw refused(name, fault.message, fault);
      const seqno = seqnoOf(this.#tree.size - 1);
      const known = judge.knowledge();
      return this.#judged({ view: viewOf(known.view), seqno }, known, this.#leaves(before));
    } catch (thrown) {
      if (thrown instanceof FaultError) {
        const fault = thrown.at(judge.place);
        throw refused(name, fault.message, fault);
      }
      if (isCoded(thrown, 'BadChunk')) throw refused(name, thrown.message);
      throw thrown;
    } finally {
      if (this.#tree.size > before) this.#tree.truncate(before);
    }
  }

  #leaves(from: number): readonly Uint8Array[] {
    const leaves: Uint8Array[] = [];
    for (let at = from; at < this.#tree.size; at += 1) {
      const leaf = this.#tree.leaf(at);
      if (leaf !== undefined) leaves.push(leaf);
    }
    return leaves;
  }

  #judged(last: TxId, known: LedgerKnowledge, leaves: readonly Uint8Array[]): JudgedChunk {
    const key = known.network.service?.publicKeyDer;
    return {
      last,
      isTrusted: key !== undefined && equalBytes(key, this.#trustedKey),
      accept: () => {
        for (const leaf of leaves) this.#tree.append(leaf);
        this.#tree.flushTo(Math.min(known.flushable, this.#tree.size - 1));
        this.#known = known;
      },
    };
  }

  #positions(name: string, bytes: Buffer): readonly number[] {
    const parsed = parseChunkName(name);
    if (parsed?.end === undefined || !parsed.committed || parsed.ignored || parsed.recovery) {
      throw refused(name, 'this is not the name of a closed chunk');
    }
    const { start, end } = parsed;
    if (start !== this.#tree.size) {
      throw refused(name, `it begins with entry ${start}, and ${this.#tree.size} comes next`);
    }
    const { positions, complete } = layoutOf(bytes);
    rule(complete, 'ChunkIncomplete', () => 'this one has no table');
    const count = end - start + 1;
    rule(positions.length === count, 'ChunkCount', () => `it has ${positions.length}`);
    return positions;
  }
}

interface FaultPlace {
  readonly reason: string;
  readonly offset?: number;
}

function refused(name: string, why: string, fault?: FaultPlace): CodedError {
  const place = fault?.offset === undefined ? '' : ` at byte ${fault.offset}`;
  const reason = fault?.reason ?? 'ChunkName';
  return new CodedError('ChunkRefused', `${name}${place}: ${why}`, { name, reason });
}

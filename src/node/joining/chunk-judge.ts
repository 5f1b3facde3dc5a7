/**
 * Judges the entries of one chunk, one after the other, by an auditor's rules (`audit/`): what is
 * known of the ledger before them goes in, what is known after them comes out.
 */
import { DeferredChecks } from '../../audit/deferred.ts';
import {
  auditedEntry,
  auditedPublicMaps,
  mustEndWithSignature,
  mustFitPlace,
} from '../../audit/entry-rules.ts';
import { type Fault, type Place, rule } from '../../audit/fault.ts';
import { type Defer, Network } from '../../audit/network.ts';
import { SecretRules } from '../../audit/secret-rules.ts';
import { auditedSignature, mustHoldTree, SignatureChecks } from '../../audit/signing.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { FLAG_CHUNK_AFTER, type ParsedEntry } from '../../ledger/entry.ts';
import type { MerkleTree } from '../../ledger/merkle.ts';
import type { ReadSignature } from '../../ledger/signature.ts';

/** What a ledger has shown up to the end of a chunk. */
export interface LedgerKnowledge {
  readonly network: Network;
  readonly secrets: SecretRules;
  readonly lastRoot: Uint8Array | undefined;
  /** Leaves before this one are in no later signature's row. */
  readonly flushable: number;
  readonly view: number;
}

export function nothingKnown(verifier: Verifier): LedgerKnowledge {
  return {
    network: new Network(verifier),
    secrets: new SecretRules(),
    lastRoot: undefined,
    flushable: 0,
    view: 0,
  };
}

export class ChunkJudge {
  readonly #tree: MerkleTree;
  readonly #network: Network;
  readonly #secrets: SecretRules;
  readonly #checks: SignatureChecks;
  readonly #deferred = new DeferredChecks();
  #lastRoot: Uint8Array | undefined;
  #flushable: number;
  #view: number;
  #place: Place;
  #endsAfter = false;

  /** The tree holds all entries before the chunk, and takes in those of it. */
  constructor(name: string, tree: MerkleTree, known: LedgerKnowledge, verifier: Verifier) {
    this.#tree = tree;
    this.#network = known.network.copy();
    this.#secrets = known.secrets.copy();
    this.#checks = new SignatureChecks(this.#network, verifier);
    this.#lastRoot = known.lastRoot;
    this.#flushable = known.flushable;
    this.#view = known.view;
    this.#place = { file: name };
  }

  /** Takes entries that begin at these places; throws a `FaultError`, and `place` tells where. */
  take(bytes: Buffer, positions: readonly number[]): void {
    positions.forEach((position, index) => {
      const isLast = index === positions.length - 1;
      this.#take(bytes, position, index === 0, isLast);
    });
  }

  /** The entry being judged. */
  get place(): Place {
    return this.#place;
  }

  /** Waits for what takes time; the first fault among it, or undefined. */
  settle(): Promise<Fault | undefined> {
    return this.#deferred.settle();
  }

  knowledge(): LedgerKnowledge {
    return {
      network: this.#network,
      secrets: this.#secrets,
      lastRoot: this.#lastRoot,
      flushable: this.#flushable,
      view: this.#view,
    };
  }

  #take(bytes: Buffer, position: number, isFirstInChunk: boolean, isLast: boolean): void {
    const seqno = this.#tree.size;
    this.#place = { ...this.#place, offset: position, seqno };
    const entry = auditedEntry(bytes, position, 0);
    const { view } = entry;
    this.#place = { ...this.#place, view };
    const afterEnd = this.#endsAfter;
    mustFitPlace(entry, { seqno, view: this.#view, isFirstInChunk, afterEnd }, false);
    const maps = auditedPublicMaps(entry);
    const signature = auditedSignature(entry, maps);
    this.#network.apply(maps, seqno, this.#lastRoot, this.#defer);
    this.#secrets.apply(maps, entry);
    mustEndWithSignature(entry, signature !== undefined);
    rule(!isLast || signature !== undefined, 'ChunkEnd', () => 'this one does not');
    if (signature !== undefined) this.#signed(entry, signature, isLast);
    this.#tree.append(entry.leaf());
    this.#view = view;
    this.#endsAfter = (entry.flags & FLAG_CHUNK_AFTER) !== 0;
  }

  /**
   * Of the last signature every part is verified. The others are compared by the root they name:
   * the last one covers the same entries, and them as well.
   */
  #signed(entry: ParsedEntry, signature: ReadSignature, isLast: boolean): void {
    const root = this.#tree.root();
    const named = signature.raw?.root ?? root;
    if (isLast) this.#checks.check(entry, signature, this.#tree, this.#defer);
    else rule(equalBytes(named, root), 'RawRoot', () => 'it names another root');
    this.#flushable = Math.max(this.#flushable, mustHoldTree(this.#tree, signature.tree));
    this.#lastRoot = root;
  }

  readonly #defer: Defer = (reason, outcome) =>
    this.#deferred.add(this.#place, reason, outcome);
}

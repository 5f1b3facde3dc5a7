/**
 * Receipts of committed transactions, made from the ledger itself (ledger-format.md §14.3): the
 * first signature after an entry holds the leaves up to it; a COSE receipt may need a later
 * one, and then the leaves between the two are computed from the entries.
 */
import type { NoReceipt, Receipt } from '../apps/interface.ts';
import { invariant } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { type Seqno, seqnoAfter, seqnoOf, type TxId, viewOf } from '../base/ids.ts';
import { coseReceipt, type InclusionProof } from '../crypto/cose.ts';
import { sha256 } from '../crypto/hash.ts';
import { serviceEndorsementsAfter } from '../governance/recovery.ts';
import type { Store } from '../kv/store.ts';
import { NO_CLAIMS, type ParsedEntry } from '../ledger/entry.ts';
import type { LeafIndex } from '../ledger/leaf-index.ts';
import { MerkleTree, type PathStep } from '../ledger/merkle.ts';
import { type ReceiptLeaf, type ReceiptValue, receiptJsonOf } from '../ledger/receipt-json.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';
import { parseSignature, type ReadSignature } from '../ledger/signature.ts';
import type { ArchiveReader } from './archive-reader.ts';
import type { SignatureKind } from './root-signing.ts';

type LeafComponents = Omit<InclusionProof, 'path'>;

export interface ReceiptDependencies {
  readonly store: Store;
  readonly leaves: LeafIndex;
  readonly archive: ArchiveReader;
  readonly secrets: SecretHistory;
  readonly kind: SignatureKind;
}

export class ReceiptBuilder {
  readonly #deps: ReceiptDependencies;

  constructor(dependencies: ReceiptDependencies) {
    this.#deps = dependencies;
  }

  /** `pending` until the signature it needs is committed; `unavailable` when none ever comes. */
  async receipt(seqno: Seqno, form: 'json' | 'cose'): Promise<Receipt | NoReceipt> {
    const { store, leaves, kind } = this.#deps;
    if (seqno > store.committed) return 'pending';
    if (kind === (form === 'json' ? 'cose' : 'raw')) return 'unavailable';
    if (leaves.isSignature(seqno)) {
      return form === 'json' ? await this.#signatureReceipt(seqno) : 'unavailable';
    }
    const next = leaves.signatureFrom(seqnoAfter(seqno), 'any');
    const wanted = form === 'json' ? next : leaves.signatureFrom(seqnoAfter(seqno), 'dual');
    if (next === undefined || wanted === undefined || wanted > store.committed)
      return 'pending';

    const entry = await this.#deps.archive.entry(seqno);
    const txId: TxId = { view: viewOf(entry.view), seqno };
    const components = this.#components(entry);
    const path = await this.#path(seqno, next, wanted);
    const signature = await this.#signature(wanted);
    // The kind of signatures may have been another one in an earlier life of this node.
    if (form === 'json' && signature.raw === undefined) return 'unavailable';
    if (form === 'cose') {
      invariant(signature.cose !== undefined, `signature ${wanted} has a COSE part`);
      const bytes = coseReceipt(signature.cose, [{ ...components, path }]);
      return { form, txId, bytes };
    }
    const leaf = { kind: 'components', ...components } as const;
    return { form, txId, json: jsonOf(signature, leaf, path, this.#endorsements(seqno)) };
  }

  /** A signature vouches for itself: its root, with nothing to prove. */
  async #signatureReceipt(seqno: Seqno): Promise<Receipt | NoReceipt> {
    const signature = await this.#signature(seqno);
    const { raw } = signature;
    if (raw === undefined) return 'unavailable';
    const leaf = { kind: 'digest', digest: raw.root } as const;
    const json = jsonOf(signature, leaf, [], this.#endorsements(seqno));
    return { form: 'json', txId: { view: viewOf(raw.view), seqno }, json };
  }

  /** Over these a receipt of a former service leads to this one. */
  #endorsements(seqno: Seqno): readonly string[] {
    return serviceEndorsementsAfter(this.#deps.store.committedView, seqno);
  }

  #components(entry: ParsedEntry): LeafComponents {
    const secret = this.#deps.secrets.at(seqnoOf(entry.seqno));
    invariant(secret !== undefined, `the ledger secret of entry ${entry.seqno} is known`);
    return {
      writeSetDigest: sha256(entry.bytes),
      commitEvidence: secret.evidence.textOf(entry.view, entry.seqno),
      claimsDigest: entry.claimsDigest ?? NO_CLAIMS,
    };
  }

  /** From leaf `seqno` to the root signed at `wanted`; `next` is the first signature after it. */
  async #path(seqno: Seqno, next: Seqno, wanted: Seqno): Promise<readonly PathStep[]> {
    const { tree: row } = await this.#signature(next);
    if (row === undefined) {
      throw new CodedError('LedgerUnreadable', `signature ${next} carries no tree`, {
        status: 503,
      });
    }
    const tree = MerkleTree.deserialise(row);
    for (let at = next; at < wanted; at = seqnoAfter(at)) {
      tree.append((await this.#deps.archive.entry(at)).leaf());
    }
    return tree.path(seqno, wanted);
  }

  async #signature(seqno: Seqno): Promise<ReadSignature> {
    const entry = await this.#deps.archive.entry(seqno);
    const signature = parseSignature(entry.publicMaps);
    invariant(signature !== undefined, `entry ${seqno} is a signature`);
    return signature;
  }
}

/** A node's signature with what leads to the root it signed. */
function jsonOf(
  { raw }: ReadSignature,
  leaf: ReceiptLeaf,
  proof: readonly PathStep[],
  serviceEndorsements: readonly string[],
): ReceiptValue {
  invariant(raw?.cert !== undefined, 'the node signed with a certificate');
  const { cert, node, sig } = raw;
  return receiptJsonOf({
    cert,
    nodeId: node,
    signature: sig,
    leaf,
    proof,
    serviceEndorsements,
  });
}

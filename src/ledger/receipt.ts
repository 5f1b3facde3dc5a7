/**
 * Judges receipts: proofs that a transaction is in a service's ledger (ledger-format.md §14).
 *
 * A verdict lists every check with its outcome and a sentence, so that whoever relies on a receipt
 * can see on what. Runs in a browser: hashes and signatures come in through `Verifier`.
 */

import { CodedError, messageOf } from '../base/errors.ts';
import { type TxId, txIdOfText } from '../base/ids.ts';
import { join, sameBytes, toHex, toUtf8 } from '../base/portable-bytes.ts';
import {
  algorithmOfId,
  decodeSign1,
  HEADER_ALGORITHM,
  HEADER_CCF,
  HEADER_KEY_ID,
  HEADER_VERIFIABLE_DATA_STRUCTURE,
  type InclusionProof,
  inclusionProofs,
  innerMap,
  type Sign1,
  signatureStructure,
  VDS_CCF_LEDGER_SHA256,
} from '../crypto/cose.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { HashName, Verifier } from '../crypto/verifier.ts';
import {
  type Certificate,
  certificateOfPem,
  endorsementFault,
  validAt,
} from '../crypto/x509.ts';
import { type JsonReceipt, type PathHash, parseJsonReceipt } from './receipt-json.ts';
import { formerServicesOf } from './service-chain.ts';

/** What each check is about; stable. */
export type ReceiptCheckName =
  | 'format'
  | 'trust'
  | 'evidence'
  | 'claims'
  | 'root'
  | 'signature'
  | 'node'
  | 'endorsement'
  | 'validity'
  | 'key'
  | 'structure';

export interface ReceiptCheck {
  readonly name: ReceiptCheckName;
  readonly ok: boolean;
  readonly detail: string;
}

export interface ReceiptVerdict {
  /** Every check passed. */
  readonly ok: boolean;
  readonly form: 'json' | 'cose';
  /** The transaction, as its commit evidence names it; absent for a signature's own receipt. */
  readonly txId?: string;
  /** Hex digest of the claims that the transaction made; zeros stand for none. */
  readonly claimsDigest?: string;
  readonly checks: readonly ReceiptCheck[];
}

/** What the receipt is judged against. */
export interface ReceiptTrust {
  /** PEM of the service's certificate, obtained from somewhere that is trusted. */
  readonly serviceCertificate: string;
  /**
   * Endorsements of the services that this one was recovered from, the latest first: a COSE receipt
   * of one of them leads to this one over these. A JSON receipt brings its own.
   */
  readonly endorsements?: readonly Uint8Array[];
  /** SHA-256 of the claims that the receipt must vouch for. */
  readonly claimsDigest?: Uint8Array;
}

/** What opens the claims of a stored payload (transaction-manager.md, decision 8). */
export interface PayloadOpening {
  readonly payload: Uint8Array;
  /** 64 bytes. */
  readonly key: Uint8Array;
  /** 32 bytes. */
  readonly salt: Uint8Array;
}

const PAYLOAD_LABEL = 'concordat.payload.v1';

/** The claims digest of a payload: hides it from whoever lacks the salt. */
export async function payloadClaimsDigest(
  opening: PayloadOpening,
  verifier: Verifier,
): Promise<Uint8Array> {
  if (opening.key.length !== 64 || opening.salt.length !== 32) {
    throw new CodedError(
      'BadOpening',
      `an opening has a key of 64 and a salt of 32 bytes, not ${opening.key.length} and ` +
        `${opening.salt.length}`,
    );
  }
  const payloadDigest = await verifier.hash('SHA-256', opening.payload);
  const message = join(toUtf8(PAYLOAD_LABEL), opening.key, opening.salt, payloadDigest);
  return await verifier.hash('SHA-256', message);
}

/** First byte of a COSE receipt: CBOR tag 18. */
const COSE_FIRST_BYTE = 0xd2;

/** Judges a receipt. `atMs`, if given, is when the certificates must be valid. Never rejects. */
export async function verifyReceipt(
  receipt: Uint8Array,
  trust: ReceiptTrust,
  verifier: Verifier,
  atMs?: number,
): Promise<ReceiptVerdict> {
  const form = receipt[0] === COSE_FIRST_BYTE ? 'cose' : 'json';
  const judge = new Judge(trust, verifier, atMs);
  try {
    const service = judge.service();
    if (service !== undefined) {
      if (form === 'cose') await judge.cose(receipt, service);
      else await judge.json(receipt, service);
    }
  } catch (thrown) {
    if (!(thrown instanceof CodedError)) throw thrown;
    judge.note('format', false, thrown.message);
  }
  return judge.verdict(form);
}

class Judge {
  private readonly checks: ReceiptCheck[] = [];
  private readonly trust: ReceiptTrust;
  private readonly verifier: Verifier;
  private readonly atMs: number | undefined;
  private txId: TxId | undefined;
  private claims: Uint8Array | undefined;

  constructor(trust: ReceiptTrust, verifier: Verifier, atMs: number | undefined) {
    this.trust = trust;
    this.verifier = verifier;
    this.atMs = atMs;
  }

  note(name: ReceiptCheckName, ok: boolean, detail: string): void {
    this.checks.push({ name, ok, detail });
  }

  verdict(form: 'json' | 'cose'): ReceiptVerdict {
    const { txId, claims, checks } = this;
    return {
      ok: checks.length > 0 && checks.every((check) => check.ok),
      form,
      ...(txId === undefined ? {} : { txId: `${txId.view}.${txId.seqno}` }),
      ...(claims === undefined ? {} : { claimsDigest: toHex(claims) }),
      checks,
    };
  }

  service(): Certificate | undefined {
    try {
      const service = certificateOfPem(this.trust.serviceCertificate);
      if (this.atMs !== undefined) this.validity([['the service certificate', service]]);
      return service;
    } catch (thrown) {
      this.note('trust', false, `service certificate: ${messageOf(thrown)}`);
      return undefined;
    }
  }

  async json(bytes: Uint8Array, service: Certificate): Promise<void> {
    const receipt = parseJsonReceipt(bytes);
    const node = certificateOfPem(receipt.cert);
    this.note('format', true, 'a JSON receipt');
    const leaf = await this.leafOfJson(receipt);
    if (leaf === undefined) return;
    await this.rootSignature(leaf, receipt, node);
    await this.nodeIdentity(receipt, node);
    await this.endorsements(node, receipt, service);
  }

  private async leafOfJson(receipt: JsonReceipt): Promise<Uint8Array | undefined> {
    const { leaf } = receipt;
    if (leaf.kind === 'digest') {
      // A signature's own receipt: the root that it signed. It names no transaction.
      this.note('evidence', true, "a signature transaction's own receipt names no transaction");
      if (this.trust.claimsDigest !== undefined) {
        this.note('claims', false, 'a signature transaction makes no claims');
      }
      return leaf.digest;
    }
    this.evidence(leaf.commitEvidence);
    const claims = leaf.claimsDigest ?? this.trust.claimsDigest;
    if (claims === undefined) {
      const why = 'the receipt leaves its claims to be shown, and none were given';
      this.note('claims', false, why);
      return undefined;
    }
    this.claimed(claims);
    return await this.leafOf({ ...leaf, claimsDigest: claims });
  }

  private evidence(text: string): void {
    const match = /^ce:([0-9.]+):[0-9a-f]{64}$/.exec(text);
    const txId = txIdOfText(match?.[1] ?? '');
    this.txId = txId;
    const named = txId === undefined ? 'no transaction' : `transaction ${match?.[1]}`;
    this.note('evidence', txId !== undefined, `the commit evidence names ${named}`);
  }

  private claimed(digest: Uint8Array): void {
    this.claims = digest;
    const wanted = this.trust.claimsDigest;
    if (wanted === undefined) return;
    const same = sameBytes(wanted, digest);
    const detail = same
      ? 'the claims are those given'
      : 'the claims are others than those given';
    this.note('claims', same, detail);
  }

  private async leafOf(parts: Omit<InclusionProof, 'path'>): Promise<Uint8Array> {
    const evidence = await this.verifier.hash('SHA-256', toUtf8(parts.commitEvidence));
    return await this.sha256(join(parts.writeSetDigest, evidence, parts.claimsDigest));
  }

  private async sha256(bytes: Uint8Array): Promise<Uint8Array> {
    return await this.verifier.hash('SHA-256', bytes);
  }

  /** The root, and the two digests it was made of (none when leaf and root are one). */
  private async climb(
    leaf: Uint8Array,
    path: readonly PathHash[],
  ): Promise<{ readonly root: Uint8Array; readonly children?: Uint8Array }> {
    let root = leaf;
    let children: Uint8Array | undefined;
    for (const step of path) {
      children = step.side === 'left' ? join(step.hash, root) : join(root, step.hash);
      root = await this.sha256(children);
    }
    return children === undefined ? { root } : { root, children };
  }

  private async rootSignature(
    leaf: Uint8Array,
    receipt: JsonReceipt,
    node: Certificate,
  ): Promise<void> {
    const { root, children } = await this.climb(leaf, receipt.proof);
    this.note('root', true, `leaf and path lead to root ${toHex(root)}`);
    const { publicKeyDer } = node;
    const { signature } = receipt;
    // The root is the digest that was signed, and it is SHA-256 of its children.
    const good =
      children === undefined
        ? await this.verifier.ecdsaDigest({
            publicKeyDer,
            signature,
            encoding: 'der',
            digest: root,
          })
        : await this.verifier.ecdsa({
            publicKeyDer,
            signature,
            encoding: 'der',
            hash: 'SHA-256',
            message: children,
          });
    const whose = good ? "is the node's" : "is not the node's over this root";
    this.note('signature', good, `the signature ${whose}`);
  }

  private async nodeIdentity(receipt: JsonReceipt, node: Certificate): Promise<void> {
    const id = toHex(await this.sha256(node.publicKeyDer));
    const same = id === receipt.nodeId;
    const detail = same ? `node ${id}` : `the key belongs to node ${id}, not ${receipt.nodeId}`;
    this.note('node', same, detail);
  }

  /** Node ← e[0] ← e[1] … ← service: former services' certificates lead on to today's. */
  private async endorsements(
    node: Certificate,
    receipt: JsonReceipt,
    service: Certificate,
  ): Promise<void> {
    const former = receipt.serviceEndorsements.map(certificateOfPem);
    const chain = [...former, service];
    let endorsed = node;
    for (const issuer of chain) {
      const fault = await endorsementFault(endorsed, issuer, this.verifier);
      if (fault !== undefined) {
        this.note(
          'endorsement',
          false,
          `the node certificate does not lead to the service: ${fault}`,
        );
        return;
      }
      endorsed = issuer;
    }
    const over = former.length === 0 ? '' : ` over ${former.length} former service(s)`;
    this.note('endorsement', true, `the service endorsed the node's certificate${over}`);
    if (this.atMs !== undefined) this.validity([['the node certificate', node]]);
  }

  private validity(certificates: readonly (readonly [string, Certificate])[]): void {
    const at = this.atMs ?? 0;
    for (const [what, certificate] of certificates) {
      const ok = validAt(certificate, at);
      this.note('validity', ok, `${what} ${ok ? 'is valid' : 'is not valid at that time'}`);
    }
  }

  async cose(bytes: Uint8Array, service: Certificate): Promise<void> {
    const message = decodeSign1(bytes);
    const proofs = inclusionProofs(message);
    this.note('format', true, `a COSE receipt with ${proofs.length} inclusion proof(s)`);
    const signedTxId = this.structure(message);
    const signer = await this.signerOf(message, service.publicKeyDer, signedTxId);
    const hash = await this.serviceKey(message, signer);
    if (hash === undefined) return;
    for (const proof of proofs) await this.inclusion(message, proof, signer, hash, signedTxId);
  }

  /** The key that must have signed: the service's, or that of a former one that it vouches for. */
  private async signerOf(
    message: Sign1,
    publicKeyDer: Uint8Array,
    signedTxId: TxId | undefined,
  ): Promise<Uint8Array> {
    const { endorsements = [] } = this.trust;
    const kid = message.protectedHeader.get(HEADER_KEY_ID);
    if (endorsements.length === 0 || (await this.isKeyId(kid, publicKeyDer))) {
      return publicKeyDer;
    }
    const all = await formerServicesOf(publicKeyDer, endorsements, this.verifier);
    for (const { publicKeyDer: former, last } of all) {
      if (!(await this.isKeyId(kid, former))) continue;
      const inTime =
        signedTxId !== undefined &&
        signedTxId.seqno <= last.seqno &&
        signedTxId.view <= last.view;
      const end = `${last.view}.${last.seqno}`;
      const how = inTime ? 'while it lived, until' : 'but not while it lived, until';
      this.note('endorsement', inTime, `the key of a former service signed, ${how} ${end}`);
      return former;
    }
    return publicKeyDer;
  }

  private async isKeyId(kid: unknown, publicKeyDer: Uint8Array): Promise<boolean> {
    const fingerprint = toUtf8(toHex(await this.sha256(publicKeyDer)));
    return kid instanceof Uint8Array && sameBytes(kid, fingerprint);
  }

  private structure(message: Sign1): TxId | undefined {
    const vds = message.protectedHeader.get(HEADER_VERIFIABLE_DATA_STRUCTURE);
    const isLedger = vds === VDS_CCF_LEDGER_SHA256 && message.payload === undefined;
    const what = isLedger ? 'signs' : 'does not sign';
    this.note('structure', isLedger, `the message ${what} the root of a CCF ledger, detached`);
    const text = innerMap(message.protectedHeader, HEADER_CCF)?.get('txid');
    const txId = typeof text === 'string' ? txIdOfText(text) : undefined;
    const named = txId === undefined ? 'names no transaction' : `was made at ${String(text)}`;
    this.note('structure', txId !== undefined, `the signature ${named}`);
    return txId;
  }

  /** The hash that goes with the service's key, if the message says to use both. */
  private async serviceKey(
    message: Sign1,
    publicKeyDer: Uint8Array,
  ): Promise<HashName | undefined> {
    const info = readPublicKey(publicKeyDer);
    const algorithm = algorithmOfId(message.protectedHeader.get(HEADER_ALGORITHM));
    const match =
      info.kind === 'ec' ? COSE_BY_CURVE[info.curve] : ({ algorithm: 'none' } as const);
    const kid = message.protectedHeader.get(HEADER_KEY_ID);
    const sameKey = await this.isKeyId(kid, publicKeyDer);
    this.note('key', sameKey, `the signing key is ${sameKey ? '' : 'not '}the service's`);
    if (match.algorithm === 'none' || algorithm !== match.algorithm) {
      this.note('key', false, `the algorithm ${algorithm} does not go with the service's key`);
      return undefined;
    }
    return match.hash;
  }

  private async inclusion(
    message: Sign1,
    proof: InclusionProof,
    publicKeyDer: Uint8Array,
    hash: HashName,
    signedTxId: TxId | undefined,
  ): Promise<void> {
    this.evidence(proof.commitEvidence);
    this.claimed(proof.claimsDigest);
    const { root } = await this.climb(await this.leafOf(proof), proof.path);
    this.note('root', true, `leaf and path lead to root ${toHex(root)}`);
    const { txId } = this;
    if (txId !== undefined && signedTxId !== undefined) {
      const before = txId.seqno < signedTxId.seqno && txId.view <= signedTxId.view;
      if (!before) this.note('structure', false, 'the transaction is not before the signature');
    }
    const good = await this.verifier.ecdsa({
      publicKeyDer,
      signature: message.signature,
      encoding: 'raw',
      hash,
      message: signatureStructure(message.protectedBytes, root),
    });
    const whose = good ? "is the service's" : "is not the service's over this root";
    this.note('signature', good, `the signature ${whose}`);
  }
}

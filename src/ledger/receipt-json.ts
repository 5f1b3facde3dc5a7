/**
 * The JSON form of a receipt (ledger-format.md §14.1): what a service answers, and what is read
 * back from anybody who claims to have had it from one. Runs in a browser.
 */
import { CodedError } from '../base/errors.ts';
import { fromBase64, fromHex, toBase64, toHex } from '../base/portable-bytes.ts';

export interface PathHash {
  readonly side: 'left' | 'right';
  readonly hash: Uint8Array;
}

export type ReceiptLeaf =
  | {
      readonly kind: 'components';
      readonly writeSetDigest: Uint8Array;
      readonly commitEvidence: string;
      /** Absent when the verifier is to compute it from the claims themselves. */
      readonly claimsDigest?: Uint8Array;
    }
  /** A signature's own receipt: the signed root. */
  | { readonly kind: 'digest'; readonly digest: Uint8Array };

export interface JsonReceipt {
  /** ECDSA over the root, DER. */
  readonly signature: Uint8Array;
  readonly proof: readonly PathHash[];
  readonly nodeId: string;
  /** PEM of the node's certificate. */
  readonly cert: string;
  readonly leaf: ReceiptLeaf;
  /** PEM of former services' certificates, each endorsed by the next. */
  readonly serviceEndorsements: readonly string[];
}

/** The JSON value of a receipt, as CCF shapes it; members in CCF's order. */
export interface ReceiptValue {
  readonly cert: string;
  readonly leaf?: string;
  readonly leaf_components?: {
    readonly claims_digest?: string;
    readonly commit_evidence: string;
    readonly write_set_digest: string;
  };
  readonly node_id: string;
  readonly proof: readonly ({ readonly left: string } | { readonly right: string })[];
  readonly service_endorsements?: readonly string[];
  readonly signature: string;
}

export function receiptJsonOf(receipt: JsonReceipt): ReceiptValue {
  const { leaf, serviceEndorsements } = receipt;
  return {
    cert: receipt.cert,
    ...(leaf.kind === 'digest'
      ? { leaf: toHex(leaf.digest) }
      : {
          leaf_components: {
            ...(leaf.claimsDigest === undefined
              ? {}
              : { claims_digest: toHex(leaf.claimsDigest) }),
            commit_evidence: leaf.commitEvidence,
            write_set_digest: toHex(leaf.writeSetDigest),
          },
        }),
    node_id: receipt.nodeId,
    proof: receipt.proof.map(({ side, hash }) =>
      side === 'left' ? { left: toHex(hash) } : { right: toHex(hash) },
    ),
    ...(serviceEndorsements.length === 0 ? {} : { service_endorsements: serviceEndorsements }),
    signature: toBase64(receipt.signature),
  };
}

/** More siblings than this no tree has. */
const PROOF_STEPS_MAX = 64;
const ENDORSEMENTS_MAX = 1000;

/** Reads a receipt; throws `BadReceipt`. */
export function parseJsonReceipt(bytes: Uint8Array): JsonReceipt {
  const row = record(jsonOf(bytes), 'the receipt');
  const serviceEndorsements = list(row.service_endorsements ?? [], 'service_endorsements');
  if (serviceEndorsements.length > ENDORSEMENTS_MAX) throw bad('it has too many endorsements');
  const proof = list(row.proof, 'proof');
  if (proof.length > PROOF_STEPS_MAX) throw bad(`its proof has ${proof.length} steps`);
  return {
    signature: base64(row.signature, 'signature'),
    proof: proof.map(pathHash),
    nodeId: text(row.node_id, 'node_id'),
    cert: text(row.cert, 'cert'),
    leaf: leafOf(row),
    serviceEndorsements: serviceEndorsements.map((pem) => text(pem, 'service_endorsements')),
  };
}

function leafOf(row: Readonly<Record<string, unknown>>): ReceiptLeaf {
  if ((row.leaf === undefined) === (row.leaf_components === undefined)) {
    throw bad('it has either leaf or leaf_components');
  }
  if (row.leaf !== undefined) return { kind: 'digest', digest: digest(row.leaf, 'leaf') };
  const parts = record(row.leaf_components, 'leaf_components');
  const claims = parts.claims_digest;
  return {
    kind: 'components',
    writeSetDigest: digest(parts.write_set_digest, 'write_set_digest'),
    commitEvidence: text(parts.commit_evidence, 'commit_evidence'),
    ...(claims === undefined ? {} : { claimsDigest: digest(claims, 'claims_digest') }),
  };
}

function pathHash(step: unknown): PathHash {
  const { left, right, ...rest } = record(step, 'a step of the proof');
  if ((left === undefined) === (right === undefined) || Object.keys(rest).length > 0) {
    throw bad('a step of its proof is not one digest, left or right');
  }
  return left === undefined
    ? { side: 'right', hash: digest(right, 'a step of the proof') }
    : { side: 'left', hash: digest(left, 'a step of the proof') };
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw bad('it is neither JSON nor COSE', cause);
  }
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`${what} is no object`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw bad(`${what} is no list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw bad(`${what} is no text`);
  return value;
}

function digest(value: unknown, what: string): Uint8Array {
  const bytes = typeof value === 'string' ? fromHex(value) : undefined;
  if (bytes?.length !== 32) throw bad(`${what} is no digest of 64 hexadecimal digits`);
  return bytes;
}

function base64(value: unknown, what: string): Uint8Array {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  if (bytes === undefined) throw bad(`${what} is not base64`);
  return bytes;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadReceipt', `not a receipt: ${why}`, {}, { cause });
}

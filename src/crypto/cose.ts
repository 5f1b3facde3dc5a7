/**
 * COSE_Sign1 (RFC 9052 §4.2) as CCF writes it: the ledger's signatures, the endorsement of former
 * service identities, and receipts (ledger-format.md §6.2, §12.1, §14.2). Runs in a browser.
 *
 * Encoding keeps the order in which headers are given, because CCF's differs from the sorted one
 * and signed bytes must not move. Decoding is strict: nothing trails, nothing is of indefinite
 * length, no key occurs twice, integers and lengths are as short as they can be.
 */
import { decode, encode } from 'cborg';
import { CodedError } from '../base/errors.ts';
import { join, toUtf8 } from '../base/portable-bytes.ts';

export type CoseLabel = number | string;
export type CoseHeader = ReadonlyMap<CoseLabel, unknown>;

/** RFC 9052 §3.1, RFC 8392, RFC 9162-style proofs (draft-ietf-cose-merkle-tree-proofs). */
export const HEADER_ALGORITHM = 1;
export const HEADER_CRITICAL = 2;
export const HEADER_CONTENT_TYPE = 3;
export const HEADER_KEY_ID = 4;
export const HEADER_CWT_CLAIMS = 15;
/** RFC 9360: certificates, leaf first, and the digest of the leaf. */
export const HEADER_X5CHAIN = 33;
export const HEADER_X5T = 34;
export const HEADER_VERIFIABLE_DATA_STRUCTURE = 395;
export const HEADER_PROOFS = 396;
export const HEADER_CCF = 'ccf.v1';
/** The verifiable data structure "CCF ledger, SHA-256". */
export const VDS_CCF_LEDGER_SHA256 = 2;
export const PROOF_INCLUSION = -1;
export const CLAIM_ISSUER = 1;
export const CLAIM_SUBJECT = 2;
export const CLAIM_ISSUED_AT = 6;
const TAG_SIGN1 = 18;

export type CoseAlgorithm = 'ES256' | 'ES384' | 'ES512';

export const ALGORITHM_IDS: Readonly<Record<CoseAlgorithm, number>> = {
  ES256: -7,
  ES384: -35,
  ES512: -36,
};

/** The algorithm of a header's number, if it is one of ours. */
export function algorithmOfId(id: unknown): CoseAlgorithm | undefined {
  switch (id) {
    case -7:
      return 'ES256';
    case -35:
      return 'ES384';
    case -36:
      return 'ES512';
    default:
      return undefined;
  }
}

export interface Sign1 {
  /** What is signed, as it was encoded. */
  readonly protectedBytes: Uint8Array;
  readonly protectedHeader: CoseHeader;
  readonly unprotected: CoseHeader;
  /** Absent when it travels apart ("detached"). */
  readonly payload?: Uint8Array;
  /** r ‖ s. */
  readonly signature: Uint8Array;
}

const ENCODE = { mapSorter: (): number => 0 } as const;

function encodeCbor(value: unknown): Uint8Array {
  // The encoder may reuse its own memory; what leaves here is a copy.
  return Uint8Array.from(encode(value, ENCODE));
}

/** A protected header: a map in the order given. */
export function encodeHeader(header: CoseHeader): Uint8Array {
  return encodeCbor(header);
}

/** A tagged COSE_Sign1. */
export function encodeSign1(message: Omit<Sign1, 'protectedHeader'>): Uint8Array {
  const { protectedBytes, unprotected, payload = null, signature } = message;
  const array = encodeCbor([protectedBytes, unprotected, payload, signature]);
  // Tag 18 fits the head byte: major type 6.
  return join(Uint8Array.of(0xc0 | TAG_SIGN1), array);
}

/** What a signature is over (RFC 9052 §4.4), without external data. */
export function signatureStructure(
  protectedBytes: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  return encodeCbor(['Signature1', protectedBytes, new Uint8Array(0), payload]);
}

const DECODE = {
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: false,
  useMaps: true,
  rejectDuplicateMapKeys: true,
} as const;

export interface CborOptions {
  /** Whether tag 1, a moment in seconds since 1970, may stand before a number. */
  readonly moments?: boolean;
}

const DECODE_MOMENTS = {
  ...DECODE,
  tags: { 1: (content: () => unknown) => moment(content()) },
};

function moment(content: unknown): number {
  if (typeof content !== 'number') throw bad('a moment is no number');
  return content;
}

/** Decodes one CBOR item, strictly; `what` names it in the error `BadCose`. */
export function decodeCbor(
  bytes: Uint8Array,
  what: string,
  { moments = false }: CborOptions = {},
): unknown {
  try {
    return decode(bytes, moments ? DECODE_MOMENTS : DECODE);
  } catch (cause) {
    throw bad(
      `${what} is not strict CBOR (${cause instanceof Error ? cause.message : ''})`,
      cause,
    );
  }
}

/** Decodes a tagged COSE_Sign1; throws `BadCose`. */
export function decodeSign1(bytes: Uint8Array, options: CborOptions = {}): Sign1 {
  if (bytes[0] !== (0xc0 | TAG_SIGN1)) throw bad('the message does not begin with tag 18');
  const parts = decodeCbor(bytes.subarray(1), 'the message', options);
  if (!Array.isArray(parts) || parts.length !== 4) throw bad('the message is no array of four');
  const [protectedBytes, unprotected, payload, signature] = parts as readonly unknown[];
  if (!(protectedBytes instanceof Uint8Array))
    throw bad('the protected header is no byte string');
  if (!(signature instanceof Uint8Array)) throw bad('the signature is no byte string');
  if (payload !== null && !(payload instanceof Uint8Array))
    throw bad('the payload is no bytes');
  return {
    protectedBytes,
    protectedHeader: headerOf(
      decodeCbor(protectedBytes, 'the protected header', options),
      'protected',
    ),
    unprotected: headerOf(unprotected, 'unprotected'),
    ...(payload === null ? {} : { payload }),
    signature,
  };
}

function headerOf(value: unknown, which: string): CoseHeader {
  if (!(value instanceof Map)) throw bad(`the ${which} header is no map`);
  const header = new Map<CoseLabel, unknown>();
  for (const [label, item] of value as ReadonlyMap<unknown, unknown>) {
    if (typeof label !== 'number' && typeof label !== 'string') {
      throw bad(`a label of the ${which} header is neither number nor text`);
    }
    header.set(label, item);
  }
  return header;
}

/** A map inside a header, or undefined if there is none under this label. */
export function innerMap(
  header: CoseHeader,
  label: CoseLabel,
): ReadonlyMap<unknown, unknown> | undefined {
  const value = header.get(label);
  return value instanceof Map ? value : undefined;
}

export interface LedgerSignatureFields {
  readonly algorithm: CoseAlgorithm;
  /** Hex SHA-256 of the service's public key (SPKI, DER). */
  readonly keyFingerprint: string;
  /** Whole seconds since 1970. */
  readonly issuedAt: number;
  readonly issuer: string;
  readonly subject: string;
  /** TxID of the signature transaction, in text. */
  readonly txId: string;
}

/** The protected header of a ledger signature, in CCF's order (ledger-format.md §6.2). */
export function ledgerSignatureHeader(fields: LedgerSignatureFields): Uint8Array {
  const claims = new Map<number, unknown>([
    [CLAIM_ISSUED_AT, fields.issuedAt],
    [CLAIM_ISSUER, fields.issuer],
    [CLAIM_SUBJECT, fields.subject],
  ]);
  return encodeHeader(
    new Map<CoseLabel, unknown>([
      [HEADER_ALGORITHM, ALGORITHM_IDS[fields.algorithm]],
      [HEADER_KEY_ID, toUtf8(fields.keyFingerprint)],
      [HEADER_VERIFIABLE_DATA_STRUCTURE, VDS_CCF_LEDGER_SHA256],
      [HEADER_CWT_CLAIMS, claims],
      [HEADER_CCF, new Map([['txid', fields.txId]])],
    ]),
  );
}

/** The ledger signature itself: the payload, the Merkle root, is left out. */
export function ledgerSignature(protectedBytes: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeSign1({ protectedBytes, unprotected: new Map(), signature });
}

export interface IdentityEndorsementFields {
  readonly algorithm: CoseAlgorithm;
  readonly issuedAt: number;
  /** First transaction of the endorsed identity's time. */
  readonly epochStart: string;
  /** Last one, and the root signed there; absent in the endorsement of oneself. */
  readonly epochEnd?: { readonly txId: string; readonly root: Uint8Array };
}

/** The protected header of an identity endorsement (ledger-format.md §12.1). */
export function identityEndorsementHeader(fields: IdentityEndorsementFields): Uint8Array {
  const epoch = new Map<string, unknown>([['epoch.start.txid', fields.epochStart]]);
  if (fields.epochEnd !== undefined) {
    epoch.set('epoch.end.txid', fields.epochEnd.txId);
    epoch.set('epoch.end.merkle.root', fields.epochEnd.root);
  }
  return encodeHeader(
    new Map<CoseLabel, unknown>([
      [HEADER_ALGORITHM, ALGORITHM_IDS[fields.algorithm]],
      [HEADER_CWT_CLAIMS, new Map([[CLAIM_ISSUED_AT, fields.issuedAt]])],
      [HEADER_CCF, epoch],
    ]),
  );
}

/** An identity endorsement: the payload is the endorsed public key (SPKI, DER). */
export function identityEndorsement(
  protectedBytes: Uint8Array,
  endorsedKeyDer: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return encodeSign1({
    protectedBytes,
    unprotected: new Map(),
    payload: endorsedKeyDer,
    signature,
  });
}

/** A sibling on the way from a leaf to the root. */
export interface InclusionStep {
  readonly side: 'left' | 'right';
  readonly hash: Uint8Array;
}

/** That a transaction is in the tree: its leaf's three parts and its path. */
export interface InclusionProof {
  readonly writeSetDigest: Uint8Array;
  readonly commitEvidence: string;
  readonly claimsDigest: Uint8Array;
  readonly path: readonly InclusionStep[];
}

/** A receipt: a ledger signature with proofs in its unprotected header (ledger-format.md §14.2). */
export function coseReceipt(
  signature: Uint8Array,
  proofs: readonly InclusionProof[],
): Uint8Array {
  const message = decodeSign1(signature);
  const encoded = proofs.map((proof) =>
    encodeCbor(
      new Map<number, unknown>([
        [1, [proof.writeSetDigest, proof.commitEvidence, proof.claimsDigest]],
        [2, proof.path.map((step) => [step.side === 'left', step.hash])],
      ]),
    ),
  );
  const unprotected = new Map([[HEADER_PROOFS, new Map([[PROOF_INCLUSION, encoded]])]]);
  return encodeSign1({ ...message, unprotected });
}

const EVIDENCE_CHARACTERS_MAX = 1024;
const PATH_STEPS_MAX = 64;

/** The inclusion proofs of a receipt; throws `BadCose` when there is none or one is malformed. */
export function inclusionProofs(message: Sign1): InclusionProof[] {
  const encoded = innerMap(message.unprotected, HEADER_PROOFS)?.get(PROOF_INCLUSION);
  if (!Array.isArray(encoded) || encoded.length === 0) {
    throw bad('the receipt has no inclusion proof in header 396');
  }
  return encoded.map((bytes: unknown) => {
    if (!(bytes instanceof Uint8Array)) throw bad('an inclusion proof is no byte string');
    return inclusionProof(decodeCbor(bytes, 'an inclusion proof'));
  });
}

function inclusionProof(value: unknown): InclusionProof {
  if (!(value instanceof Map) || value.size !== 2)
    throw bad('a proof is no map of leaf and path');
  const leaf: unknown = value.get(1);
  const path: unknown = value.get(2);
  if (!Array.isArray(leaf) || leaf.length !== 3)
    throw bad("a proof's leaf has not three parts");
  if (!Array.isArray(path) || path.length > PATH_STEPS_MAX)
    throw bad("a proof's path is no list");
  const [writeSetDigest, commitEvidence, claimsDigest] = leaf as readonly unknown[];
  if (!isDigest(writeSetDigest) || !isDigest(claimsDigest)) {
    throw bad("a proof's leaf holds a digest that has not 32 bytes");
  }
  const fits =
    typeof commitEvidence === 'string' &&
    commitEvidence.length > 0 &&
    commitEvidence.length <= EVIDENCE_CHARACTERS_MAX;
  if (!fits)
    throw bad(`commit evidence is a text of 1 to ${EVIDENCE_CHARACTERS_MAX} characters`);
  return { writeSetDigest, commitEvidence, claimsDigest, path: path.map(inclusionStep) };
}

function inclusionStep(value: unknown): InclusionStep {
  const [left, hash] = Array.isArray(value) && value.length === 2 ? value : [];
  if (typeof left !== 'boolean' || !isDigest(hash)) {
    throw bad("a step of a proof's path is not [left, digest]");
  }
  return { side: left ? 'left' : 'right', hash };
}

function isDigest(value: unknown): value is Uint8Array {
  return value instanceof Uint8Array && value.length === 32;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError(
    'BadCose',
    `not a COSE_Sign1 message as expected: ${why}`,
    {},
    { cause },
  );
}

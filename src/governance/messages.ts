/**
 * What members sign (governance.md §4): COSE_Sign1 messages with headers of governance's own, and
 * whose they are.
 */
import { hexOf, textOf, utf8 } from '../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { certificateIdOf } from '../crypto/certificates.ts';
import {
  ALGORITHM_IDS,
  algorithmOfId,
  type CoseAlgorithm,
  type CoseLabel,
  decodeSign1,
  encodeHeader,
  encodeSign1,
  HEADER_ALGORITHM,
  HEADER_KEY_ID,
  type Sign1,
  signatureStructure,
} from '../crypto/cose.ts';
import { sha256 } from '../crypto/hash.ts';
import { SigningKey } from '../crypto/keys.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import type { ReadView } from '../kv/tables.ts';
import { MEMBER_CERTS, MEMBER_INFO } from './tables.ts';

export type MessageType =
  | 'proposal'
  | 'ballot'
  | 'withdrawal'
  | 'ack'
  | 'state_digest'
  | 'recovery_share'
  // Ours: what a proposal would do. A type of its own, so that nobody makes a proposal of it.
  | 'concordat_simulation';

export const MESSAGE_TYPE = 'ccf.gov.msg.type';
export const MESSAGE_CREATED_AT = 'ccf.gov.msg.created_at';
export const MESSAGE_PROPOSAL_ID = 'ccf.gov.msg.proposal_id';

/** A message whose signature is that of a member. */
export interface MemberMessage {
  readonly memberId: string;
  readonly type: MessageType;
  /** Seconds since 1970, as the member says. */
  readonly createdAt: number;
  readonly proposalId?: string;
  readonly payload: Uint8Array;
  /** The whole message, as it came. */
  readonly bytes: Uint8Array;
  /** Hex SHA-256 of the signature's bytes. */
  readonly signatureDigest: string;
}

/** Who may have signed: any member, or only one who takes part. */
export type Signers = 'member' | 'active_member';

/**
 * Reads a message and checks whose it is. Rejects with `InvalidAuthenticationInfo`, whose sentence
 * goes into the details of a 401.
 */
export async function readMemberMessage(
  bytes: Uint8Array,
  type: MessageType,
  signers: Signers,
  view: ReadView,
  verifier: Verifier,
): Promise<MemberMessage> {
  const message = decoded(bytes);
  const header = message.protectedHeader;
  const algorithm = algorithmOfId(header.get(HEADER_ALGORITHM));
  if (algorithm === undefined) throw refused('Unsupported algorithm');
  const kid = header.get(HEADER_KEY_ID);
  if (!(kid instanceof Uint8Array)) throw refused('Missing kid in protected header');
  const said = header.get(MESSAGE_TYPE);
  if (said !== type) {
    throw refused(`Unexpected message type: ${shown(said)}, expected: ${type}`);
  }
  const createdAt = header.get(MESSAGE_CREATED_AT);
  if (typeof createdAt !== 'number' || !Number.isSafeInteger(createdAt) || createdAt < 0) {
    throw refused(`${MESSAGE_CREATED_AT} is ${shown(createdAt)}, not a time in seconds`);
  }
  const proposalId = header.get(MESSAGE_PROPOSAL_ID);
  const needsId = type === 'ballot' || type === 'withdrawal';
  if (needsId && typeof proposalId !== 'string') {
    throw refused(`Missing ${MESSAGE_PROPOSAL_ID} in protected header`);
  }
  const { payload } = message;
  if (payload === undefined) throw refused('The payload is missing: it travels in the message');
  const memberId = Buffer.from(kid).toString('latin1');
  const key = memberKey(view, memberId, signers);
  if (!(await isSigned(message, payload, key, algorithm, verifier))) {
    throw refused('Signature verification failed');
  }
  return {
    ...{ memberId, type, createdAt, payload, bytes },
    ...(typeof proposalId === 'string' ? { proposalId } : {}),
    signatureDigest: hexOf(sha256(message.signature)),
  };
}

function decoded(bytes: Uint8Array): Sign1 {
  try {
    return decodeSign1(bytes);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadCose')) throw thrown;
    throw refused(`Failed to parse COSE_Sign1: ${messageOf(thrown)}`);
  }
}

/** The public key (SPKI, DER) of a member who may sign. */
function memberKey(view: ReadView, memberId: string, signers: Signers): Uint8Array {
  const id = utf8(memberId);
  const pem = view.table(MEMBER_CERTS).get(id);
  if (pem === undefined) throw refused('Signer is not a known member');
  if (signers === 'active_member' && statusOf(view, id) !== 'Active') {
    throw refused('Signer is not an active member');
  }
  return certificateOfPem(textOf(pem)).publicKeyDer;
}

function statusOf(view: ReadView, id: Uint8Array): unknown {
  const row = view.table(MEMBER_INFO).get(id);
  return row === undefined ? undefined : Reflect.get(JSON.parse(textOf(row)), 'status');
}

async function isSigned(
  message: Sign1,
  payload: Uint8Array,
  publicKeyDer: Uint8Array,
  named: string,
  verifier: Verifier,
): Promise<boolean> {
  const key = readPublicKey(publicKeyDer);
  if (key.kind !== 'ec') return false;
  const { algorithm, hash } = COSE_BY_CURVE[key.curve];
  if (algorithm !== named) throw refused('Unsupported algorithm');
  const signed = signatureStructure(message.protectedBytes, payload);
  const { signature } = message;
  return verifier.ecdsa({ publicKeyDer, signature, encoding: 'raw', hash, message: signed });
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 100) : String(value).slice(0, 100);
}

function refused(why: string): CodedError {
  return new CodedError('InvalidAuthenticationInfo', why, { status: 401 });
}

/** What a member is about to sign. */
export interface UnsignedMessage {
  readonly type: MessageType;
  /** Seconds since 1970. */
  readonly createdAt: number;
  readonly proposalId?: string;
  readonly payload: Uint8Array;
}

/** A message as it is signed, before it is. */
export interface PreparedMessage {
  readonly protectedBytes: Uint8Array;
  readonly payload: Uint8Array;
}

/** The algorithm of a member's key, and the hash it goes with. */
export interface MemberAlgorithm {
  readonly algorithm: CoseAlgorithm;
  readonly hash: 'SHA-256' | 'SHA-384' | 'SHA-512';
}

/** How a member signs, by its certificate (PEM); throws `UnsuitableKey`. */
export function memberAlgorithm(certificatePem: string): MemberAlgorithm {
  const key = readPublicKey(certificateOfPem(certificatePem).publicKeyDer);
  if (key.kind === 'ec') return COSE_BY_CURVE[key.curve];
  const message =
    "the member's certificate has no key on P-256, P-384 or P-521: none signs here";
  throw new CodedError('UnsuitableKey', message);
}

/** Makes a message ready to be signed by whoever a certificate (PEM) names. */
export function prepareMemberMessage(
  message: UnsignedMessage,
  certificatePem: string,
): PreparedMessage {
  const { algorithm } = memberAlgorithm(certificatePem);
  const protectedBytes = encodeHeader(
    new Map<CoseLabel, unknown>([
      [HEADER_ALGORITHM, ALGORITHM_IDS[algorithm]],
      [HEADER_KEY_ID, utf8(certificateIdOf(certificatePem))],
      [MESSAGE_TYPE, message.type],
      [MESSAGE_CREATED_AT, message.createdAt],
      ...(message.proposalId === undefined
        ? []
        : [[MESSAGE_PROPOSAL_ID, message.proposalId] as const]),
    ]),
  );
  return { protectedBytes, payload: message.payload };
}

/** The bytes that a signature of a message is over. */
export function signedBytes({ protectedBytes, payload }: PreparedMessage): Uint8Array {
  return signatureStructure(protectedBytes, payload);
}

/** The whole message, with its signature: r and s, one after the other. */
export function withSignature(
  { protectedBytes, payload }: PreparedMessage,
  signature: Uint8Array,
): Uint8Array {
  return encodeSign1({ protectedBytes, unprotected: new Map(), payload, signature });
}

/** Signs a message with a member's key; both are in PEM. */
export async function signMemberMessage(
  message: UnsignedMessage,
  certificatePem: string,
  privateKeyPem: string,
): Promise<Uint8Array> {
  const prepared = prepareMemberMessage(message, certificatePem);
  const key = SigningKey.fromPem(privateKeyPem);
  return withSignature(prepared, await key.sign(signedBytes(prepared)));
}

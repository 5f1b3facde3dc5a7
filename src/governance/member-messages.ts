/**
 * Messages that members sign: COSE_Sign1 with the headers of governance (governance.md §4), checked
 * against the certificate that the ledger has of the member.
 */
import { textOf, utf8 } from '../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import {
  algorithmOfId,
  decodeSign1,
  HEADER_ALGORITHM,
  HEADER_KEY_ID,
  type Sign1,
  signatureStructure,
} from '../crypto/cose.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import type { ReadView } from '../kv/tables.ts';
import { MEMBER_CERTS, MEMBER_INFO } from './tables.ts';

const MESSAGE_TYPE = 'ccf.gov.msg.type';
const CREATED_AT = 'ccf.gov.msg.created_at';

export interface MemberMessage {
  readonly memberId: string;
  readonly payload: Uint8Array;
}

/**
 * Reads a message of one type and checks its signature. Rejects with `InvalidAuthenticationInfo`
 * (401) for one that no active member signed, or that is of another type.
 */
export async function verifyMemberMessage(
  bytes: Uint8Array,
  type: string,
  view: ReadView,
  verifier: Verifier,
): Promise<MemberMessage> {
  const message = decoded(bytes);
  const { protectedHeader, protectedBytes } = message;
  const named = protectedHeader.get(MESSAGE_TYPE);
  if (named !== type)
    throw unauthenticated(`its ${MESSAGE_TYPE} is ${String(named)}, not ${type}`);
  const createdAt = protectedHeader.get(CREATED_AT);
  if (!Number.isSafeInteger(createdAt) || Number(createdAt) < 0) {
    throw unauthenticated(`its ${CREATED_AT} is ${String(createdAt)}, no number of seconds`);
  }
  const kid = protectedHeader.get(HEADER_KEY_ID);
  if (!(kid instanceof Uint8Array)) throw unauthenticated('it names no key');
  const memberId = Buffer.from(kid).toString('latin1');
  const payload = message.payload ?? new Uint8Array();
  const publicKeyDer = certificateOfPem(activeMember(view, memberId)).publicKeyDer;
  const signed = signatureStructure(protectedBytes, payload);
  if (!(await isSignedBy(publicKeyDer, message, signed, verifier))) {
    throw unauthenticated(`its signature is not by the key of member ${memberId}`);
  }
  return { memberId, payload };
}

/** The certificate (PEM) of an active member; throws `InvalidAuthenticationInfo`. */
export function activeMember(view: ReadView, memberId: string): string {
  const key = utf8(memberId);
  const pem = view.table(MEMBER_CERTS).get(key);
  const info = view.table(MEMBER_INFO).get(key);
  const row: { status?: unknown } = info === undefined ? {} : JSON.parse(textOf(info));
  if (pem !== undefined && row.status === 'Active') return textOf(pem);
  const shown = JSON.stringify(memberId.slice(0, 64));
  throw unauthenticated(`it names ${shown}, which is no active member of this service`);
}

function decoded(bytes: Uint8Array): Sign1 {
  try {
    return decodeSign1(bytes);
  } catch (thrown) {
    if (isCoded(thrown, 'BadCose')) throw unauthenticated(messageOf(thrown), thrown);
    throw thrown;
  }
}

async function isSignedBy(
  publicKeyDer: Uint8Array,
  { protectedHeader, signature }: Sign1,
  message: Uint8Array,
  verifier: Verifier,
): Promise<boolean> {
  const info = readPublicKey(publicKeyDer);
  if (info.kind !== 'ec') throw unauthenticated("the member's key is no elliptic curve key");
  const { algorithm, hash } = COSE_BY_CURVE[info.curve];
  const named = algorithmOfId(protectedHeader.get(HEADER_ALGORITHM));
  if (named !== algorithm) throw unauthenticated(`Unsupported algorithm: ${String(named)}`);
  return await verifier.ecdsa({ publicKeyDer, signature, encoding: 'raw', hash, message });
}

function unauthenticated(why: string, cause?: unknown): CodedError {
  const message = `this message is not authenticated: ${why}`;
  return new CodedError('InvalidAuthenticationInfo', message, { status: 401 }, { cause });
}

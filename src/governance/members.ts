/**
 * Members (governance.md §2 and §5): they acknowledge the state they see by signing its digest, and
 * the first acknowledgement makes them active.
 */
import { base64Of, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Draft } from './draft.ts';
import type { MemberMessage } from './messages.ts';
import type { ScriptEffect } from './scripts.ts';
import {
  jsonRow,
  MEMBER_ACKS,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  SERVICE_INFO,
  SINGLETON,
} from './tables.ts';

const SIGNATURES = 'public:ccf.internal.signatures';

type JsonObject = Readonly<Record<string, unknown>>;

/** Sets the digest that a member is to acknowledge to the root of the latest signature. */
export function updateStateDigest(draft: Draft, memberId: string): string {
  const signature = draft.get(SIGNATURES, SINGLETON);
  const root = signature === undefined ? undefined : objectOf(signature).root;
  if (typeof root !== 'string') {
    const message = 'Service has no signatures to ack yet - try again soon.';
    throw new CodedError('InternalError', message, { status: 500 });
  }
  const key = utf8(memberId);
  const row = draft.get(MEMBER_ACKS, key);
  const before = row === undefined ? {} : objectOf(row);
  draft.put(MEMBER_ACKS, key, jsonRow({ ...before, state_digest: root }));
  return root;
}

/** The digest that a member is to acknowledge; undefined if there is none. */
export function stateDigestOf(draft: Pick<Draft, 'get'>, memberId: string): string | undefined {
  const row = draft.get(MEMBER_ACKS, utf8(memberId));
  const digest = row === undefined ? undefined : objectOf(row).state_digest;
  return typeof digest === 'string' ? digest : undefined;
}

/** Takes in an acknowledgement; gives back what is to be done beside. */
export function acknowledge(draft: Draft, message: MemberMessage): readonly ScriptEffect[] {
  const { memberId, payload, bytes } = message;
  const key = utf8(memberId);
  const row = draft.get(MEMBER_ACKS, key);
  if (row === undefined) {
    const text = `No ACK record exists for caller ${memberId}.`;
    throw new CodedError('AuthorizationFailed', text, { status: 403 });
  }
  const digest = digestOf(payload);
  const expected = objectOf(row).state_digest;
  if (digest !== expected) {
    const text = 'Submitted state digest is not valid.';
    throw new CodedError('StateDigestMismatch', text, { status: 400 });
  }
  const ack = { state_digest: digest, cose_sign1_req: base64Of(bytes) };
  draft.put(MEMBER_ACKS, key, jsonRow(ack));
  return activate(draft, key);
}

function digestOf(payload: Uint8Array): string {
  let digest: unknown;
  try {
    digest = Reflect.get(Object(JSON.parse(textOf(payload))), 'stateDigest');
  } catch {
    digest = undefined;
  }
  if (typeof digest === 'string') return digest;
  throw new CodedError(
    'InvalidInput',
    'Signed request body is not a JSON object containing required string field "stateDigest"',
    { status: 400 },
  );
}

function activate(draft: Draft, key: Uint8Array): readonly ScriptEffect[] {
  const row = draft.get(MEMBER_INFO, key);
  if (row === undefined) return [];
  const info = objectOf(row);
  if (info.status !== 'Accepted') return [];
  draft.put(MEMBER_INFO, key, jsonRow({ ...info, status: 'Active' }));
  const recovers =
    draft.get(MEMBER_ENCRYPTION_KEYS, key) !== undefined &&
    info.recovery_role !== 'NonParticipant';
  const service = draft.get(SERVICE_INFO, SINGLETON);
  const isOpen = service !== undefined && objectOf(service).status === 'Open';
  return recovers && isOpen ? [{ name: 'triggerRecoverySharesRefresh', args: [] }] : [];
}

function objectOf(row: Uint8Array): JsonObject {
  const value: unknown = JSON.parse(textOf(row));
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
}

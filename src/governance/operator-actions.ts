/**
 * Operator's actions: `transition_node_to_trusted` and `remove_node`, ordered by a member with a
 * signed request instead of by proposal and vote. Only a service with one active member takes them,
 * where his word is the vote; where there are more, they decide by proposals (governance.md §3).
 *
 * The request is a COSE_Sign1 with the headers of governance's messages (governance.md §4) and a
 * message type of its own, so that it is taken for no proposal and no proposal for it. It counts
 * once: what was signed is remembered, as for proposals (§3.3), by the digest of what was signed
 * and not of the signature, because an ECDSA signature has a twin that verifies as well.
 */
import { base64Of, hexOf, textOf, utf8 } from '../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { OPERATOR_ACTION_BYTES_MAX, OPERATOR_ACTIONS_KEPT } from '../base/limits.ts';
import { certificateIdOf } from '../crypto/certificates.ts';
import {
  ALGORITHM_IDS,
  algorithmOfId,
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
import type { ReadView, Transaction } from '../kv/tables.ts';
import {
  endorsementWanted,
  removeNode,
  type TrustArguments,
  transitionNodeToTrusted,
  type WantedEndorsement,
} from './nodes-actions.ts';
import { jsonRow, MEMBER_CERTS, MEMBER_INFO, OPERATOR_ACTIONS } from './tables.ts';

const MESSAGE_TYPE = 'ccf.gov.msg.type';
const CREATED_AT = 'ccf.gov.msg.created_at';
const OPERATOR_ACTION = 'concordat_operator_action';
const CREATED_AT_MAX = 9_999_999_999;

export interface RemoveArguments {
  readonly node_id: string;
}

export type OperatorAction =
  | { readonly action: 'transition_node_to_trusted'; readonly args: TrustArguments }
  | { readonly action: 'remove_node'; readonly args: RemoveArguments };

/** A member with the key of his certificate, both PEM. */
export interface SigningMember {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** Signs an action as a member; the bytes are what the operator's listener takes. */
export async function signOperatorAction<Name extends OperatorAction['action']>(
  action: Name,
  args: Extract<OperatorAction, { action: Name }>['args'],
  member: SigningMember,
  nowMs: number,
): Promise<Uint8Array> {
  const key = SigningKey.fromPem(member.privateKeyPem);
  const protectedBytes = encodeHeader(
    new Map<CoseLabel, unknown>([
      [HEADER_ALGORITHM, ALGORITHM_IDS[key.algorithm]],
      [HEADER_KEY_ID, utf8(certificateIdOf(member.certificatePem))],
      [MESSAGE_TYPE, OPERATOR_ACTION],
      [CREATED_AT, Math.floor(nowMs / 1000)],
    ]),
  );
  const payload = utf8(JSON.stringify({ action, args }));
  const signature = await key.sign(signatureStructure(protectedBytes, payload));
  return encodeSign1({ protectedBytes, unprotected: new Map(), payload, signature });
}

/** An action whose signature is good; whether it counts is decided when it is carried out. */
export interface VerifiedAction {
  readonly order: OperatorAction;
  readonly memberId: string;
  /** Seconds since 1970. */
  readonly createdAt: number;
  /** The whole request, and the digest of what was signed. */
  readonly bytes: Uint8Array;
  readonly digest: Uint8Array;
}

/**
 * Reads a request and checks its signature. Rejects with `InvalidInput` for what is no request and
 * with `InvalidAuthenticationInfo` for one that no active member signed.
 */
export async function verifyOperatorAction(
  bytes: Uint8Array,
  view: ReadView,
  verifier: Verifier,
): Promise<VerifiedAction> {
  const message = readMessage(bytes);
  const createdAt = message.protectedHeader.get(CREATED_AT);
  if (!isTime(createdAt)) throw invalid(`${CREATED_AT} is ${String(createdAt)}`);
  const kid = message.protectedHeader.get(HEADER_KEY_ID);
  if (!(kid instanceof Uint8Array)) throw invalid('it names no key');
  const memberId = Buffer.from(kid).toString('latin1');
  const key = certificateOfPem(activeMember(view, memberId)).publicKeyDer;
  const payload = message.payload ?? new Uint8Array();
  const signed = signatureStructure(message.protectedBytes, payload);
  if (!(await isSignedBy(key, message, signed, verifier))) {
    throw unauthenticated(`its signature is not by the key of member ${memberId}`);
  }
  return { order: orderOf(payload), memberId, createdAt, bytes, digest: sha256(signed) };
}

function readMessage(bytes: Uint8Array): Sign1 {
  if (bytes.length > OPERATOR_ACTION_BYTES_MAX) throw invalid(`it has ${bytes.length} bytes`);
  try {
    const message = decodeSign1(bytes);
    const type = message.protectedHeader.get(MESSAGE_TYPE);
    if (type === OPERATOR_ACTION) return message;
    throw unauthenticated(`its ${MESSAGE_TYPE} is ${String(type)}, not ${OPERATOR_ACTION}`);
  } catch (thrown) {
    if (isCoded(thrown, 'BadCose')) throw invalid(messageOf(thrown), thrown);
    throw thrown;
  }
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0 && Number(value) <= CREATED_AT_MAX;
}

/** The certificate (PEM) of an active member. */
function activeMember(view: ReadView, memberId: string): string {
  const key = utf8(memberId);
  const pem = view.table(MEMBER_CERTS).get(key);
  const info = view.table(MEMBER_INFO).get(key);
  const row: { status?: unknown } = info === undefined ? {} : JSON.parse(textOf(info));
  if (pem !== undefined && row.status === 'Active') return textOf(pem);
  const shown = JSON.stringify(memberId.slice(0, 64));
  throw unauthenticated(`it names ${shown}, which is no active member of this service`);
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

function orderOf(payload: Uint8Array): OperatorAction {
  let value: unknown;
  try {
    value = JSON.parse(textOf(payload));
  } catch (cause) {
    throw invalid('its payload is not JSON', cause);
  }
  const action = field(value, 'action');
  const args = field(value, 'args');
  const node_id = field(args, 'node_id');
  if (typeof node_id !== 'string' || !/^[0-9a-f]{64}$/.test(node_id)) {
    throw invalid(`args.node_id is ${shown(node_id)}, not 64 hexadecimal digits`);
  }
  switch (action) {
    case 'remove_node':
      return { action, args: { node_id } };
    case 'transition_node_to_trusted':
      return { action, args: { node_id, ...trustArguments(args) } };
    default:
      throw invalid(
        `action is ${shown(action)}; known are transition_node_to_trusted and remove_node`,
      );
  }
}

function trustArguments(args: unknown): Omit<TrustArguments, 'node_id'> {
  const valid_from = field(args, 'valid_from');
  const days = field(args, 'validity_period_days');
  if (typeof valid_from !== 'string') throw invalid(`args.valid_from is ${shown(valid_from)}`);
  if (days === undefined) return { valid_from };
  if (typeof days !== 'number' || !Number.isSafeInteger(days) || days < 1) {
    throw invalid(`args.validity_period_days is ${shown(days)}, not a number of days`);
  }
  return { valid_from, validity_period_days: days };
}

/** The certificate that must be made before an action is carried out; throws as it would. */
export function endorsementForAction(
  view: ReadView,
  { order }: VerifiedAction,
): WantedEndorsement | undefined {
  if (order.action === 'remove_node') return undefined;
  return endorsementWanted(view, order.args);
}

/** What became of the node. */
export interface ActionOutcome {
  readonly action: OperatorAction['action'];
  readonly nodeId: string;
  readonly nodeStatus: 'Trusted' | 'Retired' | 'Forgotten';
}

/** Carries an action out, once. Throws coded errors whose `fields.status` is that of HTTP. */
export function applyOperatorAction(
  tx: Transaction,
  verified: VerifiedAction,
  certificatePem: string | undefined,
): ActionOutcome {
  activeMember(tx, verified.memberId);
  mustBeAlone(tx);
  remember(tx, verified);
  const { action, args } = verified.order;
  const nodeId = args.node_id;
  if (action === 'remove_node') {
    return { action, nodeId, nodeStatus: removeNode(tx, nodeId) };
  }
  transitionNodeToTrusted(tx, nodeId, certificatePem);
  return { action, nodeId, nodeStatus: 'Trusted' };
}

/** Throws `VoteNeeded` where one member must not decide for the others. */
function mustBeAlone(view: ReadView): void {
  const active = view
    .table(MEMBER_INFO)
    .page()
    .filter(
      ({ value }) => (JSON.parse(textOf(value)) as { status?: unknown }).status === 'Active',
    );
  if (active.length <= 1) return;
  throw new CodedError(
    'VoteNeeded',
    `${active.length} members are active, so this takes a proposal and their votes ` +
      '(concordat gov propose), not the word of one',
    { status: 403, members: active.length },
  );
}

/** Notes an action among the newest ones; refuses one that is there, or older than half of them. */
function remember(tx: Transaction, { createdAt, digest, bytes }: VerifiedAction): void {
  const table = tx.table(OPERATOR_ACTIONS);
  const time = String(createdAt).padStart(10, '0');
  const key = utf8(`${time}:${hexOf(digest)}`);
  if (table.has(key)) {
    throw refusal('ActionReplay', 'this very request was carried out before; sign a new one');
  }
  const kept = table.page().map((row) => row.key);
  const median = kept[Math.floor(kept.length / 2)];
  const oldest = median === undefined ? '' : textOf(median).slice(0, time.length);
  if (time < oldest) {
    throw refusal(
      'ActionCreatedTooLongAgo',
      `this request was signed at ${createdAt}, and newer ones than ${Number(oldest)} were ` +
        'carried out since. Look at the clock of this machine, and sign a new one',
    );
  }
  table.put(key, jsonRow(base64Of(bytes)));
  for (const old of kept.slice(0, Math.max(0, kept.length + 1 - OPERATOR_ACTIONS_KEPT)))
    table.remove(old);
}

function refusal(code: string, message: string): CodedError {
  return new CodedError(code, message, { status: 400 });
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 100) ?? 'missing';
}

function invalid(why: string, cause?: unknown): CodedError {
  const message = `not an operator's action: ${why}`;
  return new CodedError('InvalidInput', message, { status: 400 }, { cause });
}

function unauthenticated(why: string): CodedError {
  const message = `this action is not authenticated: ${why}`;
  return new CodedError('InvalidAuthenticationInfo', message, { status: 401 });
}

/**
 * The life of a proposal (governance.md §3): created, voted on, withdrawn, and what becomes of it
 * when the constitution has decided. Everything is read from and written to a draft; signatures
 * were checked before.
 */
import { base64Of, hexOf, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { sha256Of } from '../crypto/hash.ts';
import { ConstitutionCalls, type Failure, type ScriptDesk } from './constitution-calls.ts';
import type { Draft } from './draft.ts';
import type { MemberMessage } from './messages.ts';
import type { ScriptEffect } from './scripts.ts';
import { jsonRow, SERVICE_CONFIG, SINGLETON } from './tables.ts';

export const PROPOSALS = 'public:ccf.gov.proposals';
export const PROPOSALS_INFO = 'public:ccf.gov.proposals_info';
export const COSE_HISTORY = 'public:ccf.gov.cose_history';
export const RECENT_PROPOSALS = 'public:ccf.gov.cose_recent_proposals';

export type ProposalState =
  | 'Open'
  | 'Accepted'
  | 'Withdrawn'
  | 'Rejected'
  | 'Failed'
  | 'Dropped';

/** A row of `proposals_info`. */
export interface ProposalInfo {
  readonly proposer_id: string;
  readonly state: ProposalState;
  /** Member id → text of the ballot. */
  readonly ballots: Readonly<Record<string, string>>;
  readonly final_votes?: Readonly<Record<string, boolean>>;
  readonly vote_failures?: Readonly<Record<string, Failure>>;
  readonly failure?: Failure;
}

export interface Proposal {
  readonly id: string;
  readonly info: ProposalInfo;
}

/** What a step in a proposal's life came to. */
export interface ProposalOutcome {
  readonly proposal: Proposal;
  /** To be carried out in the transaction that takes the draft over. */
  readonly effects: readonly ScriptEffect[];
}

const NO_EFFECTS: readonly ScriptEffect[] = [];
const CREATED_AT_MAX = 9_999_999_999;
const WINDOW_DEFAULT = 100;

/** Hex SHA-256 of the tree's root, as the draft found it, and the signature's digest. */
export function proposalIdOf(root: Uint8Array, signatureDigest: string): string {
  return hexOf(sha256Of(root, Buffer.from(signatureDigest, 'hex')));
}

/** Creates a proposal and resolves it at once. */
export async function createProposal(
  draft: Draft,
  message: MemberMessage,
  proposalId: string,
  desk: ScriptDesk,
): Promise<ProposalOutcome> {
  const { createdAt, memberId, payload } = message;
  if (createdAt > CREATED_AT_MAX) {
    throw refusal('InvalidCreatedAt', 'Header parameter created_at value is too large');
  }
  const body = bodyText(payload);
  const calls = new ConstitutionCalls(draft, desk);
  await validate(calls, body);
  noteRecent(draft, message, proposalId);
  const key = utf8(proposalId);
  if (draft.get(PROPOSALS_INFO, key) !== undefined) {
    throw new CodedError('InternalError', 'Proposal ID collision.', { status: 500 });
  }
  draft.put(PROPOSALS, key, payload);
  noteHistory(draft, message);
  const info: ProposalInfo = { proposer_id: memberId, state: 'Open', ballots: {} };
  return await resolve(draft, { id: proposalId, info }, calls);
}

async function validate(calls: ConstitutionCalls, body: string): Promise<void> {
  const called = await calls.call('validate', [body]);
  if (called.kind === 'threw') throw scriptFault('validate', called.failure);
  const { value } = called;
  const valid: unknown = Reflect.get(Object(value), 'valid');
  const description: unknown = Reflect.get(Object(value), 'description');
  if (typeof valid !== 'boolean') {
    throw scriptFault('validate', { reason: 'it gave back no {valid, description}' });
  }
  if (valid) return;
  const why = typeof description === 'string' ? description : '';
  throw refusal('ProposalFailedToValidate', `Proposal failed to validate: ${why}`);
}

/** Notes a proposal among the newest ones; refuses one that is there, or older than half. */
function noteRecent(draft: Draft, message: MemberMessage, proposalId: string): void {
  const time = String(message.createdAt).padStart(10, '0');
  const key = `${time}:${message.signatureDigest}`;
  const known = draft.rows(RECENT_PROPOSALS);
  const same = draft.get(RECENT_PROPOSALS, utf8(key));
  if (same !== undefined) {
    const id: string = JSON.parse(textOf(same));
    throw refusal(
      'ProposalReplay',
      `Proposal submission replay, already exists as proposal ${id}`,
    );
  }
  const median = known[Math.floor(known.length / 2)];
  const [oldest = ''] = median === undefined ? [] : textOf(median.key).split(':');
  if (time < oldest) {
    throw refusal(
      'ProposalCreatedTooLongAgo',
      `Proposal created too long ago, created_at must be greater than ${oldest}`,
    );
  }
  draft.put(RECENT_PROPOSALS, utf8(key), jsonRow(proposalId));
  const beyond = known.length - (windowOf(draft) - 1);
  for (const old of known.slice(0, Math.max(0, beyond)))
    draft.remove(RECENT_PROPOSALS, old.key);
}

function windowOf(draft: Draft): number {
  const row = draft.get(SERVICE_CONFIG, SINGLETON);
  const size: unknown =
    row === undefined ? undefined : JSON.parse(textOf(row)).recent_cose_proposals_window_size;
  return typeof size === 'number' ? size : WINDOW_DEFAULT;
}

/** Adds a ballot and resolves the proposal again. */
export async function submitBallot(
  draft: Draft,
  message: MemberMessage,
  proposalId: string,
  desk: ScriptDesk,
): Promise<ProposalOutcome> {
  const proposal = proposalOf(draft, proposalId);
  if (proposal === undefined) {
    throw new CodedError('ProposalNotFound', `Could not find proposal ${proposalId}.`, {
      status: 404,
    });
  }
  const { info } = proposal;
  if (info.state !== 'Open') {
    throw refusal(
      'ProposalNotOpen',
      `Proposal ${proposalId} is currently in state ${info.state.toLowerCase()} - ` +
        'only open proposals can receive votes',
    );
  }
  const ballot = ballotOf(message.payload);
  const before = info.ballots[message.memberId];
  if (before === ballot) return { proposal, effects: NO_EFFECTS };
  if (before !== undefined) {
    throw refusal(
      'VoteAlreadyExists',
      `Different ballot already submitted by ${message.memberId} for ${proposalId}.`,
    );
  }
  noteHistory(draft, message);
  const ballots = { ...info.ballots, [message.memberId]: ballot };
  const voted: Proposal = { id: proposalId, info: { ...info, ballots } };
  return await resolve(draft, voted, new ConstitutionCalls(draft, desk));
}

function ballotOf(payload: Uint8Array): string {
  let ballot: unknown;
  try {
    ballot = Reflect.get(Object(JSON.parse(textOf(payload))), 'ballot');
  } catch {
    throw refusal('InvalidInput', 'Failed to parse ballot: the body is not JSON');
  }
  if (typeof ballot === 'string') return ballot;
  throw refusal(
    'InvalidInput',
    'Signed request body is not a JSON object containing required string field "ballot"',
  );
}

/** Withdraws a proposal; undefined if there is none of this id. */
export function withdrawProposal(
  draft: Draft,
  message: MemberMessage,
  proposalId: string,
): Proposal | undefined {
  const proposal = proposalOf(draft, proposalId);
  if (proposal === undefined) return undefined;
  const { info } = proposal;
  if (info.proposer_id !== message.memberId) {
    throw new CodedError(
      'AuthorizationFailed',
      `Proposal ${proposalId} can only be withdrawn by proposer m[${info.proposer_id}], ` +
        `not caller m[${message.memberId}].`,
      { status: 403 },
    );
  }
  if (info.state === 'Withdrawn') return proposal;
  if (info.state !== 'Open') {
    throw refusal(
      'ProposalNotOpen',
      `Proposal ${proposalId} is currently in state ${info.state.toLowerCase()} - ` +
        'only open proposals can be withdrawn',
    );
  }
  const withdrawn: Proposal = { id: proposalId, info: { ...info, state: 'Withdrawn' } };
  putInfo(draft, withdrawn);
  removeOtherClosed(draft, proposalId);
  noteHistory(draft, message);
  return withdrawn;
}

/** Has all ballots and then the constitution judge a proposal, and does what they decide. */
async function resolve(
  draft: Draft,
  { id, info }: Proposal,
  calls: ConstitutionCalls,
): Promise<ProposalOutcome> {
  const open: Proposal = { id, info };
  // Scripts see the proposal as it is until they have decided.
  putInfo(draft, open);
  const body = textOf(draft.get(PROPOSALS, utf8(id)) ?? new Uint8Array(0));
  const results = await calls.votes(info.ballots, body, info.proposer_id);
  const votes: { member_id: string; vote: boolean }[] = [];
  const failures: Record<string, Failure> = {};
  for (const [member_id, vote] of results) {
    if (typeof vote === 'boolean') votes.push({ member_id, vote });
    else failures[member_id] = vote;
  }
  const called = await calls.call('resolve', [body, info.proposer_id, votes, id]);
  const decided =
    called.kind === 'threw' ? failedTo('resolve', called.failure) : decisionOf(called.value);
  if (decided.state === 'Open') return { proposal: open, effects: NO_EFFECTS };
  removeOtherClosed(draft, id);
  const closed: Proposal = {
    id,
    info: {
      ...info,
      ...decided,
      final_votes: Object.fromEntries(votes.map(({ member_id, vote }) => [member_id, vote])),
      vote_failures: failures,
    },
  };
  putInfo(draft, closed);
  if (decided.state !== 'Accepted') return { proposal: closed, effects: NO_EFFECTS };
  const applied = await calls.call('apply', [body, id]);
  if (applied.kind === 'threw') throw scriptFault('apply', applied.failure);
  return { proposal: proposalOf(draft, id) ?? closed, effects: applied.effects };
}

interface Decision {
  readonly state: Exclude<ProposalState, 'Withdrawn' | 'Dropped'>;
  readonly failure?: Failure;
}

function decisionOf(value: unknown): Decision {
  switch (value) {
    case 'Open':
    case 'Accepted':
    case 'Rejected':
      return { state: value };
    default: {
      const said = JSON.stringify(value)?.slice(0, 200) ?? 'undefined';
      const reason = `resolve() returned ${said}, which is not Open, Accepted or Rejected`;
      return { state: 'Failed', failure: { reason } };
    }
  }
}

function failedTo(name: string, { reason, trace }: Failure): Decision {
  const failure = { reason: `Failed to ${name}(): ${reason}` };
  return { state: 'Failed', failure: trace === undefined ? failure : { ...failure, trace } };
}

/** Forgets every other proposal that is no longer open. */
function removeOtherClosed(draft: Draft, id: string): void {
  for (const { key, value } of draft.rows(PROPOSALS_INFO)) {
    const { state } = infoOf(value);
    if (state === 'Open' || textOf(key) === id) continue;
    draft.remove(PROPOSALS_INFO, key);
    draft.remove(PROPOSALS, key);
  }
}

/** A proposal, or undefined if there is none of this id. */
export function proposalOf(draft: Pick<Draft, 'get'>, id: string): Proposal | undefined {
  const row = draft.get(PROPOSALS_INFO, utf8(id));
  return row === undefined ? undefined : { id, info: infoOf(row) };
}

/** Reads a row of `proposals_info`. */
export function infoOf(row: Uint8Array): ProposalInfo {
  return JSON.parse(textOf(row)) as ProposalInfo;
}

function putInfo(draft: Draft, { id, info }: Proposal): void {
  draft.put(PROPOSALS_INFO, utf8(id), jsonRow(info));
}

/** Keeps a member's latest signed message, as it came. */
function noteHistory(draft: Draft, { memberId, bytes }: MemberMessage): void {
  draft.put(COSE_HISTORY, utf8(memberId), jsonRow(base64Of(bytes)));
}

function bodyText(payload: Uint8Array): string {
  try {
    return textOf(payload);
  } catch {
    throw refusal('InvalidInput', 'The proposal is not text in UTF-8');
  }
}

function scriptFault(name: string, { reason, trace }: Failure): CodedError {
  const where = trace === undefined ? '' : ` Trace: ${trace}`;
  const message = `Failed to ${name}(): ${reason}${where}`;
  return new CodedError('InternalError', message, { status: 500 });
}

function refusal(code: string, message: string): CodedError {
  return new CodedError(code, message, { status: 400 });
}

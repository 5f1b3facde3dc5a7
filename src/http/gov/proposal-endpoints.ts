/**
 * `/gov/members/…` (http-api.md §11): proposals, ballots, and the digests that members acknowledge.
 */
import type { AppRequest, AppResponse, Endpoint } from '../../apps/interface.ts';
import { textOf, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { acknowledge, stateDigestOf, updateStateDigest } from '../../governance/members.ts';
import type { MemberMessage } from '../../governance/messages.ts';
import {
  createProposal,
  infoOf,
  PROPOSALS,
  PROPOSALS_INFO,
  type Proposal,
  submitBallot,
  withdrawProposal,
} from '../../governance/proposals.ts';
import type { ReadView } from '../../kv/tables.ts';
import { bareAnswer, errorAnswer } from '../answers.ts';
import {
  allRows,
  type GovernanceDesk,
  idIn,
  invalidName,
  reading,
  scriptAnswer,
  signed,
  sortedAnswer,
} from './gov-request.ts';

const ROOT = '/members/proposals';
const DIGESTS = '/members/state-digests';

/** Those that a member signs for. */
export function memberEndpoints(desk: GovernanceDesk): readonly Endpoint[] {
  return [
    signed(desk, {
      path: `${ROOT}:create`,
      summary: 'Creates a proposal',
      ...{ type: 'proposal', signers: 'active_member' },
      act: async (_request, message, draft) => {
        const id = desk.nameProposal(message.signatureDigest);
        const { proposal, effects } = await createProposal(draft, message, id, desk);
        return { response: proposalAnswer(proposal), effects };
      },
    }),
    signed(desk, {
      path: `${ROOT}/{proposalId}:withdraw`,
      summary: 'Withdraws a proposal',
      ...{ type: 'withdrawal', signers: 'active_member', check: sameProposal },
      act: (request, message, draft) => {
        const proposal = withdrawProposal(draft, message, idIn(request, 'proposalId'));
        const response = proposal === undefined ? bareAnswer(204) : proposalAnswer(proposal);
        return { response, effects: [] };
      },
    }),
    signed(desk, {
      path: `${ROOT}/{proposalId}/ballots/{memberId}:submit`,
      summary: 'Submits a ballot',
      ...{ type: 'ballot', signers: 'active_member' },
      check: (request, message) => {
        sameProposal(request, message);
        const memberId = idIn(request, 'memberId');
        if (memberId === message.memberId) return;
        throw invalidName(
          `Signed by ${message.memberId}, but the path names the ballot of ${memberId}`,
        );
      },
      act: async (request, message, draft) => {
        const id = idIn(request, 'proposalId');
        const { proposal, effects } = await submitBallot(draft, message, id, desk);
        return { response: proposalAnswer(proposal), effects };
      },
    }),
    signed(desk, {
      path: `${DIGESTS}/{memberId}:update`,
      summary: 'Renews the digest that a member is to acknowledge',
      ...{ type: 'state_digest', signers: 'member', check: sameMember },
      act: (_request, { memberId }, draft) => {
        const stateDigest = updateStateDigest(draft, memberId);
        return { response: sortedAnswer({ memberId, stateDigest }), effects: [] };
      },
    }),
    signed(desk, {
      path: `${DIGESTS}/{memberId}:ack`,
      summary: 'Acknowledges the state of the service',
      ...{ type: 'ack', signers: 'member', check: sameMember },
      act: (_request, message, draft) => {
        const effects = acknowledge(draft, message);
        return { response: bareAnswer(204), effects };
      },
    }),
  ];
}

/** Those that anybody may read. */
export const PROPOSAL_READINGS: readonly Endpoint[] = [
  reading(ROOT, 'All proposals', (_request, view) => {
    const rows = allRows(view.table(PROPOSALS_INFO));
    const value = rows.map((row) => shown({ id: textOf(row.key), info: infoOf(row.value) }));
    return sortedAnswer({ value });
  }),
  reading(`${ROOT}/{proposalId}`, 'One proposal', (request, view) =>
    proposalAnswer(proposalIn(request, view)),
  ),
  reading(`${ROOT}/{proposalId}/actions`, 'What a proposal would do', (request, view) => {
    const { id } = proposalIn(request, view);
    const body = view.table(PROPOSALS).get(utf8(id));
    if (body === undefined) throw noProposal(id);
    // As CCF does it, without a content type.
    return { status: 200, body };
  }),
  reading(`${ROOT}/{proposalId}/ballots/{memberId}`, "A member's ballot", (request, view) => {
    const { id, info } = proposalIn(request, view);
    const memberId = idIn(request, 'memberId');
    const ballot = info.ballots[memberId];
    if (ballot !== undefined) return scriptAnswer(ballot);
    const message = `Member m[${memberId}] has not voted for proposal ${id}.`;
    return errorAnswer(404, 'VoteNotFound', message);
  }),
  reading(`${DIGESTS}/{memberId}`, 'The digest that a member is to acknowledge', digestAnswer),
];

function digestAnswer({ params }: AppRequest, view: ReadView): AppResponse {
  const memberId = params.memberId ?? '';
  const get = (table: string, key: Uint8Array): Uint8Array | undefined =>
    view.table(table).get(key);
  const stateDigest = stateDigestOf({ get }, memberId);
  if (stateDigest !== undefined) return sortedAnswer({ memberId, stateDigest });
  const message = `No ACK record exists for member m[${memberId.slice(0, 80)}].`;
  return errorAnswer(404, 'ResourceNotFound', message);
}

function sameProposal(request: AppRequest, { proposalId }: MemberMessage): void {
  const id = idIn(request, 'proposalId');
  if (id === proposalId) return;
  throw invalidName(`Authenticated proposal id does not match URL: ${proposalId} is not ${id}`);
}

function sameMember({ params }: AppRequest, { memberId }: MemberMessage): void {
  if (params.memberId === memberId) return;
  const message =
    `Member ID in path (${(params.memberId ?? '').slice(0, 80)}) does not match ` +
    `the signer of the request (${memberId})`;
  throw new CodedError('InvalidAuthenticationInfo', message, { status: 400 });
}

function proposalIn(request: AppRequest, view: ReadView): Proposal {
  const id = idIn(request, 'proposalId');
  const row = view.table(PROPOSALS_INFO).get(utf8(id));
  if (row === undefined) throw noProposal(id);
  return { id, info: infoOf(row) };
}

function noProposal(id: string): CodedError {
  return new CodedError('ProposalNotFound', `Could not find proposal ${id}.`, { status: 404 });
}

function proposalAnswer(proposal: Proposal): AppResponse {
  return sortedAnswer(shown(proposal));
}

function shown({ id, info }: Proposal): unknown {
  return {
    ballotCount: Object.keys(info.ballots).length,
    failure: info.failure,
    finalVotes: info.final_votes,
    proposalId: id,
    proposalState: info.state,
    proposerId: info.proposer_id,
    voteFailures: info.vote_failures,
  };
}

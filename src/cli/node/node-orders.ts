/**
 * Members' decisions about nodes: trusting one that has asked to join, removing one. They are
 * proposals (governance.md §3, §6), for which each member whose key is at hand votes in turn until
 * they are accepted.
 */
import { CodedError } from '../../base/errors.ts';
import type { SigningMember } from '../gov/place.ts';
import { refusalIn, type ServiceAnswer, type ServiceAsker } from './service-asker.ts';

/** Certificates begin a little before now: clocks differ. */
const BACKDATE_MS = 60 * 60 * 1000;
const PROPOSE = '/members/proposals:create';
const YES = 'export function vote (proposal, proposerId) { return true }';
/** The least of an id by which a node may be named. */
const PREFIX_DIGITS_MIN = 6;

export type NodeOrder = 'trust' | 'remove';

export interface OrderOutcome {
  readonly nodeId: string;
  /** The node's, once it is decided; `Proposed` while other members have to vote. */
  readonly status: string;
  readonly proposalId: string;
  /** The transaction of the last vote. */
  readonly transaction: string | undefined;
}

/** Proposes it and votes; rejects with what the service said if it was refused. */
export async function orderNode(
  order: NodeOrder,
  nodeId: string,
  members: readonly SigningMember[],
  nowMs: number,
): Promise<OrderOutcome> {
  const validFrom = new Date(nowMs - BACKDATE_MS).toISOString();
  const action =
    order === 'trust'
      ? {
          name: 'transition_node_to_trusted',
          args: { node_id: nodeId, valid_from: validFrom },
        }
      : { name: 'remove_node', args: { node_id: nodeId } };
  const what = `the proposal to ${order} ${nodeId}`;
  const [proposer] = members;
  if (proposer === undefined) throw new CodedError('Usage', 'no member is there to propose it');
  let answer = await proposer.send('proposal', PROPOSE, JSON.stringify({ actions: [action] }));
  const { proposalId } = stateIn(answer);
  for (const member of members) {
    if (stateIn(answer).proposalState !== 'Open') break;
    const path = `/members/proposals/${proposalId}/ballots/${member.id}:submit`;
    answer = await member.send('ballot', path, JSON.stringify({ ballot: YES }), proposalId);
  }
  const { proposalState } = stateIn(answer);
  if (proposalState !== 'Open' && proposalState !== 'Accepted') {
    throw new CodedError('NotDecided', `${what} is ${proposalState}`, { proposalId });
  }
  const status =
    proposalState === 'Open' ? 'Proposed' : await statusOf(nodeId, proposer.service);
  return { nodeId, status, proposalId, transaction: answer.txId };
}

interface ProposalState {
  readonly proposalId: string;
  readonly proposalState: string;
}

function stateIn({ body }: ServiceAnswer): ProposalState {
  return JSON.parse(body) as ProposalState;
}

async function statusOf(nodeId: string, service: ServiceAsker): Promise<string> {
  const nodes = await listNodes(service);
  return nodes.find(({ node_id }) => node_id === nodeId)?.status ?? 'Forgotten';
}

export interface ListedNode {
  readonly node_id: string;
  readonly status: string;
  readonly rpc_interfaces?: Readonly<Record<string, { readonly published_address?: string }>>;
}

/** The nodes that the ledger names. */
export async function listNodes(service: ServiceAsker): Promise<readonly ListedNode[]> {
  const answer = await service.get('/node/network/nodes');
  if (answer.status !== 200) throw refusalIn(answer, 'the list of nodes');
  return (JSON.parse(answer.body) as { readonly nodes: readonly ListedNode[] }).nodes;
}

/**
 * The whole id of a node by its first digits. Throws `UnknownNode`, naming the nodes there are.
 */
export async function nodeIdOf(given: string, service: ServiceAsker): Promise<string> {
  const nodes = await listNodes(service);
  const wanted = given.toLowerCase();
  const isId = new RegExp(`^[0-9a-f]{${PREFIX_DIGITS_MIN},64}$`).test(wanted);
  const found = isId ? nodes.filter(({ node_id }) => node_id.startsWith(wanted)) : [];
  if (found.length === 1 && found[0] !== undefined) return found[0].node_id;
  const list = nodes.map(({ node_id, status }) => `\n  ${node_id} ${status}`).join('');
  const why =
    found.length > 1
      ? `${found.length} nodes begin with it`
      : isId
        ? 'the service knows no such node'
        : `an id is 64 hexadecimal digits, of which the first ${PREFIX_DIGITS_MIN} may do`;
  throw new CodedError('UnknownNode', `${JSON.stringify(given)}: ${why}. There are${list}`, {
    given,
  });
}

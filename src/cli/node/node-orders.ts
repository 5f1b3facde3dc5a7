/**
 * A member's orders about nodes: trusting one that has asked to join, removing one. The order is
 * signed with the member's key and carried out by whichever node is the primary.
 */
import { readFileSync } from 'node:fs';
import { CodedError } from '../../base/errors.ts';
import { signOperatorAction } from '../../governance/operator-actions.ts';
import { refusalIn, type ServiceAsker } from './service-asker.ts';

/** Certificates begin a little before now: clocks differ. */
const BACKDATE_MS = 60 * 60 * 1000;
const PATH = '/node/concordat/operator-actions';
/** The least of an id by which a node may be named. */
const PREFIX_DIGITS_MIN = 6;

export type NodeOrder = 'trust' | 'remove';

/** A member's certificate and key, in files. */
export interface MemberKeyFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface OrderOutcome {
  readonly nodeId: string;
  readonly status: string;
  /** The transaction that carries it out, once that is committed. */
  readonly transaction: string | undefined;
}

/** Orders it; rejects with what the service said if it was not done. */
export async function orderNode(
  order: NodeOrder,
  nodeId: string,
  member: MemberKeyFiles,
  service: ServiceAsker,
  nowMs: number,
): Promise<OrderOutcome> {
  const signing = {
    certificatePem: readFileSync(member.certificate, 'utf8'),
    privateKeyPem: readFileSync(member.key, 'utf8'),
  };
  const validFrom = new Date(nowMs - BACKDATE_MS).toISOString();
  const signed =
    order === 'trust'
      ? await signOperatorAction(
          'transition_node_to_trusted',
          { node_id: nodeId, valid_from: validFrom },
          signing,
          nowMs,
        )
      : await signOperatorAction('remove_node', { node_id: nodeId }, signing, nowMs);
  const answer = await service.postCose(PATH, signed);
  if (answer.status !== 200) throw refusalIn(answer, `the order to ${order} ${nodeId}`);
  const { node_status } = JSON.parse(answer.body) as { readonly node_status: string };
  return { nodeId, status: node_status, transaction: answer.txId };
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

/**
 * `/node/network/nodes…`, and the nodes' evidence (`quotes`, `attestations`), all from the nodes
 * table (http-api.md §10); a node's own is what it showed at its last start, fresher than its row.
 * That of a virtual node proves nothing and says so (design decision 7).
 */
import { type AppRequest, type AppResponse, answer, type Endpoint } from '../apps/interface.ts';
import { bytesOfBase64, hexOf, textOf, utf8 } from '../base/bytes.ts';
import { deleteRetiredNode, mustBeRemovable } from '../governance/nodes-retirement.ts';
import type { ReadView } from '../kv/tables.ts';
import { errorAnswer, jsonAnswer } from './answers.ts';
import type { Backend } from './backend.ts';
import { isObject, type NodeRow, nodeRow, nodeRows } from './governance-rows.ts';
import { queryValue } from './query.ts';
import { queryParameter } from './transaction-query.ts';

const INSECURE =
  'INSECURE: virtual platform. This evidence is made up by the node and proves nothing.';
const STATUSES = ['Pending', 'Trusted', 'Retired'];

type Handler = (request: AppRequest, view: ReadView) => AppResponse;

function reading(
  path: string,
  summary: string,
  openApi: Readonly<Record<string, unknown>>,
  handler: Handler,
): Endpoint {
  return {
    verb: 'GET',
    path,
    authentication: ['no_auth'],
    effect: 'read',
    reads: 'current',
    answers: 'local',
    summary,
    openApi,
    handle: (request, view) => answer(handler(request, view)),
  };
}

/** One whose answer is this node's, whatever the session has done before. */
function ofThisNode(path: string, summary: string, handler: Handler): Endpoint {
  return { ...reading(path, summary, {}, handler), forwarding: 'never' };
}

export function nodeListEndpoints(backend: Backend): readonly Endpoint[] {
  const one = (view: ReadView, nodeId: string | undefined): AppResponse => {
    const row = nodeId === undefined ? undefined : nodeRow(view, nodeId);
    if (row === undefined) return errorAnswer(404, 'ResourceNotFound', 'Node not found');
    return jsonAnswer(nodeInfo(row, backend.node().primaryId));
  };
  return [
    reading(
      '/network/nodes',
      'All nodes, or those that match',
      LIST_PARAMETERS,
      (request, view) => listAnswer(request, view, backend),
    ),
    ofThisNode('/network/nodes/self', 'This node', (_request, view) =>
      one(view, backend.node().nodeId),
    ),
    reading('/network/nodes/primary', 'The primary', {}, (_request, view) =>
      one(view, backend.node().primaryId),
    ),
    reading('/network/nodes/{node_id}', 'One node', {}, ({ params }, view) =>
      one(view, params.node_id),
    ),
    deletion(),
    removable(backend),
    ...evidenceEndpoints(backend),
  ];
}

/** The row of a node goes when its retirement, and the mark of that, are committed. */
function deletion(): Endpoint {
  return {
    ...reading('/network/nodes/{node_id}', 'Deletes a retired node', {}, () => DELETED),
    verb: 'DELETE',
    effect: 'write',
    reads: 'committed',
    governs: true,
    handle: ({ params }, committed) => {
      const nodeId = params.node_id ?? '';
      mustBeRemovable(committed, nodeId);
      return {
        kind: 'write',
        apply: (tx) => {
          deleteRetiredNode(tx, nodeId);
          return DELETED;
        },
      };
    },
  };
}

const DELETED = jsonAnswer(true);

function removable(backend: Backend): Endpoint {
  const list = reading(
    '/network/removable_nodes',
    'Nodes that can be shut down',
    {},
    (_request, view) => {
      const rows = nodeRows(view).filter(
        ({ info }) => info.status === 'Retired' && info.retired_committed === true,
      );
      return jsonAnswer({ nodes: rows.map((row) => nodeInfo(row, backend.node().primaryId)) });
    },
  );
  // One whose mark is not committed yet may still be needed to commit it.
  return { ...list, reads: 'committed' };
}

const LIST_PARAMETERS = {
  parameters: [
    queryParameter('host', { type: 'string' }, false),
    queryParameter('port', { type: 'string' }, false),
    queryParameter('status', { type: 'string', enum: STATUSES }, false),
  ],
} as const;

function listAnswer({ query }: AppRequest, view: ReadView, backend: Backend): AppResponse {
  const status = queryValue(query, 'status');
  if (status !== undefined && !STATUSES.includes(status)) {
    const known = STATUSES.join(', ');
    const message = `Query parameter 'status' must be one of ${known}, not '${status}'`;
    return errorAnswer(400, 'InvalidQueryParameterValue', message);
  }
  const host = queryValue(query, 'host');
  const port = queryValue(query, 'port');
  const rows = nodeRows(view).filter(
    ({ info }) =>
      (status === undefined || info.status === status) &&
      (host === undefined || addresses(info).some(([its]) => its === host)) &&
      (port === undefined || addresses(info).some(([, its]) => its === port)),
  );
  return jsonAnswer({ nodes: rows.map((row) => nodeInfo(row, backend.node().primaryId)) });
}

/** Host and port of each published address of a node. */
function addresses(info: NodeRow['info']): readonly (readonly [string, string])[] {
  const interfaces = isObject(info.rpc_interfaces) ? Object.values(info.rpc_interfaces) : [];
  return interfaces.flatMap((one) => {
    const address = isObject(one) ? (one.published_address ?? one.bind_address) : undefined;
    if (typeof address !== 'string') return [];
    const colon = address.lastIndexOf(':');
    return [[address.slice(0, colon), address.slice(colon + 1)] as const];
  });
}

function nodeInfo(row: NodeRow, primaryId: string | undefined): unknown {
  const { nodeId, info, lastWritten } = row;
  return {
    last_written: lastWritten ?? 0,
    node_data: info.node_data ?? null,
    node_id: nodeId,
    primary: nodeId === primaryId,
    rpc_interfaces: info.rpc_interfaces ?? {},
    status: info.status,
  };
}

function evidenceEndpoints(backend: Backend): readonly Endpoint[] {
  const self: Handler = (_request, view) => {
    const { nodeId, evidence: own } = backend.node();
    if (own !== undefined) {
      const info = { quote_info: own.evidence, code_digest: own.codeDigest };
      return jsonAnswer(evidenceOf(nodeId, info));
    }
    const row = nodeRow(view, nodeId);
    if (row === undefined) {
      return errorAnswer(404, 'ResourceNotFound', 'Could not find node quote');
    }
    return jsonAnswer(evidenceOf(nodeId, row.info));
  };
  const all = (name: string): Handler => {
    return (_request, view) => {
      const rows = nodeRows(view).filter(({ info }) => info.status === 'Trusted');
      return jsonAnswer({ [name]: rows.map(({ nodeId, info }) => evidenceOf(nodeId, info)) });
    };
  };
  return [
    ofThisNode('/quotes/self', 'Attestation of this node', self),
    ofThisNode('/attestations/self', 'Attestation of this node', self),
    reading('/quotes', 'Attestations of all nodes', {}, all('quotes')),
    reading('/attestations', 'Attestations of all nodes', {}, all('attestations')),
  ];
}

function evidenceOf(nodeId: string, info: NodeRow['info']): unknown {
  const quote = isObject(info.quote_info) ? info.quote_info : {};
  const measurement = measurementOf(info, quote.quote);
  return {
    endorsements: quote.endorsements ?? '',
    format: quote.format,
    ...(measurement === undefined ? {} : { measurement }),
    node_id: nodeId,
    raw: quote.quote ?? '',
    ...(quote.uvm_endorsements === undefined
      ? {}
      : { uvm_endorsements: quote.uvm_endorsements }),
    ...(quote.endorsed_tcb === undefined ? {} : { endorsed_tcb: quote.endorsed_tcb }),
    ...(quote.format === 'Insecure_Virtual' ? { insecure: INSECURE } : {}),
  };
}

/** In hexadecimal: as the nodes table has it, else, for a virtual node, from its evidence. */
function measurementOf(info: NodeRow['info'], raw: unknown): string | undefined {
  if (typeof info.code_digest === 'string') return info.code_digest;
  const bytes = typeof raw === 'string' ? bytesOfBase64(raw) : undefined;
  if (bytes === undefined || bytes[0] !== '{'.charCodeAt(0)) return undefined;
  const evidence: unknown = JSON.parse(textOf(bytes));
  const measurement = isObject(evidence) ? evidence.measurement : undefined;
  return typeof measurement === 'string' ? hexOf(utf8(measurement)) : undefined;
}

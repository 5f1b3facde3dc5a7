/**
 * `/node`: what this node tells of itself and of the network, to anyone (http-api.md §10).
 *
 * Left out, each for its reason: `memory` (7.0 final has it no more; the operator's metrics have
 * it), `js_metrics` (no scripts yet), `jwt_keys/refresh` (the primary writes by itself what it has
 * read), `join` and `create` (node-to-node).
 */
import { type AppResponse, answer, type Endpoint } from '../apps/interface.ts';
import type { Clock } from '../base/environment.ts';
import type { ReadView } from '../kv/tables.ts';
import { bareAnswer, errorAnswer, jsonAnswer } from './answers.ts';
import type { Backend, Configuration, NodeFacts } from './backend.ts';
import {
  configurationRow,
  isObject,
  nodeRow,
  previousIdentity,
  serviceRow,
} from './governance-rows.ts';
import { urlOf } from './node-addresses.ts';
import { nodeListEndpoints } from './node-list-endpoints.ts';
import type { FrontDoorStats } from './stats.ts';

/** The CCF whose conventions these endpoints follow. */
const CCF_VERSION = 'ccf-7.0.0';

type Handler = (view: ReadView) => AppResponse;

/** An endpoint of `/node` that answers from tables: its reply carries a transaction id. */
function fromTables(path: string, summary: string, handler: Handler): Endpoint {
  return { ...plain(path, summary, handler), effect: 'read' };
}

/** One whose answer is this node's, whatever the session has done before. */
function ofThisNode(endpoint: Endpoint): Endpoint {
  return { ...endpoint, forwarding: 'never' };
}

/** One that answers from what the node itself knows. */
function plain(path: string, summary: string, handler: Handler): Endpoint {
  return {
    verb: 'GET',
    path,
    authentication: ['no_auth'],
    effect: 'none',
    reads: 'current',
    answers: 'local',
    summary,
    handle: (_request, view) => answer(handler(view)),
  };
}

export function nodeEndpoints(
  backend: Backend,
  stats: () => FrontDoorStats,
  clock: Clock,
): readonly Endpoint[] {
  return [
    ...stateEndpoints(backend, clock),
    ...roleEndpoints(backend),
    ...readinessEndpoints(backend),
    ...nodeListEndpoints(backend),
    ...serviceEndpoints(backend),
    ...consensusEndpoints(backend),
    plain('/metrics', 'Sessions of this node', () => jsonAnswer(metricsOf(stats()))),
    plain('/jwt_keys/refresh/metrics', 'How often keys of token issuers were read', () => {
      const { tokenRefresh } = backend.node();
      return jsonAnswer(tokenRefresh ?? { attempts: 0, successes: 0, failures: 0 });
    }),
    plain('/index/strategies', 'Indexing strategies: none are installed', () => jsonAnswer([])),
  ];
}

function stateEndpoints(backend: Backend, clock: Clock): readonly Endpoint[] {
  return [
    ofThisNode(
      fromTables('/state', 'State of this node', () => jsonAnswer(stateOf(backend.node()))),
    ),
    plain('/version', 'Version of this node', () => {
      const { version, platform } = backend.node();
      const told = jsonAnswer({
        ccf_version: CCF_VERSION,
        quickjs_version: '',
        unsafe: false,
        concordat_version: version,
        concordat_platform: platform,
      });
      // Certificates are judged by this node's clock: here a client can compare it with its own.
      const date = new Date(clock.nowMs()).toUTCString();
      return { ...told, headers: { ...told.headers, date } };
    }),
    plain('/self_signed_certificate', 'Self-signed certificate of this node', () =>
      jsonAnswer({ self_signed_certificate: backend.node().selfSignedCertificatePem }),
    ),
  ];
}

function stateOf(facts: NodeFacts): unknown {
  const { nodeId, state, lastSignedSeqno, startupSeqno, stopNotice, restart } = facts;
  return {
    last_signed_seqno: lastSignedSeqno,
    node_id: nodeId,
    startup_seqno: startupSeqno,
    state,
    stop_notice: stopNotice,
    ...(restart === undefined ? {} : { concordat_restart: restart }),
  };
}

function roleEndpoints(backend: Backend): readonly Endpoint[] {
  const isPrimary = (): boolean => backend.node().role === 'leader';
  const isBackup = (): boolean => backend.node().role === 'follower';
  const wrongRole = (role: string): AppResponse =>
    errorAnswer(404, 'ResourceNotFound', `Node is not ${role}`);
  const endpoints: readonly Endpoint[] = [
    plain('/primary', 'Whether this node is the primary', () =>
      isPrimary() ? bareAnswer(200) : wrongRole('primary'),
    ),
    {
      ...plain(
        '/primary',
        'Whether this node is the primary; else, where the primary is',
        (view) => (isPrimary() ? bareAnswer(200) : redirectToPrimary(backend, view)),
      ),
      verb: 'HEAD',
    },
    plain('/backup', 'Whether this node is a backup', () =>
      isBackup() ? bareAnswer(200) : wrongRole('backup'),
    ),
  ];
  return endpoints.map((endpoint) =>
    withResponses(endpoint, {
      '200': { description: 'It is' },
      ...(endpoint.verb === 'HEAD' ? { '308': { description: 'It is elsewhere' } } : {}),
    }),
  );
}

function withResponses(
  endpoint: Endpoint,
  responses: Readonly<Record<string, unknown>>,
): Endpoint {
  return { ...endpoint, openApi: { ...endpoint.openApi, responses } };
}

/** To the primary's interface of the same name. */
function redirectToPrimary(backend: Backend, view: ReadView): AppResponse {
  const location = urlOf(view, backend.node().nodeId, backend.node().primaryId);
  if (location === undefined) return errorAnswer(500, 'InternalError', 'Primary unknown');
  return { status: 308, headers: { location: `${location}/node/primary` } };
}

function readinessEndpoints(backend: Backend): readonly Endpoint[] {
  const ready = (open: boolean): AppResponse => {
    const { state, stopNotice } = backend.node();
    return bareAnswer(open && state === 'PartOfNetwork' && !stopNotice ? 204 : 503);
  };
  return [
    plain('/ready/app', 'Whether the application can be used here', () =>
      ready(backend.applicationOpen()),
    ),
    plain('/ready/gov', 'Whether governance can be used here', () => ready(true)),
  ].map((endpoint) =>
    withResponses(endpoint, {
      '204': { description: 'Ready' },
      '503': { description: 'Not ready, or about to stop' },
    }),
  );
}

function serviceEndpoints(backend: Backend): readonly Endpoint[] {
  return [
    fromTables('/network', 'The service', (view) => {
      const service = serviceRow(view);
      if (service === undefined) {
        return errorAnswer(404, 'ResourceNotFound', 'Service state not available.');
      }
      const { view: current_view, primaryId } = backend.node();
      return jsonAnswer({
        current_service_create_txid: service.current_service_create_txid ?? null,
        current_view,
        primary_id: primaryId ?? null,
        recovery_count: service.recovery_count ?? 0,
        service_certificate: service.cert,
        service_data: service.service_data ?? null,
        service_status: service.status,
      });
    }),
    ofThisNode(
      fromTables('/service/configuration', 'Configuration of the service', (view) => {
        const configuration = configurationRow(view);
        return configuration === undefined
          ? errorAnswer(404, 'ResourceNotFound', 'Service configuration not available.')
          : jsonAnswer(configuration);
      }),
    ),
    fromTables('/service/previous_identity', 'Identity before the last recovery', (view) => {
      const previous = previousIdentity(view);
      const message = 'This service is not a recovery of a previous service.';
      return previous === undefined
        ? errorAnswer(404, 'ResourceNotFound', message)
        : jsonAnswer({ previous_service_identity: previous });
    }),
  ];
}

function consensusEndpoints(backend: Backend): readonly Endpoint[] {
  return [
    plain('/config', 'Addresses of the nodes in the newest configuration', (view) => {
      const newest = backend.node().configurations.at(-1);
      return jsonAnswer(newest === undefined ? {} : addressesOf(newest, view));
    }),
    plain('/consensus', 'State of consensus on this node', (view) =>
      jsonAnswer({ details: consensusOf(backend.node(), view) }),
    ),
  ];
}

/** In CCF's words. */
const LEADERSHIP: Readonly<Record<NodeFacts['role'], string>> = {
  leader: 'Leader',
  follower: 'Follower',
  candidate: 'Candidate',
  retired: 'None',
};

function consensusOf(facts: NodeFacts, view: ReadView): unknown {
  const { role, primaryId, configurations, acks } = facts;
  return {
    acks: Object.fromEntries(
      [...acks].map(([nodeId, { seqno, lastReceivedMs }]) => [
        nodeId,
        { last_received_ms: lastReceivedMs, seqno },
      ]),
    ),
    configs: configurations.map((configuration) => ({
      idx: configuration.seqno,
      nodes: addressesOf(configuration, view),
      rid: configuration.seqno,
    })),
    current_view: facts.view,
    leadership_state: LEADERSHIP[role],
    membership_state: role === 'retired' ? 'Retired' : 'Active',
    primary_id: primaryId ?? null,
    reconfiguration_type: 'OneTransaction',
    ticking: true,
  };
}

/** Node id → where other nodes reach it. */
function addressesOf(
  { nodeIds }: Configuration,
  view: ReadView,
): Readonly<Record<string, { address: unknown }>> {
  return Object.fromEntries(
    nodeIds.map((nodeId) => {
      const inside = nodeRow(view, nodeId)?.info.node_to_node_interface;
      const address = isObject(inside)
        ? (inside.published_address ?? inside.bind_address)
        : null;
      return [nodeId, { address }];
    }),
  );
}

function metricsOf({ interfaceName, sessions, counters }: FrontDoorStats): unknown {
  const { active, peak, softCap, hardCap } = sessions;
  const errors = {
    parsing: counters.unparsable,
    request_header_too_large: counters.headersTooLarge,
    request_payload_too_large: counters.bodiesTooLarge,
  };
  const own = { active, errors, hard_cap: hardCap, peak, soft_cap: softCap };
  return { sessions: { active, interfaces: { [interfaceName]: own }, peak } };
}

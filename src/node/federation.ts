/**
 * Federation's part in a node: the service that its peers see, made of the application's own
 * endpoints, and what a send waits for when its recipients are outside.
 */
import type { AppRequest, AppResponse, Endpoint } from '../apps/interface.ts';
import {
  challengeEndpoint,
  deliveredEndpoint,
  deliveriesEndpoint,
  groupEndpoint,
  insideKeys,
  outboxOf,
  ownPayloadsEndpoint,
  peerEndpoint,
  pushEndpoint,
  resendAllEndpoint,
  resendEndpoint,
} from '../apps/quorum/outside/endpoints.ts';
import { outsideParties } from '../apps/quorum/outside/parties.ts';
import { gone } from '../apps/quorum/sending.ts';
import { OUTBOX } from '../apps/quorum/tables.ts';
import { NO_BYTES } from '../base/bytes.ts';
import type { Random, Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import {
  Federation,
  type FederationFigures,
  type FederationOptions,
  type FederationStatus,
} from '../federation/federation.ts';
import { createPeerClient } from '../federation/peer-client.ts';
import type { FederationService } from '../federation/service.ts';
import type { PeerRequest, PeerResponse } from '../federation/surface.ts';
import type { ForwardedAnswer, ForwardedRequest, RunResult } from '../http/backend.ts';
import type { ReadView } from '../kv/tables.ts';
import type { NodeLog } from './node-options.ts';

/** Names requests of peers among those that nodes forward to each other. */
const PEERS_INTERFACE = 'concordat.peers';
/** How long the primary may take to answer a peer of another node. */
const FORWARDING_MS_MAX = 15_000;
/** A strict send answers by then: its connector and GoQuorum give up soon after. */
const STRICT_MS_MAX = 4_000;

export interface NodeFederationDependencies {
  readonly run: (endpoint: Endpoint, request: AppRequest) => Promise<RunResult>;
  readonly isPrimary: () => boolean;
  readonly committed: () => ReadView;
  readonly forward: (request: ForwardedRequest, timeoutMs: number) => Promise<ForwardedAnswer>;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: NodeLog;
  readonly onFault: (fault: unknown, where: string) => void;
}

export class NodeFederation {
  readonly #options: FederationOptions;
  readonly #deps: NodeFederationDependencies;
  readonly #service: FederationService;
  readonly #federation: Federation;

  constructor(options: FederationOptions, dependencies: NodeFederationDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    const { timers, random, log, onFault } = dependencies;
    this.#service = serviceOf(dependencies);
    this.#federation = new Federation(options, {
      service: this.#service,
      client: createPeerClient(options.server.tls),
      ...{ timers, random, log, onFault },
      forward: (request) => this.#forward(request),
    });
  }

  start(): Promise<{ readonly host: string; readonly port: number }> {
    return this.#federation.start();
  }

  stop(): Promise<void> {
    return this.#federation.stop();
  }

  figures(): FederationFigures {
    return this.#federation.figures();
  }

  status(): FederationStatus {
    return this.#federation.status();
  }

  /** Whether a forwarded request is that of a peer. */
  takes({ interfaceName }: ForwardedRequest): boolean {
    return interfaceName === PEERS_INTERFACE;
  }

  /** Answers a peer of another node; undefined when this node is not the primary. */
  async executeForwarded(request: ForwardedRequest): Promise<ForwardedAnswer | undefined> {
    if (!this.#deps.isPrimary()) return undefined;
    const { verb, target, headers, body } = request;
    const {
      status,
      headers: said,
      body: text,
    } = await this.#federation.answerHere({
      method: verb,
      target,
      header: (name) => headers.find((one) => one.name === name)?.value,
      body,
    });
    return {
      status,
      headers: Object.entries(said).map(([name, value]) => ({ name, value })),
      body: typeof text === 'string' ? Buffer.from(text) : text,
    };
  }

  /**
   * What the answer to a request becomes once it is known how its deliveries stand: nothing waits
   * for them unless sends are strict. `sinceMs` is when the request came.
   */
  async settled(result: RunResult, sinceMs: number): Promise<RunResult> {
    const key = sentKeyOf(result.response);
    if (key === undefined || this.#service.outbox(key).length === 0) return result;
    this.#federation.poke(key);
    if (this.#options.send === 'queued') return result;
    const leftMs = Math.max(0, STRICT_MS_MAX - (this.#deps.timers.elapsedMs() - sinceMs));
    return (await this.#federation.allHave(key, leftMs))
      ? result
      : { ...result, response: gone() };
  }

  async #forward(request: PeerRequest): Promise<PeerResponse> {
    const names = ['content-type', 'accept', 'tesserasupportedapiversions'];
    const headers = names.flatMap((name) => {
      const value = request.header(name);
      return value === undefined ? [] : [{ name, value }];
    });
    const { method: verb, target, body } = request;
    const forwarded = { interfaceName: PEERS_INTERFACE, verb, target, headers, body };
    try {
      const answer = await this.#deps.forward(forwarded, FORWARDING_MS_MAX);
      return {
        status: answer.status,
        headers: Object.fromEntries(answer.headers.map(({ name, value }) => [name, value])),
        body: answer.body,
      };
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const headersNow = { 'content-type': 'text/plain', 'retry-after': '1' };
      return { status: 503, headers: headersNow, body: error.message };
    }
  }
}

/** The payload that an answer says was sent: it names where the payload can be read. */
function sentKeyOf({ status, headers }: AppResponse): Uint8Array | undefined {
  const path = /^\/transaction\/(.+)$/.exec(headers?.location ?? '')?.[1];
  if (path === undefined || status < 200 || status > 201) return undefined;
  return Buffer.from(decodeURIComponent(path), 'base64');
}

/** The service as its peers see it. */
function serviceOf(deps: NodeFederationDependencies): FederationService {
  const { random } = deps;
  const ask = async (endpoint: Endpoint): Promise<AppResponse> =>
    (await deps.run(endpoint, NO_REQUEST)).response;
  const must = async (endpoint: Endpoint): Promise<void> => {
    const { status, body = '' } = await ask(endpoint);
    if (status < 300) return;
    throw new CodedError('Refused', Buffer.from(body).toString('utf8'), { status });
  };
  const found = async <Found>(
    make: (give: (value: Found) => void) => Endpoint,
  ): Promise<Found> => {
    const values: Found[] = [];
    await must(make((value) => values.push(value)));
    const last = values.at(-1);
    if (last !== undefined) return last;
    throw new CodedError('Refused', 'there is no answer', { status: 500 });
  };
  return {
    isPrimary: deps.isPrimary,
    insideKeys: () => insideKeys(deps.committed()),
    outsideKeys: () => [...outsideParties(deps.committed())],
    outboxLength: () => deps.committed().table(OUTBOX).size,
    outbox: (payload) => outboxOf(deps.committed(), payload),
    due: (deliveries) => found((give) => deliveriesEndpoint(deliveries, give)),
    delivered: (deliveries) => must(deliveredEndpoint(deliveries)),
    accept: (payload) => ask(pushEndpoint(random, payload)),
    acceptGroup: (group) => ask(groupEndpoint(group)),
    openChallenge: (challenge) => found((give) => challengeEndpoint(challenge, give)),
    registerPeer: (claim) => ask(peerEndpoint(claim)),
    resend: (key, party) => found((give) => resendEndpoint(key, party, give)),
    ownPayloads: (party, from) => found((give) => ownPayloadsEndpoint(party, from, give)),
    resendAll: (party, seqnos) => found((give) => resendAllEndpoint(party, seqnos, give)),
  };
}

const NO_REQUEST: AppRequest = {
  verb: 'POST',
  path: '/',
  params: {},
  query: '',
  header: () => undefined,
  body: NO_BYTES,
  caller: { policy: 'no_auth' },
};

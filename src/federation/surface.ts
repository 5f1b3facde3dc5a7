/**
 * What peers may ask: Tessera's P2P surface (transaction-manager.md §C), apart from transport.
 * Where Tessera answers 500 for the asker's own mistake, the right 4xx is said with one sentence.
 */
import type { AppResponse } from '../apps/interface.ts';
import { base64Of } from '../base/bytes.ts';
import { isCoded } from '../base/errors.ts';
import { ERROR_CODE_HEADER } from '../base/own-headers.ts';
import { VERSION } from '../base/version.ts';
import { decodePushed, VERSIONS_HEADER, versionsOf } from './api-versions.ts';
import type { FederationCounters } from './counters.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import { nameIn } from './key-challenge.ts';
import { decodeLegacy, encodeLegacy } from './legacy-codec.ts';
import type { PartyInfoExchange } from './party-info-exchange.ts';
import { decodePrivacyGroup } from './privacy-group.ts';
import { readPushBatch, readResend, readResendBatch } from './resend-requests.ts';
import type { Resender } from './resender.ts';
import type { FederationService } from './service.ts';

export interface PeerRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly target: string;
  /** First value of a header; names are lowercase. */
  header(name: string): string | undefined;
  readonly body: Uint8Array;
}

export interface PeerResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

export interface SurfaceDependencies {
  readonly service: FederationService;
  readonly exchange: PartyInfoExchange;
  readonly resender: Resender;
  readonly counters: FederationCounters;
  readonly log: { info(text: string): void; warn(text: string): void };
}

const TEXT = 'text/plain';
const JSON_TYPE = 'application/json';
const OCTETS = 'application/octet-stream';
const API_VERSIONS = ['1.0', '2.0', '2.1', '3.0', '4.0', '5.0'];

interface Route {
  readonly method: 'GET' | 'POST';
  readonly consumes?: string;
  readonly answer: (request: PeerRequest) => PeerResponse | Promise<PeerResponse>;
}

export class PeerSurface {
  readonly #deps: SurfaceDependencies;
  readonly #routes: ReadonlyMap<string, Route>;

  constructor(dependencies: SurfaceDependencies) {
    this.#deps = dependencies;
    const { exchange, resender } = dependencies;
    const octets = { method: 'POST', consumes: OCTETS } as const;
    const json = { method: 'POST', consumes: JSON_TYPE } as const;
    const get = (answer: () => PeerResponse): Route => ({ method: 'GET', answer });
    this.#routes = new Map<string, Route>([
      ['/', get(() => said(200, ''))],
      ['/upcheck', get(() => said(200, "I'm up!"))],
      ['/version', get(() => said(200, VERSION))],
      ['/version/distribution', get(() => said(200, VERSION))],
      ['/version/api', get(() => jsonOf(API_VERSIONS))],
      ['/partyinfo#GET', get(() => jsonOf(exchange.known()))],
      ['/partyinfo#POST', { ...octets, answer: (request) => this.#partyInfo(request) }],
      ['/partyinfo/validate', { ...octets, answer: (request) => this.#validate(request) }],
      ['/push', { ...octets, answer: (request) => this.#push(request) }],
      ['/pushPrivacyGroup', { ...octets, answer: (request) => this.#pushGroup(request) }],
      ['/pushBatch', { ...json, answer: (request) => this.#pushBatch(request) }],
      ['/resend', { ...json, answer: (request) => this.#resend(request) }],
      [
        '/resendBatch',
        {
          ...json,
          answer: async ({ body }) => jsonOf(await resender.batches(readResendBatch(body))),
        },
      ],
    ]);
  }

  /** Whether the answer may change what the service holds, so that the primary must give it. */
  needsPrimary({ method }: Pick<PeerRequest, 'method'>): boolean {
    return method === 'POST';
  }

  async answer(request: PeerRequest): Promise<PeerResponse> {
    const [path = ''] = request.target.split('?', 1);
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const route = this.#routes.get(`${path}#${method}`) ?? this.#routes.get(path);
    if (route === undefined) return this.#unrouted(path);
    if (route.method !== method) {
      const allow = route.method === 'GET' ? 'GET, HEAD' : route.method;
      return { ...said(405, 'HTTP 405 Method Not Allowed'), headers: { allow } };
    }
    const [type = ''] = (request.header('content-type') ?? '').split(';');
    if (route.consumes !== undefined && type.trim().toLowerCase() !== route.consumes) {
      return said(415, 'HTTP 415 Unsupported Media Type');
    }
    try {
      return await route.answer(request);
    } catch (error) {
      if (!isCoded(error)) throw error;
      const status = typeof error.fields.status === 'number' ? error.fields.status : 500;
      return this.#refused(request, said(status, error.message));
    }
  }

  #unrouted(path: string): PeerResponse {
    if (!this.#routes.has(`${path}#GET`)) return said(404, 'HTTP 404 Not Found');
    const headers = { 'content-type': TEXT, allow: 'GET, HEAD, POST' };
    return { ...said(405, 'HTTP 405 Method Not Allowed'), headers };
  }

  async #partyInfo(request: PeerRequest): Promise<PeerResponse> {
    const versions = versionsOf(request.header(VERSIONS_HEADER));
    const body = await this.#deps.exchange.received(request.body, versions);
    return { status: 200, headers: { 'content-type': OCTETS }, body };
  }

  async #validate({ body }: PeerRequest): Promise<PeerResponse> {
    const opened = await this.#deps.service.openChallenge(decodeLegacy(body));
    const name = nameIn(opened);
    // A challenge is a name and nothing else: no peer has another's payload opened here.
    return name === undefined ? said(400, 'the challenge is no UUID') : said(200, name);
  }

  async #push(request: PeerRequest): Promise<PeerResponse> {
    const versions = versionsOf(request.header(VERSIONS_HEADER));
    const answer = await this.#accept(decodePushed(request.body, versions));
    if (answer.status !== 201) return this.#refused(request, answer);
    const accept = request.header('accept') ?? TEXT;
    const headers = { 'content-type': accept.startsWith('text/html') ? 'text/html' : TEXT };
    return { ...answer, headers };
  }

  async #pushGroup(request: PeerRequest): Promise<PeerResponse> {
    const response = await this.#deps.service.acceptGroup(decodePrivacyGroup(request.body));
    const answer = said(response.status, textIn(response));
    return answer.status === 200 ? answer : this.#refused(request, answer);
  }

  async #pushBatch(request: PeerRequest): Promise<PeerResponse> {
    for (const payload of readPushBatch(request.body)) {
      const answer = await this.#accept(payload);
      if (answer.status !== 201) return this.#refused(request, answer);
    }
    return said(200, '');
  }

  async #accept(payload: EncodedPayload): Promise<PeerResponse> {
    const { service, counters, log } = this.#deps;
    const response = await service.accept(payload);
    const body = textIn(response);
    if (response.headers?.[ERROR_CODE_HEADER] === undefined) {
      if (response.status === 201) counters.accepted += 1;
    } else if (response.status === 201) {
      counters.ignored += 1;
      const sender = base64Of(payload.senderKey);
      const why = response.headers['x-concordat-why'] ?? 'its rules forbid it';
      log.warn(`payload ${body} of ${sender} is answered but not stored: ${why}`);
    }
    return said(response.status, body);
  }

  async #resend({ body }: PeerRequest): Promise<PeerResponse> {
    const wanted = readResend(body);
    if (wanted.type === 'ALL') {
      await this.#deps.resender.all(wanted.publicKey);
      return { status: 200, headers: {}, body: '' };
    }
    const payload = await this.#deps.service.resend(wanted.key, wanted.publicKey);
    // Bytes under the name of text, in the legacy encoding whatever was asked: as Tessera does.
    return { status: 200, headers: { 'content-type': TEXT }, body: encodeLegacy(payload) };
  }

  #refused({ method, target }: PeerRequest, answer: PeerResponse): PeerResponse {
    const { counters, log } = this.#deps;
    counters.refused += 1;
    log.warn(
      `a peer's ${method} ${target} is refused: ${answer.status} ${String(answer.body)}`,
    );
    return answer;
  }
}

export function said(status: number, sentence: string): PeerResponse {
  return { status, headers: { 'content-type': TEXT }, body: sentence };
}

function jsonOf(value: unknown): PeerResponse {
  return { status: 200, headers: { 'content-type': JSON_TYPE }, body: JSON.stringify(value) };
}

function textIn({ body = '' }: AppResponse): string {
  return typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
}

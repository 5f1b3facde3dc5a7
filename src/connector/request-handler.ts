/**
 * One request to the connector: let in or not, its body read, relayed, its answer written. It runs
 * for every transaction of a Quorum node, so it goes without any framework.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Timers } from '../base/environment.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import { PAYLOAD_BODY_BYTES_MAX, SESSION_LINGER_MS_MAX } from '../base/limits.ts';
import { ERROR_CODE_HEADER } from '../base/own-headers.ts';
import { askedFor, type RefusalLog } from '../base/refusal-log.ts';
import type { Answer } from '../client/answer-reader.ts';
import { absoluteLocation, type Surface, serviceTarget } from './addresses.ts';
import { type AdmissionRules, crossOriginHeaders, refusalOf } from './admission.ts';
import type { BodyRoom } from './body-room.ts';
import type { Figures } from './figures.ts';
import { firstHeader, relayedAnswerHeaders, relayedRequestHeaders } from './headers.ts';
import type { Relay } from './relay.ts';

export interface HandlerOptions {
  readonly surface: Surface;
  readonly overSocket: boolean;
  /** How clients come here: what an answer's `Location` begins with. */
  readonly scheme: 'http' | 'https';
  readonly refusals: RefusalLog;
  readonly rules: AdmissionRules;
  readonly relay: Relay;
  readonly room: BodyRoom;
  readonly figures: Figures;
  readonly timers: Timers;
  readonly log: (line: string) => void;
}

const NO_BODY = Buffer.alloc(0);
/** Up to here an answer goes out in one write. */
const ONE_WRITE_BYTES_MAX = 16 * 1024;
const TOO_LARGE = `the body has more than ${PAYLOAD_BODY_BYTES_MAX} bytes`;

export class RequestHandler {
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const { surface, rules } = this.#options;
    const { method = '', url = '', rawHeaders } = request;
    const own = this.#ownAnswer(method, url, rawHeaders);
    if (own !== undefined) {
      if (own.status !== 200) this.#noteRefusal(request, own.sentence);
      say(response, own.status, own.sentence);
      return;
    }
    const crossOrigin = crossOriginHeaders(rawHeaders, rules);
    if (method === 'OPTIONS' && crossOrigin.length > 0) {
      response.writeHead(204, [...crossOrigin]).end();
      return;
    }
    const target = serviceTarget(surface, url);
    if (target !== undefined) void this.#relay(request, response, target, crossOrigin);
  }

  /** What needs no service: refusals, and the connector's own figures. */
  #ownAnswer(
    method: string,
    url: string,
    rawHeaders: readonly string[],
  ): { readonly status: number; readonly sentence: string } | undefined {
    const { surface, overSocket, rules, figures } = this.#options;
    const refusal = refusalOf(rawHeaders, rules, overSocket);
    if (refusal !== undefined) return { status: 403, sentence: refusal };
    if (serviceTarget(surface, url) === undefined) {
      return { status: 400, sentence: 'the path is ambiguous: it has an empty segment' };
    }
    if (url !== '/metrics' || (method !== 'GET' && method !== 'HEAD')) return undefined;
    return { status: 200, sentence: figures.text() };
  }

  async #relay(
    request: IncomingMessage,
    response: ServerResponse,
    target: string,
    crossOrigin: readonly string[],
  ): Promise<void> {
    const { surface, relay, room, figures, timers, log } = this.#options;
    const arrivedMs = timers.elapsedMs();
    const { method = '', url = '', rawHeaders } = request;
    const reserved = bodyBytesOf(request);
    if (reserved > PAYLOAD_BODY_BYTES_MAX) {
      this.#noteRefusal(request, TOO_LARGE);
      refuseBody(request, response);
      return;
    }
    try {
      if (reserved > 0) await room.take(reserved);
      const body = reserved === 0 ? NO_BODY : await bodyOf(request);
      if (body === undefined) {
        this.#noteRefusal(request, TOO_LARGE);
        refuseBody(request, response);
        return;
      }
      const headerLines = relayedRequestHeaders(rawHeaders);
      const answer = await relay.ask(
        { method, target, headerLines, body },
        arrivedMs,
        () => !response.destroyed,
      );
      this.#write(response, rawHeaders, answer, method, crossOrigin);
      const why = refusalIn(answer);
      if (why !== undefined) this.#noteRefusal(request, why);
      figures.count(surface, method, url, answer.status, timers.elapsedMs() - arrivedMs);
    } catch (thrown) {
      if (response.destroyed) return;
      figures.fail();
      const reason = reasonOf(thrown);
      if (reason !== undefined) log(`${askedFor(method, url)} (${surface}) failed: ${reason}`);
      if (!isCoded(thrown)) {
        say(response, 500, 'the connector failed: see its log');
        return;
      }
      if (thrown.code !== 'ServiceUnreachable') {
        say(response, 503, thrown.message);
        return;
      }
      response.setHeader('Retry-After', '1');
      say(response, 503, 'the service cannot be reached, ask again');
    } finally {
      if (reserved > 0) room.giveBack(reserved);
    }
  }

  #noteRefusal(request: IncomingMessage, why: string): void {
    const { overSocket, surface, refusals } = this.#options;
    const { method = '', url = '' } = request;
    // A request that was cut off has no socket any more.
    const from = overSocket ? 'the socket' : (request.socket?.remoteAddress ?? 'somebody');
    refusals.note(`${from} (${surface})`, askedFor(method, url), why);
  }

  #write(
    response: ServerResponse,
    rawHeaders: readonly string[],
    answer: Answer,
    method: string,
    crossOrigin: readonly string[],
  ): void {
    const { status, headers, body } = plain(answer);
    const bodiless = status === 204 || status === 304;
    const stated =
      method === 'HEAD' ? statedLength(headers) : bodiless ? undefined : body.length;
    const host = firstHeader(rawHeaders, 'host');
    const relayed = relayedAnswerHeaders(headers, stated, (location) =>
      absoluteLocation(host, location, this.#options.scheme),
    );
    keepSilently(response);
    response.writeHead(status, [...relayed, ...crossOrigin]);
    // Node sends a head together with a body that is a string, and apart from one that is bytes.
    if (body.length > ONE_WRITE_BYTES_MAX) response.end(body);
    else response.end(body.toString('latin1'), 'latin1');
  }
}

/** With these the service refuses; 404 is its word for "you are no party", and says nothing ill. */
const REFUSING: ReadonlySet<number> = new Set([400, 401, 403, 409, 410, 413, 415, 422]);
/** These are about who asks and for whom; others may repeat what was sent, a payload. */
const SAFE_TO_REPEAT: ReadonlySet<number> = new Set([401, 403, 409, 410]);
/** The sentence of a refusal is short; what is longer is none. */
const SENTENCE_BYTES_MAX = 1024;

/** Why the service refused, in its words; undefined if it did not. */
function refusalIn({ status, headers, body }: Answer): string | undefined {
  if (!REFUSING.has(status)) return undefined;
  const isSafe = SAFE_TO_REPEAT.has(status) && body.length <= SENTENCE_BYTES_MAX;
  const said = isSafe ? body.toString('utf8') : '';
  const code = firstHeader(headers, ERROR_CODE_HEADER);
  return `the service says ${status}${code === undefined ? '' : ` ${code}`} ${said}`;
}

/** What the log is told of a failure; nothing of a loss, which was said once and for all. */
function reasonOf(thrown: unknown): string | undefined {
  if (!isCoded(thrown)) return messageOf(thrown);
  if (thrown.code === 'ServiceLostTransaction') return undefined;
  const { why } = thrown.fields;
  return typeof why === 'string' ? `${thrown.message} (${why})` : thrown.message;
}

const NOT_FOUND = Buffer.from('HTTP 404 Not Found');

/**
 * The front door's own errors are JSON of CCF's shape; on these surfaces a 404 of the application
 * is plain text, so a JSON one says that there is no such path.
 */
function plain(answer: Answer): Pick<Answer, 'status' | 'headers' | 'body'> {
  if (answer.status !== 404 || !isJson(answer.headers)) return answer;
  return { status: 404, headers: ['Content-Type', 'text/plain'], body: NOT_FOUND };
}

function isJson(headers: readonly string[]): boolean {
  return firstHeader(headers, 'content-type')?.startsWith('application/json') === true;
}

function statedLength(headers: readonly string[]): number | undefined {
  const stated = firstHeader(headers, 'content-length');
  return stated === undefined ? undefined : Number(stated);
}

/** Bytes a body may have: what is stated, or the bound when it comes in chunks. */
function bodyBytesOf({ headers }: IncomingMessage): number {
  if (headers['transfer-encoding'] !== undefined) return PAYLOAD_BODY_BYTES_MAX;
  return Number(headers['content-length'] ?? 0);
}

/** The whole body; undefined when it is longer than the bound. Rejects when the client is gone. */
async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > PAYLOAD_BODY_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  const [first] = chunks;
  return chunks.length === 1 && first !== undefined ? first : Buffer.concat(chunks);
}

function say(response: ServerResponse, status: number, sentence: string): void {
  const body = Buffer.from(sentence, 'utf8');
  keepSilently(response);
  response.setHeader('Content-Type', 'text/plain');
  response.setHeader('Content-Length', body.length);
  response.writeHead(status).end(body);
}

/** HTTP/1.1 keeps connections without saying so, and Tessera did not say it. */
function keepSilently(response: ServerResponse): void {
  if (response.shouldKeepAlive) response.removeHeader('connection');
}

/**
 * Refuses a body that is too large. What the client still sends is read and dropped for a while, so
 * that it gets to see the answer.
 */
function refuseBody(request: IncomingMessage, response: ServerResponse): void {
  const refuse = (): void => {
    clearTimeout(timer);
    if (response.writableEnded) return;
    response.writeHead(413, { 'Content-Type': 'text/plain', Connection: 'close' });
    response.end(TOO_LARGE);
  };
  const timer = setTimeout(refuse, SESSION_LINGER_MS_MAX);
  request.once('end', refuse).once('error', refuse).resume();
}

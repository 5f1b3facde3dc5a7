/**
 * One request to the connector: let in or not, its body read, relayed, its answer written. It runs
 * for every transaction of a Quorum node, so it goes without any framework.
 */
import type { Timers } from '../base/environment.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import { PAYLOAD_BODY_BYTES_MAX, SESSION_LINGER_MS_MAX } from '../base/limits.ts';
import { ERROR_CODE_HEADER } from '../base/own-headers.ts';
import { askedFor, type RefusalLog } from '../base/refusal-log.ts';
import type { Answer } from '../client/answer-reader.ts';
import type { Call } from '../wire/call.ts';
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
/** As Tessera's server, a connector says when it answered. */
const DATED = { last: false, dated: true } as const;
const LAST = { last: true, dated: true } as const;
const TOO_LARGE = `the body has more than ${PAYLOAD_BODY_BYTES_MAX} bytes`;

export class RequestHandler {
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  handle(call: Call): void {
    const { surface, rules } = this.#options;
    const { method, target, rawHeaders } = call;
    const own = this.#ownAnswer(method, target, rawHeaders);
    if (own !== undefined) {
      if (own.status !== 200) this.#noteRefusal(call, own.sentence);
      call.drop();
      say(call, own.status, own.sentence);
      return;
    }
    const crossOrigin = crossOriginHeaders(rawHeaders, rules);
    if (method === 'OPTIONS' && crossOrigin.length > 0) {
      call.drop();
      call.head(204, crossOrigin, DATED);
      call.end();
      return;
    }
    const above = serviceTarget(surface, target);
    if (above !== undefined) void this.#relay(call, above, crossOrigin);
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

  async #relay(call: Call, target: string, crossOrigin: readonly string[]): Promise<void> {
    const { surface, relay, room, figures, timers, log } = this.#options;
    const arrivedMs = timers.elapsedMs();
    const { method, rawHeaders } = call;
    const reserved = bodyBytesOf(rawHeaders);
    if (reserved > PAYLOAD_BODY_BYTES_MAX) {
      this.#noteRefusal(call, TOO_LARGE);
      refuseBody(call);
      return;
    }
    try {
      if (reserved > 0) await room.take(reserved);
      const body = reserved === 0 ? NO_BODY : await bodyOf(call);
      if (body === undefined) {
        this.#noteRefusal(call, TOO_LARGE);
        refuseBody(call);
        return;
      }
      const headerLines = relayedRequestHeaders(rawHeaders);
      const answer = await relay.ask(
        { method, target, headerLines, body },
        arrivedMs,
        () => !call.gone,
      );
      if (!call.gone) this.#write(call, answer, crossOrigin);
      const why = refusalIn(answer);
      if (why !== undefined) this.#noteRefusal(call, why);
      const tookMs = timers.elapsedMs() - arrivedMs;
      figures.count(surface, method, call.target, answer.status, tookMs);
    } catch (thrown) {
      if (call.gone) return;
      figures.fail();
      const reason = reasonOf(thrown);
      if (reason !== undefined) {
        log(`${askedFor(method, call.target)} (${surface}) failed: ${reason}`);
      }
      if (!isCoded(thrown)) {
        say(call, 500, 'the connector failed: see its log');
        return;
      }
      if (thrown.code !== 'ServiceUnreachable') {
        say(call, 503, thrown.message);
        return;
      }
      say(call, 503, 'the service cannot be reached, ask again', ['Retry-After', '1']);
    } finally {
      if (reserved > 0) room.giveBack(reserved);
    }
  }

  #noteRefusal({ socket, method, target }: Call, why: string): void {
    const { overSocket, surface, refusals } = this.#options;
    // A request that was cut off has no address any more.
    const from = overSocket ? 'the socket' : (socket?.remoteAddress ?? 'somebody');
    refusals.note(`${from} (${surface})`, askedFor(method, target), why);
  }

  #write(call: Call, answer: Answer, crossOrigin: readonly string[]): void {
    const { status, headers, body } = plain(answer);
    const bodiless = status === 204 || status === 304;
    const stated =
      call.method === 'HEAD' ? statedLength(headers) : bodiless ? undefined : body.length;
    const relayed = relayedAnswerHeaders(headers, stated, (location) =>
      absoluteLocation(firstHeader(call.rawHeaders, 'host'), location, this.#options.scheme),
    );
    call.head(status, crossOrigin.length === 0 ? relayed : [...relayed, ...crossOrigin], DATED);
    call.end(body);
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
function bodyBytesOf(rawHeaders: readonly string[]): number {
  if (firstHeader(rawHeaders, 'transfer-encoding') !== undefined) return PAYLOAD_BODY_BYTES_MAX;
  return Number(firstHeader(rawHeaders, 'content-length') ?? 0);
}

/** The whole body; undefined when it is longer than the bound. Rejects when the client is gone. */
function bodyOf(call: Call): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    call.readBody(
      PAYLOAD_BODY_BYTES_MAX,
      (body) => resolve(body === undefined ? undefined : bufferOf(body)),
      () => reject(new Error('the client hung up')),
    );
  });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function say(
  call: Call,
  status: number,
  sentence: string,
  headers: readonly string[] = [],
): void {
  const body = Buffer.from(sentence, 'utf8');
  const own = ['Content-Type', 'text/plain', 'Content-Length', String(body.length)];
  call.head(status, [...headers, ...own], DATED);
  call.end(body);
}

/**
 * Refuses a body that is too large. What the client still sends is read and dropped for a while, so
 * that it gets to see the answer.
 */
function refuseBody(call: Call): void {
  const refuse = (): void => {
    clearTimeout(timer);
    if (refused || call.gone) return;
    refused = true;
    const length = String(TOO_LARGE.length);
    call.head(413, ['Content-Type', 'text/plain', 'Content-Length', length], LAST);
    call.end(TOO_LARGE);
  };
  let refused = false;
  const timer = setTimeout(refuse, SESSION_LINGER_MS_MAX);
  call.whenReceived(refuse);
}

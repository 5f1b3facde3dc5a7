/**
 * The service that an import writes to, asked as the organisation. Everything that is sent may be
 * sent again, so whatever fails for the moment is tried until patience ends.
 */
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { bytesOfBase64 } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { ERROR_CODE_HEADER } from '../../base/own-headers.ts';
import type { EncodedPayload } from '../../federation/encoded-payload.ts';
import { payloadTransfer, type Transfer } from './transfer-body.ts';

export interface ImportServiceOptions {
  readonly urls: readonly string[];
  /** PEM: the only trust anchor, and the organisation's own. */
  readonly serviceCertificate: string;
  readonly certificate: string;
  readonly key: string;
  readonly sessions: number;
  /** How long one thing is tried before the import gives up. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
}

/** What became of one thing. */
export type Verdict =
  | { readonly kind: 'stored' | 'known' }
  | { readonly kind: 'refused'; readonly why: string };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
  /** Of an error; empty when none is named. */
  readonly code: string;
}

const PAUSE_MS_MIN = 50;
const PAUSE_MS_MAX = 2_000;
const ANSWER_MS_MAX = 15_000;
const ANSWER_BYTES_MAX = 32 * 1024 * 1024;

export class ImportService {
  readonly #options: ImportServiceOptions;
  readonly #agent: Agent;
  /** The node that answered last. */
  #best = 0;

  constructor(options: ImportServiceOptions) {
    this.#options = options;
    this.#agent = new Agent({
      ca: options.serviceCertificate,
      cert: options.certificate,
      key: options.key,
      minVersion: 'TLSv1.2',
      keepAlive: true,
      maxSockets: options.sessions,
    });
  }

  /** The organisation's party keys; throws when the service does not know its certificate. */
  async keys(): Promise<readonly Uint8Array[]> {
    const answer = await this.#ask('GET', '/app/quorum/3p/keys');
    const refused = (): CodedError =>
      new CodedError(
        'NotAnOrganisation',
        `the service answers ${answer.status} to this certificate: ${answer.body.trim()}`,
      );
    if (answer.status !== 200) throw refused();
    const { keys } = JSON.parse(answer.body) as { keys?: readonly { key?: unknown }[] };
    return (keys ?? []).flatMap(({ key }) => bytesOfBase64(String(key)) ?? []);
  }

  async send({ path, body }: Transfer): Promise<Verdict> {
    const answer = await this.#ask('POST', `/app/quorum/import${path}`, body);
    if (answer.status !== 200) {
      return { kind: 'refused', why: `${answer.status} ${answer.body.trim()}` };
    }
    const { outcome } = JSON.parse(answer.body) as { outcome?: unknown };
    return { kind: outcome === 'known' ? 'known' : 'stored' };
  }

  /** Opens what a peer sealed for one of the organisation's keys; undefined if it does not. */
  async open(sealed: EncodedPayload): Promise<Uint8Array | undefined> {
    const { body } = payloadTransfer(new Uint8Array(0), sealed);
    const answer = await this.#ask('POST', '/app/quorum/q2t/encodedpayload/decrypt', body);
    if (answer.status !== 200) return undefined;
    const { payload } = JSON.parse(answer.body) as { payload?: unknown };
    return bytesOfBase64(String(payload));
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Asks one node after the other until one has an answer that is not of the moment. */
  async #ask(method: string, path: string, body?: object): Promise<Answer> {
    const { urls, patienceMs, signal } = this.#options;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const startMs = performance.now();
    let why = 'no node is named';
    for (let pauseMs = PAUSE_MS_MIN; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
      for (let tried = 0; tried < urls.length; tried += 1) {
        if (signal.aborted) throw new CodedError('Stopped', 'the import was stopped');
        const at = (this.#best + tried) % urls.length;
        try {
          const answer = await this.#exchange(urls[at] ?? '', method, path, text);
          if (!isOfTheMoment(answer)) {
            this.#best = at;
            return answer;
          }
          why = `${urls[at]} answers ${answer.status}: ${answer.body.trim().slice(0, 300)}`;
        } catch (thrown) {
          why = `${urls[at]} does not answer: ${messageOf(thrown)}`;
        }
      }
      if (performance.now() - startMs > patienceMs) {
        throw new CodedError('ServiceUnreachable', `the service cannot do it: ${why}`);
      }
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One request, sent on to another node at most once. */
  async #exchange(url: string, method: string, path: string, text?: string): Promise<Answer> {
    const answer = await this.#once(`${url}${path}`, method, text);
    if (answer.status !== 307 && answer.status !== 308) return answer;
    const { location } = answer;
    if (location === undefined || !location.startsWith('https://')) return answer;
    return await this.#once(location, method, text);
  }

  #once(url: string, method: string, text: string | undefined): Promise<Answer> {
    const headers =
      text === undefined
        ? { accept: 'application/json' }
        : {
            accept: 'application/json',
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(text),
          };
    return new Promise((resolve, reject) => {
      const { signal } = this.#options;
      const options = { method, headers, agent: this.#agent, timeout: ANSWER_MS_MAX, signal };
      const asking = request(url, options, (response) => {
        bodyOf(response, ANSWER_BYTES_MAX).then(
          (bytes) =>
            resolve({
              status: response.statusCode ?? 0,
              body: bytes.toString('utf8'),
              location: response.headers.location,
              code: String(response.headers[ERROR_CODE_HEADER] ?? ''),
            }),
          reject,
        );
      });
      asking.on('timeout', () => asking.destroy(new Error('it takes too long')));
      asking.on('error', reject);
      asking.end(text);
    });
  }
}

/** Nothing was decided: an election, too much to do, a payload that another brings just now. */
function isOfTheMoment({ status, code }: Answer): boolean {
  if (status === 503 || status === 504 || status === 307 || status === 308) return true;
  // A transaction that an election undid (http-api.md §8).
  return status === 500 && code === 'TransactionInvalid';
}

/** The whole body of a message, up to a bound. */
export async function bodyOf(message: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of message as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > bytesMax) throw new Error(`a body has more than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * Questions and orders to a service over its front door. Whoever answers must show a certificate
 * that the service has endorsed.
 */
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { REQUEST_WAIT_MS_MAX, SCRIPTS_MS_MAX } from '../../base/limits.ts';

/** A service may be between two primaries for a while. */
const RETRIES_MS_MAX = 10_000;
const RETRY_MS = 250;
const ANSWER_BYTES_MAX = 4_000_000;
const SILENCE_MS_MAX = 2 * REQUEST_WAIT_MS_MAX;
/** What is signed may have scripts run, by way of another node. */
const SIGNED_SILENCE_MS_MAX = SCRIPTS_MS_MAX + REQUEST_WAIT_MS_MAX;

/** A node's front door, https://HOST:PORT, or undefined for what is none. */
export function frontDoorOrigin(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'https:' && url.pathname === '/' ? url.origin : undefined;
}

export interface ServiceAnswer {
  readonly status: number;
  readonly body: string;
  /** Of the transaction that the answer rests on. */
  readonly txId: string | undefined;
}

export class ServiceAsker {
  readonly #urls: readonly string[];
  readonly #agent: Agent;
  readonly #retriesMsMax: number;

  /** Asks the first of several nodes that answers. */
  constructor(
    urls: readonly string[],
    serviceCertificatePem: string,
    retriesMsMax = RETRIES_MS_MAX,
  ) {
    this.#urls = urls;
    this.#retriesMsMax = retriesMsMax;
    this.#agent = new Agent({ ca: serviceCertificatePem, keepAlive: false });
  }

  async get(path: string): Promise<ServiceAnswer> {
    return await this.#inTime((url) => this.#ask(url, 'GET', path));
  }

  /** Posts what is signed; the same bytes count once, so that it may be sent again. */
  async postCose(path: string, body: Uint8Array): Promise<ServiceAnswer> {
    return await this.#inTime((url) => this.#ask(url, 'POST', path, body));
  }

  /** Goes from node to node while none is there, or none can. */
  async #inTime(ask: (url: string) => Promise<ServiceAnswer>): Promise<ServiceAnswer> {
    for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
      let last: ServiceAnswer | CodedError | undefined;
      for (const url of this.#urls) {
        try {
          last = await ask(url);
          if (last.status !== 503) return last;
        } catch (error) {
          if (!isCoded(error, 'NodeUnreachable')) throw error;
          last = error;
        }
      }
      if (waitedMs < this.#retriesMsMax) {
        await sleep(RETRY_MS);
        continue;
      }
      if (last instanceof CodedError) throw last;
      if (last !== undefined) return last;
      throw new CodedError('Usage', 'no node is named');
    }
  }

  #ask(
    url: string,
    method: 'GET' | 'POST',
    path: string,
    body?: Uint8Array,
  ): Promise<ServiceAnswer> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        const why = `${url} does not answer: ${messageOf(error)}`;
        reject(new CodedError('NodeUnreachable', why, { url }, { cause: error }));
      };
      const timeout = body === undefined ? SILENCE_MS_MAX : SIGNED_SILENCE_MS_MAX;
      const headers =
        body === undefined
          ? {}
          : { 'content-type': 'application/cose', 'content-length': String(body.length) };
      const asking = request(
        `${url}${path}`,
        { method, agent: this.#agent, headers, timeout },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (piece: string) => {
            text += piece;
            if (text.length > ANSWER_BYTES_MAX)
              asking.destroy(new Error('it answers too much'));
          });
          response.on('error', fail);
          response.on('end', () => {
            const txId = response.headers['x-ms-ccf-transaction-id'];
            resolve({
              status: response.statusCode ?? 0,
              body: text,
              txId: typeof txId === 'string' ? txId : undefined,
            });
          });
        },
      );
      asking.on('timeout', () => asking.destroy(new Error('it takes too long')));
      asking.on('error', fail);
      asking.end(body);
    });
  }
}

/** What the service said instead of doing it. */
export function refusalIn({ status, body }: ServiceAnswer, what: string): CodedError {
  let code = 'Refused';
  let message = body.trim();
  try {
    const { error } = JSON.parse(body) as { error?: { code?: unknown; message?: unknown } };
    if (typeof error?.code === 'string') code = error.code;
    if (typeof error?.message === 'string') message = error.message;
  } catch {
    // The body is the message.
  }
  return new CodedError(code, `${what} was answered ${status}: ${message}`, { status });
}

/**
 * Requests over TLS to whoever shows a certificate that the service has endorsed, and to nobody
 * else: the service's certificate, which the joiner was given, is the only authority.
 */
import { Agent, request } from 'node:https';
import { messageOf } from '../../base/errors.ts';
import { JOIN_ANSWER_BYTES_MAX, JOIN_ANSWER_MS_MAX } from '../../base/limits.ts';
import { parsePeerAddress } from '../peers/peer-address.ts';
import { type JoinerCredentials, unreachable } from './join-source.ts';

export interface HttpQuestion {
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Path and query. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names are lowercase. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Asks the node at an address. Rejects with `SourceUnreachable`. */
export interface PinnedHttp {
  ask(address: string, question: HttpQuestion): Promise<HttpAnswer>;
  close(): void;
}

export function pinnedHttp(
  { certificatePem, key, serviceCertificatePem }: JoinerCredentials,
  answerMsMax: number = JOIN_ANSWER_MS_MAX,
): PinnedHttp {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 4,
    ca: serviceCertificatePem,
    cert: certificatePem,
    key: key.privateKeyPem(),
    minVersion: 'TLSv1.2',
    // Its session must prove the joiner's key each time, and not resume one that did.
    maxCachedSessions: 0,
  });
  return {
    ask: (address, question) => ask(agent, address, question, answerMsMax),
    close: () => agent.destroy(),
  };
}

function ask(
  agent: Agent,
  address: string,
  { method, target, headers = {}, body }: HttpQuestion,
  answerMsMax: number,
): Promise<HttpAnswer> {
  const place = parsePeerAddress(address);
  if (place === undefined) {
    return Promise.reject(unreachable(address, 'this is no address, which is host:port'));
  }
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      reject(unreachable(address, why, cause));
      call.destroy();
    };
    const length = body === undefined ? {} : { 'content-length': String(body.length) };
    const call = request(
      { agent, ...place, method, path: target, headers: { ...headers, ...length } },
      (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (bytes > JOIN_ANSWER_BYTES_MAX) fail(`it answers with over ${bytes} bytes`);
          else pieces.push(piece);
        });
        response.on('error', (cause) => fail(messageOf(cause), cause));
        response.on('aborted', () => fail('it broke off its answer'));
        response.on('end', () => {
          if (!response.complete) return;
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(
              Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
            ),
            body: Buffer.concat(pieces),
          });
        });
      },
    );
    const deadline = setTimeout(() => fail(`no answer within ${answerMsMax} ms`), answerMsMax);
    call.on('close', () => clearTimeout(deadline));
    call.on('error', (cause) => fail(messageOf(cause), cause));
    call.end(body);
  });
}

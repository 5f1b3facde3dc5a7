/**
 * Questions over HTTP to what stands beside a node (sidecar, metadata service) or far from it
 * (certificate services). What comes back is judged by whoever asked: certificates prove
 * themselves, so plain HTTP is good enough where a service offers nothing else.
 */
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { CodedError, messageOf } from '../../base/errors.ts';
import { ENDORSEMENT_BYTES_MAX, ENDORSEMENT_MS_MAX } from './source-limits.ts';

export interface HttpQuestion {
  readonly url: string;
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** PEM of the only authorities that are believed about the other side; the usual when absent. */
  readonly authorities?: string;
}

export interface HttpReply {
  readonly status: number;
  readonly body: Uint8Array;
  /** Seconds, from `retry-after`. */
  readonly retryAfterSeconds?: number;
}

/** Rejects with `NoAnswer` when there is none in time, or more than fits. */
export type HttpAsker = (question: HttpQuestion) => Promise<HttpReply>;

export function httpAsker(
  timeoutMs: number = ENDORSEMENT_MS_MAX,
  bytesMax: number = ENDORSEMENT_BYTES_MAX,
): HttpAsker {
  return ({ url, method = 'GET', headers = {}, body, authorities }) =>
    new Promise((resolve, reject) => {
      const fail = (why: string, cause?: unknown): void =>
        reject(new CodedError('NoAnswer', `${url}: ${why}`, { url }, { cause }));
      if (!URL.canParse(url)) return fail('this is no address');
      const { protocol } = new URL(url);
      if (protocol !== 'http:' && protocol !== 'https:')
        return fail('it is neither http nor https');
      const open = protocol === 'https:' ? requestTls : requestPlain;
      const signal = AbortSignal.timeout(timeoutMs);
      const trust = authorities === undefined ? {} : { ca: authorities };
      const options = { method, headers, signal, agent: false, ...trust } as const;
      const call = open(url, options, (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          pieces.push(piece);
          if (bytes <= bytesMax) return;
          // Said first: what came so far may end as if it were whole.
          fail(`the answer is longer than ${bytesMax} bytes`);
          call.destroy();
        });
        response.on('end', () => {
          const after = Number(response.headers['retry-after']);
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(pieces),
            ...(Number.isFinite(after) && after >= 0 ? { retryAfterSeconds: after } : {}),
          });
        });
        response.on('error', (error) => fail(messageOf(error), error));
      });
      call.on('error', (error) =>
        fail(signal.aborted ? `no answer within ${timeoutMs} ms` : messageOf(error), error),
      );
      call.end(body);
    });
}

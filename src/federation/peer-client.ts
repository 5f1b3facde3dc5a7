/**
 * Requests to peers over HTTP: no redirects are followed, answers are short, and nobody is waited
 * for beyond a time that the caller names.
 */
import { Agent, request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { CodedError } from '../base/errors.ts';

export interface PeerAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface PeerQuestion {
  readonly method: 'GET' | 'POST';
  /** The peer's url, which ends with a slash. */
  readonly url: string;
  /** Below it, without a slash at the front. */
  readonly path: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | string;
  readonly timeoutMs: number;
}

export interface PeerClient {
  ask(question: PeerQuestion): Promise<PeerAnswer>;
  close(): void;
}

/** What proves this side to peers over TLS, and what proves them. PEM. */
export interface PeerTls {
  readonly key: string;
  readonly cert: string;
  /** Whose certificates count; the system's when absent. */
  readonly ca?: string;
}

const ANSWER_BYTES_MAX = 32 * 1024 * 1024;
const SOCKETS_PER_PEER_MAX = 8;

export function createPeerClient(tls?: PeerTls): PeerClient {
  const plain = new Agent({ keepAlive: true, maxSockets: SOCKETS_PER_PEER_MAX });
  const secured = new TlsAgent({ keepAlive: true, maxSockets: SOCKETS_PER_PEER_MAX, ...tls });
  return {
    ask: (question) => {
      const target = new URL(question.path, question.url);
      const isSecure = target.protocol === 'https:';
      return askAt(target, question, isSecure ? tlsRequest : httpRequest, {
        agent: isSecure ? secured : plain,
      });
    },
    close: () => {
      plain.destroy();
      secured.destroy();
    },
  };
}

function askAt(
  target: URL,
  { method, headers = {}, body, timeoutMs }: PeerQuestion,
  send: typeof httpRequest,
  { agent }: { readonly agent: Agent },
): Promise<PeerAnswer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
    const signal = AbortSignal.timeout(timeoutMs);
    const refuse = (why: string, cause?: unknown): void => {
      const sentence = `${target.origin} ${why}`;
      reject(new CodedError('PeerUnreachable', sentence, { url: target.href }, { cause }));
    };
    const asking = send(
      target,
      { method, agent, headers: { ...headers, ...length }, signal },
      (response) => {
        const pieces: Buffer[] = [];
        let size = 0;
        response.on('data', (piece: Buffer) => {
          size += piece.length;
          if (size > ANSWER_BYTES_MAX) asking.destroy(new Error('it answers too much'));
          else pieces.push(piece);
        });
        response.on('error', (error) =>
          refuse(`broke off its answer: ${error.message}`, error),
        );
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces) }),
        );
      },
    );
    asking.on('error', (error: NodeJS.ErrnoException) => {
      if (signal.aborted) refuse(`did not answer within ${timeoutMs} ms`, error);
      else refuse(`cannot be reached: ${error.code ?? error.message}`, error);
    });
    asking.end(body);
  });
}

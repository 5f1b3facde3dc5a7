// One HTTP exchange, whose end says what can be known of it: an answer, or whether the request may
// have been acted upon.

import {
  type Agent,
  type ClientRequest,
  type IncomingMessage,
  request as plain,
} from 'node:http';
import { type AgentOptions, Agent as SecureAgent, request as secure } from 'node:https';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export interface Exchange {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export type Exchanged =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers: IncomingMessage['headers'];
      readonly body: string;
    }
  /** `left`: the request may have reached somebody. */
  | { readonly kind: 'silence'; readonly left: boolean; readonly why: string };

export interface Destination {
  readonly url: string;
  readonly agent: Agent;
}

/** Connections to a node, as a user of the service, one at a time. */
export function userAgent(options: Pick<AgentOptions, 'ca' | 'cert' | 'key'>): Agent {
  return new SecureAgent({ ...options, keepAlive: true, maxSockets: 1 });
}

/** Makes one exchange; never rejects. Whoever does not answer in time is hung up on. */
export function exchange(
  { url, agent }: Destination,
  { method, path, headers = {}, body }: Exchange,
  timeoutMs: number,
): Promise<Exchanged> {
  return new Promise((resolve) => {
    let left = false;
    const make = url.startsWith('https:') ? secure : plain;
    const sending: ClientRequest = make(new URL(path, url), { method, headers, agent });
    const end = (outcome: Exchanged): void => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const fail = (error: NodeJS.ErrnoException): void =>
      end({ kind: 'silence', left, why: error.code ?? error.message });
    const timer = setTimeout(() => sending.destroy(new Error('no answer in time')), timeoutMs);
    sending.on('error', fail);
    sending.on('socket', (socket: Socket) => {
      const ready = socket instanceof TLSSocket ? 'secureConnect' : 'connect';
      // One that is used again is ready; nothing leaves before a new one is.
      if (sending.reusedSocket) left = true;
      else
        socket.once(ready, () => {
          left = true;
        });
    });
    sending.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', fail);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { headers: told, statusCode = 0 } = response;
        end({ kind: 'answer', status: statusCode, headers: told, body: text });
      });
    });
    sending.end(body);
  });
}

/** The code of an OData error, or nothing. */
export function codeIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null || !('error' in parsed)) return '';
    const { error } = parsed;
    if (typeof error !== 'object' || error === null || !('code' in error)) return '';
    return String(error.code);
  } catch {
    return '';
  }
}

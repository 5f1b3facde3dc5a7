/**
 * The connector's port for machines that watch it: `/upcheck` and `/metrics`, GET and HEAD, and
 * nothing else. It does nothing in the organisation's name, so unlike the other ports it may listen
 * on any address.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { Timers } from '../base/environment.ts';
import { REQUEST_HEADERS_MS_MAX } from '../base/limits.ts';
import { getting } from '../client/node-probe.ts';
import { serviceTarget } from './addresses.ts';
import type { Figures } from './figures.ts';
import type { Relay } from './relay.ts';

export interface HealthDependencies {
  readonly figures: Figures;
  readonly relay: Pick<Relay, 'ask'>;
  readonly timers: Timers;
}

const UPCHECK = getting(serviceTarget('q2t', '/upcheck') ?? '/');

export function healthServer({ figures, relay, timers }: HealthDependencies): Server {
  const options = { headersTimeout: REQUEST_HEADERS_MS_MAX, requestTimeout: 10_000 };
  return createServer(options, (request, response) => {
    const { method, url = '' } = request;
    if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      say(response, 405, 'only GET and HEAD are answered here');
      return;
    }
    switch (url) {
      case '/metrics':
        say(response, 200, figures.text());
        return;
      case '/upcheck':
        relay
          .ask(UPCHECK, timers.elapsedMs(), () => !response.destroyed)
          .then(
            ({ status, body }) => say(response, status, body.toString('utf8')),
            () => say(response, 503, 'the service cannot be reached'),
          );
        return;
      default:
        say(response, 404, 'there are /upcheck and /metrics here');
    }
  });
}

function say(response: ServerResponse, status: number, sentence: string): void {
  response.setHeader('Content-Type', 'text/plain');
  response.setHeader('Content-Length', Buffer.byteLength(sentence));
  // Node leaves the body out of an answer to HEAD.
  response.writeHead(status).end(sentence);
}

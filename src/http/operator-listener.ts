/**
 * The operator's own listener: plain HTTP, on loopback unless configured otherwise, apart from the
 * front door so that a scrape needs no certificate and a flood of clients does not hide the
 * figures. `/metrics` is Prometheus text, `/ready` says whether this node should get requests.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { CodedError } from '../base/errors.ts';

export interface OperatorListenerDependencies {
  /** All figures of the node; each room registers its own. */
  readonly registry: Registry;
  readonly isReady: () => boolean;
  readonly onFault: (fault: unknown, where: string) => void;
}

export interface OperatorListener {
  listen(host: string, port: number): Promise<{ host: string; port: number }>;
  close(): Promise<void>;
}

const TEXT = { 'content-type': 'text/plain; charset=utf-8' } as const;

export function createOperatorListener(
  dependencies: OperatorListenerDependencies,
): OperatorListener {
  const server = createServer((request, response) => {
    handle(request, response, dependencies).catch((fault: unknown) => {
      dependencies.onFault(fault, `operator ${request.url}`);
      send(response, 500, 'The request failed: see the log.\n');
    });
  });
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        const refuse = (cause: NodeJS.ErrnoException): void => {
          const message = `the operator's listener cannot use ${host}:${port}: ${cause.message}`;
          reject(new CodedError('CannotListen', message, { host, port }, { cause }));
        };
        server.once('error', refuse);
        server.listen(port, host, () => {
          server.off('error', refuse);
          const address = server.address() as AddressInfo;
          resolve({ host: address.address, port: address.port });
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  { registry, isReady }: OperatorListenerDependencies,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    send(response, 405, 'Only GET and HEAD are answered here.\n');
    return;
  }
  switch (request.url) {
    case '/metrics': {
      const figures = await registry.metrics();
      response.writeHead(200, { 'content-type': registry.contentType });
      response.end(figures);
      return;
    }
    case '/ready':
      if (isReady()) send(response, 200, 'ready\n');
      else send(response, 503, 'not ready\n');
      return;
    default:
      send(response, 404, 'There are /metrics and /ready here.\n');
  }
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, TEXT);
  response.end(text);
}

/**
 * The operator's own listener: plain HTTP, on loopback unless configured otherwise, apart from the
 * front door so that a scrape needs no certificate and a flood of clients does not hide the
 * figures. `/metrics` is Prometheus text, `/ready` says whether this node should get requests; what
 * else is there comes in as routes.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { Registry } from 'prom-client';
import { CodedError } from '../base/errors.ts';
import { OPERATOR_ACTION_BYTES_MAX } from '../base/limits.ts';

/** One more path. */
export interface OperatorRoute {
  readonly method: 'GET' | 'POST';
  /** What a POST must be: never a type that a web page may send without asking first. */
  readonly contentType?: string;
  answer(body: Uint8Array): OperatorAnswer | Promise<OperatorAnswer>;
}

export interface OperatorAnswer {
  readonly status: number;
  readonly json: unknown;
}

export interface OperatorListenerDependencies {
  /** All figures of the node; each room registers its own. */
  readonly registry: Registry;
  readonly isReady: () => boolean;
  /** By path. */
  readonly routes?: Readonly<Record<string, OperatorRoute>>;
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
  let ownHost = '';
  const server = createServer((request, response) => {
    handle(request, response, ownHost, dependencies).catch((fault: unknown) => {
      dependencies.onFault(fault, `operator ${request.url}`);
      if (!response.headersSent) send(response, 500, 'The request failed: see the log.\n');
    });
  });
  return {
    listen: (host, port) =>
      new Promise((resolve, reject) => {
        const refuse = (cause: NodeJS.ErrnoException): void => {
          const message = `the operator's listener cannot use ${host}:${port}: ${cause.message}`;
          reject(new CodedError('CannotListen', message, { host, port }, { cause }));
        };
        ownHost = host.toLowerCase();
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
  ownHost: string,
  { registry, isReady, routes = {} }: OperatorListenerDependencies,
): Promise<void> {
  const path = request.url ?? '';
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  const reads = request.method === 'GET' || request.method === 'HEAD';
  if (route?.method === 'POST' ? request.method !== 'POST' : !reads) {
    const allowed = route?.method === 'POST' ? 'POST' : 'GET, HEAD';
    response.setHeader('allow', allowed);
    send(response, 405, `Only ${allowed.replace(', ', ' and ')} are answered here.\n`);
    return;
  }
  if (route !== undefined) {
    await answerRoute(request, response, ownHost, route);
    return;
  }
  switch (path) {
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
    default: {
      const paths = ['/metrics', '/ready', ...Object.keys(routes)];
      send(response, 404, `There are ${paths.join(', ')} here.\n`);
    }
  }
}

async function answerRoute(
  request: IncomingMessage,
  response: ServerResponse,
  ownHost: string,
  route: OperatorRoute,
): Promise<void> {
  let body: Uint8Array = new Uint8Array();
  if (route.method === 'POST') {
    const refusal = refusalOf(request, ownHost, route);
    if (refusal !== undefined) {
      send(response, refusal.status, refusal.text);
      return;
    }
    const read = await bodyOf(request);
    if (read === undefined) {
      response.setHeader('connection', 'close');
      send(response, 413, `At most ${OPERATOR_ACTION_BYTES_MAX} bytes are taken here.\n`);
      return;
    }
    body = read;
  }
  const { status, json } = await route.answer(body);
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(json)}\n`);
}

/**
 * A browser on this machine must not carry a web page's orders here: neither under another name for
 * this address (DNS rebinding), nor as a simple request, which needs no leave.
 */
function refusalOf(
  { headers, socket }: IncomingMessage,
  ownHost: string,
  { contentType }: OperatorRoute,
): { readonly status: number; readonly text: string } | undefined {
  const host = /^(?:\[([^\]]*)\]|([^:]*))/.exec((headers.host ?? '').toLowerCase());
  const name = host?.[1] ?? host?.[2] ?? '';
  if (isIP(name) === 0 && name !== 'localhost' && name !== ownHost) {
    return { status: 403, text: `The Host ${name} is none of this listener's names.\n` };
  }
  if (headers.origin !== undefined) {
    return { status: 403, text: 'Web pages may not order anything here.\n' };
  }
  // Figures may be for all of a cluster; what changes the node is for who stands beside it.
  if (!isLoopback(socket.remoteAddress ?? '')) {
    return { status: 403, text: 'Orders are taken from this machine alone.\n' };
  }
  const [type = ''] = (headers['content-type'] ?? '').split(';');
  if (contentType === undefined || type.trim().toLowerCase() === contentType) return undefined;
  return { status: 415, text: `The body must be ${contentType}.\n` };
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address);
}

/** The body, or undefined when it is too long. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > OPERATOR_ACTION_BYTES_MAX) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, TEXT);
  response.end(text);
}

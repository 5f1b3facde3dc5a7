/**
 * The listener for peers: HTTP, or HTTPS that may demand certificates, apart from the front door
 * because its callers are no users of the service. On loopback unless configured otherwise.
 */
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, BlockList, isIP } from 'node:net';
import { CodedError } from '../base/errors.ts';
import {
  PAYLOAD_BODY_BYTES_MAX,
  REQUEST_HEADERS_MS_MAX,
  REQUEST_MS_MAX,
  SESSION_IDLE_MS_MAX,
} from '../base/limits.ts';
import type { PeerTls } from './peer-client.ts';
import { type PeerRequest, type PeerResponse, said } from './surface.ts';

export interface PeerServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: PeerTls & {
    /** Whether peers must present a certificate that `ca` vouches for. */
    readonly demandsCertificates: boolean;
  };
  /** Addresses that may connect; all when empty. Loopback always may not: it must be named too. */
  readonly whitelist: readonly string[];
}

export interface PeerServerDependencies {
  readonly answer: (request: PeerRequest) => Promise<PeerResponse>;
  readonly onFault: (fault: unknown, where: string) => void;
  readonly onTurnedAway: (address: string) => void;
}

const CONNECTIONS_MAX = 512;
/** Bodies of all peers that are in memory at once. */
const BODIES_BYTES_MAX = 8 * PAYLOAD_BODY_BYTES_MAX;

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #deps: PeerServerDependencies;
  readonly #server: Server;
  readonly #allowed: BlockList | undefined;
  #bodyBytes = 0;

  constructor(options: PeerServerOptions, dependencies: PeerServerDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#allowed = listOf(options.whitelist);
    const { tls } = options;
    const listener: RequestListener = (request, response) => this.#handle(request, response);
    const times = {
      headersTimeout: REQUEST_HEADERS_MS_MAX,
      requestTimeout: REQUEST_MS_MAX,
      keepAliveTimeout: SESSION_IDLE_MS_MAX,
    };
    this.#server =
      tls === undefined
        ? createServer(times, listener)
        : createTlsServer(
            {
              ...times,
              key: tls.key,
              cert: tls.cert,
              ...(tls.ca === undefined ? {} : { ca: tls.ca }),
              requestCert: tls.demandsCertificates,
              rejectUnauthorized: tls.demandsCertificates,
              minVersion: 'TLSv1.2',
            },
            listener,
          );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const refuse = (cause: Error): void => {
        const sentence = `the listener for peers cannot use ${host}:${port}: ${cause.message}`;
        reject(new CodedError('CannotListen', sentence, { host, port }, { cause }));
      };
      this.#server.once('error', refuse);
      this.#server.listen(port, host, () => {
        this.#server.off('error', refuse);
        const address = this.#server.address() as AddressInfo;
        resolve({ host: address.address, port: address.port });
      });
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    this.#answer(request)
      .then((answer) => send(request, response, answer))
      .catch((fault: unknown) => {
        this.#deps.onFault(fault, `peers ${request.method} ${request.url}`);
        if (!response.headersSent) send(request, response, said(500, 'the request failed'));
      });
  }

  async #answer(request: IncomingMessage): Promise<PeerResponse> {
    const { remoteAddress = '' } = request.socket;
    if (!this.#admits(remoteAddress)) {
      this.#deps.onTurnedAway(remoteAddress);
      return said(401, 'HTTP 401 Unauthorized');
    }
    const pieces: Buffer[] = [];
    let length = 0;
    try {
      for await (const piece of request as AsyncIterable<Buffer>) {
        length += piece.length;
        this.#bodyBytes += piece.length;
        if (length > PAYLOAD_BODY_BYTES_MAX) return said(413, 'the body is too long');
        if (this.#bodyBytes > BODIES_BYTES_MAX) return said(503, 'too much is under way');
        pieces.push(piece);
      }
      return await this.#deps.answer({
        method: request.method ?? 'GET',
        target: request.url ?? '/',
        header: (name) => {
          const value = request.headers[name];
          return Array.isArray(value) ? value[0] : value;
        },
        body: Buffer.concat(pieces),
      });
    } finally {
      this.#bodyBytes -= length;
    }
  }

  #admits(address: string): boolean {
    if (this.#allowed === undefined) return true;
    const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
    const version = isIP(plain);
    return version !== 0 && this.#allowed.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  }
}

/** The addresses on a whitelist; names on it speak of urls, not of connections. */
function listOf(whitelist: readonly string[]): BlockList | undefined {
  if (whitelist.length === 0) return undefined;
  const list = new BlockList();
  for (const address of whitelist) {
    const version = isIP(address);
    if (version !== 0) list.addAddress(address, version === 4 ? 'ipv4' : 'ipv6');
  }
  return list;
}

function send(request: IncomingMessage, response: ServerResponse, answer: PeerResponse): void {
  const length = Buffer.byteLength(answer.body);
  response.writeHead(answer.status, { ...answer.headers, 'content-length': length });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

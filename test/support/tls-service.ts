/**
 * A stand-in for the service: an HTTPS server with a certificate of its own authority that
 * answers as a test tells it to, and remembers what it was asked.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import {
  certificateIdOf,
  endorsedCertificate,
  selfSignedCertificate,
  serviceCertificate,
} from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** Id of the client's certificate; empty without one. */
  readonly clientId: string;
}

/** The reply a test makes: like a node's, it always states its length. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #isHead: boolean;

  constructor(response: ServerResponse, isHead: boolean) {
    this.#response = response;
    this.#isHead = isHead;
  }

  head(status: number, headers: Readonly<Record<string, string>> = {}): this {
    this.#response.statusCode = status;
    for (const [name, value] of Object.entries(headers)) this.#response.setHeader(name, value);
    return this;
  }

  end(body: Buffer | string = ''): void {
    this.#response.setHeader('content-length', Buffer.byteLength(body));
    this.#response.end(this.#isHead ? '' : body);
  }

  /** Hangs up without an answer. */
  hangUp(): void {
    this.#response.destroy();
  }
}

export type Answering = (seen: SeenRequest, reply: Reply) => void;

export interface Identity {
  readonly certificate: string;
  readonly key: string;
}

export interface TlsService {
  readonly url: string;
  readonly port: number;
  readonly certificate: string;
  /** The organisation's certificate and key. */
  readonly client: Identity;
  readonly clientId: string;
  readonly seen: readonly SeenRequest[];
  /** TLS sessions that were opened so far. */
  sessions(): number;
  answerWith(answering: Answering): void;
  /** Closes the port and all sessions; the service can be opened there again. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

const VALIDITY = { fromMs: Date.now() - 60_000, days: 1 };

export async function startTlsService(answering: Answering): Promise<TlsService> {
  const authorityKey = SigningKey.generate('P-384');
  const certificate = await serviceCertificate(authorityKey, 'CN=Test Service', VALIDITY);
  const nodeKey = SigningKey.generate('P-256');
  const issuer = { key: authorityKey, certificatePem: certificate };
  const hosts = ['127.0.0.1'];
  const cert = await endorsedCertificate(
    nodeKey.publicKeyDer,
    'CN=Test Node',
    hosts,
    VALIDITY,
    issuer,
  );
  const clientKey = SigningKey.generate('P-256');
  const clientCertificate = await selfSignedCertificate(clientKey, 'CN=Organisation', VALIDITY);

  const seen: SeenRequest[] = [];
  let answer = answering;
  let sessions = 0;
  let port = 0;
  let server: Server | undefined;
  const start = async (): Promise<void> => {
    const options = {
      key: nodeKey.privateKeyPem(),
      cert,
      requestCert: true,
      rejectUnauthorized: false,
    };
    const opened = createServer(options, (request, response) => {
      void collect(request).then((one) => {
        seen.push(one);
        answer(one, new Reply(response, one.method === 'HEAD'));
      });
    });
    opened.on('secureConnection', () => {
      sessions += 1;
    });
    await new Promise<void>((resolve) => opened.listen(port, '127.0.0.1', resolve));
    port = (opened.address() as AddressInfo).port;
    server = opened;
  };
  await start();
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    certificate,
    client: { certificate: clientCertificate, key: clientKey.privateKeyPem() },
    clientId: certificateIdOf(clientCertificate),
    seen,
    sessions: () => sessions,
    answerWith: (next) => {
      answer = next;
    },
    stop: async () => {
      const closing = server;
      server = undefined;
      closing?.closeAllConnections();
      await new Promise<void>((resolve) => {
        if (closing === undefined) resolve();
        else closing.close(() => resolve());
      });
    },
    start,
  };
}

async function collect(request: IncomingMessage): Promise<SeenRequest> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const peer = (request.socket as TLSSocket).getPeerX509Certificate();
  return {
    method: request.method ?? '',
    url: request.url ?? '',
    rawHeaders: request.rawHeaders,
    headers: request.headers,
    body: Buffer.concat(chunks),
    clientId: peer === undefined ? '' : certificateIdOf(peer.toString()),
  };
}

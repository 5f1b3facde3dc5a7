/**
 * A stand-in for the service: HTTPS servers with certificates of one authority that answer as a
 * test tells them to, and remember what they were asked. What a client asks for its own sake they
 * answer by themselves, and do not remember.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import { VIRTUAL_HOST_DATA } from '../../src/attestation/virtual.ts';
import {
  certificateIdOf,
  endorsedCertificate,
  selfSignedCertificate,
  serviceCertificate,
} from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { TcpGate } from './tcp-gate.ts';

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
  readonly nodeId: string;
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
  /** Says and takes nothing any more, but keeps its connections. */
  freeze(): void;
  thaw(): void;
}

/** What the nodes of a stand-in say of their service. */
export interface TlsFacts {
  view: number;
  /** Index of the primary. */
  primary: number;
  /** The last transaction that the service has committed. */
  committed: string;
  /** The status of every transaction that is asked for. */
  txStatus: string;
  /** Indices of nodes that cannot prove that they are up to date. */
  readonly behind: Set<number>;
  /** Indices of nodes that are not in the list, and of such as are listed as retired. */
  readonly unlisted: Set<number>;
  readonly retired: Set<number>;
  /** What a node shows of itself, given its key (SPKI, DER); a virtual node's by default. */
  evidence: (index: number, publicKeyDer: Uint8Array) => Evidence | undefined;
}

export interface TlsNetwork {
  readonly nodes: readonly TlsService[];
  readonly facts: TlsFacts;
  node(index: number): TlsService;
  stop(): Promise<void>;
}

const VALIDITY = { fromMs: Date.now() - 60_000, days: 1 };

export async function startTlsService(answering: Answering): Promise<TlsService> {
  const network = await startTlsNetwork(1, () => answering);
  return network.node(0);
}

/** Starts a service of so many nodes; the first is the primary. */
export async function startTlsNetwork(
  count: number,
  answering: (index: number) => Answering,
): Promise<TlsNetwork> {
  const authorityKey = SigningKey.generate('P-384');
  const certificate = await serviceCertificate(authorityKey, 'CN=Test Service', VALIDITY);
  const issuer = { key: authorityKey, certificatePem: certificate };
  const clientKey = SigningKey.generate('P-256');
  const clientCertificate = await selfSignedCertificate(clientKey, 'CN=Organisation', VALIDITY);
  const client = { certificate: clientCertificate, key: clientKey.privateKeyPem() };
  const nodes: TlsService[] = [];
  const facts: TlsFacts = {
    view: 2,
    primary: 0,
    committed: '2.1000',
    txStatus: 'Committed',
    behind: new Set(),
    unlisted: new Set(),
    retired: new Set(),
    evidence: (_index, publicKeyDer) => virtualEvidence(publicKeyDer, VIRTUAL_HOST_DATA),
  };
  for (let index = 0; index < count; index += 1) {
    const nodeKey = SigningKey.generate('P-256');
    const der = nodeKey.publicKeyDer;
    const cert = await endorsedCertificate(
      der,
      'CN=Test Node',
      ['127.0.0.1'],
      VALIDITY,
      issuer,
    );
    const nodeId = createHash('sha256').update(der).digest('hex');
    const own = (seen: SeenRequest): string | number | undefined =>
      ownAnswer(seen, { index, publicKeyDer: der, nodes, facts });
    const listening = await listen(
      { key: nodeKey.privateKeyPem(), cert },
      answering(index),
      own,
    );
    nodes.push({
      ...listening,
      nodeId,
      certificate,
      client,
      clientId: certificateIdOf(clientCertificate),
    });
  }
  const node = (index: number): TlsService => {
    const found = nodes[index];
    if (found === undefined) throw new Error(`there is no node ${index}`);
    return found;
  };
  const stop = async (): Promise<void> => {
    for (const one of nodes) await one.stop();
  };
  return { nodes, facts, node, stop };
}

interface Answerer {
  readonly index: number;
  readonly publicKeyDer: Uint8Array;
  readonly nodes: readonly TlsService[];
  readonly facts: TlsFacts;
}

/** The body of an answer to what clients ask for their own sake, or its status if it is none. */
function ownAnswer(
  { url, headers }: SeenRequest,
  { index, publicKeyDer, nodes, facts }: Answerer,
): string | number | undefined {
  const row = (at: number): unknown => ({
    node_id: nodes[at]?.nodeId,
    primary: at === facts.primary,
    rpc_interfaces: { front: { published_address: `127.0.0.1:${nodes[at]?.port}` } },
    status: facts.retired.has(at) ? 'Retired' : 'Trusted',
  });
  if (headers['x-concordat-read'] === 'linearizable' && facts.behind.has(index)) return 503;
  switch (url.replace(/\?.*/, '')) {
    case '/node/quotes/self': {
      const shown = facts.evidence(index, publicKeyDer);
      if (shown === undefined) return 404;
      const { quote, ...others } = shown;
      return JSON.stringify({ node_id: nodes[index]?.nodeId, raw: quote, ...others });
    }
    case '/node/network/nodes/self':
      return JSON.stringify(row(index));
    case '/node/network':
      return JSON.stringify({
        current_view: facts.view,
        primary_id: nodes[facts.primary]?.nodeId ?? null,
      });
    case '/node/network/nodes': {
      const listed = [...nodes.keys()].filter((at) => !facts.unlisted.has(at));
      return JSON.stringify({ nodes: listed.map(row) });
    }
    case '/app/commit':
      return JSON.stringify({ transaction_id: facts.committed });
    case '/app/tx':
      return JSON.stringify({ status: facts.txStatus });
    default:
      return undefined;
  }
}

type Listening = Omit<TlsService, 'nodeId' | 'certificate' | 'client' | 'clientId'>;

async function listen(
  identity: { readonly key: string; readonly cert: string },
  answering: Answering,
  own: (seen: SeenRequest) => string | number | undefined,
): Promise<Listening> {
  const seen: SeenRequest[] = [];
  let answer = answering;
  let sessions = 0;
  const options = { ...identity, requestCert: true, rejectUnauthorized: false };
  const server: Server = createServer(options, (request, response) => {
    void collect(request).then((one) => {
      const reply = new Reply(response, one.method === 'HEAD');
      const body = own(one);
      if (body === undefined) {
        seen.push(one);
        answer(one, reply);
      } else if (typeof body === 'number') reply.head(body).end();
      else reply.head(200, { 'content-type': 'application/json' }).end(body);
    });
  });
  server.on('secureConnection', () => {
    sessions += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const gate = new TcpGate((server.address() as AddressInfo).port);
  await gate.open();
  server.unref();
  return {
    url: `https://127.0.0.1:${gate.port}`,
    port: gate.port,
    seen,
    sessions: () => sessions,
    answerWith: (next) => {
      answer = next;
    },
    stop: () => gate.shut(),
    start: () => gate.open(),
    freeze: () => gate.freeze(),
    thaw: () => gate.thaw(),
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

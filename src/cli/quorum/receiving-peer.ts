/**
 * Stands in a Tessera node's place among its peers while they push its payloads again
 * (transaction-manager.md §C). A push is answered when the service has what it brought, so that a
 * peer that was told "stored" need not be asked once more.
 */
import {
  createServer as createHttp,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import { base64Of } from '../../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import type { Address } from '../../config/kinds.ts';
import { payloadKeyOf } from '../../crypto/payload.ts';
import {
  decodePushed,
  OWN_VERSIONS,
  VERSIONS_HEADER,
  versionsOf,
} from '../../federation/api-versions.ts';
import type { EncodedPayload } from '../../federation/encoded-payload.ts';
import { decodeLegacy } from '../../federation/legacy-codec.ts';
import { encodePartyInfo } from '../../federation/party-info.ts';
import { readPushBatch } from '../../federation/resend-requests.ts';
import type { Verdict } from './import-service.ts';
import { bodyOf } from './import-service.ts';
import { payloadTransfer, type Transfer } from './transfer-body.ts';

export interface ReceivingPeerOptions {
  readonly address: Address;
  /** Under which peers know it; what it answers party information with. */
  readonly url: string;
  /** PEM: TLS in which peers show a certificate that is signed by one of `trusted`. */
  readonly tls?: {
    readonly certificate: string;
    readonly key: string;
    readonly trusted: string;
  };
}

export interface ReceivingPeerDependencies {
  /** Moves one thing into the service. */
  readonly take: (transfer: Transfer) => Promise<Verdict>;
  /** Opens what is sealed for one of the keys; undefined if it does not. */
  readonly open: (sealed: EncodedPayload) => Promise<Uint8Array | undefined>;
}

export interface ReceivingPeer {
  readonly port: number;
  close(): Promise<void>;
}

/** Batches are as large as the peer was asked to make them. */
const BODY_BYTES_MAX = 64 * 1024 * 1024;

interface Reply {
  readonly status: number;
  readonly type?: string;
  readonly body?: string | Uint8Array;
}

export async function startReceivingPeer(
  { address, url, tls }: ReceivingPeerOptions,
  deps: ReceivingPeerDependencies,
): Promise<ReceivingPeer> {
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void answer(request, url, deps).then(({ status, type = 'text/plain', body = '' }) => {
      response.writeHead(status, { 'content-type': type }).end(body);
    });
  };
  const server =
    tls === undefined
      ? createHttp(listener)
      : createHttps(
          {
            cert: tls.certificate,
            key: tls.key,
            ca: tls.trusted,
            requestCert: true,
            rejectUnauthorized: true,
            minVersion: 'TLSv1.2',
          },
          listener,
        );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => resolve());
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

/** Never rejects: what goes wrong is an answer. */
async function answer(
  request: IncomingMessage,
  url: string,
  deps: ReceivingPeerDependencies,
): Promise<Reply> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  try {
    const body = await bodyOf(request, BODY_BYTES_MAX);
    switch (`${request.method} ${path}`) {
      case 'GET /upcheck':
        return { status: 200, body: "I'm up!" };
      case 'GET /version/api':
        return { status: 200, type: 'application/json', body: JSON.stringify(API_VERSIONS) };
      case 'POST /partyinfo': {
        // As Tessera answers: its own address, and nothing else.
        const info = encodePartyInfo({ url, keys: [], peers: [] });
        return { status: 200, type: 'application/octet-stream', body: info };
      }
      case 'POST /partyinfo/validate':
        return await validated(body, deps);
      case 'POST /push': {
        const versions = versionsOf(headerOf(request, VERSIONS_HEADER));
        const key = await pushed([decodePushed(body, versions)], deps);
        return { status: 201, body: key };
      }
      case 'POST /pushBatch':
        await pushed(readPushBatch(body), deps);
        return { status: 200 };
      default:
        return { status: 404, body: 'HTTP 404 Not Found' };
    }
  } catch (thrown) {
    const status = isCoded(thrown) && thrown.fields.status === 400 ? 400 : 500;
    return { status, body: messageOf(thrown) };
  }
}

const API_VERSIONS = ['1.0', ...OWN_VERSIONS.filter((version) => /^\d/.test(version))];

/** The peer wants to see that a key is held here: it is told what it sealed for it. */
async function validated(
  body: Uint8Array,
  { open }: ReceivingPeerDependencies,
): Promise<Reply> {
  const opened = await open(decodeLegacy(body));
  if (opened === undefined) throw new CodedError('NotOpened', 'it opens with no key of ours');
  return { status: 200, body: opened };
}

async function pushed(
  payloads: readonly EncodedPayload[],
  { take }: ReceivingPeerDependencies,
): Promise<string> {
  let first = '';
  for (const payload of payloads) {
    const hash = payloadKeyOf(payload.cipherText);
    first ||= base64Of(hash);
    // What is refused is in the report; the peer could do nothing about it, and should go on.
    await take(payloadTransfer(hash, payload));
  }
  return first;
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

// Real HTTPS on this machine, with certificates of a test's own authority that this process trusts.

import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import * as der from '../der-writer.ts';
import {
  type CertificateSpec,
  type ExtensionSpec,
  type KeyPair,
  makeCertificate,
  pemOf,
  rsaKeys,
  type SigningScheme,
} from '../fake-certificates.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export type Answering = (asked: Asked) => Answer | Promise<Answer>;

export interface HttpsDouble {
  readonly url: string;
  readonly asked: readonly Asked[];
  close(): Promise<void>;
}

const PKCS1: SigningScheme = { scheme: 'pkcs1', hash: 256 };
const AUTHORITY: ExtensionSpec = {
  oid: '2.5.29.19',
  critical: true,
  value: der.sequence(der.truth),
};

export interface TestAuthority {
  readonly name: string;
  readonly keys: KeyPair;
  readonly certificate: Uint8Array;
}

export function alternativeName(host: string): ExtensionSpec {
  const name = Buffer.from(host);
  return { oid: '2.5.29.17', value: der.sequence(Buffer.from([0x82, name.length]), name) };
}

export function makeAuthority(
  name: string,
  issuer?: TestAuthority,
  more: Partial<CertificateSpec> = {},
): TestAuthority {
  const keys = rsaKeys();
  const certificate = makeCertificate({
    subject: name,
    issuer: issuer?.name ?? name,
    signer: (issuer?.keys ?? keys).privateKey,
    publicKey: keys.publicKey,
    scheme: PKCS1,
    serial: 1,
    extensions: [AUTHORITY],
    ...more,
  });
  return { name, keys, certificate };
}

/** A leaf for a host. */
export function makeLeaf(
  host: string,
  issuer: TestAuthority,
  more: Partial<CertificateSpec> = {},
): TestAuthority {
  return makeAuthority(host, issuer, {
    extensions: [alternativeName(host)],
    serial: 2,
    ...more,
  });
}

/** The authority of this process's servers; made and trusted once. */
const tlsAuthority = makeAuthority('CN of a test');
const tlsLeaf = makeLeaf('localhost', tlsAuthority);
/** For other processes that shall trust these servers, in PEM. */
export const TLS_AUTHORITY: string = pemOf(tlsAuthority.certificate);
setDefaultCACertificates([...getCACertificates('default'), TLS_AUTHORITY]);

/** Answers JSON on a free port; what an answer throws is a 500 with its words. */
export async function httpsDouble(answer: Answering): Promise<HttpsDouble> {
  const asked: Asked[] = [];
  const key = tlsLeaf.keys.privateKey.export({ format: 'pem', type: 'pkcs8' });
  const server = createServer(
    { key, cert: pemOf(tlsLeaf.certificate) },
    (request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (piece: string) => {
        body += piece;
      });
      request.on('end', () => {
        // The clients write `api%2Dversion`; a URL's query knows it by its name.
        const url = new URL(request.url ?? '/', 'https://localhost');
        const { method = '', headers } = request;
        const one = { method, path: url.pathname, query: url.searchParams, headers, body };
        asked.push(one);
        void attempt(answer, one).then(({ status = 200, headers: more, body: said }) => {
          response.writeHead(status, { 'content-type': 'application/json', ...more });
          response.end(typeof said === 'string' ? said : JSON.stringify(said ?? {}));
        });
      });
    },
  );
  const port = await new Promise<number>((resolve) => {
    server.listen(0, 'localhost', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return {
    url: `https://localhost:${port}`,
    asked,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function attempt(answer: Answering, asked: Asked): Promise<Answer> {
  try {
    return await answer(asked);
  } catch (thrown) {
    return { status: 500, body: { error: { code: 'InternalError', message: String(thrown) } } };
  }
}

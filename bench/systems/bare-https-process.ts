/**
 * The limit for requests: `node:https` alone, with our TLS settings, answering a constant once it
 * has read the request. In its own process; the constant is set by the harness.
 */
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { tlsServerOptions } from '../../src/http/tls-options.ts';
import { endWithHarness } from '../child-life.ts';

export interface Constant {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface Listening {
  readonly port: number;
  readonly certificate: string;
}

const HANDSHAKE_MS_MAX = 10_000;
const HOST = '127.0.0.1';

let status = 200;
let headers: Record<string, string | number> = {};
let body: Buffer = Buffer.alloc(0);

const key = SigningKey.generate('P-256');
const validity = { fromMs: Date.now() - 60_000, days: 1 };
const cert = await selfSignedCertificate(key, 'CN=Bare server', validity, [HOST]);
const identity = { key: key.privateKeyPem(), cert };

const server = createServer(
  { ...tlsServerOptions(identity, HANDSHAKE_MS_MAX), noDelay: true, keepAliveTimeout: 0 },
  (request, response) => {
    request.on('end', () => {
      response.writeHead(status, headers);
      response.end(body);
    });
    request.resume();
  },
);
const port = await new Promise<number>((resolve) => {
  server.listen(0, HOST, () => resolve((server.address() as AddressInfo).port));
});

process.on('message', (constant: Constant) => {
  body = Buffer.from(constant.body);
  status = constant.status;
  headers = { 'content-length': body.length, 'content-type': constant.contentType };
  const listening: Listening = { port, certificate: cert };
  process.send?.(listening);
});
endWithHarness();

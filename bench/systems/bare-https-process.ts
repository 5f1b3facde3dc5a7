/**
 * The limit for requests: `node:https` alone, with our TLS settings, answering a constant once it
 * has read the request. With `parts` it is the limit for writes: for each request it also does what
 * no write can do without, one seal and the hashes of an entry. In its own process; the constant is
 * set by the harness.
 */
import { createCipheriv, hash, randomBytes } from 'node:crypto';
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
  readonly parts?: Parts;
}

/** What each request costs besides HTTP. */
export interface Parts {
  /** Bytes sealed with AES-256-GCM, and hashed once: an entry. */
  readonly entryBytes: number;
}

export interface Listening {
  readonly port: number;
  readonly certificate: string;
}

const HANDSHAKE_MS_MAX = 10_000;
const HOST = '127.0.0.1';
/** Besides the entry's digest: commit evidence, the leaf, and one inner node of the tree. */
const SMALL_HASHES = 3;
/** Two digests and their entry's own, as a leaf has them. */
const LEAF = Buffer.alloc(96, 0x5a);

let status = 200;
let headers: Record<string, string | number> = {};
let body: Buffer = Buffer.alloc(0);
let entry: Buffer | undefined;
const sealKey = randomBytes(32);
const nonce = Buffer.alloc(12);
let sealed = 0;

/** Returns what it made, so that nothing is left out as unused. */
function doParts(plain: Buffer): number {
  sealed += 1;
  nonce.writeUInt32LE(sealed >>> 0, 0);
  const cipher = createCipheriv('aes-256-gcm', sealKey, nonce);
  const text = cipher.update(plain);
  cipher.final();
  let made = (cipher.getAuthTag()[0] ?? 0) + hash('sha256', text, 'buffer').length;
  for (let count = 0; count < SMALL_HASHES; count += 1) {
    made += hash('sha256', LEAF, 'buffer').length;
  }
  return made;
}

const key = SigningKey.generate('P-256');
const validity = { fromMs: Date.now() - 60_000, days: 1 };
const cert = await selfSignedCertificate(key, 'CN=Bare server', validity, [HOST]);
const identity = { key: key.privateKeyPem(), cert };

const server = createServer(
  { ...tlsServerOptions(identity, HANDSHAKE_MS_MAX), noDelay: true, keepAliveTimeout: 0 },
  (request, response) => {
    request.on('end', () => {
      if (entry !== undefined && doParts(entry) === 0) throw new Error('nothing was made');
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
  const { parts } = constant;
  entry = parts === undefined ? undefined : Buffer.alloc(parts.entryBytes, 0x5a);
  headers = { 'content-length': body.length, 'content-type': constant.contentType };
  const listening: Listening = { port, certificate: cert };
  process.send?.(listening);
});
endWithHarness();

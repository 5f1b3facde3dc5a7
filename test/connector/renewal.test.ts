/**
 * To show: certificates that are renewed in their files are used for new connections, those of the
 * ports and that of the organisation; files that do not go together change nothing, and are
 * spoken of once.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileWatch } from '../../src/cli/connector/renewal.ts';
import { optionsOf, type Settings } from '../../src/cli/connector/settings.ts';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import { type Connector, startConnector } from '../../src/connector/connector.ts';
import {
  certificateIdOf,
  endorsedCertificate,
  selfSignedCertificate,
  serviceCertificate,
} from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { startTlsService, type TlsService } from '../support/tls-service.ts';

const VALIDITY = { fromMs: Date.now() - 60_000, days: 1 };
const RENEWED = 'certificates were renewed: new connections are made with them';

interface Pair {
  readonly cert: string;
  readonly key: string;
}

let folder: string;
let service: TlsService;
let connector: Connector;
let watch: FileWatch;
let authority: { readonly pem: string; issue(host: string): Promise<Pair> };
let client: Pair;
let log: string[];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'renewal-'));
  log = [];
  service = await startTlsService((_, reply) => reply.end("I'm up!"));
  authority = await newAuthority();
  client = await authority.issue('geth');
  put('service.pem', service.certificate);
  put('own.pem', service.client.certificate);
  put('own.key', service.client.key);
  put('ca.pem', authority.pem);
  putPort(await authority.issue('first.example'));
  const settings: Settings = {
    ...{ service: [service.url], allowHost: [], allowOrigin: [] },
    ...{
      serviceCertificate: at('service.pem'),
      certificate: at('own.pem'),
      key: at('own.key'),
    },
    ...{ port: '0', tlsCertificate: at('tm.pem'), tlsKey: at('tm.key') },
    ...{ tlsClientCa: at('ca.pem'), allowInsecureVirtual: true },
  };
  const options = await optionsOf(settings);
  const write = (line: string): void => void log.push(line);
  connector = await startConnector(options, { log: write, judge: UNJUDGED });
  watch = new FileWatch(settings, options, { connector, log: write });
});

afterEach(async () => {
  await connector.close();
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

function at(name: string): string {
  return join(folder, name);
}

function put(name: string, text: string): void {
  writeFileSync(at(name), text);
}

function putPort({ cert, key }: Pair): void {
  put('tm.pem', cert);
  put('tm.key', key);
}

async function newAuthority(): Promise<typeof authority> {
  const own = SigningKey.generate('P-384');
  const pem = await serviceCertificate(own, 'CN=Quorum', VALIDITY);
  return {
    pem,
    issue: async (host) => {
      const key = SigningKey.generate('P-256');
      const by = { key: own, certificatePem: pem };
      const name = 'CN=Somebody';
      const spki = key.publicKeyDer;
      const cert = await endorsedCertificate(spki, name, [host, '127.0.0.1'], VALIDITY, by);
      return { cert, key: key.privateKeyPem() };
    },
  };
}

/** The names of the certificate that the port shows; rejects if it does not let the client in. */
function namesShown(options: RequestOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const how = { ...client, ca: authority.pem, agent: false, ...options };
    const asked = request(`${connector.url}/upcheck`, how);
    asked.once('error', reject);
    asked.once('response', (response) => {
      const { subjectaltname } = (response.socket as TLSSocket).getPeerCertificate();
      response.resume().once('end', () => resolve(`${response.statusCode} ${subjectaltname}`));
    });
    asked.end();
  });
}

test('nothing changes while the files do not', async () => {
  await watch.look();
  expect(await namesShown()).toContain('200 DNS:first.example');
  expect(log).toEqual([]);
});

test('a renewed certificate of the ports is shown, and may be addressed by its names', async () => {
  const addressed = { servername: 'second.example', headers: { host: 'second.example' } };
  putPort(await authority.issue('second.example'));
  expect(await namesShown()).toContain('DNS:first.example');
  await watch.look();
  expect(log).toEqual([RENEWED]);
  expect(await namesShown(addressed)).toContain('200 DNS:second.example');
});

test('renewed authorities let their clients in and others no more', async () => {
  const before = client;
  const trusted = authority.pem;
  authority = await newAuthority();
  client = await authority.issue('geth');
  put('ca.pem', authority.pem);
  await watch.look();
  // The port's own certificate is still of the first authority.
  expect(await namesShown({ ca: trusted })).toContain('200 DNS:first.example');
  await expect(namesShown({ ca: trusted, ...before })).rejects.toThrow();
});

test('a renewed certificate of the organisation is shown to the service', async () => {
  const key = SigningKey.generate('P-256');
  const cert = await selfSignedCertificate(key, 'CN=Organisation', VALIDITY);
  put('own.pem', cert);
  put('own.key', key.privateKeyPem());
  await watch.look();
  expect(log).toEqual([RENEWED]);
  // Sessions that are open stay as they are: after a restart of the node there are none.
  await service.stop();
  await service.start();
  await expect.poll(() => namesShown().catch(() => ''), { timeout: 20_000 }).toContain('200');
  expect(service.seen.at(-1)?.clientId).toBe(certificateIdOf(cert));
});

test('files that do not go together change nothing, and are spoken of once', async () => {
  const next = await authority.issue('second.example');
  put('tm.pem', next.cert);
  await watch.look();
  // Halfway through a renewal it is so for a moment.
  expect(log).toEqual([]);
  await watch.look();
  await watch.look();
  const why = 'TLS cannot be served with these files: the key is not that of the certificate';
  expect(log).toEqual([`certificates are not renewed, those from before are used on: ${why}`]);
  expect(await namesShown()).toContain('200 DNS:first.example');
  rmSync(at('own.key'));
  await watch.look();
  await watch.look();
  expect(log.at(-1)).toContain('own.key cannot be read');
  put('own.key', service.client.key);
  put('tm.key', next.key);
  await watch.look();
  expect(log.at(-1)).toBe(RENEWED);
  expect(await namesShown({ servername: 'second.example' })).toContain('DNS:second.example');
});

test('the key of another certificate is not shown to the service', async () => {
  put('own.key', SigningKey.generate('P-256').privateKeyPem());
  await watch.look();
  await watch.look();
  expect(log.at(-1)).toContain('the service cannot be shown these files');
  expect(await namesShown()).toContain('200');
});

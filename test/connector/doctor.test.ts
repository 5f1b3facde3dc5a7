/**
 * To show: the doctor finds what is wrong between a connector and its service, names it and how to
 * repair it, goes on with what can still be looked at, and never says that all is well when not.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EvidencePolicy } from '../../src/attestation/policy.ts';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import { systemTimers } from '../../src/client/system-timers.ts';
import { type ConnectorOptions, startConnector } from '../../src/connector/connector.ts';
import { examine } from '../../src/connector/doctor.ts';
import type { Finding } from '../../src/connector/doctor-finding.ts';
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { startTlsNetwork, type TlsNetwork, type TlsService } from '../support/tls-service.ts';

const VIRTUAL: EvidencePolicy = { platforms: { virtual: {} } };
const KEYS = JSON.stringify({ keys: [{ key: 'own-party-key' }] });

let folder: string;
let network: TlsNetwork;
let service: TlsService;
/** What the node answers to the organisation's question, and what time it says it has. */
let organisation: readonly [number, string];
let nodeTimeMs: number;
const servers: Server[] = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'doctor-'));
  organisation = [200, KEYS];
  nodeTimeMs = 0;
  network = await startTlsNetwork(1, () => (seen, reply) => {
    if (seen.url === '/node/version') {
      const date = new Date(Date.now() + nodeTimeMs).toUTCString();
      reply.head(200, { date }).end('{}');
    } else reply.head(organisation[0]).end(organisation[1]);
  });
  service = network.node(0);
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  await network.stop();
  rmSync(folder, { recursive: true, force: true });
});

function options(more: Partial<ConnectorOptions> = {}): ConnectorOptions {
  const { url, certificate: serviceCertificate, client } = service;
  const { certificate, key } = client;
  return {
    service: { nodeUrls: [url], serviceCertificate, certificate, key },
    socket: { path: join(folder, 'q', 'tm.ipc') },
    ...more,
  };
}

function withService(more: Partial<ConnectorOptions['service']>): ConnectorOptions {
  return options({ service: { ...options().service, ...more } });
}

async function found(
  plan = options(),
  policy = VIRTUAL,
  aheadMs = 0,
): Promise<readonly Finding[]> {
  const clock = { nowMs: () => Date.now() + aheadMs };
  const visit = { policy, verifier: nodeVerifier, clock, timers: systemTimers };
  return await examine(plan, visit, () => undefined);
}

function step(findings: readonly Finding[], name: string): Finding {
  const finding = findings.find((one) => one.step === name);
  if (finding === undefined) throw new Error(`no ${name} in ${JSON.stringify(findings)}`);
  return finding;
}

const bad = (findings: readonly Finding[]): readonly string[] =>
  findings.filter(({ outcome }) => outcome === 'bad').map(({ step: name }) => name);
const skipped = (findings: readonly Finding[]): readonly string[] =>
  findings.filter(({ outcome }) => outcome === 'skipped').map(({ step: name }) => name);

describe('where all is well', () => {
  test('it says so of each step, and notes what a virtual node proves', async () => {
    const findings = await found();
    expect(bad(findings)).toEqual([]);
    const notes = findings.filter(({ outcome }) => outcome === 'note');
    // The certificates of this test last for a day.
    expect(notes.map((one) => one.step).sort()).toEqual(
      ['certificate validity', 'evidence', 'validity', 'validity'].sort(),
    );
    expect(step(findings, 'evidence').message).toMatch(/^INSECURE: accepted, \d+ checks/);
    expect(step(findings, 'organisation').message).toContain('own-party-key');
    expect(step(findings, 'certificate chain').message).toContain('CN=Test Node');
    expect(step(findings, 'clock').outcome).toBe('good');
    expect(step(findings, 'service').outcome).toBe('skipped');
  });

  test('it changes nothing on the machine', async () => {
    await found(options({ http: { port: 0 } }));
    expect(readdirSync(folder)).toEqual([]);
  });

  test('it runs beside the connector that serves', async () => {
    const plan = options({ http: { port: await freePort() } });
    const connector = await startConnector(plan, { log: () => undefined, judge: UNJUDGED });
    const findings = await found(plan);
    expect(bad(findings)).toEqual([]);
    expect(step(findings, 'file').outcome).toBe('good');
    const served = findings.filter(({ message }) => message.includes('a connector serves it'));
    expect(served.map((one) => one.step)).toEqual(['file', 'port']);
    await connector.close();
  });
});

describe('of a node it finds', () => {
  test('a name that its certificate lacks, with both ways out', async () => {
    const nodeUrls = [service.url.replace('127.0.0.1', 'localhost')];
    const findings = await found(withService({ nodeUrls }));
    expect(bad(findings)).toEqual(['certificate names']);
    const { message, fix } = step(findings, 'certificate names');
    expect(message).toBe('localhost is missing: it names 127.0.0.1');
    expect(fix).toContain(`--service ${service.url}`);
    expect(fix).toContain('primary_rpc_interface.published_address');
    expect(skipped(findings)).toContain('organisation');
  });

  test('a certificate of another service', async () => {
    const key = SigningKey.generate('P-384');
    const validity = { fromMs: Date.now() - 60_000, days: 90 };
    const other = await selfSignedCertificate(key, 'CN=Another', validity);
    const findings = await found(withService({ serviceCertificate: other }));
    expect(bad(findings)).toEqual(['certificate chain']);
    expect(step(findings, 'certificate chain').fix).toContain('recovered');
    expect(service.seen).toEqual([]);
  });

  test('a certificate that has expired, or is not valid yet, by this clock', async () => {
    const days = 24 * 3_600_000;
    const late = await found(options(), VIRTUAL, 2 * days);
    expect(bad(late)).toEqual(['validity', 'validity', 'certificate validity']);
    expect(step(late, 'certificate validity').fix).toContain('set_node_certificate_validity');
    const early = await found(options(), VIRTUAL, -days);
    expect(step(early, 'certificate validity').fix).toContain('clock');
  });

  test.each([
    [0, 'good', /the same time$/],
    [-90_000, 'note', /^this machine is 9\d s ahead of the node$/],
    [7_200_000, 'bad', /^this machine is \d{4} s behind the node$/],
  ] as const)('a clock %i ms off: %s', async (aheadMs, outcome, message) => {
    nodeTimeMs = aheadMs;
    const clock = step(await found(), 'clock');
    expect(clock).toMatchObject({ outcome, message: expect.stringMatching(message) });
    if (outcome !== 'good') expect(clock.fix).toContain('timedatectl');
  });

  test('evidence that the policy refuses; then nothing more is asked of it', async () => {
    const findings = await found(options(), { platforms: { snp: {} } });
    expect(bad(findings)).toEqual(['evidence']);
    expect(step(findings, 'evidence').message).toContain('PlatformNotAccepted');
    expect(skipped(findings)).toEqual(['service', 'organisation']);
    expect(service.seen.map(({ url }) => url)).toEqual(['/node/version']);
  });

  test('evidence about another key', async () => {
    const evidence = network.facts.evidence(0, new Uint8Array(91));
    network.facts.evidence = () => evidence;
    const findings = await found();
    expect(bad(findings)).toEqual(['evidence']);
    expect(step(findings, 'evidence').fix).toContain('about another');
  });

  test.each([
    [401, 'does not accept the certificate', 'add_organisation_certificate'],
    [403, 'belongs to no organisation', 'add_organisation_certificate'],
    [404, 'does not run the application', 'applications'],
    [503, 'answers 503', 'another node'],
  ])('that it answers %i to the organisation', async (status, message, fix) => {
    organisation = [status, '{"error":{}}'];
    const finding = step(await found(), 'organisation');
    expect(finding.outcome).toBe('bad');
    expect(finding.message).toContain(message);
    expect(finding.fix).toContain(fix);
  });

  test('that nobody listens, that TLS is not spoken, and addresses that are none', async () => {
    const plain = await listening((_, response) => response.end());
    const cases = [
      [`https://127.0.0.1:${await freePort()}`, 'connection', 'ECONNREFUSED'],
      [`https://127.0.0.1:${plain}`, 'connection', 'no TLS session'],
      ['http://127.0.0.1:1', 'address', 'is no address of a node'],
      ['https://no-such-host.invalid:1', 'name', 'is not known here'],
    ] as const;
    const findings = await found(withService({ nodeUrls: cases.map(([url]) => url) }));
    for (const [url, name, message] of cases) {
      const [finding] = findings.filter((one) => one.about === url && one.outcome === 'bad');
      expect(finding).toMatchObject({ step: name, message: expect.stringContaining(message) });
      expect(finding?.fix).toBeDefined();
    }
  });
});

describe('of this machine it finds', () => {
  test("a key that is another certificate's", async () => {
    const key = SigningKey.generate('P-256').privateKeyPem();
    expect(bad(await found(withService({ key })))).toContain('key');
  });

  test('who can open the socket, and who could replace it', async () => {
    const open = join(folder, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    const socket = { path: join(open, 'tm.ipc'), mode: 0o666, group: 'no-such-group' };
    const findings = await found(options({ socket }));
    expect(bad(findings)).toEqual(['mode', 'group', 'folder']);
    expect(step(findings, 'folder').fix).toContain('chmod o-w');
    expect(step(findings, 'group').fix).toContain('groupadd no-such-group');
  });

  test('a path that is too long, and one that something else has', async () => {
    const long = { path: join(folder, 'a'.repeat(100), 'tm.ipc') };
    expect(bad(await found(options({ socket: long })))).toEqual(['path']);
    const path = join(folder, 'tm.ipc');
    writeFileSync(path, 'precious');
    const findings = await found(options({ socket: { path } }));
    expect(findings.filter(({ outcome }) => outcome === 'bad')).toMatchObject([
      { about: `socket ${path}`, step: 'file' },
    ]);
    expect(existsSync(path) && !statSync(path).isSocket()).toBe(true);
  });

  test('a port that another program has, and an address that is not its own', async () => {
    const port = await listening((_, response) => response.end('I am no connector'));
    const http = { port };
    const thirdParty = { host: '0.0.0.0', port: 0 };
    const findings = await found(options({ http, thirdParty }));
    expect(step(findings, 'port')).toMatchObject({
      outcome: 'bad',
      message: 'another program has it',
      fix: expect.stringContaining(`:${port}'`),
    });
    expect(step(findings, 'third-party port').message).toContain('no loopback address');
  });
});

async function listening(handle: Parameters<typeof createServer>[1]): Promise<number> {
  const server = createServer(handle);
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const port = await listening(() => undefined);
  const server = servers.pop();
  await new Promise((done) => server?.close(done));
  return port;
}

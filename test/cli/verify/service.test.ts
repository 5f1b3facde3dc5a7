// `concordat verify service`: a live service whose nodes have an AMD of our own behind them. Each
// way in which a node, or whoever stands before it, can pass for another is named.

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { toHex } from '../../../src/base/portable-bytes.ts';
import { endorsedCertificate, serviceCertificate } from '../../../src/crypto/certificates.ts';
import { SigningKey } from '../../../src/crypto/keys.ts';
import { AT_MS } from '../../attestation/fake-certificates.ts';
import {
  fakePki,
  MEASUREMENT,
  type ReportFields,
  signedReport,
  snpEvidence,
} from '../../attestation/fake-pki.ts';
import { runProgram, startSandboxProgram } from '../../support/program.ts';
import { scratchFolder, type Verified, verify } from './verifying.ts';

const { file, path } = scratchFolder();
const chip = fakePki('Milan').chip();
const VALIDITY = { fromMs: AT_MS - 60_000, days: 365 };
const policy = file(
  'policy.json',
  JSON.stringify({ version: 1, platforms: { snp: { measurements: [toHex(MEASUREMENT)] } } }),
);

interface Authority {
  readonly key: SigningKey;
  readonly certificatePem: string;
}

interface NodeShape {
  /** The key of the TLS session, where it is not the node's. */
  readonly tlsKey?: SigningKey;
  readonly endorsedBy?: Authority;
  /** The key that the evidence is about, where it is not the node's. */
  readonly evidenceFor?: SigningKey;
  readonly report?: ReportFields;
  readonly saysService?: string;
  readonly isSilent?: boolean;
  /** Its evidence has no quote. */
  readonly isMute?: boolean;
}

async function authority(name: string): Promise<Authority> {
  const key = SigningKey.generate('P-384');
  return { key, certificatePem: await serviceCertificate(key, name, VALIDITY) };
}

let service: Authority;
let another: Authority;
beforeAll(async () => {
  service = await authority('CN=Test Service');
  another = await authority('CN=Test Service');
});

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

const idOf = (key: SigningKey): string =>
  createHash('sha256').update(key.publicKeyDer).digest('hex');

/** Starts nodes of these shapes; answers the address of the first. */
async function started(...shapes: readonly NodeShape[]): Promise<string> {
  const nodes: { nodeId: string; port: number; evidence: object }[] = [];
  for (const shape of shapes) {
    const key = SigningKey.generate('P-256');
    const reportData = new Uint8Array(64);
    reportData.set(Buffer.from(idOf(shape.evidenceFor ?? key), 'hex'));
    const report = signedReport(chip, { reportData, ...shape.report });
    const { quote, ...evidence } = snpEvidence(report, chip.chain);
    const nodeId = idOf(key);
    const raw = shape.isMute === true ? {} : { raw: quote };
    const shown = { ...evidence, ...raw, node_id: nodeId };
    const port = shape.isSilent === true ? 1 : await listening(shape, key, answering);
    nodes.push({ nodeId, port, evidence: shown });
  }
  function answering(url: string, says: string): unknown {
    if (url === '/node/network') return { service_certificate: says, service_status: 'Open' };
    if (url === '/node/attestations') return { attestations: nodes.map((one) => one.evidence) };
    if (url !== '/node/network/nodes') return undefined;
    const row = ({ nodeId, port }: (typeof nodes)[number]): object => ({
      node_id: nodeId,
      rpc_interfaces: { front: { published_address: `127.0.0.1:${port}` } },
      status: 'Trusted',
    });
    return { nodes: nodes.map(row) };
  }
  return `https://127.0.0.1:${nodes[0]?.port}`;
}

async function listening(
  { tlsKey, endorsedBy = service, saysService }: NodeShape,
  nodeKey: SigningKey,
  answering: (url: string, says: string) => unknown,
): Promise<number> {
  const key = tlsKey ?? nodeKey;
  const hosts = ['127.0.0.1'];
  const issuer = endorsedBy;
  const cert = await endorsedCertificate(key.publicKeyDer, 'CN=Node', hosts, VALIDITY, issuer);
  const server = createServer({ key: key.privateKeyPem(), cert }, (request, response) => {
    const answer = answering(request.url ?? '', saysService ?? service.certificatePem);
    response.statusCode = answer === undefined ? 404 : 200;
    response.end(JSON.stringify(answer ?? {}));
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function judged(url: string, ...more: readonly string[]): Promise<Verified> {
  return await verify(['service', url, '--policy', policy, ...more]);
}

test('a service whose nodes all prove themselves is accepted, and the unseen is said', async () => {
  const url = await started({}, {}, { isSilent: true });
  const own = file('service.pem', service.certificatePem);
  const { code, out } = await judged(url, '--service-certificate', own);
  expect(out).toContain('3 of the 3 nodes that the service lists are accepted');
  expect(code).toBe(0);
  expect(out).toMatch(
    /ok {2}TLS key +the TLS session is under the key that the evidence is about/,
  );
  expect(out).toMatch(/- {3}TLS key +the node did not answer, so this was not seen/);
  expect(out).toMatch(
    /not seen in use were the keys of nodes that did not answer: [0-9a-f]{64}\./,
  );
  expect(out).toMatch(/ok {2}service certificate +it is the service that was asked for/);
});

describe('one that passes for another is refused', () => {
  const thief = SigningKey.generate('P-256');
  test.each<readonly [string, number, string, () => readonly NodeShape[]]>([
    [
      'other code on one node',
      14,
      'MeasurementNotAccepted',
      () => [
        {},
        {
          report: { measurement: new Uint8Array(48) },
        },
      ],
    ],
    ['no evidence of one node', 10, 'QuoteNotBase64', () => [{}, { isMute: true }]],
    ['evidence of another node', 15, 'ReportDataMismatch', () => [{}, { evidenceFor: thief }]],
    ['a session under another key', 15, 'TlsKeyUnattested', () => [{}, { tlsKey: thief }]],
    ['in front of the service', 15, 'TlsKeyUnattested', () => [{ tlsKey: thief }, {}]],
    [
      'a certificate by somebody else',
      11,
      'NodeNotEndorsed',
      () => [{}, { endorsedBy: another }],
    ],
    [
      'a node of another service',
      15,
      'OtherService',
      () => [
        {},
        {
          saysService: another.certificatePem,
        },
      ],
    ],
  ])('%s: %i', async (_how, code, word, shapes) => {
    const result = await judged(await started(...shapes()));
    expect(result).toMatchObject({ code, out: expect.stringContaining(word) });
  });

  test('and another service than was asked for', async () => {
    const url = await started({});
    const own = file('another.pem', another.certificatePem);
    expect(await judged(url, '--service-certificate', own)).toMatchObject({
      code: 15,
      out: expect.stringContaining('NotTheService'),
    });
  });

  test('and a front door of which no accepted evidence is', async () => {
    const url = await started({ report: { policy: 0xb_0000n } }, {});
    const { code, out } = await judged(url, '--json');
    expect(code).toBe(13);
    const { verdicts } = JSON.parse(out) as {
      verdicts: readonly { name: string; refusal?: { code: string } }[];
    };
    expect(verdicts.map(({ refusal }) => refusal?.code)).toEqual([
      'DebugAllowed',
      undefined,
      'TlsKeyUnattested',
    ]);
    expect(verdicts[2]?.name).toContain(url);
  });
});

test('a service whose certificate is none cannot be judged', async () => {
  const url = await started({ saysService: 'x' });
  expect(await judged(url)).toMatchObject({
    code: 3,
    out: expect.stringContaining('is no certificate'),
  });
});

test('its evidence can be kept, and judged again without it', async () => {
  const url = await started({}, {});
  const at = path('service.json');
  const html = path('service.html');
  expect((await judged(url, '--save', at, '--html', html)).code).toBe(0);
  const again = await verify(['bundle', at, '--json'], { nowMs: 0 });
  expect(again.code).toBe(0);
  const { verdicts } = JSON.parse(again.out) as { verdicts: readonly unknown[] };
  expect(verdicts).toHaveLength(2);
  expect(readFileSync(html, 'utf8')).toContain('<h1>Attestation accepted</h1>');
});

test('what is asked wrongly, or answers wrongly, is no verdict', async () => {
  expect((await verify(['service', 'https://127.0.0.1:1'])).code).toBe(2);
  expect((await judged('http://127.0.0.1:1')).code).toBe(2);
  expect((await judged('https://127.0.0.1:1')).code).toBe(3);
  const url = await started({ isSilent: false });
  for (const server of open) server.removeAllListeners('request');
  for (const server of open) server.on('request', (_request, response) => response.end('[]'));
  expect(await judged(url)).toMatchObject({
    code: 3,
    out: expect.stringContaining('no certificate of its'),
  });
});

test('a sandbox is refused, and accepted as INSECURE by those who ask for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'verify-sandbox-'));
  const sandbox = await startSandboxProgram(['--data', join(folder, 'data')]);
  try {
    const { url, certificate } = sandbox.ready.service;
    const args = ['verify', 'service', url, '--service-certificate', certificate];
    const refused = await runProgram([...args, '--policy', policy]);
    expect(refused).toMatchObject({
      code: 14,
      stdout: expect.stringContaining('PlatformNotAccepted'),
    });
    const allowed = await runProgram([...args, '--allow-insecure-virtual']);
    expect(allowed).toMatchObject({ code: 0, stdout: expect.stringContaining('INSECURE') });
    expect(allowed.stdout).toMatch(/ok {2}TLS key/);
    expect(allowed.stdout).toMatch(
      /ok {2}service certificate +it is the service that was asked/,
    );
  } finally {
    await sandbox.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

/**
 * Stories of `concordat federation status` and of the figures behind it, against a real node's
 * operator listener; and of what a configuration says of federation.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { command } from '../../src/cli/federation.ts';
import { nodeOptionsOf } from '../../src/cli/node/configured-options.ts';
import { nodeConfigOf } from '../../src/config/node-config.ts';
import { type OpenOperatorListener, openOperatorListener } from '../../src/node/operator.ts';
import { eventually } from '../support/cluster-rig.ts';
import { FederatedService } from './federated-service.ts';

const endings: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function begin(): Promise<{ on: FederatedService; operator: OpenOperatorListener }> {
  const on = await FederatedService.of(1);
  endings.push(() => on.end());
  const node = on.members[0]?.node;
  if (node === undefined) throw new Error('there is a node');
  const operator = await openOperatorListener(node, '127.0.0.1', 0, () => undefined);
  endings.push(() => operator.close());
  return { on, operator };
}

async function run(args: readonly string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const say = (line: string): void => {
    lines.push(line);
  };
  const { signal } = new AbortController();
  const code = await command.run(args, {
    out: say,
    err: say,
    progress: say,
    isTty: false,
    signal,
  });
  return { code, text: lines.join('\n') };
}

test('shows each peer, its keys and what waits for it; 1 when that fails', async () => {
  const { on, operator } = await begin();
  const url = `http://127.0.0.1:${operator.address.port}`;
  const peer = await on.meet();
  const key = peer.key.publicKey.toString('base64');
  await on.send({ to: [key] });
  await eventually('the outbox empty', () => on.outbox() === 0);
  const well = await run(['status', '--operator', url]);
  expect(well.code).toBe(0);
  expect(well.text).toContain(`${peer.url}  answered 0 s ago, 0 waiting\n  ${key}`);
  expect(well.text).toContain('0 in the outbox; delivered 1,');
  await peer.stop();
  await on.send({ to: [key] });
  await eventually('the failure noticed', () => on.federation().status().counters.failed > 0);
  const ill = await run(['status', '--operator', url, '--json']);
  expect(ill.code).toBe(1);
  expect(JSON.parse(ill.text)).toMatchObject({
    isPrimary: true,
    keyValidation: true,
    outbox: 1,
    peers: [{ url: peer.url, keys: [key], waiting: 1, error: expect.any(String) }],
  });
  const metrics = await (await fetch(`${url}/metrics`)).text();
  expect(metrics).toContain('concordat_federation_outbox_length 1\n');
  expect(metrics).toContain('concordat_federation_deliveries_total 1\n');
});

test('says which nodes tell nothing of it', async () => {
  await expect(run(['status', '--operator', 'http://127.0.0.1:9'])).rejects.toThrow(
    'no node tells of federation: http://127.0.0.1:9: ',
  );
});

test.each([
  [[], 'say what to do: status; not nothing'],
  [['start'], 'say what to do: status; not "start"'],
  [['status', '--data', 'x', '--operator', 'y'], 'give one'],
])('is not understood with %j', async (args, sentence) => {
  await expect(run(args)).rejects.toThrow(sentence);
});

const SMALLEST = {
  folder: 'node1',
  network: {
    node_to_node_interface: { bind_address: '127.0.0.1:8500' },
    rpc_interfaces: { primary_rpc_interface: { bind_address: '127.0.0.1:8000' } },
  },
  command: {
    type: 'Start',
    start: { members: [{ certificate_file: 'a.pem', encryption_public_key_file: 'b.pem' }] },
  },
};

function optionsOf(federation: unknown) {
  return nodeOptionsOf(nodeConfigOf({ ...SMALLEST, federation }, '/etc/node.json'));
}

test('a configuration without federation opens nothing; an empty one opens loopback', () => {
  expect(nodeOptionsOf(nodeConfigOf(SMALLEST, '/etc/node.json')).federation).toBeUndefined();
  expect(optionsOf({}).federation).toEqual({
    server: { host: '127.0.0.1', port: 9000, whitelist: [] },
    peers: [],
    discovery: true,
    validatesKeys: true,
    partyInfoMs: 5_000,
    send: 'strict',
  });
});

test('a configuration without the transaction manager has nothing to speak for', () => {
  const config = { ...SMALLEST, applications: ['log'], federation: {} };
  expect(() => nodeConfigOf(config, '/etc/node.json')).toThrow(
    'federation speaks for the application quorum',
  );
});

test('a configuration says all of it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-federation-'));
  endings.push(() => rmSync(folder, { recursive: true }));
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(folder, name));
  for (const file of [cert, key]) writeFileSync(file ?? '', `the bytes of ${file}`);
  const options = optionsOf({
    bind_address: '10.0.0.1:9001',
    url: 'https://concordat.example:9001/',
    peers: ['http://peer.example:9000'],
    discovery: false,
    key_validation: false,
    whitelist: ['10.0.0.2'],
    party_info_interval: '1s',
    send: 'queued',
    tls: { certificate_file: cert, key_file: key, client_certificates: false },
  });
  const tls = { cert: `the bytes of ${cert}`, key: `the bytes of ${key}` };
  expect(options.federation).toEqual({
    server: {
      host: '10.0.0.1',
      port: 9001,
      whitelist: ['10.0.0.2'],
      tls: { ...tls, demandsCertificates: false },
    },
    url: 'https://concordat.example:9001/',
    peers: ['http://peer.example:9000'],
    discovery: false,
    validatesKeys: false,
    partyInfoMs: 1_000,
    send: 'queued',
  });
});

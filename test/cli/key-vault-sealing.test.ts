// Nodes as processes whose keys are sealed under one that Key Vault releases to their code: through
// a machine's identity, an attestation service and a vault, each a double on this machine that
// really judges, wraps and signs. The hardware is a test's own, as in the tests of joining.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KeyVault } from '../../src/attestation/azure/key-vault.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { TLS_AUTHORITY } from '../attestation/azure/https-double.ts';
import { type MaaDouble, maaDouble } from '../attestation/azure/maa-double.ts';
import { type VaultDouble, vaultDouble } from '../attestation/azure/vault-double.ts';
import { fakePki, HOST_DATA, MEASUREMENT } from '../attestation/fake-pki.ts';
import { type LocalService, localService } from '../attestation/sources/local-service.ts';
import { type MachineFile, writeMachine } from '../joining/machine-files.ts';
import { firstNodeFiles } from './node-files.ts';

const PROGRAM = join(import.meta.dirname, '../joining/node-on-fake-hardware.ts');
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];
const RESOURCE = 'https://vault.azure.net';
const KEY = 'restart-state';

const pki = fakePki('Milan');
const GOOD: MachineFile = {
  ...{ chip: pki.chip(), roots: pki.roots },
  ...{ measurement: MEASUREMENT, hostData: HOST_DATA },
};
const OTHER: MachineFile = { ...GOOD, hostData: new Uint8Array(32).fill(1) };
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const folder = mkdtempSync(join(tmpdir(), 'concordat-vault-sealing-'));
const children: ChildProcess[] = [];
let maa: MaaDouble;
let vault: VaultDouble;
let identity: LocalService;
let version = '';
/** One that was made, or imported, later. */
let later = '';
let hasIdentity = true;

const CONTAINER = { claim: 'x-ms-sevsnpvm-hostdata', equals: hex(HOST_DATA) };
const policyText = (...allOf: readonly object[]): string =>
  JSON.stringify({ version: '1.0.0', anyOf: [{ authority: maa.url, allOf }] });

beforeAll(async () => {
  const atMs = Date.now();
  maa = await maaDouble({ verifier: nodeVerifier, roots: pki.roots, atMs });
  vault = await vaultDouble({ issuers: [maa.signer] });
  identity = await localService(() =>
    hasIdentity
      ? { body: JSON.stringify({ access_token: 'ours', expires_in: 3600 }) }
      : { status: 400, body: '{"error_description":"Identity not found"}' },
  );
  const ours = new KeyVault(
    {
      vaultUrl: vault.url,
      credential: { getToken: async () => ({ token: 'a', expiresOnTimestamp: atMs + 1e7 }) },
      ...{ authorities: vault.authorities, isAzureHost: false, retriesMax: 0 },
    },
    { clock: { nowMs: () => atMs }, verifier: nodeVerifier },
  );
  const kind = { claim: 'x-ms-attestation-type', equals: 'sevsnpvm' };
  const policy = JSON.parse(policyText(kind, CONTAINER));
  const made = { kind: 'RSA-HSM', bits: 2048 } as const;
  version = (await ours.create(KEY, made, policy)).version;
  later = (await ours.create(KEY, made, policy)).version;
  writeFileSync(join(folder, 'authorities.pem'), vault.authorities);
  writeFileSync(join(folder, 'tls.pem'), TLS_AUTHORITY);
  writeFileSync(join(folder, 'policy.json'), JSON.stringify(policy));
  writeFileSync(join(folder, 'looser-policy.json'), policyText(CONTAINER));
}, 60_000);
afterAll(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  await Promise.all([maa.close(), vault.close(), identity.close()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Line {
  readonly ready?: true;
  readonly isNew?: boolean;
  readonly nodeId?: string;
  readonly sealing?: string;
  readonly code?: string;
  readonly message?: string;
}

interface Run {
  readonly line: Line;
  said(): string;
  stop(): Promise<void>;
}

/** A node of this name, with more settings of the vault, on a machine; what it says first. */
async function run(name: string, more: object = {}, machine = GOOD): Promise<Run> {
  return await runSealedBy(
    name,
    { kind: 'key-vault', key_vault: vaultSettings(more) },
    machine,
  );
}

const vaultSettings = (more: object): object => ({
  ...{ vault_url: vault.url, key_name: KEY, key_version: version },
  ...{ attestation_service: maa.url, authorities_file: '../authorities.pem' },
  ...{ release_policy_file: '../policy.json', token_resource: RESOURCE },
  ...{ identity_url: `${identity.url}/token`, managed_identity_client_id: 'us' },
  ...more,
});

async function runSealedBy(name: string, sealing: object, machine: MachineFile): Promise<Run> {
  const home = join(folder, name);
  mkdirSync(home, { recursive: true });
  const { path } = await firstNodeFiles(home, {
    attestation: { platform: 'snp-configfs' },
    sealing,
  });
  const machineFile = join(folder, `machine-${children.length}.json`);
  writeMachine(machineFile, machine);
  const child = spawn(process.execPath, [...HARDENING, PROGRAM, path, machineFile], {
    stdio: 'pipe',
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'tls.pem') },
  });
  children.push(child);
  let said = '';
  child.stderr.on('data', (piece) => {
    said += String(piece);
  });
  const first = once(createInterface({ input: child.stdout }), 'line');
  const ended = once(child, 'close').then(() => [JSON.stringify({ message: said })]);
  const [line] = await Promise.race([first, ended]);
  return {
    line: JSON.parse(String(line)),
    said: () => said,
    stop: async () => {
      child.kill('SIGTERM');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

test('a node starts, stops, and goes on, its key being released to its code alone', async () => {
  const first = await run('good');
  expect(first.line).toMatchObject({ ready: true, isNew: true, sealing: 'key-vault' });
  expect(first.said()).not.toMatch(/INSECURE|key_version/);
  await first.stop();
  expect(readdirSync(join(folder, 'good/node'), { recursive: true }).join()).not.toMatch(
    /INSECURE/,
  );
  const second = await run('good');
  expect(second.line).toMatchObject({ ready: true, isNew: false, nodeId: first.line.nodeId });
  await second.stop();
  // Once for each start, though several parts of it ask for the sealer.
  const releases = vault.asked.filter(({ path, body }) => /release/.test(path) && body !== '');
  expect(releases.map(({ path }) => path)).toEqual(
    [1, 2].map(() => `/keys/${KEY}/${version}/release`),
  );
  expect(releases.map(({ headers }) => headers.authorization)).toEqual([
    'Bearer ours',
    'Bearer ours',
  ]);
  expect(identity.asked[0]).toBe(
    'GET /token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=us',
  );

  // Other code finds the same folder, and the vault gives it nothing.
  const other = await run('good', {}, OTHER);
  expect(other.line).toMatchObject({
    code: 'ReleasePolicyNotMet',
    message: expect.stringMatching(/hostdata is "0101.*, not "bbbb/),
  });
}, 120_000);

test('a node on hardware with its key beside what it seals says that it is insecure', async () => {
  const { line, said, stop } = await runSealedBy('plain', { allow_insecure: true }, GOOD);
  expect(line).toMatchObject({ ready: true, sealing: 'virtual' });
  expect(said()).toMatch(
    /INSECURE\. The keys in .* are sealed with a key that lies beside them/,
  );
  await stop();
}, 60_000);

test('another version is taken when it is named, and the former one as long as it is', async () => {
  const first = await run('rotated');
  expect(first.line).toMatchObject({ ready: true });
  await first.stop();
  const forgotten = await run('rotated', { key_version: later });
  expect(forgotten.line).toMatchObject({
    code: 'KeyVersionNotNamed',
    message: expect.stringMatching(new RegExp(`under version ${version} of restart-state`)),
  });
  const named = { key_version: later, former_key_versions: [version] };
  const second = await run('rotated', named);
  expect(second.line).toMatchObject({ ready: true, nodeId: first.line.nodeId });
  await second.stop();
}, 120_000);

test('a version that is not named is warned about', async () => {
  const { line, said, stop } = await run('newest', { key_version: undefined });
  expect(line).toMatchObject({ ready: true });
  expect(said()).toMatch(/key_version names no version of restart-state/);
  await stop();
}, 60_000);

const REFUSED: readonly (readonly [string, object, MachineFile, string, RegExp])[] = [
  [
    'a key that is kept under another policy',
    { release_policy_file: '../looser-policy.json' },
    GOOD,
    'ReleasePolicyChanged',
    /kept under another policy than was expected/,
  ],
  [
    'other code, by a vault whose policy is not known here',
    { release_policy_file: undefined },
    OTHER,
    'KeyNotReleased',
    /does not release restart-state: .*cannot be verified.*permission to release/,
  ],
  [
    'a vault that sends for a token of another service',
    { token_resource: 'https://managedhsm.azure.net' },
    GOOD,
    'NoIdentityToken',
    /"?https:\/\/vault.azure.net\/.default"? was asked for instead/,
  ],
  [
    'a key that is not there',
    { key_name: 'none' },
    GOOD,
    'KeyNotReleased',
    /does not release none: there is no key none/,
  ],
  [
    'authorities that did not sign it',
    { authorities_file: '../tls.pem' },
    GOOD,
    'ReleaseChain',
    /do not lead to a configured authority/,
  ],
  [
    'an attestation service that is not there',
    { attestation_service: 'https://localhost:1' },
    GOOD,
    'NoAnswer',
    /REFUSED/,
  ],
];

test.each(REFUSED)(
  'refused by name: %s',
  async (_what, more, machine, code, says) => {
    const { line } = await run(`refused-${children.length}`, more, machine);
    expect(line).toMatchObject({ code, message: expect.stringMatching(says) });
  },
  60_000,
);

test('a machine without an identity is told so', async () => {
  hasIdentity = false;
  const { line } = await run('nobody');
  expect(line).toMatchObject({
    code: 'NoIdentityToken',
    message: expect.stringMatching(/identity us has no token .*400: Identity not found/),
  });
}, 60_000);

// A service on hardware whose members let a vault's key recover it: its only node is lost, and the
// node that recovers it has the key released to its code, with nobody's share. The attestation
// service and the vault are doubles on this machine that really judge, wrap and sign.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { KeyVault } from '../../src/attestation/azure/key-vault.ts';
import { SigningMember } from '../../src/cli/gov/place.ts';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { UnwrappingKey } from '../../src/crypto/keys.ts';
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
const KEY = 'recovery';

const pki = fakePki('Milan');
const GOOD: MachineFile = {
  ...{ chip: pki.chip(), roots: pki.roots },
  ...{ measurement: MEASUREMENT, hostData: HOST_DATA },
};
const OTHER: MachineFile = { ...GOOD, hostData: new Uint8Array(32).fill(1) };

const folder = mkdtempSync(join(tmpdir(), 'concordat-key-release-'));
const home = join(folder, 'lost');
const children: ChildProcess[] = [];
let maa: MaaDouble;
let vault: VaultDouble;
let identity: LocalService;
let policy = '';
let version = '';

beforeAll(async () => {
  const atMs = Date.now();
  maa = await maaDouble({ verifier: nodeVerifier, roots: pki.roots, atMs });
  vault = await vaultDouble({ issuers: [maa.signer] });
  identity = await localService(() => ({
    body: JSON.stringify({ access_token: 'ours', expires_in: 3600 }),
  }));
  const equals = Buffer.from(HOST_DATA).toString('hex');
  const allOf = [{ claim: 'x-ms-sevsnpvm-hostdata', equals }];
  policy = JSON.stringify({ version: '1.0.0', anyOf: [{ authority: maa.url, allOf }] });
  const owners = new KeyVault(
    {
      vaultUrl: vault.url,
      credential: { getToken: async () => ({ token: 'a', expiresOnTimestamp: atMs + 1e7 }) },
      ...{ authorities: vault.authorities, isAzureHost: false, retriesMax: 0 },
    },
    { clock: { nowMs: () => atMs }, verifier: nodeVerifier },
  );
  const made = { kind: 'RSA-HSM', bits: 2048 } as const;
  version = (await owners.create(KEY, made, JSON.parse(policy))).version;
  writeFileSync(join(folder, 'authorities.pem'), vault.authorities);
  writeFileSync(join(folder, 'tls.pem'), TLS_AUTHORITY);
}, 60_000);
afterAll(async () => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
  await Promise.all([maa.close(), vault.close(), identity.close()]);
  rmSync(folder, { recursive: true, force: true });
});

interface Running {
  readonly ready: NodeReadyLine;
  said(): string;
  kill(): Promise<void>;
}

async function run(
  path: string,
  machine: MachineFile,
  ...ledgers: readonly string[]
): Promise<Running> {
  const machineFile = join(folder, `machine-${children.length}.json`);
  writeMachine(machineFile, machine);
  const args = [...HARDENING, PROGRAM, path, machineFile, ...ledgers];
  const child = spawn(process.execPath, args, {
    stdio: 'pipe',
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'tls.pem') },
  });
  children.push(child);
  let said = '';
  child.stderr.on('data', (piece) => {
    said += String(piece);
  });
  const first = once(createInterface({ input: child.stdout }), 'line');
  const ended = once(child, 'close').then(() => ['{}']);
  const ready = JSON.parse(String((await Promise.race([first, ended]))[0])) as NodeReadyLine;
  if (ready.ready !== true) throw new Error(`${JSON.stringify(ready)} ${said}`);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  };
  return { ready, said: () => said, kill };
}

const ATTESTED = {
  attestation: { platform: 'snp-configfs' },
  sealing: { allow_insecure: true },
};

/** The only member of the lost service decides, at any node; what he decided is committed. */
async function decide({ url, service }: NodeReadyLine, name: string, args: object) {
  const { certificate, key } = sandboxFolder(home).member(1);
  const member = SigningMember.of({
    ...{ url: [url], 'service-certificate': service.certificate },
    ...{ 'member-certificate': certificate, 'member-key': key },
  });
  const body = JSON.stringify({ actions: [{ name, args }] });
  const created = await member.send('proposal', '/members/proposals:create', body);
  const { proposalId } = JSON.parse(created.body) as { readonly proposalId: string };
  const path = `/members/proposals/${proposalId}/ballots/${member.id}:submit`;
  const ballot = JSON.stringify({ ballot: 'export function vote () { return true }' });
  const voted = await member.send('ballot', path, ballot, proposalId);
  expect(JSON.parse(voted.body)).toMatchObject({ proposalState: 'Accepted' });
  await until('it is committed', async () => {
    const asked = await member.service.get(`/node/tx?transaction_id=${voted.txId}`);
    return (JSON.parse(asked.body) as { readonly status: string }).status === 'Committed';
  });
}

/** A node that recovers the lost service, once its member let it go on. */
async function recovering(name: string, machine: MachineFile): Promise<Running> {
  const previous = join(home, 'service_cert.pem');
  const key_release = {
    ...{ attestation_service: maa.url, authorities_file: '../authorities.pem' },
    ...{ identity_url: `${identity.url}/token`, token_resource: 'https://vault.azure.net' },
  };
  const recover = { previous_service_identity_file: previous, key_release };
  const command = { type: 'Recover', recover };
  const { path } = await firstNodeFiles(join(folder, name), { ...ATTESTED, command });
  const node = await run(path, machine, join(home, 'node'));
  await decide(node.ready, 'transition_service_to_open', {
    previous_service_identity: readFileSync(previous, 'utf8'),
    next_service_identity: readFileSync(node.ready.service.certificate, 'utf8'),
  });
  return node;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (let waitedMs = 0; !(await holds()); waitedMs += 50) {
    if (waitedMs > 30_000) throw new Error(`it never comes that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function statusOf({ operator }: NodeReadyLine): Promise<unknown> {
  const status = (await (await fetch(`${operator.url}/status`)).json()) as object;
  return Reflect.get(status, 'serviceStatus');
}

test('what members allowed recovers a service by its code alone', async () => {
  const founder = await run((await firstNodeFiles(home, ATTESTED)).path, GOOD);
  const pem = UnwrappingKey.fromPkcs8(vault.secretOf(KEY, version)).publicKeyPem;
  await decide(founder.ready, 'set_recovery_release_key', {
    ...{ name: 'vault', encryption_pub_key: pem, vault_url: vault.url },
    ...{ key_name: KEY, key_version: version, release_policy: policy },
  });
  await founder.kill();

  const other = await recovering('other', OTHER);
  await until('it is refused', async () => other.said().includes('"vault" is of no use'));
  expect(other.said()).toMatch(/hostdata is "0101.*, not "bbbb/);
  expect(await statusOf(other.ready)).toBe('WaitingForRecoveryShares');
  await other.kill();

  const node = await recovering('good', GOOD);
  await until('it is open', async () => (await statusOf(node.ready)) === 'Open');
  const releases = vault.asked.filter(({ path, body }) => /release/.test(path) && body !== '');
  expect(releases.map(({ path }) => path)).toEqual([`/keys/${KEY}/${version}/release`]);
  await node.kill();
}, 120_000);

// What a node's keys are sealed with: said by its configuration, and refused where it would protect
// nothing.

import { expect, test } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { type NodeConfig, nodeConfigOf } from '../../src/config/node-config.ts';

const VAULT = {
  vault_url: 'https://concordat.vault.azure.net',
  key_name: 'restart-state',
  attestation_service: 'https://sharedweu.weu.attest.azure.net/',
  authorities_file: 'authorities.pem',
};

function configOf(platform: string, sealing: object): NodeConfig {
  const given = {
    folder: 'node',
    network: {
      node_to_node_interface: { bind_address: '127.0.0.1:8500' },
      rpc_interfaces: { primary_rpc_interface: { bind_address: '127.0.0.1:8000' } },
    },
    command: { type: 'Join', join: { target_rpc_address: '127.0.0.1:8001' } },
    attestation: { platform },
    sealing,
  };
  return nodeConfigOf(given, '/etc/concordat/node.json');
}

function faultsOf(platform: string, sealing: object): unknown {
  try {
    configOf(platform, sealing);
  } catch (thrown) {
    if (thrown instanceof CodedError) return thrown.fields.faults;
    throw thrown;
  }
  return [];
}

test('nothing said is the virtual sealer, for a node that is virtual', () => {
  expect(configOf('virtual', {}).sealing).toEqual({
    kind: 'virtual',
    allow_insecure: false,
    tpm: { programs: '/usr/bin', temporary: '/dev/shm', pcrs: [] },
    key_vault: undefined,
  });
});

test("a vault's settings have their defaults and their paths from where they stand", () => {
  const { key_vault } = configOf('snp-aci', { kind: 'key-vault', key_vault: VAULT }).sealing;
  expect(key_vault).toEqual({
    ...VAULT,
    key_version: undefined,
    former_key_versions: [],
    attestation_service: 'https://sharedweu.weu.attest.azure.net',
    authorities_file: '/etc/concordat/authorities.pem',
    release_policy_file: undefined,
    managed_identity_client_id: undefined,
    identity_url: 'http://169.254.169.254/metadata/identity/oauth2/token',
    token_resource: undefined,
  });
});

test.each<readonly [string, object]>([
  ['virtual', { kind: 'tpm' }],
  ['azure-cvm', { kind: 'tpm', tpm: { pcrs: [0, 23] } }],
  ['azure-cvm', { allow_insecure: true }],
  ['snp-configfs', { kind: 'virtual', allow_insecure: true }],
  ['snp-configfs', { kind: 'key-vault', key_vault: VAULT }],
  ['snp-aci', { kind: 'key-vault', key_vault: { ...VAULT, key_version: 'a'.repeat(32) } }],
  [
    'snp-aci',
    {
      kind: 'key-vault',
      key_vault: {
        ...{ ...VAULT, key_version: 'a'.repeat(32) },
        former_key_versions: ['b'.repeat(32)],
      },
    },
  ],
])('a node on %s may say %j', (platform, sealing) => {
  expect(faultsOf(platform, sealing)).toEqual([]);
});

test.each(['snp-configfs', 'snp-aci', 'azure-cvm'])(
  'a node on %s does not seal with a key beside what it seals, unless told so',
  (platform) => {
    expect(faultsOf(platform, {})).toEqual([
      expect.stringMatching(
        new RegExp(`sealing.kind is "virtual".*is "${platform}".*"tpm" or "key-vault"; or set`),
      ),
    ]);
  },
);

const PINNED = { key_version: 'a'.repeat(32) };
const keyVault = (more: object): object => ({
  kind: 'key-vault',
  key_vault: { ...VAULT, ...more },
});

test.each<readonly [string, object, RegExp]>([
  ['virtual', { kind: 'tmp' }, /^sealing.kind is "tmp"; it takes "virtual", "tpm"/],
  ['virtual', { tpm: { pcrs: [24] } }, /^sealing.tpm.pcrs\[0\] is 24; .* from 0 to 23$/],
  [
    'virtual',
    { kind: 'tpm', tpm: { pcrs: [4, 4] } },
    /^sealing.tpm.pcrs is \[4,4\]; .* twice$/,
  ],
  ['snp-aci', { kind: 'key-vault' }, /^sealing.key_vault is missing; .* "key-vault"$/],
  [
    'virtual',
    keyVault({}),
    /attestation.platform is "virtual": .* "snp-configfs" or "snp-aci"/,
  ],
  ['azure-cvm', keyVault({}), /attestation.platform is "azure-cvm": /],
  ['snp-aci', keyVault({ vault_url: 'http://a' }), /vault_url is "http:\/\/a"; it is https/],
  ['snp-aci', keyVault({ vault_url: 'https://a/b' }), /vault_url is .* https:\/\/ and a host/],
  ['snp-aci', keyVault({ attestation_service: 'https://A' }), /service is "https:\/\/A"; it/],
  ['snp-aci', keyVault({ key_name: 'a/b' }), /key_name is "a\/b"; it is 1 to 127/],
  ['snp-aci', keyVault({ key_version: '1' }), /key_version is "1"; it is 32/],
  ['snp-aci', keyVault({ ...PINNED, former_key_versions: ['1'] }), /versions\[0\] is "1"; it/],
  [
    'snp-aci',
    keyVault({ former_key_versions: ['b'.repeat(32)] }),
    /key_version is missing; former_key_versions are named/,
  ],
  ['snp-aci', keyVault({ key_name: undefined }), /^sealing.key_vault.key_name is missing/],
  ['snp-aci', keyVault({ key_versoin: '1' }), /did you mean sealing.key_vault.key_version\?/],
])('a node on %s may not say %j', (platform, sealing, says) => {
  expect(faultsOf(platform, sealing)).toEqual([expect.stringMatching(says)]);
});

// What a configuration says of evidence reaches the source that a node opens.

import { expect, test } from 'vitest';
import { openEvidenceSource } from '../../src/attestation/sources/open-source.ts';
import type { EvidenceSource } from '../../src/attestation/sources/source.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { evidenceSettingsOf } from '../../src/cli/node/evidence-settings.ts';
import { nodeConfigOf } from '../../src/config/node-config.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { realClock, realTimers } from '../../src/node/real-time.ts';

function settings(
  attestation: object,
  environment: Readonly<Record<string, string>> = {},
): ReturnType<typeof evidenceSettingsOf> {
  const config = nodeConfigOf(
    {
      folder: '/var/node',
      network: {
        node_to_node_interface: { bind_address: '127.0.0.1:8500' },
        rpc_interfaces: { primary_rpc_interface: { bind_address: '127.0.0.1:8000' } },
      },
      command: { type: 'Join', join: { target_rpc_address: '127.0.0.1:8001' } },
      attestation,
      // Not what is looked at here.
      sealing: { allow_insecure: true },
    },
    '/etc/node.json',
  );
  return evidenceSettingsOf(config, environment);
}

function opened(
  attestation: object,
  environment: Readonly<Record<string, string>> = {},
): EvidenceSource {
  return openEvidenceSource(settings(attestation, environment), {
    clock: realClock,
    timers: realTimers,
    random: systemRandom,
    log: { warn: () => undefined },
  });
}

test('nothing said is the virtual platform, and all services of certificates', async () => {
  expect(settings({})).toMatchObject({
    platform: 'virtual',
    endorsements: {
      from: ['thim', 'azure-cache', 'amd'],
      timeoutMs: 10_000,
      folder: '/var/node/endorsements',
    },
  });
  const { format } = await opened({}).evidenceFor(utf8('x'.repeat(32)));
  expect(format).toBe('Insecure_Virtual');
});

test('the environment of a container names its security context, unless told otherwise', () => {
  const environment = { UVM_SECURITY_CONTEXT_DIR: '/security-context-1' };
  expect(settings({}, environment).aci.securityContext).toBe('/security-context-1');
  const told = { aci: { security_context: '/other' } };
  expect(settings(told, environment).aci.securityContext).toBe('/other');
  expect(() => opened({ platform: 'snp-aci' })).toThrow(/UVM_SECURITY_CONTEXT_DIR/);
});

test.each<[string, string, Readonly<Record<string, object>>]>([
  ['snp-configfs', 'snp', { configfs: { folder: '/nowhere/tsm', privilege_level: 1 } }],
  [
    'snp-aci',
    'snp',
    { aci: { security_context: '/nowhere', sidecar_url: 'http://127.0.0.1:1' } },
  ],
  [
    'snp-aci',
    'snp',
    { aci: { security_context: '/nowhere', report: 'program', program: '/nowhere/report' } },
  ],
  ['azure-cvm', 'azure-cvm', { azure_cvm: { programs: '/nowhere/bin' } }],
])('%s without its hardware says what is missing', async (platform, name, more) => {
  const source = opened({ platform, ...more });
  expect(source.platform).toBe(name);
  const binding = utf8('x'.repeat(32));
  await expect(source.evidenceFor(binding, binding)).rejects.toMatchObject({
    code: 'EvidenceUnavailable',
  });
});

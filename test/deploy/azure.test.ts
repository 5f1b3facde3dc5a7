/**
 * To show: what is deployed on Azure agrees with the policy that its utility VM enforces, command,
 * mounts and all, and with the settings of a node. Azure itself has no part in it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readNodeConfig } from '../../src/config/node-config.ts';
import { at, listAt, type Tree } from './rendered-chart.ts';

const ROOT = join(import.meta.dirname, '../..');
const json = (path: string): Tree => JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as Tree;

const template = json('deploy/azure/container-group.json');
const group = listAt(template, 'resources')[0];
const container = listAt(group, 'properties', 'containers')[0];
const released = listAt(json('enclave-policy/release.json'), 'containers')[0];

describe('the container group', () => {
  test('is confidential, under the policy that it is given', () => {
    expect(at(group, 'properties', 'sku')).toBe('Confidential');
    const ccePolicy = at(group, 'properties', 'confidentialComputeProperties', 'ccePolicy');
    expect(ccePolicy).toBe("[parameters('ccePolicy')]");
    const about = String(at(template, 'parameters', 'ccePolicy', 'metadata', 'description'));
    const [, path = ''] = /(enclave-policy\/\S+)/.exec(about) ?? [];
    expect(readFileSync(join(ROOT, path), 'utf8')).toContain('package policy');
  });

  test('runs the command, and mounts the folders, that the policy allows', () => {
    expect(at(container, 'properties', 'command')).toEqual(released?.command);
    const mounts = listAt(container, 'properties', 'volumeMounts');
    const kinds = new Map(
      listAt(group, 'properties', 'volumes').map((volume) => [
        volume.name,
        Object.keys(volume).find((key) => key !== 'name'),
      ]),
    );
    const allowed = listAt(released, 'mounts').filter(({ volume }) => volume !== 'resolvconf');
    expect(
      mounts.map(({ name, mountPath, readOnly }) => ({
        destination: mountPath,
        volume: kinds.get(name),
        readOnly,
      })),
    ).toEqual(allowed);
  });

  test('uses each parameter, and no other', () => {
    const text = JSON.stringify({ ...template, parameters: undefined });
    const used = [...text.matchAll(/parameters\('(\w+)'\)/g)].map(([, name = '']) => name);
    const named = Object.keys(template.parameters as Tree).filter((name) => name !== 'share');
    expect([...new Set(used)].filter((name) => name !== 'share').sort()).toEqual(named.sort());
  });

  test('opens the ports that its configuration has, which its reader takes', () => {
    const path = join(ROOT, 'deploy/azure/node.json');
    const { network, folder, attestation, command, sealing } = readNodeConfig(path);
    const ports = [
      network.rpc_interfaces.primary_rpc_interface.bind_address.port,
      network.node_to_node_interface.bind_address.port,
      network.operator_interface.bind_address.port,
    ];
    for (const opened of [
      listAt(group, 'properties', 'ipAddress', 'ports'),
      listAt(container, 'properties', 'ports'),
    ]) {
      expect(opened.map(({ port }) => port)).toEqual(ports);
    }
    expect(at(container, 'properties', 'livenessProbe', 'httpGet', 'port')).toBe(ports[2]);
    expect(attestation.platform).toBe('snp-aci');
    expect(sealing.kind).toBe('key-vault');
    for (const written of [folder, command.serviceCertificateFile]) {
      expect(written).toMatch(/^\/var\/lib\/concordat\//);
    }
    const secret = listAt(group, 'properties', 'volumes')[0]?.secret as Tree;
    const beside = sealing.key_vault?.authorities_file.split('/').at(-1) ?? '';
    expect(Object.keys(secret)).toEqual(expect.arrayContaining(['node.json', beside]));
  });
});

/**
 * To show: what the chart gives Kubernetes is what the program takes. Helm renders it with several
 * sets of values; the configurations in it go through the program's own readers, a node runs on
 * one, and every port, probe, flag and selector leads to something that exists.
 *
 * It needs helm (v3), whose path is in CONCORDAT_HELM; without, that is said and it is skipped.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { settingsOf } from '../../src/cli/connector/settings.ts';
import { command as connectorCommand } from '../../src/cli/connector.ts';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { command as nodeCommand } from '../../src/cli/node.ts';
import { readNodeConfig } from '../../src/config/node-config.ts';
import { firstNodeFiles, freePort } from '../cli/node-files.ts';
import { runProgram, startProgram } from '../support/program.ts';
import {
  at,
  find,
  listAt,
  type Manifest,
  rendered,
  selects,
  type Tree,
} from './rendered-chart.ts';

const helm = process.env.CONCORDAT_HELM ?? '';
if (helm === '') console.warn('skipped: no helm: set CONCORDAT_HELM to the path of helm 3');
const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'concordat-helm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let members: readonly Tree[];
let certificate: string;
beforeAll(async () => {
  await firstNodeFiles(folder);
  const of = (name: string): string => readFileSync(join(folder, 'members/1', name), 'utf8');
  certificate = of('certificate.pem');
  members = [{ certificate, encryptionPublicKey: of('encryption_public_key.pem') }];
});

const policy = (): string =>
  readFileSync(join(ROOT, 'enclave-policy/container-policy.rego')).toString('base64');

const CASES: Readonly<Record<string, () => Tree>> = {
  'the founder alone': () => ({ members }),
  'three nodes': () => ({ members, serviceCertificate: certificate }),
  'other ports, five nodes, soft': () => ({
    members,
    serviceCertificate: certificate,
    nodes: 5,
    antiAffinity: 'soft',
    ports: { clients: 9000, nodes: 9001, operator: 9002 },
    settings: {
      attestation: { platform: 'azure-cvm' },
      sealing: { kind: 'tpm' },
      restart: { unproven: 'refuse' },
    },
  }),
  'confidential containers': () => ({
    members,
    serviceCertificate: certificate,
    azure: { confidential: true, ccePolicy: policy() },
    files: { 'release_authorities.pem': certificate },
    settings: {
      attestation: { platform: 'snp-aci' },
      sealing: {
        kind: 'key-vault',
        key_vault: {
          vault_url: 'https://name.vault.azure.net',
          key_name: 'sealing',
          attestation_service: 'https://name.neu.attest.azure.net',
          authorities_file: 'release_authorities.pem',
        },
      },
    },
  }),
  'with Quorum nodes': () => ({
    members,
    serviceCertificate: certificate,
    monitoring: { podMonitor: true },
    connector: {
      attestationPolicy: readFileSync(join(ROOT, 'enclave-policy/client-policy.json'), 'utf8'),
    },
    quorumNodes: [
      { name: 'a', image: 'quorum:1', args: ['--datadir', '/data'], organisationSecret: 'a' },
      { name: 'b', image: 'quorum:1', organisationSecret: 'b' },
    ],
  }),
};

/** Writes what a ConfigMap holds as the files that a pod would see. */
function mounted(map: Manifest, name: string): string {
  const into = join(folder, name);
  mkdirSync(into, { recursive: true });
  for (const [file, text] of Object.entries((map.data ?? {}) as Tree)) {
    writeFileSync(join(into, file), String(text));
  }
  return into;
}

const podOf = (set: Manifest): Tree => at(set, 'spec', 'template') as Tree;
const containersOf = (set: Manifest): readonly Tree[] => [
  ...listAt(podOf(set), 'spec', 'initContainers'),
  ...listAt(podOf(set), 'spec', 'containers'),
];
const words = (container: Tree): readonly string[] => container.args as string[];

describe.skipIf(helm === '')('the chart (needs CONCORDAT_HELM)', () => {
  describe.each(Object.entries(CASES))('%s', (name, values) => {
    let manifests: readonly Manifest[];
    let nodes: Manifest;
    beforeAll(async () => {
      manifests = await rendered(helm, folder, values());
      nodes = find(manifests, 'StatefulSet', 't');
    });

    test('gives each node a configuration that its own reader takes', () => {
      const files = mounted(find(manifests, 'ConfigMap', 't-nodes'), name);
      const replicas = Number(at(nodes, 'spec', 'replicas'));
      const [container] = containersOf(nodes);
      const config = words(container ?? {}).at(-1) ?? '';
      const ports = new Map(
        listAt(container, 'ports').map((port) => [port.name, port.containerPort]),
      );
      for (let index = 0; index < replicas; index += 1) {
        const path = config
          .replace('/etc/concordat', files)
          .replace('$(POD_NAME)', `t-${index}`);
        const { network, command } = readNodeConfig(path);
        expect(command.kind).toBe(index === 0 ? 'start' : 'join');
        const host = `t-${index}.t.ns.svc.cluster.local`;
        const { primary_rpc_interface: clients } = network.rpc_interfaces;
        for (const [port, { bind_address, published_address }] of [
          ['clients', clients],
          ['nodes', network.node_to_node_interface],
        ] as const) {
          expect(published_address).toEqual({ host, port: ports.get(port) });
          expect(bind_address).toEqual({ host: '0.0.0.0', port: ports.get(port) });
        }
        expect(network.operator_interface.bind_address.port).toBe(ports.get('operator'));
        if (command.kind === 'join') {
          const first = { host: host.replace(/^t-\d/, 't-0'), port: ports.get('clients') };
          expect(command.join.target_rpc_address).toEqual(first);
          expect(readFileSync(command.serviceCertificateFile, 'utf8')).toContain('BEGIN CERT');
        }
      }
    });

    test('runs commands with flags that there are, in the image of both roles', () => {
      const sets = manifests.filter(({ kind }) => kind === 'StatefulSet');
      const ours = sets.flatMap(containersOf).filter((one) => one.name !== 'quorum');
      for (const container of ours) {
        expect(container.image).toBe('concordat:0.1.0');
        expect(container.command).toEqual(['node', '/opt/concordat/src/launch.mjs']);
        const [command, ...rest] = words(container);
        const usage =
          command === 'connector'
            ? connectorCommand.usage
            : (nodeCommand.usageOf?.(rest) ?? '');
        for (const flag of rest.filter((word) => word.startsWith('--'))) {
          expect(usage).toContain(flag);
        }
      }
    });

    test('probes, services and policies name ports and pods that there are', () => {
      const pods = manifests
        .filter(({ kind }) => kind === 'StatefulSet')
        .map((set) => ({ set, labels: at(podOf(set), 'metadata', 'labels') }));
      for (const { set, labels } of pods) {
        expect(selects(at(set, 'spec', 'selector', 'matchLabels'), labels)).toBe(true);
        for (const container of containersOf(set)) {
          const names = listAt(container, 'ports').map((port) => port.name);
          for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
            const port = at(container, probe, 'httpGet', 'port');
            if (container.name !== 'quorum') expect(names).toContain(port);
          }
          const volumes = [
            ...listAt(podOf(set), 'spec', 'volumes').map((volume) => volume.name),
            ...listAt(set, 'spec', 'volumeClaimTemplates').map((c) =>
              at(c, 'metadata', 'name'),
            ),
          ];
          for (const { name: volume } of listAt(container, 'volumeMounts')) {
            expect(volumes).toContain(volume);
          }
        }
      }
      const labels = at(podOf(nodes), 'metadata', 'labels');
      const names = listAt(containersOf(nodes)[0], 'ports').map((port) => port.name);
      const service = find(manifests, 'Service', 't');
      expect(selects(at(service, 'spec', 'selector'), labels)).toBe(true);
      expect(at(nodes, 'spec', 'serviceName')).toBe('t');
      for (const { targetPort } of listAt(service, 'spec', 'ports')) {
        expect(names).toContain(targetPort);
      }
      const budget = find(manifests, 'PodDisruptionBudget', 't');
      expect(selects(at(budget, 'spec', 'selector', 'matchLabels'), labels)).toBe(true);
      expect(at(budget, 'spec', 'maxUnavailable')).toBe(1);
      const network = find(manifests, 'NetworkPolicy', 't');
      expect(selects(at(network, 'spec', 'podSelector', 'matchLabels'), labels)).toBe(true);
      const opened = listAt(network, 'spec', 'ingress').flatMap((rule) =>
        listAt(rule, 'ports'),
      );
      expect(opened.map(({ port }) => port).sort()).toEqual([...names].sort());
    });

    test('starts all nodes at once, for one alone is never ready', () => {
      expect(at(nodes, 'spec', 'podManagementPolicy')).toBe('Parallel');
      expect(at(find(manifests, 'Service', 't'), 'spec', 'publishNotReadyAddresses')).toBe(
        true,
      );
    });
  });

  test('keeps nodes apart as it is told to', async () => {
    const affinity = async (name: string): Promise<readonly string[]> => {
      const manifests = await rendered(helm, folder, CASES[name]?.() ?? {});
      const pod = podOf(find(manifests, 'StatefulSet', 't'));
      return Object.keys((at(pod, 'spec', 'affinity', 'podAntiAffinity') ?? {}) as Tree);
    };
    expect(await affinity('three nodes')).toEqual([
      'requiredDuringSchedulingIgnoredDuringExecution',
    ]);
    expect(await affinity('other ports, five nodes, soft')).toEqual([
      'preferredDuringSchedulingIgnoredDuringExecution',
    ]);
  });

  test('a confidential container gets the policy whose digest is in its evidence', async () => {
    const manifests = await rendered(helm, folder, CASES['confidential containers']?.() ?? {});
    const pod = podOf(find(manifests, 'StatefulSet', 't'));
    const annotation = 'microsoft.containerinstance.virtualnode.ccepolicy';
    expect(at(pod, 'metadata', 'annotations', annotation)).toBe(policy());
    expect(at(pod, 'spec', 'nodeSelector', 'virtualization')).toBe('virtualnode2');
  });

  test('a connector shares its socket with the Quorum node, and nothing else', async () => {
    const manifests = await rendered(helm, folder, CASES['with Quorum nodes']?.() ?? {});
    for (const name of ['t-a', 't-b']) {
      const files = mounted(find(manifests, 'ConfigMap', `${name}-connector`), name);
      const settings = await settingsOf({ config: join(files, 'connector.json') });
      expect(settings.service).toHaveLength(3);
      expect(readFileSync(settings.attestationPolicy ?? '', 'utf8')).toContain('platforms');
      const set = find(manifests, 'StatefulSet', name);
      const [connector, quorum] = containersOf(set);
      expect(words(quorum ?? {}).slice(-2)).toEqual(['--ptm.socket', settings.socket]);
      expect(at(connector, 'restartPolicy')).toBe('Always');
      const mounts = (container: Tree | undefined): readonly unknown[] =>
        listAt(container, 'volumeMounts').map((mount) => mount.name);
      expect(mounts(connector).filter((mount) => mounts(quorum).includes(mount))).toEqual([
        'socket',
      ]);
      const groups = at(podOf(set), 'spec', 'securityContext', 'supplementalGroups');
      expect(groups).toEqual([Number(settings.socketGroup)]);
      expect(listAt(connector, 'ports')[0]?.containerPort).toBe(Number(settings.healthPort));
      const labels = at(podOf(set), 'metadata', 'labels');
      const network = find(manifests, 'NetworkPolicy', 't');
      const clients = at(
        network,
        'spec',
        'ingress',
        0,
        'from',
        0,
        'podSelector',
        'matchLabels',
      );
      expect(selects(clients, labels)).toBe(true);
    }
  });

  test.each([
    [{ members: [] }, /members/],
    [{ nodes: 2 }, /nodes/],
    [{ nods: 3 }, /nods/],
    [{ ports: { clients: 80, nodes: 8001, operator: 8002 } }, /clients/],
    [{ azure: { confidential: true } }, /ccePolicy/],
    [{ serviceCertificate: 'cert.pem' }, /serviceCertificate/],
    [{ quorumNodes: [{ name: 'A_', image: 'x', organisationSecret: 'x' }] }, /name/],
    [{ quorumNodes: [{ name: 'a', image: 'x', organisationSecret: 'x' }] }, /may be trusted/],
  ])('refuses %j', async (wrong, why) => {
    await expect(rendered(helm, folder, { members, ...wrong })).rejects.toThrow(why);
  });

  test('the founder runs on what was rendered, and its probes are answered', async () => {
    const manifests = await rendered(helm, folder, CASES['the founder alone']?.() ?? {});
    const files = mounted(find(manifests, 'ConfigMap', 't-nodes'), 'run');
    const path = join(files, 't-0.json');
    const checked = await runProgram(['node', 'run', '--config', path, '--check']);
    expect(checked.code, checked.stderr).toBe(0);
    const local = readFileSync(path, 'utf8')
      .replaceAll('/var/lib/concordat', join(files, 'data'))
      .replaceAll('0.0.0.0', '127.0.0.1')
      .replaceAll(':8000"', `:${await freePort()}"`)
      .replaceAll(':8001"', `:${await freePort()}"`)
      .replaceAll(':8002"', ':0"');
    mkdirSync(join(files, 'data'));
    writeFileSync(path, local);
    const node = await startProgram<NodeReadyLine>(['node', 'run', '--config', path, '--json']);
    const [container] = containersOf(find(manifests, 'StatefulSet', 't'));
    for (const probe of ['startupProbe', 'livenessProbe']) {
      const probed = `${node.ready.operator.url}${at(container, probe, 'httpGet', 'path')}`;
      expect((await fetch(probed)).status, probed).toBe(200);
    }
    const ready = `${node.ready.operator.url}${at(container, 'readinessProbe', 'httpGet', 'path')}`;
    // A service that its members have not opened is not for clients yet.
    expect([200, 503]).toContain((await fetch(ready)).status);
    await node.stop();
  });
});

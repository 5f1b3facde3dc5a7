/**
 * The sandbox: a whole network on one machine. This is its composition root.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createLogApplication } from '../../apps/log/application.ts';
import type { ResidentRow } from '../../apps/organisations.ts';
import { createQuorumApplication } from '../../apps/quorum/application.ts';
import { CodedError } from '../../base/errors.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../base/limits.ts';
import { type Connector, startConnector } from '../../connector/connector.ts';
import { systemRandom } from '../../crypto/random.ts';
import { durableDisk } from '../../node/durable-disk.ts';
import { NODE_DEFAULTS, type NodeLog, type NodeOptions } from '../../node/node-options.ts';
import { openOperatorListener } from '../../node/operator.ts';
import { realClock, realTimers } from '../../node/real-time.ts';
import type { RunningNode } from '../../node/running-node.ts';
import { startNode } from '../../node/start-node.ts';
import { packageVersion } from '../package-version.ts';
import {
  newPartyKeys,
  type Organisation,
  organisationRow,
  type PartyKeysByOrganisation,
  writeOrganisations,
} from './participants.ts';
import { choosePorts, LOOPBACK } from './ports.ts';
import type { ReadyLine } from './ready-line.ts';
import {
  memberIdentity,
  organisationIdentity,
  readSettings,
  type SandboxFolder,
  sandboxFolder,
  writeSettings,
} from './sandbox-folder.ts';

export const ORGANISATIONS_DEFAULT = 3;
const ORGANISATIONS_MAX = 64;
const MEMBERS = 1;
const RECOVERY_THRESHOLD = 1;

export interface SandboxOptions {
  readonly data: string;
  /** As many as at the first start when absent. */
  readonly organisations?: number;
  readonly partyKeys?: PartyKeysByOrganisation;
  /** Their presence turns multiple private states on. */
  readonly residents?: ReadonlyMap<number, readonly ResidentRow[]>;
  readonly durability: NodeOptions['durability'];
}

export interface SandboxDependencies {
  readonly log: NodeLog;
  readonly onFatal: (error: unknown) => void;
}

export interface RunningSandbox {
  readonly ready: ReadyLine;
  /** Whether it is the first start in its folder. */
  readonly isNew: boolean;
  stop(): Promise<void>;
}

/** Starts a sandbox; everything listens when this resolves. */
export async function startSandbox(
  options: SandboxOptions,
  dependencies: SandboxDependencies,
): Promise<RunningSandbox> {
  const { log } = dependencies;
  const folder = sandboxFolder(resolve(options.data));
  const settings = readSettings(folder);
  const count = organisationCount(options, settings?.organisations, folder);
  const ports = await choosePorts({ ...preferredPorts(count), ...settings?.ports });
  const nowMs = realClock.nowMs();
  log.info('making certificates');
  const members = [];
  for (let number = 1; number <= MEMBERS; number += 1) {
    members.push(await memberIdentity(folder, number, nowMs));
  }
  const nodePort = portOf(ports, 'node1');
  const { node, isNew } = await startNode(
    nodeOptions(folder.node(1), nodePort, options.durability),
    {
      disk: durableDisk,
      clock: realClock,
      timers: realTimers,
      random: systemRandom,
      ...dependencies,
    },
    { members, recoveryThreshold: RECOVERY_THRESHOLD },
  );
  const started: { stop(): Promise<void> }[] = [{ stop: () => node.stop() }];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each.stop();
  };
  try {
    if (isNew) {
      log.info('opening the service');
      const organisations = await newOrganisations(options, folder, count, nowMs);
      await openSandboxService(node, organisations, members, options.residents !== undefined);
    }
    writeFileSync(folder.serviceCertificate, node.serviceCertificatePem);
    await node.listen();
    const operator = await openOperatorListener(
      node,
      LOOPBACK,
      portOf(ports, 'operator1'),
      (fault) => dependencies.onFatal(fault),
    );
    started.push({ stop: () => operator.close() });
    writeSettings(folder, { organisations: count, members: MEMBERS, ports });
    const connectors: Connector[] = [];
    for (let number = 1; number <= count; number += 1) {
      log.progress('starting transaction managers', number, count, '');
      const connector = await connect(folder, node, number, ports, log);
      connectors.push(connector);
      started.push({ stop: () => connector.close() });
    }
    const ready = readyLine(folder, node, nodePort, portOf(ports, 'operator1'), connectors);
    return { ready, isNew, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function organisationCount(
  options: SandboxOptions,
  known: number | undefined,
  folder: SandboxFolder,
): number {
  const wanted = options.organisations ?? known ?? ORGANISATIONS_DEFAULT;
  if (wanted < 1 || wanted > ORGANISATIONS_MAX) {
    throw new CodedError(
      'Usage',
      `--organisations is ${wanted}; a sandbox has 1 to ${ORGANISATIONS_MAX}`,
    );
  }
  if (known !== undefined && wanted !== known) {
    throw new CodedError(
      'OtherSandbox',
      `${folder.path} holds a sandbox of ${known} organisations, not ${wanted}: leave ` +
        '--organisations out, or choose another --data folder',
      { path: folder.path, organisations: known },
    );
  }
  return wanted;
}

/** Where people expect things: 91xx for transaction managers, 90xx for third parties. */
function preferredPorts(organisations: number): Record<string, number> {
  const ports: Record<string, number> = { node1: 8000, operator1: 8080 };
  for (let number = 1; number <= organisations; number += 1) {
    ports[`transactionManager${number}`] = 9100 + number;
    ports[`thirdParty${number}`] = 9080 + number;
  }
  return ports;
}

function portOf(ports: Readonly<Record<string, number>>, name: string): number {
  const port = ports[name];
  if (port === undefined) throw new CodedError('NoSandbox', `sandbox.json has no port ${name}`);
  return port;
}

function nodeOptions(
  folder: string,
  port: number,
  durability: NodeOptions['durability'],
): NodeOptions {
  return {
    ...NODE_DEFAULTS,
    folder,
    port,
    durability,
    applications: [createLogApplication(), createQuorumApplication({ random: systemRandom })],
    version: packageVersion(),
  };
}

async function newOrganisations(
  options: SandboxOptions,
  folder: SandboxFolder,
  count: number,
  nowMs: number,
): Promise<readonly Organisation[]> {
  const organisations: Organisation[] = [];
  for (let number = 1; number <= count; number += 1) {
    organisations.push({
      number,
      name: `Organisation ${number}`,
      ...(await organisationIdentity(folder, number, nowMs)),
      partyKeys: options.partyKeys?.get(number) ?? newPartyKeys(),
      residents: options.residents?.get(number) ?? [],
    });
  }
  return organisations;
}

async function openSandboxService(
  node: RunningNode,
  organisations: readonly Organisation[],
  members: readonly { readonly memberId: string; readonly encryptionPublicKeyPem: string }[],
  multiplePrivateStates: boolean,
): Promise<void> {
  const users = organisations.map(({ userId, certificatePem }) => ({ userId, certificatePem }));
  const opening = { holders: members, threshold: RECOVERY_THRESHOLD, users };
  await node.openService(opening, (transaction) =>
    writeOrganisations(transaction, organisations, multiplePrivateStates),
  );
}

async function connect(
  folder: SandboxFolder,
  node: RunningNode,
  number: number,
  ports: Readonly<Record<string, number>>,
  log: NodeLog,
): Promise<Connector> {
  const files = folder.organisation(number);
  return await startConnector(
    {
      service: {
        nodeUrls: [`https://${LOOPBACK}:${portOf(ports, 'node1')}`],
        serviceCertificate: node.serviceCertificatePem,
        certificate: readFileSync(files.certificate, 'utf8'),
        key: readFileSync(files.key, 'utf8'),
      },
      socket: { path: socketPath(folder, number) },
      http: { port: portOf(ports, `transactionManager${number}`) },
      thirdParty: { port: portOf(ports, `thirdParty${number}`) },
    },
    { log: (line) => log.warn(`${files.folder}: ${line}`) },
  );
}

/** Beside the organisation's keys, or somewhere short when that is too long for a socket's path. */
function socketPath(folder: SandboxFolder, number: number): string {
  const path = join(folder.organisation(number).folder, 'tm.ipc');
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  return join(tmpdir(), `concordat-${process.pid}-${number}`, 'tm.ipc');
}

function readyLine(
  folder: SandboxFolder,
  node: RunningNode,
  nodePort: number,
  operatorPort: number,
  connectors: readonly Connector[],
): ReadyLine {
  const url = `https://${LOOPBACK}:${nodePort}`;
  return {
    ready: true,
    data: folder.path,
    service: { url, certificate: folder.serviceCertificate },
    nodes: [
      {
        url,
        ledger: join(folder.node(1), 'ledger'),
        operator: { url: `http://${LOOPBACK}:${operatorPort}` },
      },
    ],
    organisations: connectors.map((connector, index) => {
      const number = index + 1;
      const { name, party_keys } = organisationRow(node.current(), number);
      const { certificate, key } = folder.organisation(number);
      return {
        name,
        partyKeys: party_keys,
        transactionManager: { url: connector.url ?? '', socket: connector.socketPath ?? '' },
        thirdParty: { url: connector.thirdPartyUrl ?? '' },
        certificate,
        key,
      };
    }),
    members: Array.from({ length: MEMBERS }, (_, index) => folder.member(index + 1)),
  };
}

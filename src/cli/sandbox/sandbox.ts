/**
 * The sandbox: a whole network on one machine. This is its composition root.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { createLogApplication } from '../../apps/log/application.ts';
import type { ResidentRow } from '../../apps/organisations.ts';
import { createQuorumApplication } from '../../apps/quorum/application.ts';
import { base64Of, hexOf, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../base/limits.ts';
import { VERSION } from '../../base/version.ts';
import { type Connector, startConnector } from '../../connector/connector.ts';
import { sha256 } from '../../crypto/hash.ts';
import { systemRandom } from '../../crypto/random.ts';
import { durableDisk } from '../../node/durable-disk.ts';
import { NODE_DEFAULTS, type NodeLog, type NodeOptions } from '../../node/node-options.ts';
import { openOperatorListener } from '../../node/operator.ts';
import { realClock, realTimers } from '../../node/real-time.ts';
import type { RunningNode } from '../../node/running-node.ts';
import { startNode } from '../../node/start-node.ts';
import {
  newPartyKeys,
  type Organisation,
  organisationRow,
  type PartyKeysByOrganisation,
  readPartyKeys,
  writeOrganisations,
} from './participants.ts';
import { HeldPorts, LOOPBACK } from './ports.ts';
import type { ReadyLine } from './ready-line.ts';
import {
  memberIdentity,
  mustHaveKeys,
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

const NO_KEYS: PartyKeysByOrganisation = new Map();

export interface SandboxOptions {
  readonly data: string;
  /** As many as at the first start when absent. */
  readonly organisations?: number;
  /** A file of party keys; organisations it does not name get new ones. */
  readonly partyKeysFile?: string;
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
  const partyKeys =
    options.partyKeysFile === undefined ? NO_KEYS : readPartyKeys(options.partyKeysFile, count);
  if (settings !== undefined) mustHaveKeys(folder, count);
  const ports = await HeldPorts.choose({ ...preferredPorts(count), ...settings?.ports });
  const started: { stop(): Promise<void> }[] = [{ stop: () => ports.releaseAll() }];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each.stop();
  };
  try {
    const chosen = { organisations: count, members: MEMBERS, ports: ports.all() };
    // A known folder may be another process's: its settings change only once it is ours.
    if (settings === undefined) writeSettings(folder, chosen);
    const nowMs = realClock.nowMs();
    const members = await membersOf(folder, nowMs);
    const { node, isNew } = await startNode(
      nodeOptions(folder.node(1), ports.of('node1'), options.durability),
      {
        disk: durableDisk,
        clock: realClock,
        timers: realTimers,
        random: systemRandom,
        ...dependencies,
      },
      { members, recoveryThreshold: RECOVERY_THRESHOLD },
    );
    started.push({ stop: () => node.stop() });
    if (isNew) {
      log.info('making certificates and opening the service');
      const organisations = await newOrganisations(options, partyKeys, folder, count, nowMs);
      await openSandboxService(node, organisations, members, options.residents !== undefined);
    } else {
      mustBeTheSame(partyKeys, options.residents, node, folder, count);
    }
    writeFileSync(folder.serviceCertificate, node.serviceCertificatePem);
    await ports.release('node1');
    await node.listen();
    const operatorPort = await ports.release('operator1');
    const operator = await openOperatorListener(node, LOOPBACK, operatorPort, (fault) =>
      dependencies.onFatal(fault),
    );
    started.push({ stop: () => operator.close() });
    const connectors: Connector[] = [];
    for (let number = 1; number <= count; number += 1) {
      log.progress('starting transaction managers', number, count, '');
      const connector = await connect(folder, node, number, ports, log);
      connectors.push(connector);
      started.push({ stop: () => connector.close() });
    }
    writeSettings(folder, chosen);
    return { ready: readyLine(folder, node, ports, connectors), isNew, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function membersOf(
  folder: SandboxFolder,
  nowMs: number,
): Promise<readonly Awaited<ReturnType<typeof memberIdentity>>[]> {
  const members = [];
  for (let number = 1; number <= MEMBERS; number += 1) {
    members.push(await memberIdentity(folder, number, nowMs));
  }
  return members;
}

/** Keys and residents are given at the first start; later ones may only repeat them. */
function mustBeTheSame(
  partyKeys: PartyKeysByOrganisation,
  residents: SandboxOptions['residents'],
  node: RunningNode,
  folder: SandboxFolder,
  count: number,
): void {
  for (let number = 1; number <= count; number += 1) {
    const row = organisationRow(node.current(), number);
    const given = partyKeys.get(number)?.map((pair) => base64Of(pair.publicKey));
    const other =
      given !== undefined && given.join() !== row.party_keys.join()
        ? '--party-keys'
        : residents !== undefined &&
            JSON.stringify(residents.get(number) ?? []) !== JSON.stringify(row.residents)
          ? '--residents'
          : undefined;
    if (other === undefined) continue;
    throw new CodedError(
      'OtherSandbox',
      `${folder.path} holds a sandbox whose ${row.name} was given something else by ${other}: ` +
        `leave ${other} out, or choose another --data folder`,
      { path: folder.path, organisation: number },
    );
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
    version: VERSION,
  };
}

async function newOrganisations(
  options: SandboxOptions,
  partyKeys: PartyKeysByOrganisation,
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
      partyKeys: partyKeys.get(number) ?? newPartyKeys(),
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
  ports: HeldPorts,
  log: NodeLog,
): Promise<Connector> {
  const files = folder.organisation(number);
  return await startConnector(
    {
      service: {
        nodeUrls: [`https://${LOOPBACK}:${ports.of('node1')}`],
        serviceCertificate: node.serviceCertificatePem,
        certificate: readFileSync(files.certificate, 'utf8'),
        key: readFileSync(files.key, 'utf8'),
      },
      socket: { path: socketPath(folder.organisation(number).folder) },
      http: { port: await ports.release(`transactionManager${number}`) },
      thirdParty: { port: await ports.release(`thirdParty${number}`) },
    },
    { log: (line) => log.warn(`${files.folder}: ${line}`) },
  );
}

/**
 * Beside the organisation's keys; where that is too long for a socket's path, in a folder of this
 * user's whose short name is the same at every start.
 */
function socketPath(organisationFolder: string): string {
  const path = join(organisationFolder, 'tm.ipc');
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  const name = hexOf(sha256(utf8(organisationFolder))).slice(0, 16);
  return join(tmpdir(), `concordat-${userInfo().uid}-${name}`, 'tm.ipc');
}

function readyLine(
  folder: SandboxFolder,
  node: RunningNode,
  ports: HeldPorts,
  connectors: readonly Connector[],
): ReadyLine {
  const url = `https://${LOOPBACK}:${ports.of('node1')}`;
  return {
    ready: true,
    data: folder.path,
    service: { url, certificate: folder.serviceCertificate },
    nodes: [
      {
        url,
        ledger: join(folder.node(1), 'ledger'),
        operator: { url: `http://${LOOPBACK}:${ports.of('operator1')}` },
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

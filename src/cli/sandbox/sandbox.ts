/**
 * The sandbox: a whole network on one machine. This is its composition root: a process for each
 * node, and in this one the transaction managers and the eye on the nodes.
 */
import { resolve } from 'node:path';
import { invariant } from '../../base/assert.ts';
import { base64Of } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { Connector } from '../../connector/connector.ts';
import type { NodeLog, NodeOptions } from '../../node/node-options.ts';
import { realClock } from '../../node/real-time.ts';
import { whenStopped } from '../command-io.ts';
import { mustBeFree } from '../node/index-in-time.ts';
import type { NodeReadyLine, OrganisationLine } from '../node/node-ready.ts';
import { type PartyKeysByOrganisation, readPartyKeys } from '../node/party-keys-file.ts';
import { connectOrganisation } from './connectors.ts';
import { NodeCluster } from './node-cluster.ts';
import type { SandboxFederation, SandboxPlan } from './node-configuration.ts';
import type { NodeSettings } from './node-settings.ts';
import { HeldPorts } from './ports.ts';
import type { ReadyLine } from './ready-line.ts';
import type { ResidentsByOrganisation } from './residents.ts';
import {
  makeOrganisation,
  memberIdentity,
  mustHaveKeys,
  nodeNumbers,
  portNames,
  readSettings,
  type SandboxFolder,
  type SandboxSettings,
  sandboxFolder,
  writeSettings,
} from './sandbox-folder.ts';

export const ORGANISATIONS_DEFAULT = 3;
const ORGANISATIONS_MAX = 64;
export const NODES_DEFAULT = 3;
const NODES_MAX = 7;
export const MEMBERS_DEFAULT = 3;
/** Each holds a share of the ledger's secret. */
const MEMBERS_MAX = 64;

export interface SandboxOptions {
  readonly data: string;
  /** As many as at the last start when absent. */
  readonly nodes?: number;
  /** Whether a node that ends is started again. */
  readonly restartNodes: boolean;
  /** As many as at the first start when absent. */
  readonly organisations?: number;
  /** As many as at the first start when absent. */
  readonly members?: number;
  /** A file of party keys; organisations it does not name get new ones. */
  readonly partyKeysFile?: string;
  /** Their presence turns multiple private states on. */
  readonly residents?: ResidentsByOrganisation;
  readonly durability: NodeOptions['durability'];
  /** Added to the usual ports at the first start. */
  readonly portOffset?: number;
  /** Part of a node's configuration, the same for all. */
  readonly nodeSettings?: NodeSettings;
  /** Its presence lets Tessera nodes outside send to the organisations, and they to those. */
  readonly federation?: SandboxFederation;
}

export interface SandboxDependencies {
  readonly log: NodeLog;
  /** Aborted when it is asked to stop, be it ready or not. */
  readonly signal: AbortSignal;
}

export interface RunningSandbox {
  readonly ready: ReadyLine;
  /** Whether it is the first start in its folder. */
  readonly isNew: boolean;
  stop(): Promise<void>;
}

/**
 * Starts a sandbox; everything listens when this resolves. Rejects with `Stopped`, all of it gone,
 * when it was asked to stop meanwhile.
 */
export async function startSandbox(
  options: SandboxOptions,
  { log, signal }: SandboxDependencies,
): Promise<RunningSandbox> {
  const folder = sandboxFolder(resolve(options.data));
  const settings = readSettings(folder);
  const counts = countsOf(options, settings, folder);
  const { nodes, organisations, members } = counts;
  const partyKeysFile =
    options.partyKeysFile === undefined ? undefined : resolve(options.partyKeysFile);
  const partyKeys =
    partyKeysFile === undefined ? undefined : readPartyKeys(partyKeysFile, organisations);
  if (settings !== undefined) mustHaveKeys(folder, organisations, members);
  const left = settings?.left ?? [];
  const numbers = nodeNumbers({ nodes, left });
  await Promise.all(numbers.map((number) => mustBeFree(folder.node(number))));
  const ports = await choosePorts(numbers, organisations, options.portOffset ?? 0, settings);
  const started: { stop(): Promise<void> }[] = [{ stop: () => ports.releaseAll() }];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each.stop();
  };
  try {
    const chosen = { ...counts, left, ports: ports.all() };
    // A known folder may be another process's: its settings change only once it is ours.
    if (settings === undefined) writeSettings(folder, chosen);
    log.info('making certificates');
    await makeParticipants(folder, organisations, members);
    const plan: SandboxPlan = {
      ...{ folder, durability: options.durability, organisations, members },
      portOf: (name) => ports.of(name),
      ...(partyKeysFile === undefined ? {} : { partyKeysFile }),
      ...(options.residents === undefined ? {} : { residents: options.residents }),
      ...(options.federation === undefined ? {} : { federation: options.federation }),
      ...(options.nodeSettings === undefined ? {} : { nodeSettings: options.nodeSettings }),
    };
    const cluster = new NodeCluster(
      { plan, numbers, restarts: options.restartNodes },
      {
        ...{ ports, log },
        onLeft: (number) => noteLeft(folder, number),
        onBack: (number, nodeId) => noteNode(folder, number, nodeId),
      },
    );
    started.push(cluster);
    const lines = await Promise.race([cluster.start(), rejectedWhen(signal)]);
    const [first] = lines;
    invariant(first !== undefined, 'a sandbox has at least one node');
    const { isNew } = first;
    if (!isNew) mustBeTheSame(partyKeys, options.residents, first.organisations, folder);
    const connectors: Connector[] = [];
    for (let number = 1; number <= organisations; number += 1) {
      log.progress('starting transaction managers', number, organisations, '');
      const urls = lines.map(({ url }) => url);
      const connector = await connectOrganisation(folder, number, urls, ports, log);
      connectors.push(connector);
      started.push({ stop: () => connector.close() });
    }
    const nodeIds = numbers.map((number, index) => [number, lines[index]?.nodeId ?? '']);
    const leftMeanwhile = readSettings(folder)?.left ?? left;
    writeSettings(folder, {
      ...chosen,
      left: leftMeanwhile,
      nodeIds: Object.fromEntries(nodeIds),
    });
    const ready = readyLine(folder, lines, first.organisations, connectors, members);
    return { ready, isNew, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A later start does without a node that was removed from the service. */
function noteLeft(folder: SandboxFolder, number: number): void {
  const settings = readSettings(folder);
  if (settings === undefined) return;
  writeSettings(folder, { ...settings, left: [...(settings.left ?? []), number] });
}

/** A node that lost its folder has come back as another one: commands must know it by its id. */
function noteNode(folder: SandboxFolder, number: number, nodeId: string): void {
  const settings = readSettings(folder);
  if (settings === undefined) return;
  writeSettings(folder, { ...settings, nodeIds: { ...settings.nodeIds, [number]: nodeId } });
}

async function rejectedWhen(signal: AbortSignal): Promise<never> {
  await whenStopped(signal);
  throw new CodedError('Stopped', 'stopped before it was ready');
}

async function makeParticipants(
  folder: SandboxFolder,
  organisations: number,
  members: number,
): Promise<void> {
  const nowMs = realClock.nowMs();
  for (let number = 1; number <= members; number += 1) {
    await memberIdentity(folder, number, nowMs);
  }
  for (let number = 1; number <= organisations; number += 1) {
    await makeOrganisation(folder, number, nowMs);
  }
}

/** Keys and residents are given at the first start; later ones may only repeat them. */
function mustBeTheSame(
  partyKeys: PartyKeysByOrganisation | undefined,
  residents: SandboxOptions['residents'],
  organisations: readonly OrganisationLine[],
  folder: SandboxFolder,
): void {
  organisations.forEach((organisation, index) => {
    const given = partyKeys?.get(index + 1)?.map((pair) => base64Of(pair.publicKey));
    const inhabitants = residents?.get(index + 1) ?? [];
    const other =
      given !== undefined && given.join() !== organisation.partyKeys.join()
        ? '--party-keys'
        : residents !== undefined &&
            JSON.stringify(inhabitants) !== JSON.stringify(organisation.residents)
          ? '--residents'
          : undefined;
    if (other === undefined) return;
    throw new CodedError(
      'OtherSandbox',
      `${folder.path} holds a sandbox whose ${organisation.name} was given something else by ` +
        `${other}: leave ${other} out, or choose another --data folder`,
      { path: folder.path, organisation: index + 1 },
    );
  });
}

interface Counts {
  readonly nodes: number;
  readonly organisations: number;
  readonly members: number;
}

function countsOf(
  options: SandboxOptions,
  known: SandboxSettings | undefined,
  folder: SandboxFolder,
): Counts {
  const organisations = options.organisations ?? known?.organisations ?? ORGANISATIONS_DEFAULT;
  mustBeWithin('--organisations', organisations, ORGANISATIONS_MAX);
  const nodes = options.nodes ?? known?.nodes ?? NODES_DEFAULT;
  mustBeWithin('--nodes', nodes, NODES_MAX);
  const members = options.members ?? known?.members ?? MEMBERS_DEFAULT;
  mustBeWithin('--members', members, MEMBERS_MAX);
  const other = (what: string, option: string, has: number, wanted: number): CodedError =>
    new CodedError(
      'OtherSandbox',
      `${folder.path} holds a sandbox of ${has} ${what}, not ${wanted}: leave ${option} out, ` +
        'or choose another --data folder',
      { path: folder.path, [what]: has },
    );
  if (known !== undefined && organisations !== known.organisations) {
    throw other('organisations', '--organisations', known.organisations, organisations);
  }
  if (known !== undefined && nodes !== known.nodes) {
    throw other('nodes', '--nodes', known.nodes, nodes);
  }
  // Later ones come and go by vote.
  if (known !== undefined && members !== known.members) {
    throw other('members', '--members', known.members, members);
  }
  return { nodes, organisations, members };
}

function mustBeWithin(option: string, wanted: number, most: number): void {
  if (wanted >= 1 && wanted <= most) return;
  throw new CodedError('Usage', `${option} is ${wanted}; a sandbox has 1 to ${most}`);
}

/** Where people expect things: 91xx for transaction managers, 90xx for third parties. */
async function choosePorts(
  nodes: readonly number[],
  organisations: number,
  offset: number,
  settings: SandboxSettings | undefined,
): Promise<HeldPorts> {
  const preferred: Record<string, number> = {};
  const inLedger: string[] = [];
  for (const number of nodes) {
    const { rpc, peer, operator, federation } = portNames(number);
    preferred[federation] = 8999 + offset + number;
    preferred[rpc] = 7999 + offset + number;
    preferred[operator] = 8079 + offset + number;
    preferred[peer] = 8499 + offset + number;
    inLedger.push(peer);
    // A node that is alone writes its row anew when it starts again; others are known by theirs.
    if (nodes.length > 1) inLedger.push(rpc);
  }
  for (let number = 1; number <= organisations; number += 1) {
    preferred[`transactionManager${number}`] = 9100 + offset + number;
    preferred[`thirdParty${number}`] = 9080 + offset + number;
  }
  const known = settings?.ports ?? {};
  const fixed = inLedger.filter((name) => known[name] !== undefined);
  const wanted = Object.entries(preferred).map(([name, port]) => [name, known[name] ?? port]);
  return await HeldPorts.choose(Object.fromEntries(wanted), fixed);
}

function readyLine(
  folder: SandboxFolder,
  nodes: readonly NodeReadyLine[],
  organisations: readonly OrganisationLine[],
  connectors: readonly Connector[],
  members: number,
): ReadyLine {
  return {
    ready: true,
    data: folder.path,
    service: { url: nodes[0]?.url ?? '', certificate: folder.serviceCertificate },
    nodes: nodes.map(({ url, ledger, operator, nodeId, pid, peer, federation }) => ({
      ...{ url, ledger, operator, nodeId, pid, peer },
      ...(federation === undefined ? {} : { federation }),
    })),
    organisations: connectors.map((connector, index) => {
      const { certificate, key } = folder.organisation(index + 1);
      return {
        name: organisations[index]?.name ?? '',
        partyKeys: organisations[index]?.partyKeys ?? [],
        transactionManager: { url: connector.url ?? '', socket: connector.socketPath ?? '' },
        thirdParty: { url: connector.thirdPartyUrl ?? '' },
        certificate,
        key,
      };
    }),
    members: Array.from({ length: members }, (_, index) => folder.member(index + 1)),
  };
}

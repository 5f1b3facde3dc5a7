/**
 * One node as a process: its composition root, from a configuration to a line that says it is
 * ready.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { httpAsker } from '../../attestation/sources/http-asker.ts';
import { openEvidenceSource } from '../../attestation/sources/open-source.ts';
import { revocationFiles } from '../../attestation/sources/revocation-files.ts';
import { isCoded } from '../../base/errors.ts';
import { textOfAddress } from '../../config/kinds.ts';
import type { NodeConfig } from '../../config/node-config.ts';
import { systemRandom } from '../../crypto/random.ts';
import { durableDisk } from '../../node/durable-disk.ts';
import { prepareJoin } from '../../node/joining/prepare-join.ts';
import { foldersOf } from '../../node/node-folders.ts';
import type { NodeDependencies, NodeLog, NodeOptions } from '../../node/node-options.ts';
import { openOperatorListener } from '../../node/operator.ts';
import type { Peer } from '../../node/peers/peer-network.ts';
import { realClock, realTimers } from '../../node/real-time.ts';
import { recoverService } from '../../node/recovering/recover-service.ts';
import { OWNER_FILE } from '../../node/recovering/surviving-ledger.ts';
import type { RunningNode } from '../../node/running-node.ts';
import { type NewService, startNode } from '../../node/start-node.ts';
import { whenStopped } from '../command-io.ts';
import { nodeOptionsOf } from './configured-options.ts';
import { evidenceSettingsOf } from './evidence-settings.ts';
import { openIndexInTime } from './index-in-time.ts';
import { type NodeReadyLine, type RecoveryLine, recoveryLine } from './node-ready.ts';
import { recoveryReleaseOf } from './recovery-release.ts';
import { openSealerOf } from './sealing-settings.ts';
import { organisationsIn, readMembers, readOpening } from './service-opening.ts';

export interface NodeProcess {
  readonly ready: NodeReadyLine;
  stop(): Promise<void>;
}

/** What an operator says of a recovery besides the configuration. */
export interface RecoveryOrder {
  /** Folders of what survived. */
  readonly ledgers: readonly string[];
  readonly acceptLoss: boolean;
}

export interface NodeProcessDependencies {
  readonly log: NodeLog;
  readonly onFatal: (error: unknown) => void;
  /** Aborted when the node is asked to stop, be it ready or not. */
  readonly signal: AbortSignal;
  /** The ledger says that this node has left the service for good. */
  readonly onRetired: () => void;
  /** For a configuration whose command is a recovery. */
  readonly recovery?: RecoveryOrder;
  /** Other hardware and other roots than the machine's own and AMD's: what tests have. */
  readonly evidence?: Pick<NodeDependencies, 'evidenceSource' | 'amdRoots'>;
}

/** Starts a node; it listens when this resolves, unless `stopped`: it was stopped meanwhile. */
export async function startNodeProcess(
  config: NodeConfig,
  { log, onFatal, onRetired, signal, evidence, recovery }: NodeProcessDependencies,
): Promise<NodeProcess | 'stopped'> {
  const world = { clock: realClock, timers: realTimers, random: systemRandom, log };
  const evidenceSource =
    evidence?.evidenceSource ??
    openEvidenceSource(evidenceSettingsOf(config, process.env), world);
  const machine = { ...world, evidenceSource, environment: process.env };
  const dependencies: NodeDependencies = {
    disk: durableDisk,
    ...world,
    onFatal,
    onRetired,
    openIndex: openIndexInTime,
    askIssuer: httpAsker(),
    revocationLists: revocationFiles(config.attestation.revocation_lists),
    ...openSealerOf(config.sealing, machine),
    ...recoveryReleaseOf(config.command, machine),
    ...evidence,
    evidenceSource,
  };
  const started: { stop(): Promise<void> | void }[] = [];
  const stop = async (): Promise<void> => {
    for (const each of started.splice(0).reverse()) await each.stop();
  };
  try {
    const begun = await begin(config, dependencies, signal, recovery);
    if (begun === 'stopped') return begun;
    const { node, isNew, creation, recovered } = begun;
    writeOwner(config.folder, node.nodeId);
    started.push({ stop: () => node.stop() });
    const at = config.network.operator_interface.bind_address;
    // Before the node is ready: one that waits for its operator must be able to say so.
    const operator = await openOperatorListener(node, at.host, at.port, onFatal, config.folder);
    started.push({ stop: () => operator.close() });
    await Promise.race([node.ready(), whenStopped(signal)]);
    if (signal.aborted) {
      await stop();
      return 'stopped';
    }
    if (creation !== undefined && isNew) await openService(config, creation, node, log);
    if (config.command.kind !== 'join') {
      writeFileSync(config.command.serviceCertificateFile, node.serviceCertificatePem);
    }
    const { host, port } = await node.listen();
    operator.frontDoorOpened();
    const peers = config.network.node_to_node_interface;
    const ready: NodeReadyLine = {
      ready: true,
      nodeId: node.nodeId,
      pid: process.pid,
      platform: node.node().platform,
      sealing: config.sealing.kind,
      isNew,
      url: `https://${textOfAddress({ host, port })}`,
      peer: textOfAddress(peers.published_address ?? peers.bind_address),
      operator: { url: `http://${textOfAddress(operator.address)}` },
      ...(node.federation === undefined
        ? {}
        : { federation: { url: node.federation.status().url } }),
      folder: config.folder,
      ledger: foldersOf(config.folder).ledger,
      service: { certificate: config.command.serviceCertificateFile },
      organisations: organisationsIn(node.current()),
      ...(recovered === undefined ? {} : { recovery: recovered }),
    };
    started.push({ stop: () => removeOutputs(config) });
    writeOutputs(config, ready, node);
    return { ready, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

interface Begun {
  readonly node: RunningNode;
  readonly isNew: boolean;
  /** What a new service begins with, where this node may found one. */
  readonly creation?: NewService;
  readonly recovered?: RecoveryLine;
}

/** A node that founds a service, has joined one, or goes on with what its folder holds. */
async function begin(
  config: NodeConfig,
  dependencies: NodeDependencies,
  signal: AbortSignal,
  order: RecoveryOrder | undefined,
): Promise<Begun | 'stopped'> {
  const { command } = config;
  const options = nodeOptionsOf(config, (text) => dependencies.log.warn(text));
  if (command.kind === 'start') {
    const recoveryThreshold = command.start.service_configuration.recovery_threshold;
    const creation = { members: readMembers(command.start), recoveryThreshold };
    return { ...(await startNode(options, dependencies, creation)), creation };
  }
  // Held while the node joins too: its folder is nobody else's meanwhile.
  const index = await openIndexInTime(foldersOf(config.folder).index);
  const held = { ...dependencies, openIndex: async () => index };
  if (command.kind === 'recover') {
    const { ledgers = [], acceptLoss = false } = order ?? {};
    const previous = readFileSync(command.recover.previous_service_identity_file, 'utf8');
    try {
      const { node, isNew, ...rest } = await recoverService(options, held, {
        ...{ ledgers, acceptLoss, signal },
        previousCertificatePem: previous,
      });
      return { node, isNew, recovered: recoveryLine(rest) };
    } catch (error) {
      await index.close();
      if (signal.aborted) return 'stopped';
      throw error;
    }
  }
  let peers: readonly Peer[] | undefined;
  try {
    peers = await joinService(config, command, options, dependencies, signal);
  } catch (error) {
    await index.close();
    if (isCoded(error, 'JoinStopped')) return 'stopped';
    throw error;
  }
  const { node } = await startNode(options, held, undefined, peers);
  return { node, isNew: peers !== undefined };
}

/** Joins the service; undefined when the folder's node has done so before. */
async function joinService(
  config: NodeConfig,
  { join, serviceCertificateFile }: Extract<NodeConfig['command'], { kind: 'join' }>,
  options: NodeOptions,
  dependencies: NodeDependencies,
  signal: AbortSignal,
): Promise<readonly Peer[] | undefined> {
  try {
    const { peers } = await prepareJoin(
      {
        folder: config.folder,
        addresses: options,
        serviceCertificatePem: readFileSync(serviceCertificateFile, 'utf8'),
        targets: [textOfAddress(join.target_rpc_address)],
        fetchSnapshot: join.fetch_recent_snapshot,
        retryMs: join.retry_timeout,
        archivedTables: options.applications.flatMap((each) => each.archivedTables),
      },
      { ...dependencies, signal },
    );
    return peers;
  } catch (error) {
    if (isCoded(error, 'AlreadyJoined')) return undefined;
    throw error;
  }
}

async function openService(
  { command }: NodeConfig,
  { members, recoveryThreshold }: NewService,
  node: RunningNode,
  log: NodeLog,
): Promise<void> {
  if (command.kind !== 'start' || command.start.opens === undefined) return;
  log.info('opening the service');
  const { users, writeAlso } = readOpening(command.start.opens);
  await node.openService({ holders: members, threshold: recoveryThreshold, users }, writeAlso);
}

function writeOutputs(config: NodeConfig, ready: NodeReadyLine, node: RunningNode): void {
  const { node_certificate_file, pid_file, rpc_addresses_file, node_to_node_address_file } =
    config.output_files;
  const { published_address } = config.network.rpc_interfaces.primary_rpc_interface;
  const address =
    published_address === undefined
      ? ready.url.replace('https://', '')
      : textOfAddress(published_address);
  const addresses = { primary_rpc_interface: address };
  const files: readonly (readonly [string | undefined, string])[] = [
    [node_certificate_file, node.node().selfSignedCertificatePem],
    [pid_file, `${ready.pid}\n`],
    [rpc_addresses_file, `${JSON.stringify(addresses)}\n`],
    [node_to_node_address_file, `${ready.peer}\n`],
  ];
  for (const [path, text] of files) if (path !== undefined) writeFileSync(path, text);
}

/** Says beside the ledger whose it is, for a recovery that is given several. */
function writeOwner(folder: string, nodeId: string): void {
  const path = join(folder, OWNER_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify({ node_id: nodeId })}\n`);
  renameSync(`${path}.new`, path);
}

/** A process id that is no longer ours would mislead. */
function removeOutputs({ output_files: { pid_file } }: NodeConfig): void {
  if (pid_file !== undefined) rmSync(pid_file, { force: true });
}

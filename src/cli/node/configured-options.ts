/**
 * What a node is told at its start, from its configuration: each setting finds its option here.
 */
import type { Application } from '../../apps/interface.ts';
import { createLogApplication } from '../../apps/log/application.ts';
import { createQuorumApplication } from '../../apps/quorum/application.ts';
import { VERSION } from '../../base/version.ts';
import { textOfAddress } from '../../config/kinds.ts';
import type { NodeConfig, RedirectionSettings } from '../../config/node-config.ts';
import { systemRandom } from '../../crypto/random.ts';
import type { RedirectionResolver, Redirections } from '../../http/redirector.ts';
import {
  NODE_DEFAULTS,
  type NodeOptions,
  SIGNATURE_DEFAULTS,
} from '../../node/node-options.ts';
import {
  federationOptionsOf,
  outsidePeersOf,
  STRICT_FORWARDING_MS,
} from './federation-settings.ts';

/** What a node is told, from its configuration. */
export function nodeOptionsOf(
  config: NodeConfig,
  warn: (text: string) => void = () => undefined,
): NodeOptions {
  const { network, federation, ledger_signatures: signatures } = config;
  const rpc = network.rpc_interfaces.primary_rpc_interface;
  const features = rpc.enabled_operator_features;
  const peers = network.node_to_node_interface;
  return {
    ...NODE_DEFAULTS,
    folder: config.folder,
    host: rpc.bind_address.host,
    port: rpc.bind_address.port,
    ...(rpc.published_address === undefined
      ? {}
      : { publishedAddress: textOfAddress(rpc.published_address) }),
    nodeToNode: {
      ...peers.bind_address,
      ...(peers.published_address === undefined
        ? {}
        : { publishedAddress: textOfAddress(peers.published_address) }),
    },
    consensus: {
      messageTimeoutMs: config.consensus.message_timeout,
      electionTimeoutMs: config.consensus.election_timeout,
    },
    unprovenRestart: config.restart.unproven,
    durability: config.durability,
    signatures: {
      ...SIGNATURE_DEFAULTS,
      kind: signatures.kind,
      transactionsMax: signatures.tx_count,
      delayMs: signatures.delay,
      serviceSignatureMs: signatures.service_delay,
      serviceSignatureTransactions: signatures.service_tx_count,
      issuer: signatures.issuer,
      subject: signatures.subject,
    },
    chunkBytes: config.ledger.chunk_size,
    snapshotEntries: config.snapshots.tx_count,
    tokenKeyRefreshMs: config.jwt.key_refresh_interval,
    applications: applicationsOf(config, warn),
    ...(federation === undefined ? {} : { federation: federationOptionsOf(federation) }),
    version: VERSION,
    frontDoor: {
      sessionsSoftMax: rpc.max_open_sessions_soft,
      sessionsHardMax: rpc.max_open_sessions_hard,
      forwardingMsMax:
        federation?.send === 'strict'
          ? Math.max(rpc.forwarding_timeout_ms, STRICT_FORWARDING_MS)
          : rpc.forwarding_timeout_ms,
      ...(rpc.redirections === undefined
        ? {}
        : { redirections: redirectionsOf(rpc.redirections) }),
      ...(features === undefined ? {} : { operatorFeatures: features }),
    },
  };
}

function redirectionsOf({ to_primary, to_backup }: RedirectionSettings): Redirections {
  const toPrimary = resolverOf(to_primary);
  const toBackup = resolverOf(to_backup);
  return {
    ...(toPrimary === undefined ? {} : { toPrimary }),
    ...(toBackup === undefined ? {} : { toBackup }),
  };
}

function resolverOf(
  setting: RedirectionSettings['to_primary'],
): RedirectionResolver | undefined {
  const { role, interface: name, address } = setting?.target ?? {};
  if (address !== undefined && setting?.kind === 'StaticAddress') {
    return { kind: 'StaticAddress', target: { address } };
  }
  if (role === undefined) return undefined;
  const target = { role, ...(name === undefined ? {} : { interface: name }) };
  return { kind: 'NodeByRole', target };
}

function applicationsOf(
  { applications, federation }: NodeConfig,
  warn: (text: string) => void,
): readonly Application[] {
  const outside = federation === undefined ? {} : outsidePeersOf(federation, warn);
  const makers = {
    log: () => createLogApplication(),
    quorum: () => createQuorumApplication({ random: systemRandom, ...outside }),
  };
  return (applications ?? (['log', 'quorum'] as const)).map((name) => makers[name]());
}

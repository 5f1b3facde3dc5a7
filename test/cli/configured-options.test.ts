/** Every setting that changes what a node does changes what it is told. */
import { expect, test } from 'vitest';
import { nodeOptionsOf } from '../../src/cli/node/configured-options.ts';
import { nodeConfigOf } from '../../src/config/node-config.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';

type Json = Readonly<Record<string, unknown>>;

const RPC = 'network.rpc_interfaces.primary_rpc_interface';
const SMALLEST: Json = {
  folder: 'node1',
  network: {
    node_to_node_interface: { bind_address: '127.0.0.1:8500' },
    rpc_interfaces: { primary_rpc_interface: { bind_address: '127.0.0.1:8000' } },
  },
  command: {
    type: 'Start',
    start: {
      members: [{ certificate_file: 'a.pem', encryption_public_key_file: 'b.pem' }],
    },
  },
};

function optionsWith(name: string, value: unknown): NodeOptions {
  const put = (object: Json, [first = '', ...rest]: readonly string[]): Json => {
    const inner = object[first];
    const next = rest.length === 0 ? value : put((inner ?? {}) as Json, rest);
    return { ...object, [first]: next };
  };
  return nodeOptionsOf(nodeConfigOf(put(SMALLEST, name.split('.')), '/etc/node.json'));
}

test.each<readonly [string, unknown, (options: NodeOptions) => unknown, unknown]>([
  ['folder', '/data', (each) => each.folder, '/data'],
  ['durability', 'os', (each) => each.durability, 'os'],
  ['jwt.key_refresh_interval', '1s', (each) => each.tokenKeyRefreshMs, 1000],
  ['applications', ['quorum'], (each) => each.applications.length, 1],
  [`${RPC}.bind_address`, 'a:1', ({ host, port }) => [host, port], ['a', 1]],
  [`${RPC}.max_open_sessions_soft`, 7, (each) => each.frontDoor.sessionsSoftMax, 7],
  [`${RPC}.max_open_sessions_hard`, 2000, (each) => each.frontDoor.sessionsHardMax, 2000],
  [`${RPC}.forwarding_timeout_ms`, 9, (each) => each.frontDoor.forwardingMsMax, 9],
  [`${RPC}.enabled_operator_features`, [], (each) => each.frontDoor.operatorFeatures, []],
  [
    `${RPC}.redirections.to_primary`,
    { kind: 'NodeByRole', target: { role: 'primary', interface: 'x' } },
    (each) => each.frontDoor.redirections,
    { toPrimary: { kind: 'NodeByRole', target: { role: 'primary', interface: 'x' } } },
  ],
  [
    `${RPC}.redirections.to_backup`,
    { kind: 'StaticAddress', target: { address: 'b:2' } },
    (each) => each.frontDoor.redirections,
    { toBackup: { kind: 'StaticAddress', target: { address: 'b:2' } } },
  ],
  [
    'network.node_to_node_interface.bind_address',
    'a:1',
    (each) => each.nodeToNode,
    { host: 'a', port: 1 },
  ],
  [
    'network.node_to_node_interface.published_address',
    'b.example:2',
    (each) => each.nodeToNode?.publishedAddress,
    'b.example:2',
  ],
  ['consensus.message_timeout', '7ms', (each) => each.consensus.messageTimeoutMs, 7],
  ['consensus.election_timeout', '2s', (each) => each.consensus.electionTimeoutMs, 2000],
  ['ledger.chunk_size', '2KB', (each) => each.chunkBytes, 2048],
  ['ledger_signatures.kind', 'dual', (each) => each.signatures.kind, 'dual'],
  ['ledger_signatures.tx_count', 3, (each) => each.signatures.transactionsMax, 3],
  ['ledger_signatures.delay', '4ms', (each) => each.signatures.delayMs, 4],
  [
    'ledger_signatures.service_tx_count',
    5,
    (each) => each.signatures.serviceSignatureTransactions,
    5,
  ],
  ['ledger_signatures.service_delay', '6s', (each) => each.signatures.serviceSignatureMs, 6000],
  ['ledger_signatures.issuer', 'i', (each) => each.signatures.issuer, 'i'],
  ['ledger_signatures.subject', 's', (each) => each.signatures.subject, 's'],
  ['snapshots.tx_count', 8, (each) => each.snapshotEntries, 8],
  ['restart.unproven', 'allow', (each) => each.unprovenRestart, 'allow'],
])('%s: %j', (name, value, read, expected) => {
  expect(read(optionsWith(name, value))).toEqual(expected);
  expect(read(nodeOptionsOf(nodeConfigOf(SMALLEST, '/etc/node.json')))).not.toEqual(expected);
});

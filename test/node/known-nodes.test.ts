// A node that was away while the nodes changed is told where the others are: nobody whom its own
// ledger names may be left to reach it. Found by a simulated service (seed 28): its new primary
// was a stranger to it for ever.

import { expect, test } from 'vitest';
import type { NodeId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { createIdentity } from '../../src/node/identity.ts';
import type { KnownNodes } from '../../src/node/membership.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import type { PeerTransport } from '../../src/node/peers/peer-transport.ts';
import { Peers } from '../../src/node/peers.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { FOLDER, newWorld, RIG_OPTIONS, SEALED } from '../support/node-rig.ts';

const id = (digit: string): NodeId => digit.repeat(64) as NodeId;
const AWAY = id('a');
const NEW: Peer = { nodeId: id('b'), address: '127.0.0.1:7002' };
const NODES: KnownNodes = new Map([
  [AWAY, { status: 'Trusted', retiredCommitted: false, address: '127.0.0.1:7001' }],
  [NEW.nodeId, { status: 'Trusted', retiredCommitted: false, address: NEW.address }],
]);

/** The peers of a node whose ledger names these, what it sends, and whom it may talk to. */
async function peersOf(nodes: KnownNodes) {
  const world = newWorld();
  await world.disk.makeFolder(FOLDER);
  await world.disk.makeFolder(SEALED);
  const sealer = await virtualSealer(world.disk, SEALED, systemRandom);
  const sealed = new SealedFolder(world.disk, SEALED, sealer);
  const identity = await createIdentity(sealed, systemRandom);
  const sent: { readonly to: NodeId; readonly message: PeerMessage }[] = [];
  const up: NodeId[] = [];
  let connect: (to: NodeId) => void = () => undefined;
  const known: Peer[] = [];
  const transport: PeerTransport = {
    listen: async () => ({ host: '127.0.0.1', port: 7000 }),
    setPeers: (peers) => known.splice(0, known.length, ...peers),
    send: (to, message) => sent.push({ to, message }) > 0,
    connected: () => up,
    queuedBytes: () => 0,
    renewIdentity: () => undefined,
    close: async () => undefined,
  };
  const nodeToNode = { host: '127.0.0.1', port: 7000 };
  const log = { info: () => undefined, warn: () => undefined, progress: () => undefined };
  const peers = new Peers(
    { ...RIG_OPTIONS, nodeToNode },
    {
      ...{ disk: world.disk, clock: world.time, timers: world.time, random: systemRandom, log },
      openTransport: (_options, { onPeerUp }) => {
        connect = (to) => {
          up.push(to);
          onPeerUp(to);
        };
        return transport;
      },
      onFatal: () => undefined,
    },
    {
      ledger: { identity, state: { nodes } },
      shown: () => ({ key: '', cert: '' }),
      known: [],
      onMessage: () => undefined,
      onPeerDown: () => undefined,
    },
  );
  return { peers, sent, known, world, connect: (to: NodeId) => connect(to) };
}

test('a node that connects is told at once where the others are', async () => {
  const { connect, sent } = await peersOf(NODES);
  connect(AWAY);
  expect(sent).toEqual([
    { to: AWAY, message: { kind: 'known-nodes', nodes: expect.arrayContaining([NEW]) } },
  ]);
});

// Found by a simulated service (seed 817): one that joined, restarted and was in no configuration
// that it knew had nobody to ask, while the new primary was a stranger to it.
test('and is told again: a message may be lost, and nodes may come', async () => {
  const { connect, sent, peers, world } = await peersOf(NODES);
  await peers.listen();
  connect(AWAY);
  sent.length = 0;
  await world.time.advance(2_000);
  await world.time.advance(2_000);
  expect(sent.map(({ to, message }) => [to, message.kind])).toEqual([
    [AWAY, 'known-nodes'],
    [AWAY, 'known-nodes'],
  ]);
  await peers.close(false);
  await world.time.advance(4_000);
  expect(sent).toHaveLength(2);
});

test('what a node is told it talks to, though its own ledger does not name it', async () => {
  const { peers, known } = await peersOf(new Map());
  peers.learn([NEW]);
  expect(known).toEqual([NEW]);
});

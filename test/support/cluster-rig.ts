// Several nodes of one service in one process, on real time and real connections, each on a disk in
// memory. Joiners are given what `joining/` would have fetched for them.

import { systemRandom } from '../../src/crypto/random.ts';
import { writeNode } from '../../src/governance/opening.ts';
import { createIdentity } from '../../src/node/identity.ts';
import { nodesIn } from '../../src/node/membership.ts';
import { OPENED_MARK } from '../../src/node/new-service.ts';
import { describeNode, makeNodeCertificate } from '../../src/node/node-certificates.ts';
import { foldersOf, makeFolders } from '../../src/node/node-folders.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import { realTimers } from '../../src/node/real-time.ts';
import { SERVICE_CERTIFICATE } from '../../src/node/restart.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { startNode } from '../../src/node/start-node.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { FOLDER, newWorld, RIG_OPTIONS, start, type World } from './node-rig.ts';

export interface Member {
  readonly world: World;
  readonly options: NodeOptions;
  node: RunningNode;
}

let nextPort = 21_000 + Math.floor(Math.random() * 20_000);

function optionsOf(options: Partial<NodeOptions>): NodeOptions {
  nextPort += 1;
  const nodeToNode = { host: '127.0.0.1', port: nextPort };
  return { ...RIG_OPTIONS, nodeToNode, ...options };
}

/** The first node of a service, with the service open. */
export async function found(options: Partial<NodeOptions> = {}): Promise<Member> {
  const world = newWorld();
  const whole = optionsOf(options);
  const { node } = await start(world, whole, { timers: realTimers });
  return { world, options: whole, node };
}

/** Starts a node again on what it left, or what its crash left. */
export async function restart(member: Member, world = member.world): Promise<Member> {
  const { node } = await startNode(
    member.options,
    {
      disk: world.disk,
      clock: world.time,
      timers: realTimers,
      random: systemRandom,
      log: {
        info: (text) => world.notes.push(text),
        warn: (text) => world.warnings.push(text),
        progress: () => undefined,
      },
      openIndex: async () => world.index,
      onFatal: (error) => world.fatal.push(error),
    },
    undefined,
    peersOf(member),
  );
  return { ...member, world, node };
}

const given = new WeakMap<NodeOptions, readonly Peer[]>();

function peersOf({ options }: Member): readonly Peer[] {
  return given.get(options) ?? [];
}

/** Another node, which `primary` is made to trust before it starts. */
export async function join(
  primary: Member,
  options: Partial<NodeOptions> = {},
): Promise<Member> {
  const world = newWorld();
  const whole = optionsOf(options);
  const folders = foldersOf(FOLDER);
  await makeFolders(world.disk, folders);
  const sealer = await virtualSealer(world.disk, folders.sealed, systemRandom);
  const sealed = new SealedFolder(world.disk, folders.sealed, sealer);
  const { serviceKey } = primary.node.secretsForJoiners();
  const identity = await createIdentity(sealed, systemRandom, serviceKey);
  const { serviceCertificatePem } = primary.node;
  await sealed.put(SERVICE_CERTIFICATE, Buffer.from(serviceCertificatePem));
  for (const secret of primary.node.secretsForJoiners().ledgerSecrets) {
    await sealed.putLedgerSecret(secret);
  }
  await sealed.put(OPENED_MARK, new Uint8Array(1));
  const certificate = await makeNodeCertificate(
    identity,
    serviceCertificatePem,
    whole,
    Date.now(),
  );
  const description = await describeNode(identity, certificate, whole);
  const { node } = primary;
  const peers = [...nodesIn(node.current())].map(([nodeId, { address }]) => ({
    nodeId,
    address,
  }));
  given.set(whole, peers);
  const trusted = primary.node.commitService((tx) => writeNode(tx, description));
  const member = await restart({ world, options: whole, node }, world);
  await Promise.all([trusted, member.node.ready()]);
  return member;
}

/** A service of so many nodes. */
export async function cluster(
  count: number,
  options: Partial<NodeOptions> = {},
): Promise<Member[]> {
  const members = [await found(options)];
  while (members.length < count) {
    const [first] = members;
    if (first !== undefined) members.push(await join(first, options));
  }
  return members;
}

/** The node that takes transactions, as soon as there is one. */
export async function primaryOf(members: readonly Member[]): Promise<Member> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 10) {
    const primary = members.find(({ node }) => node.isPrimary());
    if (primary !== undefined) return primary;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('no node became the primary within 10 s');
}

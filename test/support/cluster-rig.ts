// Several nodes of one service in one process, on real time and real connections, each on a disk in
// memory. Joiners are given what `joining/` would have fetched for them. A node can crash: nothing
// of its life goes on, and what its disk holds is what the crash left of it.

import { createServer } from 'node:net';
import type { Timers } from '../../src/base/environment.ts';
import { isCoded } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { type NodeDescription, writeNode } from '../../src/governance/opening.ts';
import { createIdentity } from '../../src/node/identity.ts';
import { nodesIn } from '../../src/node/membership.ts';
import { OPENED_MARK } from '../../src/node/new-service.ts';
import { describeNode, makeNodeCertificate } from '../../src/node/node-certificates.ts';
import { foldersOf, makeFolders } from '../../src/node/node-folders.ts';
import type { NodeDependencies, NodeOptions } from '../../src/node/node-options.ts';
import { ownEvidence } from '../../src/node/own-evidence.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import type { Peer } from '../../src/node/peers/peer-network.ts';
import {
  createPeerTransport,
  type PeerTransport,
} from '../../src/node/peers/peer-transport.ts';
import { realTimers } from '../../src/node/real-time.ts';
import { SERVICE_CERTIFICATE } from '../../src/node/restart.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { startNode } from '../../src/node/start-node.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import type { CrashKind } from './crashing-disk.ts';
import {
  afterCrash,
  FOLDER,
  newWorld,
  RIG_OPTIONS,
  start,
  startDependencies,
  type World,
} from './node-rig.ts';

/** What ends with a node's process, and a handle on it to end it without a word. */
class Life {
  readonly #transports: PeerTransport[] = [];
  #isOver = false;
  isRetired = false;
  readonly fatal: unknown[] = [];
  /** Nothing reaches this node, and nothing that it says reaches another. */
  isCut = false;
  onSend: Member['onSend'];

  readonly timers: Timers = {
    elapsedMs: () => realTimers.elapsedMs(),
    after: (delayMs, action) => realTimers.after(delayMs, this.#whileAlive(action)),
    soon: (action) => realTimers.soon(this.#whileAlive(action)),
  };

  readonly dependencies: Partial<NodeDependencies> = {
    timers: this.timers,
    openTransport: (options, dependencies) => {
      const transport = createPeerTransport(options, {
        ...dependencies,
        onMessage: (from, message) => {
          if (!this.#isOver && !this.isCut) dependencies.onMessage(from, message);
        },
      });
      this.#transports.push(transport);
      return {
        ...transport,
        send: (to, message) => {
          if (!this.isCut) this.onSend?.(to, message);
          // What a network loses, the sender takes for sent.
          return this.isCut || transport.send(to, message);
        },
      };
    },
    onRetired: () => {
      this.isRetired = true;
    },
    onFatal: (error) => {
      if (!this.#isOver) this.fatal.push(error);
    },
  };

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }

  #whileAlive(action: () => void): () => void {
    return () => {
      if (!this.#isOver) action();
    };
  }
}

export class Member {
  readonly options: NodeOptions;
  /** Whom it was told to talk to when it joined. */
  readonly peers: readonly Peer[];
  world: World;
  /** Sees each message that leaves this node. */
  onSend: ((to: NodeId, message: PeerMessage) => void) | undefined;
  #node: RunningNode | undefined;
  #life = new Life();
  readonly #lives = [this.#life];

  constructor(world: World, options: NodeOptions, peers: readonly Peer[]) {
    this.world = world;
    this.options = options;
    this.peers = peers;
  }

  /** The node, running or not any more. */
  get node(): RunningNode {
    if (this.#node === undefined) throw new Error('this node was never started');
    return this.#node;
  }

  get isStarted(): boolean {
    return this.#node !== undefined;
  }

  get nodeId(): string {
    return this.node.nodeId;
  }

  /** What made a life of this node end that was not to end. */
  get fatal(): readonly unknown[] {
    return this.#lives.flatMap(({ fatal }) => fatal);
  }

  /** Whether this life was told that the node's retirement is recorded for good. */
  get isRetired(): boolean {
    return this.#life.isRetired;
  }

  /** Cuts the node off from all others, or ends that. */
  set isCut(isCut: boolean) {
    this.#life.isCut = isCut;
  }

  /** The first node of a service, with the service open. */
  async found(): Promise<void> {
    this.#life.onSend = (to, message) => this.onSend?.(to, message);
    const { node } = await start(this.world, this.options, this.#life.dependencies);
    this.#node = node;
  }

  /** Starts the node on what its disk holds; it is not ready yet. */
  async start(options: Partial<NodeOptions> = {}): Promise<void> {
    this.#life = new Life();
    this.#lives.push(this.#life);
    this.#life.onSend = (to, message) => this.onSend?.(to, message);
    const { node } = await startNode(
      { ...this.options, ...options },
      startDependencies(this.world, this.#life.dependencies),
      undefined,
      this.peers,
    );
    this.#node = node;
  }

  async stop(): Promise<void> {
    await this.node.stop();
    await this.#life.end();
  }

  /** The process dies, and of its disk only that is left which a crash of this kind leaves. */
  async crash(kind: CrashKind): Promise<void> {
    const left = afterCrash(this.world, kind);
    const ended = this.#life.end();
    this.world.disk.crashAt({ at: 0, kind: 'kept' });
    this.world = left;
    await ended;
  }
}

const PORT_MIN = 21_000;
const PORT_MAX = 31_000;
let nextPort = PORT_MIN + Math.floor(Math.random() * (PORT_MAX - PORT_MIN));

/** A port that nobody uses now, outside of those which the system gives to those who dial. */
async function freePort(): Promise<number> {
  for (;;) {
    nextPort = nextPort >= PORT_MAX ? PORT_MIN : nextPort + 1;
    const port = nextPort;
    const isFree = await new Promise<boolean>((resolve) => {
      const probe = createServer();
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
    });
    if (isFree) return port;
  }
}

async function optionsOf(options: Partial<NodeOptions>): Promise<NodeOptions> {
  const nodeToNode = { host: '127.0.0.1', port: await freePort() };
  return { ...RIG_OPTIONS, nodeToNode, ...options };
}

/** The first node of a service, with the service open. */
export async function found(options: Partial<NodeOptions> = {}): Promise<Member> {
  const member = new Member(newWorld(), await optionsOf(options), []);
  await member.found();
  return member;
}

/** Starts a node again on what it left, or what its crash left. */
export async function restart(member: Member): Promise<Member> {
  await member.start();
  return member;
}

/** A node that has been given what a joiner is given, and is not started yet. */
export async function prepared(
  primary: Member,
  options: Partial<NodeOptions> = {},
): Promise<{ readonly member: Member; readonly description: NodeDescription }> {
  const world = newWorld();
  const whole = await optionsOf(options);
  const folders = foldersOf(FOLDER);
  await makeFolders(world.disk, folders);
  const sealer = await virtualSealer(world.disk, folders.sealed, systemRandom);
  const sealed = new SealedFolder(world.disk, folders.sealed, sealer);
  const { serviceKey, ledgerSecrets } = primary.node.secretsForJoiners();
  const identity = await createIdentity(sealed, systemRandom, serviceKey);
  const { serviceCertificatePem } = primary.node;
  await sealed.put(SERVICE_CERTIFICATE, Buffer.from(serviceCertificatePem));
  for (const secret of ledgerSecrets) await sealed.putLedgerSecret(secret);
  await sealed.put(OPENED_MARK, new Uint8Array(1));
  const certificate = await makeNodeCertificate(
    identity,
    serviceCertificatePem,
    whole,
    Date.now(),
  );
  const shown = await ownEvidence(identity.nodeKey.publicKeyDer, { clock: world.time });
  const peers = [...nodesIn(primary.node.current())].map(([nodeId, { address }]) => ({
    nodeId,
    address,
  }));
  const description = await describeNode(identity, certificate, whole, shown);
  return { member: new Member(world, whole, peers), description };
}

/** Another node, which the service is made to trust before it starts. */
export async function join(
  members: readonly Member[],
  options: Partial<NodeOptions> = {},
): Promise<Member> {
  const { member, description } = await prepared(await primaryOf(members), options);
  const trusted = onPrimary(members, ({ node }) =>
    node.commitService((tx) => writeNode(tx, description)),
  );
  await member.start();
  await Promise.all([trusted, member.node.ready()]);
  return member;
}

/** A service of so many nodes. */
export async function cluster(
  count: number,
  options: Partial<NodeOptions> = {},
): Promise<Member[]> {
  const members = [await found(options)];
  while (members.length < count) members.push(await join(members, options));
  return members;
}

/**
 * Has the primary do something that may be done twice, and tries again when it was not the primary
 * any more: on a busy machine a whole process may pause for longer than an election takes.
 */
export async function onPrimary<Result>(
  members: readonly Member[],
  act: (primary: Member) => Promise<Result>,
): Promise<Result> {
  for (;;) {
    try {
      return await act(await primaryOf(members));
    } catch (error) {
      if (!isLeadershipLost(error)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Whether a write failed, or may have, because another node leads now, or none. */
export function isLeadershipLost(error: unknown): boolean {
  const codes = ['NotPrimary', 'NodeStopping', 'TransactionInvalid'];
  return [...codes, 'TransactionPendingOrUnknown'].some((code) => isCoded(error, code));
}

/** Waits, up to 20 s, until something holds. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const untilMs = Date.now() + 20_000;
  while (!holds()) {
    if (Date.now() > untilMs) throw new Error(`after 20 s: not ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The node that takes transactions, as soon as there is one. */
export async function primaryOf(members: readonly Member[]): Promise<Member> {
  let primary: Member | undefined;
  await eventually('one of them the primary', () => {
    primary = members.find(({ node }) => node.isPrimary());
    return primary !== undefined;
  });
  if (primary === undefined) throw new Error('there is a primary');
  return primary;
}

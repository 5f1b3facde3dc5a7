// A disaster: all nodes of a service are lost, and of their folders some survive. What is left of
// each lies in a real folder, as an operator would name it; the node that recovers the service runs
// on a disk in memory and can crash.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { transitionServiceToOpen } from '../../src/governance/recovery.ts';
import { refreshShares } from '../../src/governance/recovery-shares.ts';
import type { ShareSubmission } from '../../src/governance/submitted-shares.ts';
import type { NodeDependencies, NodeOptions } from '../../src/node/node-options.ts';
import { realTimers } from '../../src/node/real-time.ts';
import {
  type Recovering,
  type RecoverRequest,
  recoverService,
} from '../../src/node/recovering/recover-service.ts';
import { OWNER_FILE } from '../../src/node/recovering/surviving-ledger.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { eventually, type Member, onPrimary } from './cluster-rig.ts';
import { ledgerOf, type Service } from './cluster-service.ts';
import { newWorld, RIG_OPTIONS, startDependencies, type World } from './node-rig.ts';
import { openedShare, type RecoveryMember, writeRecoveryMembers } from './recovery-members.ts';

export class Disaster {
  readonly root: string;
  readonly #running: RunningNode[] = [];

  constructor(root: string) {
    this.root = root;
  }

  static async begin(): Promise<Disaster> {
    return new Disaster(await mkdtemp(join(tmpdir(), 'concordat-disaster-')));
  }

  /** The folder of a member's ledger as its disk has it now. */
  async leftOf(member: Member, name: string): Promise<string> {
    return await this.#folderOf(ledgerOf(member), name, member.nodeId);
  }

  /** The folder of the ledger of a node on a disk in memory. */
  async leftOfWorld(world: World, name: string): Promise<string> {
    const files = [...world.disk.files()].filter(([path]) => path.includes('/ledger/'));
    return await this.#folderOf(
      new Map(files.map(([path, bytes]) => [path.slice(path.lastIndexOf('/') + 1), bytes])),
      name,
    );
  }

  /** Starts the recovery; a node that starts runs until the end of the test. */
  async recover(
    request: Omit<RecoverRequest, 'acceptLoss'> & { readonly acceptLoss?: boolean },
    world: World = newWorld(),
    options: Partial<NodeOptions> = {},
    more: Partial<NodeDependencies> = {},
  ): Promise<Recovering> {
    const dependencies = startDependencies(world, { timers: realTimers, ...more });
    const recovering = await recoverService(
      { ...RIG_OPTIONS, port: 0, ...options },
      dependencies,
      {
        acceptLoss: false,
        ...request,
      },
    );
    this.#running.push(recovering.node);
    await recovering.node.ready();
    return recovering;
  }

  /** A node whose disk died hears nothing any more: nobody waits for it to stop. */
  abandonAll(): void {
    this.#running.length = 0;
  }

  async end(): Promise<void> {
    for (const node of this.#running) await node.stop().catch(() => undefined);
    await rm(this.root, { recursive: true });
  }

  async #folderOf(
    files: ReadonlyMap<string, Buffer>,
    name: string,
    owner?: string,
  ): Promise<string> {
    const folder = join(this.root, name, 'ledger');
    await mkdir(folder, { recursive: true });
    for (const [file, bytes] of files) await writeFile(join(folder, file), bytes);
    if (owner !== undefined) {
      await writeFile(join(folder, '..', OWNER_FILE), JSON.stringify({ node_id: owner }));
    }
    return folder;
  }
}

/** Makes these the recovery members of a running service. */
export async function withMembers(
  service: Service,
  members: readonly RecoveryMember[],
  threshold: number,
): Promise<void> {
  await onPrimary([...service.up], ({ node }) =>
    node.commitService((tx) => {
      writeRecoveryMembers(tx, members, threshold);
      refreshShares(tx, node.secretKeeper());
    }),
  );
}

/** What the members decide: that the service may go on. */
export async function allowOpening(node: RunningNode, previous: string): Promise<void> {
  await node.commitService((tx) => {
    const next_service_identity = node.serviceCertificatePem;
    const identities = { next_service_identity, previous_service_identity: previous };
    transitionServiceToOpen(tx, identities, node.opener());
  });
}

/** Hands bytes in as a member's share. */
export async function handIn(
  node: RunningNode,
  memberId: string,
  share: Uint8Array,
): Promise<ShareSubmission> {
  let submission: ShareSubmission | undefined;
  await node.commitService((tx) => {
    submission = node.recovery?.submit(tx, memberId, share);
  });
  if (submission === undefined) throw new Error('this node recovers no service');
  return submission;
}

/** Hands in a member's own share. */
export async function submitOwn(
  node: RunningNode,
  member: RecoveryMember,
): Promise<ShareSubmission> {
  const share = openedShare(node.current(), member);
  if (share === undefined) throw new Error('this member holds a share');
  return await handIn(node, member.memberId, share);
}

/** Waits until the recovered service is open. */
export async function opened(node: RunningNode): Promise<void> {
  await eventually('open again', () => node.applicationOpen());
  await node.commitService((tx) =>
    tx.table('public:test.rows').put(Buffer.from('x'), Buffer.from('y')),
  );
}

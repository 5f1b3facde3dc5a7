/**
 * Lets the nodes of a sandbox in, by vote of its members: those that the service lists as Pending,
 * so that their evidence matched its join policy, at the addresses where this sandbox started them.
 *
 * One after the other: who is trusted counts for every commit from then on, and is there a moment
 * later; two of them at once could cost the primary its quorum meanwhile.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCoded } from '../../base/errors.ts';
import type { NodeLog } from '../../node/node-options.ts';
import { listNodes, orderNode } from '../node/node-orders.ts';
import { ServiceAsker } from '../node/service-asker.ts';
import type { SandboxFolder } from './sandbox-folder.ts';
import { sandboxMembers } from './sandbox-members.ts';

const LOOK_MS = 100;

/** A node that this sandbox has started. */
export interface StartedNode {
  readonly number: number;
  /** Where clients reach it: `host:port`. */
  readonly address: string;
  readonly ready: Promise<unknown>;
}

/** Trusts these nodes as they ask to join, until all of them are ready or one cannot be. */
export async function trustNodes(
  folder: SandboxFolder,
  nodes: readonly StartedNode[],
  log: NodeLog,
): Promise<void> {
  const done = new AbortController();
  const ended = (): void => done.abort();
  Promise.all(nodes.map(({ ready }) => ready)).then(ended, ended);
  const pem = readFileSync(folder.serviceCertificate, 'utf8');
  // One try at a time: while the service starts again, it has no answer yet.
  const urls = nodes.slice(0, 1).map(({ address }) => `https://${address}`);
  const service = new ServiceAsker(urls, pem, 0);
  while (!done.signal.aborted) {
    try {
      const trusted = await trustOne(folder, nodes, service);
      if (trusted !== undefined) {
        log.info(`node ${trusted.number} is trusted`);
        await Promise.race([trusted.ready, aborted(done.signal)]);
      }
    } catch (error) {
      if (!isCoded(error)) throw error;
      if (error.code !== 'NodeUnreachable') log.info(`trusting nodes: ${error.message}`);
    }
    await Promise.race([sleep(LOOK_MS), aborted(done.signal)]);
  }
}

async function trustOne(
  folder: SandboxFolder,
  nodes: readonly StartedNode[],
  service: ServiceAsker,
): Promise<StartedNode | undefined> {
  for (const { node_id, status, rpc_interfaces } of await listNodes(service)) {
    const address = rpc_interfaces?.primary_rpc_interface?.published_address ?? '';
    const node = nodes.find((each) => each.address === address);
    if (status !== 'Pending' || node === undefined) continue;
    await orderNode('trust', node_id, sandboxMembers(folder, service), Date.now());
    return node;
  }
  return undefined;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * Lets the nodes of a sandbox in, as its member: those that the service lists as Pending, so that
 * their evidence matched its join policy, at the addresses where this sandbox started them.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCoded } from '../../base/errors.ts';
import type { NodeLog } from '../../node/node-options.ts';
import { listNodes, orderNode } from '../node/node-orders.ts';
import { ServiceAsker } from '../node/service-asker.ts';
import type { SandboxFolder } from './sandbox-folder.ts';

const LOOK_MS = 100;

/** Trusts nodes at these addresses (`host:port` for clients) until `until` is settled. */
export async function trustNodes(
  folder: SandboxFolder,
  url: string,
  addresses: readonly string[],
  until: Promise<unknown>,
  log: NodeLog,
): Promise<void> {
  const done = new AbortController();
  const ended = (): void => done.abort();
  until.then(ended, ended);
  const pem = readFileSync(folder.serviceCertificate, 'utf8');
  // One try at a time: while the service starts again, it has no answer yet.
  const service = new ServiceAsker([url], pem, 0);
  for (;;) {
    try {
      for (const { node_id, status, rpc_interfaces } of await listNodes(service)) {
        const address = rpc_interfaces?.primary_rpc_interface?.published_address ?? '';
        if (status !== 'Pending' || !addresses.includes(address)) continue;
        await orderNode('trust', node_id, folder.member(1), service, Date.now());
        log.info(`trusting node ${addresses.indexOf(address) + 1}`);
      }
    } catch (error) {
      if (!isCoded(error)) throw error;
      if (error.code !== 'NodeUnreachable') log.info(`trusting nodes: ${error.message}`);
    }
    try {
      await sleep(LOOK_MS, undefined, { signal: done.signal });
    } catch {
      return;
    }
  }
}

/**
 * How a node stands, as figures that somebody can be woken by: whether it is ready, who leads, how
 * far it is, until when its certificates last, and how much room its disk has.
 */
import { statfsSync } from 'node:fs';
import { Gauge, type Registry } from 'prom-client';
import { utf8 } from '../base/bytes.ts';
import { certificateExpiryMs } from '../crypto/certificates.ts';
import { NODE_CERTIFICATES } from '../governance/tables.ts';
import type { NodeStatus } from './node-status.ts';
import type { RunningNode } from './running-node.ts';

/** A node that was not heard for so long counts as silent. */
const SILENT_MS = 5_000;

export interface Standing {
  readonly status: () => NodeStatus;
  readonly isReady: () => boolean;
  /** The folder whose disk is looked at. */
  readonly folder: string;
}

export function registerStandingMetrics(
  registry: Registry,
  node: Pick<RunningNode, 'node' | 'current' | 'nodeId' | 'serviceCertificatePem'>,
  { status, isReady, folder }: Standing,
): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number | undefined): void => {
    new Gauge({
      name: `concordat_${name}`,
      help,
      registers,
      collect() {
        const value = read();
        if (value === undefined) this.reset();
        else this.set(value);
      },
    });
  };
  const flag = (name: string, help: string, read: () => boolean): void =>
    gauge(name, help, () => (read() ? 1 : 0));
  flag('ready', '1 when this node takes requests of applications', isReady);
  flag('primary', '1 when this node is the primary', () => status().role === 'leader');
  flag('knows_primary', '1 when it knows a primary', () => status().primaryId !== undefined);
  flag('service_open', '1 when its members have opened the service', () => {
    return status().serviceStatus === 'Open';
  });
  gauge('nodes', 'Nodes of the newest configuration', () => {
    return node.node().configurations.at(-1)?.nodeIds.length ?? 0;
  });
  gauge(
    'nodes_silent',
    `Nodes that a primary has not heard for ${SILENT_MS / 1000} s`,
    () => status().peers.filter(({ silentMs }) => silentMs > SILENT_MS).length,
  );
  gauge('newest_seqno', 'Newest entry that this node holds', () => status().newestSeqno);
  gauge('snapshot_seqno', 'Last snapshot', () => status().snapshotSeqno);
  gauge(
    'waits_for_nodes',
    'Nodes whose word a restart waits for, or an operator in their place',
    () => status().waitsFor.length,
  );
  gauge('certificate_expiry_seconds', 'When its certificate ends, since 1970', () => {
    const pem = node.current().table(NODE_CERTIFICATES).get(utf8(node.nodeId));
    return pem === undefined ? undefined : secondsOf(Buffer.from(pem).toString());
  });
  gauge('service_certificate_expiry_seconds', "When the service's ends, since 1970", () =>
    secondsOf(node.serviceCertificatePem),
  );
  gauge('disk_free_bytes', 'Free space where its ledger lies', () => {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  });
  new Gauge({
    name: 'concordat_commit_milliseconds',
    help: 'How long recent rounds took until their commit, on a primary',
    labelNames: ['quantile'],
    registers,
    collect() {
      this.reset();
      const { commitMs } = status();
      if (commitMs === undefined) return;
      this.set({ quantile: '0.5' }, commitMs.p50);
      this.set({ quantile: '0.99' }, commitMs.p99);
    },
  });
}

function secondsOf(pem: string): number {
  return Math.floor(certificateExpiryMs(pem) / 1000);
}

/**
 * The operator's view of one node: its figures as Prometheus metrics, whether it is ready, its
 * status, and what an operator may order.
 */
import { Gauge, Registry } from 'prom-client';
import { registerFrontDoorMetrics } from '../http/front-door-metrics.ts';
import {
  createOperatorListener,
  type OperatorListener,
  type OperatorRoute,
} from '../http/operator-listener.ts';
import { registerFederationMetrics } from './federation-metrics.ts';
import type { NodeFigures } from './node-figures.ts';
import { type NodeStatus, nodeStatusOf } from './node-status.ts';
import { registerProcessMetrics } from './process-metrics.ts';
import type { RunningNode } from './running-node.ts';
import { registerStandingMetrics } from './standing-metrics.ts';

export interface OpenOperatorListener extends Pick<OperatorListener, 'close'> {
  readonly address: { readonly host: string; readonly port: number };
  /** The front door is open: its figures are there from now on. */
  frontDoorOpened(): void;
}

/**
 * Opens the operator's listener of a node. It is there before the front door, because a node that
 * waits for its operator must be able to say so. `folder` is where its ledger lies.
 */
export async function openOperatorListener(
  node: RunningNode,
  host: string,
  port: number,
  onFault: (fault: unknown) => void,
  folder = '.',
): Promise<OpenOperatorListener> {
  const registry = new Registry();
  let isOpen = false;
  const isReady = (): boolean => isOpen && node.applicationOpen() && !node.node().stopNotice;
  const status = (): NodeStatus =>
    nodeStatusOf(node, process.pid, isOpen ? node.frontDoorStats() : undefined);
  registerNodeMetrics(registry, node);
  const stopLooking = registerProcessMetrics(registry);
  registerStandingMetrics(registry, node, { status, isReady, folder });
  const { federation } = node;
  if (federation !== undefined) registerFederationMetrics(registry, () => federation.figures());
  const listener = createOperatorListener({
    registry,
    isReady,
    routes: {
      '/status': {
        method: 'GET',
        answer: () => ({ status: 200, json: status() }),
      },
      '/restart': acceptUnproven(node),
      ...(federation === undefined
        ? {}
        : {
            '/federation': {
              method: 'GET',
              answer: () => ({ status: 200, json: federation.status() }),
            } as const,
          }),
    },
    onFault,
  });
  const address = await listener.listen(host, port);
  return {
    address,
    close() {
      stopLooking();
      return listener.close();
    },
    frontDoorOpened: () => {
      isOpen = true;
      registerFrontDoorMetrics(registry, () => node.frontDoorStats());
    },
  };
}

/** `{"accept_unproven": true}` lets a restart go on that nobody can prove to be the newest. */
function acceptUnproven(node: RunningNode): OperatorRoute {
  return {
    method: 'POST',
    contentType: 'application/json',
    answer: (body) => {
      if (Buffer.from(body).toString().replaceAll(/\s/g, '') !== '{"accept_unproven":true}') {
        const message = 'The body is {"accept_unproven": true}.';
        return { status: 400, json: { error: { code: 'InvalidInput', message } } };
      }
      const { waitsFor } = node;
      const waited = node.node().state === 'Initialized';
      node.acceptUnproven();
      return { status: 200, json: { waited, waitedFor: waitsFor } };
    },
  };
}

function registerNodeMetrics(registry: Registry, node: RunningNode): void {
  const gauge = (name: string, help: string, read: (figures: NodeFigures) => number): void => {
    new Gauge({
      name: `concordat_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read(node.figures()));
      },
    });
  };
  gauge('committed_seqno', 'Last committed entry of the ledger', (each) => each.committedSeqno);
  gauge('view', 'View in which this node writes', (each) => each.view);
  gauge('uncommitted_transactions', 'Entries not yet committed', (each) => each.uncommitted);
  gauge('commit_rounds', 'Rounds committed since the start', (each) => each.rounds);
  gauge('transactions', 'Transactions committed since the start', (each) => each.transactions);
  gauge('ledger_chunks', 'Closed chunks of the ledger', (each) => each.chunks);
  gauge('insecure_virtual', '1 when the platform is virtual: INSECURE', () =>
    node.node().platform === 'virtual' ? 1 : 0,
  );
  gauge('resident_bytes', 'Resident memory of the process', () => process.memoryUsage.rss());
}

/**
 * The operator's view of one node: its figures as Prometheus metrics, and whether it is ready.
 */
import { Gauge, Registry } from 'prom-client';
import { registerFrontDoorMetrics } from '../http/front-door-metrics.ts';
import { createOperatorListener, type OperatorListener } from '../http/operator-listener.ts';
import type { NodeFigures, RunningNode } from './running-node.ts';

/** Opens the operator's listener of a node whose front door is open. */
export async function openOperatorListener(
  node: RunningNode,
  host: string,
  port: number,
  onFault: (fault: unknown) => void,
): Promise<OperatorListener> {
  const registry = new Registry();
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
  gauge('insecure_virtual', '1 when the platform is virtual: INSECURE', () => 1);
  gauge('resident_bytes', 'Resident memory of the process', () => process.memoryUsage.rss());
  registerFrontDoorMetrics(registry, () => node.frontDoorStats());
  const listener = createOperatorListener({
    registry,
    isReady: () => node.applicationOpen() && !node.node().stopNotice,
    onFault,
  });
  await listener.listen(host, port);
  return listener;
}

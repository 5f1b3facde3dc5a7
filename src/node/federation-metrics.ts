/** Federation's figures for Prometheus, taken when somebody scrapes. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { FederationCounters } from '../federation/counters.ts';
import type { FederationFigures } from '../federation/federation.ts';

const COUNTERS: readonly (readonly [string, string, keyof FederationCounters])[] = [
  ['deliveries', 'Payloads for which a peer gave a receipt', 'delivered'],
  ['deliveries_refused', 'Pushes that a peer refused', 'refusedByPeers'],
  ['deliveries_failed', 'Pushes that failed and are tried again', 'failed'],
  ['accepted', 'Payloads taken in from peers', 'accepted'],
  ['ignored', 'Payloads of peers answered and not stored, by the rules', 'ignored'],
  ['refused', 'Requests of peers that were refused', 'refused'],
  ['keys_refused', 'Keys of peers that are not theirs or were not shown to be', 'poisoned'],
];

export function registerFederationMetrics(
  registry: Registry,
  figures: () => FederationFigures,
): void {
  const registers = [registry];
  new Gauge({
    name: 'concordat_federation_outbox_length',
    help: 'Deliveries that wait for a peer',
    registers,
    collect() {
      this.set(figures().outbox);
    },
  });
  new Gauge({
    name: 'concordat_federation_peers',
    help: 'Peers that are known',
    registers,
    collect() {
      this.set(figures().peers);
    },
  });
  for (const [name, help, which] of COUNTERS) {
    new Counter({
      name: `concordat_federation_${name}_total`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(figures().counters[which]);
      },
    });
  }
}

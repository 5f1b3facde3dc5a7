/**
 * From write to committed on an idle service, of one node and of three. CCF is asked in the only
 * way it has: for the transaction's status, again and again. So are we, and the answer that waits,
 * the other way of ours, stands beside.
 */
import { startedIn } from './cluster-run.ts';
import type { OwnWork } from './own-work.ts';
import { ccfOf } from './systems/by-address.ts';
import { CommitProbe } from './systems/commit-probe.ts';
import { CONCORDAT } from './systems/concordat.ts';
import { CCF_MISSING } from './systems/peers.ts';

export function commitWork(nodes: 1 | 3): OwnWork {
  return {
    kind: 'own',
    name: nodes === 1 ? 'commit' : `commit of ${nodes}`,
    summary: `from a write to its commit on an idle service of ${nodes}, one client`,
    unit: 'commits',
    judgedBy: 'p50',
    async prepare({ service, folder, options, env }) {
      const asked = nodes === 1 ? service : await startedIn(folder, nodes, options);
      const ccf = ccfOf(env);
      const ours = new CommitProbe(`${CONCORDAT}, asked`, asked, 'asking');
      const others = [new CommitProbe(`${CONCORDAT}, waits`, asked, 'waiting')];
      if (ccf !== undefined) others.push(new CommitProbe(ccf.name, ccf.system, 'asking'));
      return {
        ours,
        others,
        missing: ccf === undefined ? [CCF_MISSING] : [],
        statements: ccf === undefined ? [] : [ccf.statement],
        load: { connections: 1, inFlight: 1, payloadBytes: 0 },
        async stop() {
          for (const probe of [ours, ...others]) probe.close();
          if (asked !== service) await asked.stop();
        },
      };
    },
  };
}

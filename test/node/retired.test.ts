// A node whose own ledger says that it has left for good is started once more by mistake.

import { expect, test } from 'vitest';
import { removeNode } from '../../src/governance/nodes-actions.ts';
import { cluster, eventually, onPrimary } from '../support/cluster-rig.ts';

test('it says so at once, instead of waiting for a word that nobody will give it', async () => {
  const members = await cluster(3);
  const [first, second, leaver] = members;
  if (first === undefined || second === undefined || leaver === undefined) throw new Error();
  const rest = [first, second];
  try {
    await onPrimary(members, ({ node }) =>
      node.commitService((tx) => {
        removeNode(tx, leaver.nodeId);
      }),
    );
    await eventually('the node told that it may go', () => leaver.isRetired);
    await leaver.stop();
    await leaver.start();
    expect(leaver.isRetired).toBe(true);
    expect(leaver.node.node().role).toBe('retired');
  } finally {
    await Promise.all([...rest, leaver].map((member) => member.stop()));
  }
});

import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { listNodes } from '../../../src/cli/node/node-orders.ts';
import { ServiceAsker } from '../../../src/cli/node/service-asker.ts';
import { runProgram } from '../../support/program.ts';
import { GETH } from '../consortium.ts';
import { expectValues, NOTHING, type Story, until } from '../story.ts';

/** It ends the consortium's third node, so it is told last. */
export const lostDisk: Story = {
  title: 'a disk that is lost',
  tell(consortium) {
    test('with a node of the service: the others go on, and it takes part again', async () => {
      const { one, two, ready } = consortium();
      const before = await one.deploy(1, { for: [two] });
      const lost = ready.nodes.at(-1);
      if (lost === undefined) throw new Error('the service has nodes');
      process.kill(lost.pid, 'SIGKILL');
      rmSync(dirname(lost.ledger), { recursive: true, force: true });
      const meanwhile = await two.deploy(2, { for: [one] });
      await two.set(before.contract, 3, { for: [one] });

      // The sandbox starts it again, with an empty folder: to the service it is another node, whom
      // members let in, as they have the one go that is not to come back.
      const place = ['--data', ready.data];
      const removed = await runProgram(['node', 'remove', lost.nodeId, ...place]);
      expect([removed.code, removed.stderr]).toEqual([0, '']);
      const pem = readFileSync(ready.service.certificate, 'utf8');
      const service = new ServiceAsker([ready.service.url], pem, 0);
      let fresh: string | undefined;
      await until('another node asks to be let in', async () => {
        const nodes = await listNodes(service);
        fresh = nodes.find(({ status }) => status === 'Pending')?.node_id;
        return fresh !== undefined;
      });
      const trusted = await runProgram(['node', 'trust', fresh ?? '', ...place]);
      expect([trusted.code, trusted.stderr]).toEqual([0, '']);
      // 0 is said when there is a primary and all follow it.
      await until('all nodes follow the primary', async () => {
        return (await runProgram(['status', ...place])).code === 0;
      });
      await expectValues(consortium(), before.contract, [3, 3, NOTHING]);
      await expectValues(consortium(), meanwhile.contract, [2, 2, NOTHING]);
    }, 120_000);

    test.skipIf(GETH !== undefined)(
      'with a Quorum node: it reads the chain anew, and has the same private state',
      async () => {
        const { one, two, three, anew } = consortium();
        const privacy = { for: [two], protection: 'parties' } as const;
        const kept = await one.deploy(5, privacy);
        await two.set(kept.contract, 6, { for: [one], protection: 'parties' });
        const foreign = await one.deploy(7, { for: [three] });
        const again = await anew();
        expect(await again.value(kept.contract)).toBe(6);
        expect(await again.value(foreign.contract)).toBe(NOTHING);
      },
    );
  },
};

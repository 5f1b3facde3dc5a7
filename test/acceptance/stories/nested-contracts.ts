import { expect, test } from 'vitest';
import type { Protection } from '../quorum-node.ts';
import { expectSuccess, expectValues, NOTHING, type Story } from '../story.ts';

export const nestedContracts: Story = {
  title: 'a private contract that calls another',
  tell(consortium) {
    test.each<Protection>(['standard', 'parties', 'state'])(
      'changes it with %s protection, and both are named to the manager',
      async (protection) => {
        const { one, two, three } = consortium();
        const privacy = { for: [two], protection };
        const inner = await one.deploy(70, privacy);
        const outer = await one.deployForwarder(inner.contract, privacy);
        const sent = await two.set(outer.contract, 77, { for: [one], protection });
        await expectValues(consortium(), inner.contract, [77, 77, NOTHING]);
        await expectSuccess(sent, [one, true], [two, true], [three, true]);
      },
    );

    test('does not where their protections differ', async () => {
      const { one, two } = consortium();
      const inner = await one.deploy(70, { for: [two], protection: 'state' });
      const outer = await one.deployForwarder(inner.contract, {
        ...{ for: [two], protection: 'parties' },
      });
      await expect(
        one.set(outer.contract, 71, { for: [two], protection: 'parties' }),
      ).rejects.toThrow('flag');
      await expectValues(consortium(), inner.contract, [70, 70, NOTHING]);
    });
  },
};

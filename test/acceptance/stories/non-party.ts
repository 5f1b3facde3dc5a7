import { expect, test } from 'vitest';
import { expectSuccess, expectValues, NOTHING, type Story } from '../story.ts';

export const nonParty: Story = {
  title: 'who is no party',
  tell(consortium) {
    test('goes on with the chain, and sees nothing but that something was sent', async () => {
      const { one, two, three } = consortium();
      const { contract, transaction } = await one.deploy(1, { for: [two] });
      await expectSuccess(transaction, [three, true]);
      expect(await three.payload(transaction)).toBeUndefined();
      await expectValues(consortium(), contract, [1, 1, NOTHING]);
      const own = await three.deploy(2, { for: [] });
      await expectValues(consortium(), own.contract, [NOTHING, NOTHING, 2]);
    });

    test('that is sent a change later still has no such contract', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(1, { for: [two] });
      await one.set(contract, 2, { for: [two, three] });
      await expectValues(consortium(), contract, [2, 2, NOTHING]);
    });

    test('that sends to a protected contract changes nothing', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(1, { for: [two], protection: 'parties' });
      await three.set(contract, 3, { for: [one, two] });
      await expectValues(consortium(), contract, [1, 1, NOTHING]);
    });
  },
};

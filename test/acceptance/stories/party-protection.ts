import { expect, test } from 'vitest';
import { expectSuccess, expectValues, NOTHING, type Story } from '../story.ts';

const PARTIES = { protection: 'parties' } as const;

export const partyProtection: Story = {
  title: 'party protection',
  tell(consortium) {
    test('lets the parties of a contract change it', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(10, { for: [two], ...PARTIES });
      const sent = await two.set(contract, 20, { for: [one], ...PARTIES });
      await expectValues(consortium(), contract, [20, 20, NOTHING]);
      await expectSuccess(sent, [one, true], [two, true], [three, true]);
    });

    test('keeps others from changing it, with the flag and without', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(10, { for: [two], ...PARTIES });
      await expect(three.set(contract, 66, { for: [one], ...PARTIES })).rejects.toThrow(
        'contract not found',
      );
      // Without the flag it goes out, and those who have the contract let it fail.
      await three.set(contract, 67, { for: [one, two] });
      await expectValues(consortium(), contract, [10, 10, NOTHING]);
    });

    test('is kept to by the parties themselves', async () => {
      const { one, two } = consortium();
      const { contract } = await one.deploy(10, { for: [two], ...PARTIES });
      await expect(one.set(contract, 11, { for: [two] })).rejects.toThrow('flag');
      await expect(one.fail(contract, { for: [two], ...PARTIES })).rejects.toThrow('revert');
      await expectValues(consortium(), contract, [10, 10, NOTHING]);
    });

    test('lets a transaction fail at somebody new, who has no such contract', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(10, { for: [two], ...PARTIES });
      const sent = await one.set(contract, 11, { for: [three], ...PARTIES });
      await expectValues(consortium(), contract, [11, 10, NOTHING]);
      await expectSuccess(sent, [one, true], [three, false]);
    });
  },
};

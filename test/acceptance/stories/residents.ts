import { expect, test } from 'vitest';
import { expectValues, NOTHING, type Story } from '../story.ts';

/** Two residents of one Quorum node are `one` and `two`; another organisation is `three`. */
export const residents: Story = {
  title: 'multiple private states, with two residents of one node',
  tell(consortium) {
    test('keep to themselves what each is a party to', async () => {
      const { one, two, three } = consortium();
      const first = await one.deploy(1, { for: [three] });
      await expectValues(consortium(), first.contract, [1, NOTHING, 1]);
      const second = await two.deploy(2, { for: [three] });
      await expectValues(consortium(), second.contract, [NOTHING, 2, 2]);
      const own = await one.deploy(3, { for: [] });
      await expectValues(consortium(), own.contract, [3, NOTHING, NOTHING]);
    });

    test('send to each other like organisations', async () => {
      const { one, two } = consortium();
      const { contract } = await one.deploy(5, { for: [two] });
      await expectValues(consortium(), contract, [5, 5, NOTHING]);
      await two.set(contract, 6, { for: [one] });
      await expectValues(consortium(), contract, [6, 6, NOTHING]);
    });

    test('are both reached from outside, each in its own state', async () => {
      const { one, two, three } = consortium();
      const { contract } = await three.deploy(7, { for: [one, two] });
      await expectValues(consortium(), contract, [7, 7, 7]);
      await three.set(contract, 8, { for: [two] });
      await expectValues(consortium(), contract, [7, 8, 8]);
    });

    test('cannot change what another resident has alone', async () => {
      const { one, two } = consortium();
      const { contract } = await two.deploy(9, { for: [], protection: 'parties' });
      await expect(
        one.set(contract, 10, { for: [two], protection: 'parties' }),
      ).rejects.toThrow('contract not found');
      await expectValues(consortium(), contract, [NOTHING, 9, NOTHING]);
    });
  },
};

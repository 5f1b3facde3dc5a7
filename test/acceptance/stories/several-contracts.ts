import { expect, test } from 'vitest';
import { expectValues, NOTHING, type Story } from '../story.ts';

export const severalContracts: Story = {
  title: 'several private contracts',
  tell(consortium) {
    test('of different parties do not touch one another', async () => {
      const { one, two, three } = consortium();
      const [first, second, third] = [
        await one.deploy(1, { for: [two] }),
        await two.deploy(2, { for: [three] }),
        await three.deploy(3, { for: [one] }),
      ];
      await Promise.all([
        one.set(first.contract, 11, { for: [two] }),
        two.set(second.contract, 12, { for: [three] }),
        three.set(third.contract, 13, { for: [one] }),
      ]);
      await expectValues(consortium(), first.contract, [11, 11, NOTHING]);
      await expectValues(consortium(), second.contract, [NOTHING, 12, 12]);
      await expectValues(consortium(), third.contract, [13, NOTHING, 13]);
    });

    test('of the same parties and the same code are two contracts', async () => {
      const { one, two } = consortium();
      const [left, right] = [
        await one.deploy(5, { for: [two] }),
        await one.deploy(5, { for: [two] }),
      ];
      expect(left.contract).not.toBe(right.contract);
      await two.set(left.contract, 6, { for: [one] });
      await expectValues(consortium(), left.contract, [6, 6, NOTHING]);
      await expectValues(consortium(), right.contract, [5, 5, NOTHING]);
    });

    test('may be for all', async () => {
      const { one, two, three } = consortium();
      const { contract } = await three.deploy(1, { for: [one, two] });
      await expectValues(consortium(), contract, [1, 1, 1]);
    });
  },
};

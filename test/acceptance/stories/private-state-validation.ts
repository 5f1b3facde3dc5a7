import { expect, test } from 'vitest';
import { expectSuccess, expectValues, NOTHING, type Story } from '../story.ts';

const STATE = { protection: 'state' } as const;

export const privateStateValidation: Story = {
  title: 'private state validation',
  tell(consortium) {
    test('holds all parties to one state, whoever of them changes it', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(50, { for: [two], ...STATE });
      const sent = await two.set(contract, 51, { for: [one], ...STATE });
      await expectSuccess(sent, [one, true], [two, true], [three, true]);
      await one.set(contract, 52, { for: [two], ...STATE });
      await expectValues(consortium(), contract, [52, 52, NOTHING]);
    });

    test('takes neither more parties nor fewer, nor another flag', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(50, { for: [two], ...STATE });
      const mismatch = '403 status: Recipients mismatched for Affected Txn';
      const [more, fewer] = [[two, three], []];
      await expect(one.set(contract, 9, { for: more, ...STATE })).rejects.toThrow(mismatch);
      await expect(one.set(contract, 9, { for: fewer, ...STATE })).rejects.toThrow(mismatch);
      await expect(one.set(contract, 9, { for: [two], protection: 'parties' })).rejects.toThrow(
        'flag',
      );
      await expect(three.set(contract, 9, { for: [one, two], ...STATE })).rejects.toThrow(
        'contract not found',
      );
      await expectValues(consortium(), contract, [50, 50, NOTHING]);
    });
  },
};

import { expect, test } from 'vitest';
import { storageCode } from '../contracts.ts';
import { expectSuccess, expectValues, NOTHING, STRANGER, type Story } from '../story.ts';

export const singleContract: Story = {
  title: 'a private contract',
  tell(consortium) {
    test('lives in the private states of its parties and nowhere else', async () => {
      const { one, two, three } = consortium();
      const { contract, transaction } = await one.deploy(42, { for: [two] });
      await expectValues(consortium(), contract, [42, 42, NOTHING]);
      await expectSuccess(transaction, [one, true], [two, true], [three, true]);
      await two.set(contract, 99, { for: [one] });
      await expectValues(consortium(), contract, [99, 99, NOTHING]);
    });

    test('shows its payload to its parties, and who sent it', async () => {
      const { one, two, three } = consortium();
      const { transaction } = await one.deploy(7, { for: [two] });
      const hex = storageCode(7);
      expect(await one.payload(transaction)).toEqual({ hex, isSender: true });
      expect(await two.payload(transaction)).toEqual({ hex, isSender: false });
      expect(await three.payload(transaction)).toBeUndefined();
    });

    test('goes apart when a party is left out, until the next value for all', async () => {
      const { one, two } = consortium();
      const { contract } = await one.deploy(1, { for: [two] });
      await one.set(contract, 2, { for: [] });
      await expectValues(consortium(), contract, [2, 1, NOTHING]);
      await one.set(contract, 3, { for: [two] });
      await expectValues(consortium(), contract, [3, 3, NOTHING]);
    });

    test('is not sent to a party that nobody knows', async () => {
      const { one, two } = consortium();
      const refusal = `404 status: Recipient not found for key: ${STRANGER.partyKey}`;
      await expect(one.deploy(1, { for: [STRANGER] })).rejects.toThrow(refusal);
      await expect(one.deploy(1, { for: [two, STRANGER] })).rejects.toThrow(refusal);
    });
  },
};

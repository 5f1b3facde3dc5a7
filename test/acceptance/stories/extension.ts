import { describe, expect, test } from 'vitest';
import type { Protection } from '../quorum-node.ts';
import { expectValues, NOTHING, STRANGER, type Story } from '../story.ts';

export const extension: Story = {
  title: 'the extension of a contract',
  tell(consortium) {
    test.each<Protection>(['standard', 'parties'])(
      'gives its state to a new party that agrees, with %s protection',
      async (protection) => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(200, { for: [two], protection });
        const offer = await one.extend(contract, three);
        await expectValues(consortium(), contract, [200, 200, NOTHING]);
        await three.vote(offer, true);
        await expectValues(consortium(), contract, [200, 200, 200]);
        await one.set(contract, 201, { for: [two, three], protection });
        await expectValues(consortium(), contract, [201, 201, 201]);
      },
    );

    describe('fails', () => {
      test('for who has no such contract', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two] });
        await expect(three.extend(contract, three)).rejects.toThrow(
          'extending a non-existent private contract',
        );
      });

      test('for a party that did not make it', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two], protection: 'parties' });
        await expect(two.extend(contract, three)).rejects.toThrow('operation not allowed');
      });

      test('for a new party that nobody knows', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two] });
        const stranger = { ...three, name: 'a stranger', ...STRANGER };
        await expect(one.extend(contract, stranger)).rejects.toThrow('Recipient not found');
      });

      test('while another one is under way', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two] });
        const offer = await one.extend(contract, three);
        await expect(one.extend(contract, three)).rejects.toThrow('extension in progress');
        await three.vote(offer, true);
        await expectValues(consortium(), contract, [1, 1, 1]);
      });

      test('when the new party declines: it is given nothing', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two] });
        const offer = await one.extend(contract, three);
        await three.vote(offer, false);
        await expectValues(consortium(), contract, [1, 1, NOTHING]);
        await expect(three.vote(offer, true)).rejects.toThrow('nothing to accept');
      });

      test('when its creator takes the offer back', async () => {
        const { one, two, three } = consortium();
        const { contract } = await one.deploy(1, { for: [two] });
        const offer = await one.extend(contract, three);
        await one.cancel(offer);
        await expect(three.vote(offer, true)).rejects.toThrow('nothing to accept');
        await expectValues(consortium(), contract, [1, 1, NOTHING]);
      });
    });
  },
};

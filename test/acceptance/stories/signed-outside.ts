import { expect, test } from 'vitest';
import { setCall, storageCode } from '../contracts.ts';
import { expectValues, NOTHING, type Story } from '../story.ts';

export const signedOutside: Story = {
  title: 'a transaction that an outside account signed over a stored payload',
  tell(consortium) {
    test('goes to its parties with every protection', async () => {
      const { one, two, three } = consortium();
      const plain = await one.deploySigned(await one.storeAhead(storageCode(80)), {
        for: [two],
      });
      await one.setSigned(plain.contract, await one.storeAhead(setCall(81)), { for: [two] });
      await expectValues(consortium(), plain.contract, [81, 81, NOTHING]);

      const parties = { for: [two], protection: 'parties' } as const;
      const kept = await one.deploySigned(await one.storeAhead(storageCode(82)), parties);
      await one.setSigned(kept.contract, await one.storeAhead(setCall(83)), parties);
      await expectValues(consortium(), kept.contract, [83, 83, NOTHING]);

      const mandatory = {
        for: [two, three],
        mandatory: [three],
        protection: 'mandatory',
      } as const;
      const all = await one.deploySigned(await one.storeAhead(storageCode(84)), mandatory);
      await expectValues(consortium(), all.contract, [84, 84, 84]);
    });

    test('is refused over a payload that is not there, or is another organisation’s', async () => {
      const { one, two } = consortium();
      const nowhere = Buffer.alloc(64, 0xcd).toString('base64');
      await expect(one.deploySigned(nowhere, { for: [two] })).rejects.toThrow('not found');
      const foreign = await one.storeAhead(storageCode(85));
      await expect(two.deploySigned(foreign, { for: [one] })).rejects.toThrow('not found');
    });
  },
};

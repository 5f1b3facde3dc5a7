import { expect, test } from 'vitest';
import { expectValues, type Story } from '../story.ts';

const MANDATORY = { protection: 'mandatory' } as const;

export const mandatoryRecipients: Story = {
  title: 'mandatory recipients',
  tell(consortium) {
    test('are known to all parties of the contract', async () => {
      const { one, two, three } = consortium();
      const privacy = { for: [two, three], mandatory: [two], ...MANDATORY };
      const { contract } = await one.deploy(30, privacy);
      await expectValues(consortium(), contract, [30, 30, 30]);
      for (const node of [one, two, three]) {
        expect(await node.mandatoryOf(contract)).toEqual([two.partyKey]);
      }
    });

    test('get every change; others may be left out', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(30, {
        ...{ for: [two, three], mandatory: [two], ...MANDATORY },
      });
      await one.set(contract, 31, { for: [two], mandatory: [two], ...MANDATORY });
      await expectValues(consortium(), contract, [31, 31, 30]);
      await three.set(contract, 33, { for: [one, two], mandatory: [two], ...MANDATORY });
      await expectValues(consortium(), contract, [33, 33, 33]);
    });

    test('cannot be left out, exchanged, or named without being parties', async () => {
      const { one, two, three } = consortium();
      const { contract } = await one.deploy(30, {
        ...{ for: [two, three], mandatory: [two], ...MANDATORY },
      });
      const without = { for: [one], mandatory: [two], ...MANDATORY };
      await expect(three.set(contract, 9, without)).rejects.toThrow(
        '403 status: One or more mandatory recipients not included in the participant list',
      );
      const exchanged = { for: [one], mandatory: [one], ...MANDATORY };
      await expect(three.set(contract, 9, exchanged)).rejects.toThrow(
        '403 status: Privacy metadata mismatched with Affected Txn',
      );
      const outside = { for: [two], mandatory: [three], ...MANDATORY };
      await expect(one.deploy(9, outside)).rejects.toThrow('mandatory recipients not included');
      await expectValues(consortium(), contract, [30, 30, 30]);
    });
  },
};

import { test } from 'vitest';
import type { Protection } from '../quorum-node.ts';
import { expectValues, NOTHING, type Story } from '../story.ts';

export const privacyMarker: Story = {
  title: 'a privacy marker transaction',
  tell(consortium) {
    test.each<Protection>(['standard', 'parties', 'state'])(
      'brings the private one to its parties with %s protection',
      async (protection) => {
        const { one, two } = consortium();
        const { contract } = await one.deploy(110, { for: [two], protection, marked: true });
        await expectValues(consortium(), contract, [110, 110, NOTHING]);
        await one.set(contract, 111, { for: [two], protection, marked: true });
        await expectValues(consortium(), contract, [111, 111, NOTHING]);
      },
    );
  },
};

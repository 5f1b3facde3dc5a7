// Each single change to a good ledger is refused, with the reason of the rule it breaks: changes to
// our reference ledger, and the same ones to a ledger of a real CCF service. PyPI `ccf` agrees,
// except where it does not look.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import {
  testWithCcf,
  testWithCcfAndVectors,
  testWithVectors,
  vectorsFolder,
} from '../support/judges.ts';
import { LedgerFiles } from '../support/ledger-files.ts';
import { type Landmarks, MUTATIONS } from '../support/ledger-mutations.ts';
import { REFERENCE } from '../support/ledger-vectors.ts';

const OURS = join(REFERENCE, 'ledger');
const THEIRS = join(vectorsFolder() ?? '', 'ccf', 'ledger');

const IN_OURS: Landmarks = {
  first: 'ledger_1-4.committed',
  middle: 'ledger_5-10.committed',
  last: 'ledger_11',
  plain: 6,
  sealed: 7,
  inner: 2,
  dual: 10,
  evidence: 11,
  opening: 3,
};

const IN_THEIRS: Landmarks = {
  first: 'ledger_1-18.committed',
  middle: 'ledger_82-92.committed',
  last: 'ledger_93',
  plain: 86,
  sealed: 24,
  inner: 4,
  dual: 20,
  evidence: 19,
  opening: 17,
};

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'ledger-mutations-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Writes every mutation of a ledger; gives back the folders. */
function mutated(folder: string, at: Landmarks): string[] {
  const original = LedgerFiles.read(folder);
  return MUTATIONS.map(({ change }, i) => {
    const files = original.copy();
    change(files, at);
    // PyPI ccf takes a chunk for a duplicate if its name occurs anywhere in another one's path.
    return files.write(join(scratch, `${original.files.size}-${i}`));
  });
}

test('there are at least thirty changes, and at least thirty reasons', () => {
  expect(MUTATIONS.length).toBeGreaterThanOrEqual(60);
  expect(new Set(MUTATIONS.map(({ reason }) => reason)).size).toBeGreaterThanOrEqual(55);
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
});

describe('our reference ledger', () => {
  test('is good as it is', async () => {
    expect(await verifyLedger(OURS)).toMatchObject({ ok: true, lastVerified: '2.12' });
  });

  test.each(MUTATIONS)('$name: $reason', async ({ name, reason, change }) => {
    const files = LedgerFiles.read(OURS);
    change(files, IN_OURS);
    const verdict = await verifyLedger(files.write(join(scratch, name)));
    expect(verdict.fault?.reason, verdict.fault?.message).toBe(reason);
    expect(verdict.ok).toBe(false);
  });

  testWithCcf('PyPI ccf refuses the same, except where it does not look', async () => {
    await agree(mutated(OURS, IN_OURS));
  });
});

describe('a ledger of a real CCF service', () => {
  testWithVectors('is good as it is', async () => {
    expect(await verifyLedger(THEIRS)).toMatchObject({ ok: true, lastVerified: '2.146' });
  });

  for (const { name, reason, change } of MUTATIONS) {
    testWithVectors(`${name}: ${reason}`, async () => {
      const files = LedgerFiles.read(THEIRS);
      change(files, IN_THEIRS);
      const verdict = await verifyLedger(files.write(join(scratch, `theirs ${name}`)));
      expect(verdict.fault?.reason, verdict.fault?.message).toBe(reason);
    });
  }

  testWithCcfAndVectors(
    'PyPI ccf refuses the same, except where it does not look',
    async () => {
      await agree(mutated(THEIRS, IN_THEIRS));
    },
  );
});

async function agree(folders: readonly string[]): Promise<void> {
  const outcomes = await judgeLedgers(folders);
  const accepted = MUTATIONS.filter((_, i) => outcomes[i]?.ok).map(({ name }) => name);
  const expected = MUTATIONS.filter((each) => each.ccfAccepts !== undefined);
  expect(accepted).toEqual(expected.map(({ name }) => name));
}

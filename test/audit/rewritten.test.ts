// Ledgers that somebody with the keys has written wrong: the tree and the signatures fit, and only
// one rule is broken. PyPI `ccf` accepts most of these; what it says is shown beside what we say.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { testWithCcf } from '../support/judges.ts';
import { keys, REWRITES, type Rewrite } from '../support/ledger-rewrites.ts';
import { LedgerWriter } from '../support/ledger-writer.ts';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'rewritten-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function written({
  name,
  write,
}: Rewrite): Promise<{ folder: string; secret: Uint8Array }> {
  const writer = await new LedgerWriter({ ...keys }).open();
  await write(writer);
  await writer.sign();
  const folder = writer.write(
    join(scratch, String(REWRITES.findIndex((each) => each.name === name))),
  );
  return { folder, secret: writer.secretBytes };
}

test.each(REWRITES)('$name: $reason', async (each) => {
  const { folder, secret } = await written(each);
  const verdict = await verifyLedger(folder, {
    secrets: [{ from: 1, bytes: secret }],
    ...(each.deprecated === undefined ? {} : { deprecated: each.deprecated }),
  });
  const found = verdict.ok ? 'good' : verdict.fault?.reason;
  expect(found, verdict.fault?.message).toBe(each.reason);
  expect(verdict.fault === undefined).toBe(verdict.ok);
});

testWithCcf('PyPI ccf says what is noted of each', async () => {
  const folders = await Promise.all(REWRITES.map(async (each) => (await written(each)).folder));
  const outcomes = await judgeLedgers(folders);
  const said = REWRITES.map(({ name }, i) => [name, outcomes[i]?.ok ? 'accepts' : 'refuses']);
  expect(said).toEqual(REWRITES.map(({ name, ccf }) => [name, ccf]));
});

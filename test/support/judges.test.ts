// Shows that the judges can be reached where they are present, and that their words arrive.

import { expect, test } from 'vitest';
import { runCcf, runJudge, testWithCcf } from './judges.ts';

testWithCcf('the Python that CONCORDAT_CCF_PYTHON names has ccf 7 or later', async () => {
  const program = `import ccf.ledger, ccf.receipt, importlib.metadata as m, sys
print(m.version("ccf")); sys.exit(3)`;
  const { code, stdout, stderr } = await runCcf(['-c', program]);
  expect(stderr).toBe('');
  expect(Number.parseInt(stdout, 10)).toBeGreaterThanOrEqual(7);
  expect(code, 'its exit code arrives as it is').toBe(3);
});

test('a judge that hangs is stopped and counts as failed', async () => {
  const program = 'setInterval(() => {}, 1000)';
  const outcome = await runJudge(process.execPath, ['-e', program], { timeoutMs: 300 });
  expect(outcome.code).toBe(-1);
});

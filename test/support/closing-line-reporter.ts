// Ends a test run with one plain line, `N passed, N failed, N skipped`, that a person and a
// script can both read. A file that could not be loaded, an error outside any test, and a run
// that tested nothing each count as a failure: a broken run must not look like a small one.

import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule } from 'vitest/node';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

export function closingLine(tally: Tally): string {
  return `${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`;
}

export function tallyOf(modules: readonly TestModule[], errorCount: number): Tally {
  const tally: Tally = { passed: 0, failed: errorCount, skipped: 0 };
  for (const module of modules) {
    let failedInModule = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') tally.passed += 1;
      else if (state === 'failed') failedInModule += 1;
      else tally.skipped += 1;
    }
    if (failedInModule === 0 && module.state() === 'failed') failedInModule = 1;
    tally.failed += failedInModule;
  }
  if (tally.passed + tally.failed + tally.skipped === 0) tally.failed = 1;
  return tally;
}

export class ClosingLineReporter implements Reporter {
  async onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly unknown[],
  ): Promise<void> {
    const line = closingLine(tallyOf(modules, unhandledErrors.length));
    // `.ci/run` repeats the line after npm has had its say about an exit code.
    const file = process.env.CONCORDAT_CLOSING_LINE_FILE;
    if (file !== undefined) writeFileSync(file, `${line}\n`);
    process.stdout.write(`\n${line}\n`);
  }
}

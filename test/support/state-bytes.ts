// The committed state of a store as bytes: equal states have equal ones.

import type { Store } from '../../src/kv/store.ts';
import { encodeTables } from '../../src/ledger/state-image.ts';

/** In base64, so that a test that finds a difference can show it. */
export function stateBytes(store: Store): string {
  const capture = store.capture();
  if (capture === undefined) throw new Error('the store is being captured');
  try {
    return Buffer.concat(drained(encodeTables(capture.tables))).toString('base64');
  } finally {
    capture.release();
  }
}

/** Does work that is made in steps at once. */
export function drained<Result>(work: Generator<void, Result, void>): Result {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/**
 * Assertions on what must be true if the program is right. They stay on in production: a node that
 * has broken one of its own invariants stops rather than go on with what it no longer understands.
 * Mistakes of a caller or of the outside world are coded errors instead (`errors.ts`).
 */

/** A broken invariant: a programmer's error, never a user's. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError';
}

/** Throws `InvariantError` unless `condition` holds. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new InvariantError(`broken invariant: ${what}`);
}

/** The end of an exhaustive switch: reaching it is a broken invariant. */
export function unreachable(value: never, what: string): never {
  throw new InvariantError(`${what}: unexpected ${JSON.stringify(value)}`);
}

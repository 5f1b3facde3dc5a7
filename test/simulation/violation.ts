// An invariant that did not hold: what every checker throws.

export class Violation extends Error {
  override readonly name = 'Violation';
  readonly invariantName: string;

  constructor(invariantName: string, what: string) {
    super(`${invariantName}: ${what}`);
    this.invariantName = invariantName;
  }
}

export function require(
  condition: boolean,
  invariantName: string,
  what: () => string,
): asserts condition {
  if (!condition) throw new Violation(invariantName, what());
}

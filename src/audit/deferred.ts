/**
 * Checks that are waited for: signatures are verified on other threads while hashing goes on. Their
 * faults are told in the order of the ledger, not in the order in which they come to light.
 */
import { type Fault, FaultError, type Place, type Reason } from './fault.ts';

/** So many checks may be under way before the audit waits for them. */
const UNDER_WAY_MAX = 256;

interface Deferred {
  readonly place: Place;
  readonly reason: Reason;
  /** What is wrong, or undefined. */
  readonly outcome: Promise<string | undefined>;
}

export class DeferredChecks {
  private underWay: Deferred[] = [];

  /** Adds a check; its place is the entry being audited. */
  add(place: Place, reason: Reason, outcome: Promise<string | undefined>): void {
    // A rejection is handled when its turn comes; until then it must not count as unhandled.
    outcome.catch(() => undefined);
    this.underWay.push({ place, reason, outcome });
  }

  get isFull(): boolean {
    return this.underWay.length >= UNDER_WAY_MAX;
  }

  /** Waits for all checks so far; gives back the first fault among them. */
  async settle(): Promise<Fault | undefined> {
    const all = this.underWay;
    this.underWay = [];
    for (const { place, reason, outcome } of all) {
      const detail = await outcome;
      if (detail !== undefined) return new FaultError(reason, detail).at(place);
    }
    return undefined;
  }
}

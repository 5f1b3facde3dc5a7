/** What the actions of `concordat verify` need of the world, and tests give otherwise. */
import type { AmdRoots } from '../../attestation/judging.ts';

export interface VerifyWorld {
  /** Roots that are trusted: AMD's. */
  readonly roots: AmdRoots;
  nowMs(): number;
}

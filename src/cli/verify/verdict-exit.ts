/**
 * What the exit code of `concordat verify` says: by the kind of failure, so that a script can tell
 * evidence that is broken from evidence of something else than it hoped for.
 */
import type { RefusalKind, Verdict } from '../../attestation/verdict.ts';
import { EXIT } from '../exit-codes.ts';

const BY_KIND: Readonly<Record<RefusalKind, number>> = {
  malformed: 10,
  unproven: 11,
  time: 12,
  platform: 13,
  policy: 14,
  binding: 15,
};

/** A bundle that is not what was saved, or comes to another verdict. */
export const BUNDLE_REFUSED = 16;

export const EXIT_CODES = `Exit codes:
  0    accepted
  10   malformed: it is not evidence, or cannot be read
  11   unproven: its origin is not proven (chain, revocation, signature)
  12   time: a certificate, list or token was not valid at the time of judgement
  13   platform: hardware or firmware is not good enough (debugging, migration, old TCB)
  14   policy: it is proven, and something else than the policy accepts
  15   binding: it is proven, and about something else than it came with
  16   bundle: the bundle was changed, or comes to another verdict than was saved
  2    the command was not understood
  3    it could not be judged: a file cannot be read, a service does not answer`;

export function exitOf({ accepted, refusal }: Verdict): number {
  if (accepted) return EXIT.good;
  return refusal === undefined ? BY_KIND.unproven : BY_KIND[refusal.kind];
}

/** Of several verdicts: the first that is not good. */
export function exitOfAll(verdicts: readonly Verdict[]): number {
  return verdicts.map(exitOf).find((code) => code !== EXIT.good) ?? EXIT.good;
}

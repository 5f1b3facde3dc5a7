/**
 * A verdict on evidence: every check that was made, with the values it compared, so that whoever
 * reads it can repeat it (attestation-snp.md §4). Judging never throws for what the evidence is
 * like: what cannot be read is refused like what is wrong.
 */
import type { Evidence, PlatformName } from './evidence.ts';

/** What kind of failure a refusal is, in the order in which they weigh. */
export type RefusalKind =
  /** It is not evidence: wrong length, unknown version, bytes that cannot be read. */
  | 'malformed'
  /** Its origin is not proven: chain, revocation, signature. */
  | 'unproven'
  /** A certificate was not valid at the time of judgement. */
  | 'time'
  /** The hardware or firmware that made it is not good enough. */
  | 'platform'
  /** It runs something else than the policy allows. */
  | 'policy'
  /** It is proven, and about something else than what it came with. */
  | 'binding';

/** One check. */
export interface Check {
  /** What was looked at, in a few words that a table can show: `report signature`. */
  readonly name: string;
  /** `skipped`: the policy asks nothing here, or a check before it failed that this one needs. */
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** A sentence for people. */
  readonly message: string;
  /** What was compared, as text: hexadecimal, numbers, names, times in ISO 8601. */
  readonly values: Readonly<Record<string, string>>;
  /** Of a failed check. */
  readonly code?: string;
  readonly kind?: RefusalKind;
}

/** What evidence says; true only if the verdict accepts it. */
export interface EvidenceClaims {
  readonly platform: PlatformName;
  /** As a join policy names it: text on the virtual platform, lowercase hexadecimal elsewhere. */
  readonly measurement: string;
  /** Lowercase hexadecimal. */
  readonly hostData: string;
  /** What the holder of the evidence bound to it; 64 bytes, of the virtual platform 32. */
  readonly reportData: Uint8Array;
  /** Everything else that is worth showing, by name. */
  readonly details: Readonly<Record<string, string>>;
}

export interface Verdict {
  readonly accepted: boolean;
  /** Milliseconds since 1970: the time for which it was judged. */
  readonly atMs: number;
  readonly checks: readonly Check[];
  /** The first failed check that weighs most; absent if accepted. */
  readonly refusal?: {
    readonly code: string;
    readonly kind: RefusalKind;
    readonly message: string;
  };
  /** Whatever could be read, also of evidence that was refused. */
  readonly claims?: EvidenceClaims;
}

/** Judges evidence as far as it proves itself, and by a policy. */
export type EvidenceJudge = (evidence: Evidence, atMs: number) => Promise<Verdict>;

/**
 * Collects the checks of one judgement and draws the verdict from them: the first failed check of
 * the kind that weighs most is the refusal (verdict.ts).
 */
import { isCoded, messageOf } from '../base/errors.ts';
import type { Check, EvidenceClaims, RefusalKind, Verdict } from './verdict.ts';

type Values = Readonly<Record<string, string>>;

const WEIGHT: Readonly<Record<RefusalKind, number>> = {
  malformed: 0,
  unproven: 1,
  time: 2,
  platform: 3,
  policy: 4,
  binding: 5,
};

/** What a check says if it fails. */
export interface Refusal {
  readonly kind: RefusalKind;
  readonly code: string;
  readonly message: string;
}

export class CheckList {
  readonly checks: Check[] = [];

  /** Notes whether something holds; answers the same. */
  expect(
    name: string,
    holds: boolean,
    message: string,
    refusal: Refusal,
    values: Values = {},
  ): boolean {
    if (holds) this.checks.push({ name, outcome: 'passed', message, values });
    else this.fail(name, refusal, values);
    return holds;
  }

  fail(name: string, { kind, code, message }: Refusal, values: Values = {}): void {
    this.checks.push({ name, outcome: 'failed', message, values, code, kind });
  }

  skip(name: string, message: string, values: Values = {}): void {
    this.checks.push({ name, outcome: 'skipped', message, values });
  }

  /** Reads something; what throws a coded error is noted as malformed, under that code. */
  read<T>(name: string, message: string, read: () => T): T | undefined {
    try {
      const value = read();
      this.checks.push({ name, outcome: 'passed', message, values: {} });
      return value;
    } catch (thrown) {
      if (!isCoded(thrown)) throw thrown;
      const { code } = thrown;
      this.fail(name, { kind: 'malformed', code, message: messageOf(thrown) });
      return undefined;
    }
  }

  verdict(atMs: number, claims?: EvidenceClaims): Verdict {
    return verdictOf(this.checks, atMs, claims);
  }
}

/** The verdict that follows from checks; of none, nothing follows and nothing is accepted. */
export function verdictOf(
  checks: readonly Check[],
  atMs: number,
  claims?: EvidenceClaims,
): Verdict {
  const refusal = refusalOf(checks);
  return {
    accepted: refusal === undefined && checks.some(({ outcome }) => outcome === 'passed'),
    atMs,
    checks,
    ...(refusal === undefined ? {} : { refusal }),
    ...(claims === undefined ? {} : { claims }),
  };
}

function refusalOf(checks: readonly Check[]): Refusal | undefined {
  let worst: Refusal | undefined;
  for (const { outcome, code = 'Refused', kind = 'unproven', message } of checks) {
    if (outcome !== 'failed') continue;
    if (worst === undefined || WEIGHT[kind] < WEIGHT[worst.kind]) {
      worst = { kind, code, message };
    }
  }
  return worst;
}

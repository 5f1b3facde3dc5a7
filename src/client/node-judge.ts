/**
 * Judges a node by its evidence before anything is said to it: what it shows must be accepted by
 * the client's policy and be bound to the key that holds the TLS session (attestation-snp.md §5).
 */
import type { Evidence } from '../attestation/evidence.ts';
import { judgeEvidence } from '../attestation/judge.ts';
import type { JudgeDependencies } from '../attestation/judging.ts';
import type { EvidencePolicy } from '../attestation/policy.ts';
import type { Verdict } from '../attestation/verdict.ts';
import { base64Of } from '../base/bytes.ts';
import type { Clock } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type Asking, getting, jsonOf } from './node-probe.ts';

/** Decides whether the holder of a key (SPKI, DER) may be spoken to. Rejects if not. */
export type NodeJudge = (publicKeyDer: Uint8Array, ask: Asking) => Promise<void>;

/**
 * A client that talks to whoever holds the service's certificate must say so: nothing then shows
 * what code stands behind it.
 */
export const UNJUDGED: NodeJudge = async () => undefined;

export interface NodeJudgeDependencies extends JudgeDependencies {
  readonly clock: Clock;
  /** Told of every refusal, once for each key and reason. */
  readonly onRefused?: (message: string, verdict: Verdict | undefined) => void;
}

/** So long a verdict holds for a key; then the next session asks anew. */
const VERDICT_MS_MAX = 3_600_000;
/** A refused node is not asked again at once. */
const REFUSAL_MS_MAX = 5_000;

interface Judgement {
  readonly untilMs: number;
  /** Absent while it is accepted. */
  readonly refusal?: CodedError;
}

/** A judge by a policy. It remembers keys, and asks each for its evidence once at a time. */
export function judgeBy(
  policy: EvidencePolicy,
  dependencies: NodeJudgeDependencies,
): NodeJudge {
  const { clock, verifier, onRefused } = dependencies;
  const known = new Map<string, Judgement>();
  const underWay = new Map<string, Promise<Judgement>>();
  const told = new Map<string, string>();

  const judge = async (publicKeyDer: Uint8Array, ask: Asking): Promise<Judgement> => {
    const nowMs = clock.nowMs();
    const shown = evidenceIn(jsonOf(await ask(getting('/node/quotes/self'))));
    if (shown === undefined) {
      return { untilMs: nowMs + REFUSAL_MS_MAX, refusal: refused('it shows no evidence') };
    }
    const binding = await verifier.hash('SHA-256', publicKeyDer);
    const verdict = await judgeEvidence(shown, { ...policy, binding }, dependencies, nowMs);
    if (verdict.accepted) return { untilMs: nowMs + VERDICT_MS_MAX };
    const { code = 'NoVerdict', message = 'nothing was accepted' } = verdict.refusal ?? {};
    const refusal = refused(`its evidence is refused: ${message} (${code})`, verdict);
    return { untilMs: nowMs + REFUSAL_MS_MAX, refusal };
  };

  return async (publicKeyDer, ask) => {
    const key = base64Of(publicKeyDer);
    const nowMs = clock.nowMs();
    let judgement = known.get(key);
    if (judgement === undefined || judgement.untilMs <= nowMs) {
      const asked = underWay.get(key) ?? judge(publicKeyDer, ask);
      underWay.set(key, asked);
      judgement = await asked.finally(() => underWay.delete(key));
      for (const [other, { untilMs }] of known) if (untilMs <= nowMs) known.delete(other);
      known.set(key, judgement);
    }
    const { refusal } = judgement;
    if (refusal === undefined) {
      told.delete(key);
      return;
    }
    if (told.get(key) !== refusal.message) {
      told.set(key, refusal.message);
      onRefused?.(refusal.message, refusal.fields.verdict as Verdict | undefined);
    }
    throw refusal;
  };
}

/** The evidence in an answer to `GET /node/quotes/self` (http-api.md §10). */
export function evidenceIn(
  answer: Readonly<Record<string, unknown>> | undefined,
): Evidence | undefined {
  const { format, raw, endorsements, uvm_endorsements, endorsed_tcb } = answer ?? {};
  if (typeof format !== 'string' || typeof raw !== 'string' || raw === '') return undefined;
  return {
    // Judging refuses a format that it does not know.
    format: format as Evidence['format'],
    quote: raw,
    endorsements: typeof endorsements === 'string' ? endorsements : '',
    ...(typeof uvm_endorsements === 'string' ? { uvm_endorsements } : {}),
    ...(typeof endorsed_tcb === 'string' ? { endorsed_tcb } : {}),
  };
}

function refused(why: string, verdict?: Verdict): CodedError {
  const fields = verdict === undefined ? {} : { verdict };
  return new CodedError('EvidenceRefused', `this node is not trusted: ${why}`, fields);
}

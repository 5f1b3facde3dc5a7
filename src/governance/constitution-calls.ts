/**
 * Calls of the constitution and of ballots: what they are called with, in which limits, and what
 * their outcome means (governance.md §3).
 */
import { textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Draft } from './draft.ts';
import {
  BALLOTS_MS_MAX,
  GOVERNANCE_LIMITS,
  type JsonValue,
  type ScriptAccess,
  type ScriptEffect,
  type ScriptJob,
  type ScriptLimits,
  type ScriptOutcome,
  type ScriptRunner,
} from './scripts.ts';
import { CONSTITUTION, SINGLETON } from './tables.ts';

/** A script asks so many questions at most; each has it run from its beginning again. */
const QUESTIONS_MAX = 256;

export const RUNTIME_OPTIONS = 'public:ccf.gov.js_runtime_options';

/** What scripts need of the node that runs them. */
export interface ScriptDesk {
  readonly scripts: ScriptRunner;
  /** What `Date.now()` says to scripts. */
  nowMs(): number;
  /** Answers a question of `apply`: a certificate, say. Rejects with a coded error. */
  answer(question: ScriptEffect, draft: Draft): Promise<string>;
  /** What a script said on its console. */
  log(lines: readonly string[]): void;
}

export interface Failure {
  readonly reason: string;
  readonly trace?: string;
}

export type Called =
  | {
      readonly kind: 'returned';
      readonly value: JsonValue | undefined;
      readonly effects: readonly ScriptEffect[];
    }
  | { readonly kind: 'threw'; readonly failure: Failure };

export class ConstitutionCalls {
  readonly #draft: Draft;
  readonly #desk: ScriptDesk;
  readonly #limits: ScriptLimits;

  constructor(draft: Draft, desk: ScriptDesk) {
    this.#draft = draft;
    this.#desk = desk;
    this.#limits = limitsOf(draft);
  }

  /** Calls a function of the constitution. Rejects if there is none. */
  async call(
    name: 'validate' | 'resolve' | 'apply',
    args: readonly JsonValue[],
  ): Promise<Called> {
    const row = this.#draft.get(CONSTITUTION, SINGLETON);
    if (row === undefined) {
      const message = 'No constitution is set - proposals cannot be evaluated';
      throw new CodedError('InternalError', message, { status: 500 });
    }
    const access = name === 'apply' ? 'apply' : 'read';
    const source: string = JSON.parse(textOf(row));
    const job = this.#job('constitution', source, name, args, access, this.#limits);
    return calledOf(await this.#run(job));
  }

  /**
   * Runs ballots, which share one budget of time: a vote each, or why there is none. Sorted by
   * member. Each has its part of what is left, so that none uses up the time of those behind it.
   */
  async votes(
    ballots: Readonly<Record<string, string>>,
    proposal: string,
    proposerId: string,
  ): Promise<ReadonlyMap<string, boolean | Failure>> {
    const votes = new Map<string, boolean | Failure>();
    let left = BALLOTS_MS_MAX;
    const members = Object.keys(ballots).sort();
    for (const [index, member] of members.entries()) {
      const part = Math.max(0, Math.floor(left / (members.length - index)));
      const ms = Math.min(part, this.#limits.ms);
      const limits = { ...this.#limits, ms };
      const args = [proposal, proposerId];
      const source = ballots[member] ?? '';
      const outcome = await this.#run(
        this.#job(`ballot of ${member}`, source, 'vote', args, 'read', limits),
      );
      left -= outcome.usedMs;
      const called = calledOf(outcome);
      votes.set(member, called.kind === 'returned' ? Boolean(called.value) : called.failure);
    }
    return votes;
  }

  #job(
    name: string,
    source: string,
    called: string,
    args: readonly JsonValue[],
    access: ScriptAccess,
    limits: ScriptLimits,
  ): ScriptJob {
    const nowMs = this.#desk.nowMs();
    return { ...{ name, source, function: called, args, access, limits, nowMs }, answers: [] };
  }

  async #run(job: ScriptJob): Promise<Exclude<ScriptOutcome, { kind: 'asks' }>> {
    const answers: string[] = [];
    for (;;) {
      const asked = { ...job, answers };
      const outcome = await this.#desk.scripts.run(asked, (name) => this.#draft.shown(name));
      this.#draft.takeIn(outcome.reads, outcome.kind === 'returned' ? outcome.writes : []);
      if (outcome.kind !== 'asks') {
        if (outcome.log.length > 0) this.#desk.log(outcome.log);
        return outcome;
      }
      if (answers.length >= QUESTIONS_MAX) {
        const message = `a script asks for more than ${QUESTIONS_MAX} certificates`;
        throw new CodedError('InternalError', message, { status: 500 });
      }
      answers.push(await this.#desk.answer(outcome.question, this.#draft));
    }
  }
}

function calledOf(outcome: Exclude<ScriptOutcome, { kind: 'asks' }>): Called {
  if (outcome.kind === 'returned') {
    return { kind: 'returned', value: outcome.value, effects: outcome.effects };
  }
  const { reason, trace } = outcome;
  return { kind: 'threw', failure: trace === undefined ? { reason } : { reason, trace } };
}

/** The service's runtime options, where they allow more than governance has anyway. */
function limitsOf(draft: Draft): ScriptLimits {
  const row = draft.get(RUNTIME_OPTIONS, SINGLETON);
  if (row === undefined) return GOVERNANCE_LIMITS;
  const options: Readonly<Record<string, unknown>> = JSON.parse(textOf(row));
  const most = (name: string, least: number, bound: number): number => {
    const value = options[name];
    return typeof value === 'number' ? Math.min(Math.max(value, least), bound) : least;
  };
  const { heapBytes, stackBytes, ms } = GOVERNANCE_LIMITS;
  return {
    heapBytes: most('max_heap_bytes', heapBytes, HEAP_BYTES_MAX),
    // A deeper stack than this overflows the thread's own first.
    stackBytes,
    ms: most('max_execution_time_ms', ms, SCRIPT_MS_MAX),
  };
}

/** Whatever the options say: beyond these one script would harm the node. */
const HEAP_BYTES_MAX = 1024 * 1024 * 1024;
const SCRIPT_MS_MAX = 60_000;

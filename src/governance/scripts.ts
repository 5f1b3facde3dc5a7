/**
 * What governance asks of an interpreter (design decisions 4 and 14): one exported function of one
 * ES module is called with JSON values, in a world of its own that has no authority beyond the
 * tables it is shown. What it wrote comes back as a list; nothing is changed meanwhile.
 *
 * The interpreter itself is injected: a worker thread in a node, the same code in the same thread
 * in a simulation or a test.
 */
import type { Row } from '../kv/tables.ts';

/** A value that JSON can carry. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

export interface ScriptLimits {
  readonly heapBytes: number;
  readonly stackBytes: number;
  readonly ms: number;
}

/** governance.md §9.1; the runtime options of a service never lower them for governance. */
export const GOVERNANCE_LIMITS: ScriptLimits = {
  heapBytes: 104_857_600,
  stackBytes: 1_048_576,
  ms: 5_000,
};

/** All ballots of one proposal share this much at each resolution. */
export const BALLOTS_MS_MAX = 10_000;

/** What of the tables a script may touch (governance.md §1.2). */
export type ScriptAccess = 'read' | 'apply' | 'none';

export interface ScriptJob {
  /** Shown in traces. */
  readonly name: string;
  /** Text of the ES module. */
  readonly source: string;
  /** Name of the exported function, and what it is called with. */
  readonly function: string;
  readonly args: readonly JsonValue[];
  readonly access: ScriptAccess;
  readonly limits: ScriptLimits;
  /** What `Date.now()` says for as long as the script runs. */
  readonly nowMs: number;
  /** Answers to what the script asked when it was run before, in the order of its questions. */
  readonly answers: readonly string[];
}

/** A change of a table's row; without a value the row is removed. */
export interface ScriptWrite {
  readonly table: string;
  readonly key: Uint8Array;
  readonly value?: Uint8Array;
}

/** What of a table a script looked at: some keys (found or not), or everything. */
export interface ScriptRead {
  readonly table: string;
  readonly keys: readonly Uint8Array[] | 'all';
}

/** Something that is to be done beside the writes, such as `triggerSnapshot`. */
export interface ScriptEffect {
  readonly name: string;
  readonly args: readonly JsonValue[];
}

export type ScriptFailure = 'exception' | 'time' | 'memory' | 'stack' | 'interpreter';

interface ScriptTraces {
  readonly reads: readonly ScriptRead[];
  /** What it said on its console, cut to a bounded length. */
  readonly log: readonly string[];
  readonly usedMs: number;
}

export type ScriptOutcome =
  | (ScriptTraces & {
      readonly kind: 'returned';
      readonly value: JsonValue | undefined;
      readonly writes: readonly ScriptWrite[];
      readonly effects: readonly ScriptEffect[];
    })
  | (ScriptTraces & {
      readonly kind: 'threw';
      readonly failure: ScriptFailure;
      readonly reason: string;
      readonly trace?: string;
    })
  /** It needs an answer that takes time: it is run again with the answer added to `answers`. */
  | (ScriptTraces & { readonly kind: 'asks'; readonly question: ScriptEffect });

/** The rows of one table as the script is to see them, in byte order of their keys. */
export type ScriptTables = (table: string) => readonly Row[];

/** Runs scripts. Rejects only if the interpreter itself is gone (`ScriptsUnavailable`). */
export interface ScriptRunner {
  run(job: ScriptJob, tables: ScriptTables): Promise<ScriptOutcome>;
  close(): Promise<void>;
}

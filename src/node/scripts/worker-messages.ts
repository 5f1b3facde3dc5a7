/**
 * What a worker that runs scripts and its owner say to each other. While a script runs, the worker
 * listens to nothing but the table that it asked for.
 */
import type { ScriptJob, ScriptOutcome } from '../../governance/scripts.ts';
import type { Row } from '../../kv/tables.ts';

export type ToWorker =
  | { readonly kind: 'run'; readonly job: ScriptJob }
  | { readonly kind: 'rows'; readonly rows: readonly Row[] };

export type FromWorker =
  /** Its modules are loaded: scripts can be run. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'load'; readonly table: string }
  | { readonly kind: 'outcome'; readonly outcome: ScriptOutcome }
  | { readonly kind: 'failed'; readonly reason: string };

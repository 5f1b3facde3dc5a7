/**
 * Runs scripts in a worker thread, one after the other, so that the thread that executes never
 * waits for one (design decision 4). A script that cannot be interrupted loses its thread; the next
 * one gets a new thread.
 */
import { extname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Timers } from '../../base/environment.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import type {
  ScriptJob,
  ScriptOutcome,
  ScriptRunner,
  ScriptTables,
} from '../../governance/scripts.ts';
import type { FromWorker, ToWorker } from './worker-messages.ts';

/** Scripts that may wait for their turn; each belongs to a request that is held. */
const WAITING_MAX = 64;
/** A thread has so long to load, which is none of the script's time. */
const LOAD_MS_MAX = 60_000;
/** Beyond its limit a script has this long to notice; then its thread ends. */
const GRACE_MS = 1_000;
/** A thread whose JavaScript stack is too small would fail before the script's own limit. */
const RESOURCES = { stackSizeMb: 16, maxOldGenerationSizeMb: 256 } as const;

interface Waiting {
  readonly job: ScriptJob;
  readonly tables: ScriptTables;
  readonly resolve: (outcome: ScriptOutcome) => void;
  readonly reject: (error: unknown) => void;
}

export function workerRunner(timers: Pick<Timers, 'after'>): ScriptRunner {
  return new WorkerRunner(timers);
}

class WorkerRunner implements ScriptRunner {
  readonly #timers: Pick<Timers, 'after'>;
  readonly #signal = new Int32Array(new SharedArrayBuffer(4));
  readonly #waiting: Waiting[] = [];
  #worker: Worker | undefined;
  /** Whether the worker has loaded. */
  #isReady = false;
  #running: Waiting | undefined;
  #cancelWatch: (() => void) | undefined;
  #closed = false;

  constructor(timers: Pick<Timers, 'after'>) {
    this.#timers = timers;
  }

  run(job: ScriptJob, tables: ScriptTables): Promise<ScriptOutcome> {
    return new Promise((resolve, reject) => {
      if (this.#closed || this.#waiting.length >= WAITING_MAX) {
        reject(unavailable('too many scripts wait already; try again a little later'));
        return;
      }
      this.#waiting.push({ job, tables, resolve, reject });
      this.#next();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    const error = unavailable('this node stops');
    for (const { reject } of this.#waiting.splice(0)) reject(error);
    this.#settle()?.reject(error);
    await this.#drop();
  }

  #next(): void {
    if (this.#running !== undefined || this.#closed) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#running = next;
    const worker = this.#thread();
    if (this.#isReady) this.#begin(worker, next);
    else this.#watch(LOAD_MS_MAX, next);
  }

  #begin(worker: Worker, next: Waiting): void {
    this.#watch(next.job.limits.ms + GRACE_MS, next);
    worker.postMessage({ kind: 'run', job: next.job } satisfies ToWorker);
  }

  #watch(ms: number, running: Waiting): void {
    this.#cancelWatch?.();
    this.#cancelWatch = this.#timers.after(ms, () => this.#onStuck(running));
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    // As it is in a checkout, or compiled in a package.
    const file = `script-worker${extname(import.meta.filename)}`;
    const worker = new Worker(join(import.meta.dirname, file), {
      name: 'scripts',
      env: {},
      workerData: { signal: this.#signal.buffer },
      resourceLimits: RESOURCES,
    });
    worker.unref();
    worker.on('message', (message: FromWorker) => this.#onMessage(worker, message));
    worker.on('error', (error) => this.#onGone(worker, messageOf(error)));
    worker.on('exit', (code) => this.#onGone(worker, `it exited with code ${code}`));
    this.#worker = worker;
    this.#isReady = false;
    return worker;
  }

  #onMessage(worker: Worker, message: FromWorker): void {
    if (worker !== this.#worker) return;
    const running = this.#running;
    if (message.kind === 'ready') {
      this.#isReady = true;
      if (running !== undefined) this.#begin(worker, running);
      return;
    }
    if (running === undefined) return;
    switch (message.kind) {
      case 'load':
        worker.postMessage({
          kind: 'rows',
          rows: running.tables(message.table),
        } satisfies ToWorker);
        Atomics.store(this.#signal, 0, 1);
        Atomics.notify(this.#signal, 0);
        return;
      case 'outcome':
        this.#settle()?.resolve(message.outcome);
        break;
      case 'failed':
        this.#settle()?.resolve(lost('interpreter', message.reason, 0));
        break;
    }
    this.#next();
  }

  /** Neither done nor interruptible: the thread ends, and with it the script. */
  #onStuck(stuck: Waiting): void {
    if (this.#running !== stuck) return;
    const { ms } = stuck.job.limits;
    const reason = `Operation took longer than ${ms} ms`;
    this.#settle()?.resolve(lost('time', reason, ms + GRACE_MS));
    this.#drop().catch(() => undefined);
    this.#next();
  }

  #onGone(worker: Worker, why: string): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    this.#settle()?.resolve(lost('interpreter', `its thread ended: ${why}`, 0));
    this.#next();
  }

  #settle(): Waiting | undefined {
    this.#cancelWatch?.();
    this.#cancelWatch = undefined;
    const running = this.#running;
    this.#running = undefined;
    return running;
  }

  async #drop(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }
}

function lost(failure: 'time' | 'interpreter', reason: string, usedMs: number): ScriptOutcome {
  return { kind: 'threw', failure, reason, reads: [], log: [], usedMs };
}

function unavailable(why: string): CodedError {
  const message = `governed scripts cannot be run now: ${why}`;
  return new CodedError('ScriptsUnavailable', message, { status: 503, retryAfterSeconds: 1 });
}

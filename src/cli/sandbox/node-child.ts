/**
 * One node of a sandbox: a process of its own, told its configuration on standard input, started
 * again when it ends unasked, and gone when the sandbox goes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { NodeLog } from '../../node/node-options.ts';
import type { NodeReadyLine } from '../node/node-ready.ts';

/** Pause before a node that ended is started again; it doubles with each failure. */
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 10_000;
/** How long a node may take to stop when it is asked to. */
const STOP_MS_MAX = 20_000;
/** A child says its errors as JSON as well; this is how the text for people begins. */
const ERROR_WORDS = 'concordat node: ';

export interface NodeChildOptions {
  /** From 1. */
  readonly number: number;
  readonly action: 'start' | 'join';
  /** A node's configuration (`config/node-schema.ts`). */
  readonly config: unknown;
  /** Whether to start it again when it ends unasked. */
  readonly restarts: boolean;
}

export interface NodeChildDependencies {
  readonly log: NodeLog;
  /** A member removed this node: it is gone for good. */
  readonly onLeft: (number: number) => void;
  /** It runs again: as another node, if its folder was gone. */
  readonly onBack: (number: number, nodeId: string) => void;
}

/** How a node ends that was not asked to and that nothing befell: it was removed. */
const LEFT = 'exit code 0';

export class NodeChild {
  readonly #options: NodeChildOptions;
  readonly #deps: NodeChildDependencies;
  #process: ChildProcess | undefined;
  readonly #stopping = new AbortController();
  #watching: Promise<void> | undefined;

  constructor(options: NodeChildOptions, dependencies: NodeChildDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  /** Starts it; resolves when it is ready, and rejects with what the node itself said. */
  async start(): Promise<NodeReadyLine> {
    const life = this.#spawn();
    const ready = await life.ready;
    this.#watching = this.#watch(life);
    return ready;
  }

  /** Asks it to stop, and ends it if it does not. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const child = this.#process;
    if (child !== undefined && isAlive(child)) {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
      await new Promise<void>((resolve) => child.once('exit', () => resolve()));
      clearTimeout(late);
    }
    await this.#watching;
  }

  /** Follows the lives of this node, one after the other. */
  async #watch(first: Life): Promise<void> {
    const { number, restarts } = this.#options;
    const { log, onLeft, onBack } = this.#deps;
    let life = first;
    for (let pauseMs = RESTART_MS_MIN; ; ) {
      const how = await life.ended;
      if (this.#stopping.signal.aborted) return;
      if (how === LEFT) {
        log.warn(`node ${number} has left the service: it is not started again`);
        onLeft(number);
        return;
      }
      log.warn(`node ${number} ended (${how})${restarts ? '; starting it again' : ''}`);
      if (!restarts) return;
      try {
        await sleep(pauseMs, undefined, { signal: this.#stopping.signal });
      } catch {
        return;
      }
      life = this.#spawn();
      try {
        const ready = await life.ready;
        log.warn(`node ${number} is back (pid ${ready.pid})`);
        onBack(number, ready.nodeId);
        pauseMs = RESTART_MS_MIN;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        log.warn(`node ${number}: ${messageOf(error)}`);
        pauseMs = Math.min(2 * pauseMs, RESTART_MS_MAX);
      }
    }
  }

  #spawn(): Life {
    const { number, action, config } = this.#options;
    const main = join(import.meta.dirname, `../../main${extname(import.meta.filename)}`);
    const child = spawn(
      process.execPath,
      [...process.execArgv, main, 'node', action, '--config', '-', '--json'],
      {
        // The last is the lifeline: it says nothing, and ends with this process however that ends.
        stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
        env: { ...process.env, CONCORDAT_LIFELINE: `${process.pid} 3` },
        // Ctrl-C is for the sandbox, which stops its nodes in its own order.
        detached: true,
      },
    );
    this.#process = child;
    // Who ends before it has read its configuration says why by its end.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(JSON.stringify(config));
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(messageOf(error)));
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    this.#passOn(child);
    const ready = this.#readyLine(child, ended, `node ${number}`);
    // It is awaited where it matters; a stop in between is no unhandled rejection.
    ready.catch(() => undefined);
    return { ready, ended };
  }

  async #readyLine(
    child: ChildProcess,
    ended: Promise<string>,
    who: string,
  ): Promise<NodeReadyLine> {
    let failure: CodedError | undefined;
    if (child.stdout !== null) {
      for await (const line of createInterface({ input: child.stdout })) {
        const said = JSON.parse(line) as SaidLine;
        if ('ready' in said) return said;
        failure = new CodedError(said.error.code, said.error.message);
      }
    }
    const how = await ended;
    throw failure ?? new CodedError('NodeEnded', `${who} ended before it was ready (${how})`);
  }

  /** What the node says for people, with who says it. */
  #passOn({ stderr }: ChildProcess): void {
    if (stderr === null) return;
    const { log } = this.#deps;
    createInterface({ input: stderr }).on('line', (line) => {
      const text = `node ${this.#options.number}: ${line}`;
      if (line.endsWith(' …')) log.info(text.slice(0, -2));
      else if (!line.startsWith(ERROR_WORDS)) log.warn(text);
    });
  }
}

interface Life {
  readonly ready: Promise<NodeReadyLine>;
  /** How it ended, in words. */
  readonly ended: Promise<string>;
}

type SaidLine =
  | NodeReadyLine
  | { readonly ok: false; readonly error: { readonly code: string; readonly message: string } };

function isAlive(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

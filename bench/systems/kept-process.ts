/**
 * A peer's program as the harness sees it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Kept, Program } from './kept-process-process.ts';

const STOP_MS_MAX = 15_000;
const KEEPER = new URL('./kept-process-process.ts', import.meta.url);

export class KeptProcess {
  readonly pid: number;
  readonly #keeper: ChildProcess;
  readonly #ended: Promise<Kept>;
  #end: (Kept & { readonly kind: 'ended' }) | undefined;

  private constructor(keeper: ChildProcess, pid: number) {
    this.pid = pid;
    this.#keeper = keeper;
    this.#ended = new Promise((resolve) => {
      keeper.on('message', (kept: Kept) => {
        if (kept.kind !== 'ended') return;
        this.#end = kept;
        resolve(kept);
      });
    });
  }

  static async start(program: Program): Promise<KeptProcess> {
    const keeper = fork(KEEPER);
    keeper.send(program);
    const first = await new Promise<Kept>((resolve, reject) => {
      keeper.once('message', resolve);
      keeper.once('exit', (code) => reject(new Error(`a keeper ended (${code})`)));
    });
    if (first.kind === 'started') return new KeptProcess(keeper, first.pid);
    keeper.disconnect();
    throw new Error(`${program.command} cannot be started: ${first.why}`);
  }

  /** Throws with what it said, if it has ended. */
  mustRun(name: string): void {
    if (this.#end === undefined) return;
    throw new Error(`${name}: ${this.#end.why}: ${this.#end.said.trim()}`);
  }

  /** Asks it to end with this signal, and makes it if it does not. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (this.#keeper.exitCode !== null) return;
    if (this.#end === undefined) {
      const late = setTimeout(() => process.kill(this.pid, 'SIGKILL'), STOP_MS_MAX);
      try {
        process.kill(this.pid, signal);
        await this.#ended;
      } finally {
        clearTimeout(late);
      }
    }
    const gone = once(this.#keeper, 'exit');
    this.#keeper.disconnect();
    await gone;
  }
}

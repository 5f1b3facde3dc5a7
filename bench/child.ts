/**
 * A process of the harness: started with `fork`, asked one thing at a time, ended with it. It
 * inherits the flags that this process runs under.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

/** A process that has not ended by itself after so long is made to. */
const STOP_MS_MAX = 5_000;

export class Child<Question, Answer> {
  readonly #name: string;
  readonly #process: ChildProcess;
  #pending: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  constructor(name: string, module: URL, args: readonly string[] = []) {
    this.#name = name;
    // Structured clones instead of JSON: requests and counters are bytes.
    this.#process = fork(module, [...args], { serialization: 'advanced' });
    this.#process.on('message', (answer: Answer) => {
      const pending = this.#pending;
      this.#pending = undefined;
      pending?.resolve(answer);
    });
    this.#process.on('exit', (code, signal) => {
      this.#pending?.reject(new Error(`${name} ended (${signal ?? code})`));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  ask(question: Question): Promise<Answer> {
    if (this.#pending !== undefined) throw new Error(`${this.#name} is still busy`);
    if (!this.#process.connected) return Promise.reject(new Error(`${this.#name} has ended`));
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#process.send(question as object);
    });
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = once(this.#process, 'exit');
    if (this.#process.connected) this.#process.disconnect();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
  }
}

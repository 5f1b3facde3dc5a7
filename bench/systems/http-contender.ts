/**
 * A system behind HTTP as a contender: the generator's requests to it, the processor time of its
 * processes.
 */
import type { Contender, Slice } from '../contender.ts';
import type { Generator } from '../generator/generator.ts';
import type { Target } from '../generator/job.ts';
import { Histogram } from '../histogram.ts';
import { processCpuMs } from '../machine.ts';

export class HttpContender implements Contender {
  readonly name: string;
  readonly #generator: Generator;
  readonly #pids: readonly number[];
  #answered = 0;

  private constructor(name: string, generator: Generator, pids: readonly number[]) {
    this.name = name;
    this.#generator = generator;
    this.#pids = pids;
  }

  static async open(
    name: string,
    generator: Generator,
    pids: readonly number[],
    target: Target,
  ): Promise<HttpContender> {
    await generator.open(name, target);
    return new HttpContender(name, generator, pids);
  }

  /** Requests answered so far, warming up included. */
  get answered(): number {
    return this.#answered;
  }

  async slice(milliseconds: number): Promise<Slice> {
    const before = this.#cpuMs();
    const result = await this.#generator.run(this.name, { milliseconds });
    const after = this.#cpuMs();
    this.#answered += result.requests;
    return {
      requests: result.requests,
      elapsedMs: result.elapsedMs,
      latency: new Histogram(result.latency),
      systemCpuMs: before === undefined || after === undefined ? undefined : after - before,
      generatorCpuMs: result.cpuMs,
    };
  }

  #cpuMs(): number | undefined {
    // Of a system that somebody else has started, nothing need be known.
    if (this.#pids.length === 0) return undefined;
    let total = 0;
    for (const pid of this.#pids) {
      const one = processCpuMs(pid);
      if (one === undefined) return undefined;
      total += one;
    }
    return total;
  }

  async close(): Promise<void> {
    await this.#generator.close(this.name);
  }
}

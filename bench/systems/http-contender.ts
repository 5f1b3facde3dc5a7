/**
 * A system behind HTTP as a contender: the generator's requests to it, the processor time of its
 * process.
 */
import type { Contender, Slice } from '../contender.ts';
import type { Generator } from '../generator/generator.ts';
import type { Target } from '../generator/job.ts';
import { Histogram } from '../histogram.ts';
import { processCpuMs } from '../machine.ts';

export class HttpContender implements Contender {
  readonly name: string;
  readonly #generator: Generator;
  readonly #pid: number;
  #answered = 0;

  private constructor(name: string, generator: Generator, pid: number) {
    this.name = name;
    this.#generator = generator;
    this.#pid = pid;
  }

  static async open(
    name: string,
    generator: Generator,
    pid: number,
    target: Target,
  ): Promise<HttpContender> {
    await generator.open(name, target);
    return new HttpContender(name, generator, pid);
  }

  /** Requests answered so far, warming up included. */
  get answered(): number {
    return this.#answered;
  }

  async slice(milliseconds: number): Promise<Slice> {
    const before = processCpuMs(this.#pid);
    const result = await this.#generator.run(this.name, { milliseconds });
    const after = processCpuMs(this.#pid);
    this.#answered += result.requests;
    return {
      requests: result.requests,
      elapsedMs: result.elapsedMs,
      latency: new Histogram(result.latency),
      systemCpuMs: before === undefined || after === undefined ? undefined : after - before,
      generatorCpuMs: result.cpuMs,
    };
  }

  async close(): Promise<void> {
    await this.#generator.close(this.name);
  }
}

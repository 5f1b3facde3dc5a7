/**
 * The harness's end of the load generator: one process for all systems, so that each is measured by
 * the same warm code.
 */
import { Child } from '../child.ts';
import type { Limit, Order, Report, RunResult, Target } from './job.ts';

export class Generator {
  readonly #child = new Child<Order, Report>(
    'the load generator',
    new URL('./process.ts', import.meta.url),
  );

  get pid(): number {
    return this.#child.pid;
  }

  async open(name: string, target: Target): Promise<void> {
    await this.#order({ kind: 'open', name, target });
  }

  async run(name: string, limit: Limit): Promise<RunResult> {
    const report = await this.#order({ kind: 'run', name, limit });
    if (report.kind !== 'ran') throw new Error(`${name}: the generator did not run`);
    return report.result;
  }

  async close(name: string): Promise<void> {
    await this.#order({ kind: 'close', name });
  }

  async stop(): Promise<void> {
    await this.#child.stop();
  }

  async #order(order: Order): Promise<Report> {
    const report = await this.#child.ask(order);
    if (report.kind === 'failed') throw new Error(`${order.name}: ${report.message}`);
    return report;
  }
}

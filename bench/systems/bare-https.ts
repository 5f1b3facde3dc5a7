/**
 * The bare server as the harness sees it.
 */
import { Child } from '../child.ts';
import type { Constant, Listening } from './bare-https-process.ts';

export const BARE_HTTPS = 'bare https';
/** The same server when it also seals and hashes. */
export const PARTS = 'https, seal, hashes';

export class BareHttps {
  readonly #child = new Child<Constant, Listening>(
    'the bare server',
    new URL('./bare-https-process.ts', import.meta.url),
  );

  get pid(): number {
    return this.#child.pid;
  }

  /** What it answers from now on, to whatever it is asked. */
  async answerWith(constant: Constant): Promise<Listening> {
    return await this.#child.ask(constant);
  }

  async stop(): Promise<void> {
    await this.#child.stop();
  }
}

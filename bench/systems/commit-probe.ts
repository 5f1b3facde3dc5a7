/**
 * How long a write takes until it is committed, on a service that does nothing else: one client
 * writes, learns of the commit, pauses, and writes again.
 */
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender, Slice } from '../contender.ts';
import { Histogram } from '../histogram.ts';
import type { LogService } from './asked.ts';

/** `asking`: the way of CCF's clients, who ask for the status again and again. */
export type Learning = 'asking' | 'waiting';

/** Long enough that nothing of the write before is still going on. */
const PAUSE_MS = 40;
const COMMIT_MS_MAX = 10_000;
const TRANSACTION = 'x-ms-ccf-transaction-id';

interface Answer {
  readonly status: number;
  readonly transaction: string;
  readonly text: string;
}

export class CommitProbe implements Contender {
  readonly name: string;
  readonly #service: LogService;
  readonly #learning: Learning;
  readonly #agent: Agent;
  #written = 0;

  constructor(name: string, service: LogService, learning: Learning) {
    this.name = name;
    this.#service = service;
    this.#learning = learning;
    const options = { ...service.credentials(), keepAlive: true, maxSockets: 1 };
    this.#agent = new Agent(options);
  }

  async slice(milliseconds: number): Promise<Slice> {
    const base = await this.#service.primaryUrl();
    const latency = new Histogram();
    const startMs = performance.now();
    do {
      // Not always at the same place between two beats of the service.
      await sleep(PAUSE_MS + Math.random() * PAUSE_MS);
      const sentMs = performance.now();
      await this.#write(base, sentMs + COMMIT_MS_MAX);
      latency.record(performance.now() - sentMs);
    } while (performance.now() - startMs < milliseconds);
    const elapsedMs = performance.now() - startMs;
    const requests = latency.total;
    return { requests, elapsedMs, latency, systemCpuMs: undefined, generatorCpuMs: undefined };
  }

  close(): void {
    this.#agent.destroy();
  }

  async #write(base: URL, deadlineMs: number): Promise<void> {
    this.#written += 1;
    const body = JSON.stringify({ id: this.#written % 256, msg: `Write ${this.#written}` });
    const waits = this.#learning === 'waiting';
    const headers = { 'content-type': 'application/json' };
    const written = await this.#ask(
      new URL('/app/log/private', base),
      waits ? { ...headers, 'x-concordat-wait': 'commit' } : headers,
      body,
    );
    if (written.status !== 200) throw new Error(`${this.name}: ${written.text}`);
    if (waits) return;
    const url = new URL(`/app/tx?transaction_id=${written.transaction}`, base);
    while (performance.now() < deadlineMs) {
      const { status, text } = await this.#ask(url, {}, undefined);
      if (status !== 200) throw new Error(`${this.name}: ${text}`);
      if ((JSON.parse(text) as { readonly status: string }).status === 'Committed') return;
    }
    throw new Error(`${this.name}: not committed within ${COMMIT_MS_MAX / 1000} s`);
  }

  #ask(
    url: URL,
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
  ): Promise<Answer> {
    const method = body === undefined ? 'GET' : 'POST';
    return new Promise((resolve, reject) => {
      const asking = request(url, { method, headers, agent: this.#agent }, (response) => {
        let text = '';
        response.on('data', (bytes: Buffer) => {
          text += bytes.toString();
        });
        response.on('error', reject);
        response.on('end', () => {
          const transaction = String(response.headers[TRANSACTION] ?? '');
          resolve({ status: response.statusCode ?? 0, transaction, text });
        });
      });
      asking.on('error', reject);
      asking.end(body);
    });
  }
}

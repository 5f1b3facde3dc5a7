/** Nodes that answer when a test says so, and remember what they were sent and when. */

import { CodedError } from '../../src/base/errors.ts';
import type { Answer } from '../../src/client/answer-reader.ts';
import type { Attempt, Purpose, ServiceNodes, Wish } from '../../src/client/attempt.ts';
import { unreachable, type WireRequest } from '../../src/client/session.ts';
import type { ManualTime } from '../support/manual-time.ts';

/** One request as a node has it. */
export interface Sent {
  readonly url: string;
  readonly atMs: number;
  readonly target: string;
  /** The header lines of ours, without their prefix. */
  readonly own: Readonly<Record<string, string>>;
  /** What the client sees of it: set it before time passes. */
  progress: ReturnType<Attempt['progress']>;
  abandoned: boolean;
  answer(status: number, headers?: Readonly<Record<string, string>>, body?: string): void;
  /** The connection is cut after the request was sent. */
  cut(): void;
  /** No connection could be made. */
  refuse(): void;
}

export class FakeNodes implements ServiceNodes {
  readonly sent: Sent[] = [];
  /** Nodes that have said nothing to anybody. */
  readonly silent = new Set<string>();
  readonly unable: string[] = [];
  /** What happens with each request as it is sent. */
  onSent: (sent: Sent) => void = () => undefined;
  readonly #urls: readonly string[];
  readonly #time: ManualTime;
  readonly #startedMs: number;

  constructor(urls: readonly string[], time: ManualTime) {
    this.#urls = urls;
    this.#time = time;
    this.#startedMs = time.elapsedMs();
  }

  get urls(): readonly string[] {
    return this.sent.map(({ url }) => url);
  }

  begin(request: WireRequest, { avoid, prefer }: Wish): Attempt | undefined {
    const free = this.#urls.filter((url) => !avoid.has(url));
    const url = prefer !== undefined && free.includes(prefer) ? prefer : free[0];
    if (url === undefined) return undefined;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const sent: Sent = {
      url,
      atMs: this.#time.elapsedMs() - this.#startedMs,
      target: request.target,
      own: ownHeaders(request.headerLines),
      progress: 'sent',
      abandoned: false,
      answer: (status, headers = {}, body = '') =>
        resolve({
          status,
          headers: Object.entries(headers).flat(),
          body: Buffer.from(body),
          closes: false,
        }),
      cut: () => reject(new CodedError('ServiceUnreachable', 'cut', { mayHaveActed: true })),
      refuse: () => reject(unreachable({ host: 'h', port: 1 }, 'refused')),
    };
    this.sent.push(sent);
    this.onSent(sent);
    return {
      url,
      startedMs: this.#time.elapsedMs(),
      answer: promise,
      progress: () => sent.progress,
      abandon: () => {
        sent.abandoned = true;
      },
    };
  }

  noteSlow(attempt: Attempt): boolean {
    return this.silent.has(attempt.url);
  }

  noteUnable(attempt: Attempt, _purpose: Purpose): void {
    this.unable.push(attempt.url);
  }
}

function ownHeaders(lines: string): Readonly<Record<string, string>> {
  const own = lines
    .split('\r\n')
    .filter((line) => line.startsWith('x-concordat-'))
    .map((line) => line.slice('x-concordat-'.length).split(': '));
  return Object.fromEntries(own) as Record<string, string>;
}

/** Lets time pass in small steps, so that what follows from what happens in its time. */
export async function pass(time: ManualTime, ms: number): Promise<void> {
  const STEP_MS = 10;
  for (let passed = 0; passed < ms; passed += STEP_MS) await time.advance(STEP_MS);
}

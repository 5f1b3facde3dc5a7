/**
 * The connector's own `/metrics`: what it relayed, in the names Tessera gives its figures
 * (`tessera_<APP>_<VERB>_<name>_RequestCount`, …), so that a dashboard made for Tessera goes on.
 */
import type { Surface } from './addresses.ts';

interface Figure {
  count: number;
  totalMs: number;
  minMs: number;
  maxMs: number;
}

/** First segments of the paths there are; everything else is counted together. */
const NAMES: ReadonlySet<string> = new Set([
  'send',
  'sendraw',
  'sendsignedtx',
  'storeraw',
  'transaction',
  'receive',
  'receiveraw',
  'delete',
  'encodedpayload',
  'keys',
  'partyinfo',
  'createPrivacyGroup',
  'findPrivacyGroup',
  'retrievePrivacyGroup',
  'deletePrivacyGroup',
  'groups',
  'version',
  'upcheck',
]);
const VERBS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE']);
const APPS: Readonly<Record<Surface, string>> = { q2t: 'Q2T', 'third-party': 'ThirdParty' };

export class Figures {
  readonly #figures = new Map<string, Figure>();
  readonly #startedMs: number;

  constructor(nowMs: number) {
    this.#startedMs = nowMs;
  }

  /** Counts a request that was answered after `tookMs`. */
  count(surface: Surface, verb: string, target: string, tookMs: number): void {
    const end = target.slice(1).search(/[/?]/);
    const segment = end < 0 ? target.slice(1) : target.slice(1, end + 1);
    const known = NAMES.has(segment) ? segment : 'other';
    const name = `${APPS[surface]}_${VERBS.has(verb) ? verb : 'OTHER'}_${known}`;
    const figure = this.#figures.get(name);
    if (figure === undefined) {
      this.#figures.set(name, { count: 1, totalMs: tookMs, minMs: tookMs, maxMs: tookMs });
      return;
    }
    figure.count += 1;
    figure.totalMs += tookMs;
    figure.minMs = Math.min(figure.minMs, tookMs);
    figure.maxMs = Math.max(figure.maxMs, tookMs);
  }

  /** All figures as text, one a line. */
  text(nowMs: number): string {
    const seconds = Math.max(1, (nowMs - this.#startedMs) / 1000);
    const rows = [...this.#figures].sort(([left], [right]) => (left < right ? -1 : 1));
    const lines = rows.flatMap(([name, { count, totalMs, minMs, maxMs }]) => [
      `tessera_${name}_MinTime_ms ${Math.round(minMs)}`,
      `tessera_${name}_MaxTime_ms ${Math.round(maxMs)}`,
      `tessera_${name}_AverageTime_ms ${Math.round(totalMs / count)}`,
      `tessera_${name}_RequestRate_requestsPerSeconds ${(count / seconds).toFixed(3)}`,
      `tessera_${name}_RequestCount ${count}`,
    ]);
    const uptime = `tessera_Connector_Uptime_seconds ${Math.round(seconds)}`;
    return `${[uptime, ...lines].join('\n')}\n`;
  }
}

/**
 * The connector's own `/metrics`: what it relayed, in the names Tessera gives its figures
 * (`tessera_<APP>_<VERB>_<name>_RequestCount`, …), so that a dashboard made for Tessera goes on;
 * and how it fares with the nodes of the service, in names of our own.
 */
import type { Timers } from '../base/environment.ts';
import type { Surface } from './addresses.ts';
import type { Counters } from './counters.ts';

/** How the service looks from here. */
export interface ServiceFigures {
  readonly nodesKnown: number;
  readonly nodesHealthy: number;
  /** The service has lost what it had committed, and nothing is relayed to it any more. */
  readonly refused: boolean;
  readonly counters: Counters;
  /** Requests that were not let in, and answers of the service that refused one. */
  readonly refusals: number;
}

export interface FiguresDependencies {
  readonly timers: Timers;
  readonly service: () => ServiceFigures;
}

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
  readonly #deps: FiguresDependencies;
  readonly #startedMs: number;
  /** Answers by the first digit of their status. */
  readonly #answers = [0, 0, 0, 0, 0, 0];
  #failures = 0;

  constructor(dependencies: FiguresDependencies) {
    this.#deps = dependencies;
    this.#startedMs = dependencies.timers.elapsedMs();
  }

  /** Counts a request that got no answer of the service. */
  fail(): void {
    this.#failures += 1;
  }

  /** Counts a request that was answered after `tookMs`. */
  count(surface: Surface, verb: string, target: string, status: number, tookMs: number): void {
    const hundred = Math.floor(status / 100);
    this.#answers[hundred] = (this.#answers[hundred] ?? 0) + 1;
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
  text(): string {
    const elapsedMs = this.#deps.timers.elapsedMs() - this.#startedMs;
    const seconds = Math.max(1, elapsedMs / 1000);
    const rows = [...this.#figures].sort(([left], [right]) => (left < right ? -1 : 1));
    const lines = rows.flatMap(([name, { count, totalMs, minMs, maxMs }]) => [
      `tessera_${name}_MinTime_ms ${Math.round(minMs)}`,
      `tessera_${name}_MaxTime_ms ${Math.round(maxMs)}`,
      `tessera_${name}_AverageTime_ms ${Math.round(totalMs / count)}`,
      `tessera_${name}_RequestRate_requestsPerSeconds ${(count / seconds).toFixed(3)}`,
      `tessera_${name}_RequestCount ${count}`,
    ]);
    const uptime = `tessera_Connector_Uptime_seconds ${Math.round(seconds)}`;
    return `${[uptime, ...this.#serviceLines(), ...lines].join('\n')}\n`;
  }

  #serviceLines(): readonly string[] {
    const { nodesKnown, nodesHealthy, refused, counters, refusals } = this.#deps.service();
    const answers = this.#answers.flatMap((count, hundred) =>
      hundred < 2 ? [] : [`concordat_connector_answers_${hundred}xx_total ${count}`],
    );
    return [
      `concordat_connector_nodes ${nodesKnown}`,
      `concordat_connector_nodes_healthy ${nodesHealthy}`,
      `concordat_connector_service_refused ${refused ? 1 : 0}`,
      `concordat_connector_failovers_total ${counters.failovers}`,
      `concordat_connector_hedges_total ${counters.hedges}`,
      `concordat_connector_retries_under_id_total ${counters.retries}`,
      `concordat_connector_unknown_outcomes_total ${counters.unknownOutcomes}`,
      `concordat_connector_failures_total ${this.#failures}`,
      `concordat_connector_refusals_total ${refusals}`,
      ...answers,
    ];
  }
}

/**
 * The front door's figures for Prometheus, taken from its counters when somebody scrapes.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { FrontDoorStats } from './stats.ts';

/** Registers the figures of one interface. */
export function registerFrontDoorMetrics(
  registry: Registry,
  stats: () => FrontDoorStats,
): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: (stats: FrontDoorStats) => number): void => {
    new Gauge({
      name: `concordat_http_${name}`,
      help,
      registers,
      collect() {
        this.set(read(stats()));
      },
    });
  };
  const counter = (
    name: string,
    help: string,
    read: (stats: FrontDoorStats) => number,
  ): void => {
    new Counter({
      name: `concordat_http_${name}_total`,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(stats()));
      },
    });
  };
  gauge('sessions', 'Open sessions', ({ sessions }) => sessions.active);
  gauge('sessions_peak', 'Most sessions open at once', ({ sessions }) => sessions.peak);
  gauge(
    'body_bytes',
    'Bytes of request bodies in flight',
    ({ bodies }) => bodies.bytesInFlight,
  );
  gauge(
    'bodies_waiting',
    'Requests whose body waits unread for room',
    ({ bodies }) => bodies.requestsWaiting,
  );
  counter(
    'sessions_dropped',
    'Connections dropped before TLS',
    ({ counters }) => counters.dropped,
  );
  counter(
    'handshakes_failed',
    'TLS handshakes failed',
    ({ counters }) => counters.handshakesFailed,
  );
  counter('sessions_idle', 'Sessions closed as idle', ({ counters }) => counters.idleSessions);
  counter('sessions_slow', 'Sessions closed as slow', ({ counters }) => counters.slowSessions);
  counter(
    'unparsable',
    'Requests that could not be parsed',
    ({ counters }) => counters.unparsable,
  );
  counter(
    'headers_too_large',
    'Header blocks refused',
    ({ counters }) => counters.headersTooLarge,
  );
  counter('bodies_too_large', 'Bodies refused', ({ counters }) => counters.bodiesTooLarge);
  counter('forwarded', 'Requests sent to the primary', ({ counters }) => counters.forwarded);
  counter(
    'held',
    'Requests that waited until a primary was known',
    ({ counters }) => counters.held,
  );
  counter(
    'redirected',
    'Requests whose client was told of another node',
    ({ counters }) => counters.redirected,
  );
  counter(
    'executed_for_others',
    'Requests that other nodes forwarded to this one',
    ({ counters }) => counters.executedForOthers,
  );
  registerAnswers(registers, stats);
}

function registerAnswers(registers: Registry[], stats: () => FrontDoorStats): void {
  new Counter({
    name: 'concordat_http_answers_total',
    help: 'Answers by the first digit of their status',
    labelNames: ['status'],
    registers,
    collect() {
      this.reset();
      stats().counters.answers.forEach((count, hundred) => {
        if (hundred > 0) this.inc({ status: `${hundred}xx` }, count);
      });
    },
  });
}

/**
 * What the harness and the load generator's process say to each other. One order is answered before
 * the next is given.
 */

export interface Target {
  readonly host: string;
  readonly port: number;
  /** Present: over TLS, with this authority, certificate and key (PEM). */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly connections: number;
  /** Requests on their way at once on each connection; one when absent. */
  readonly inFlight?: number;
  /** Whole requests, byte for byte; the connections go through them in turn. */
  readonly requests: readonly Uint8Array[];
  readonly expectedStatus: number;
}

/** Ends after this long, or after so many requests; bodies come back only when asked for. */
export interface Limit {
  readonly milliseconds?: number;
  readonly requests?: number;
  readonly keepBodies?: boolean;
}

export interface RunResult {
  readonly requests: number;
  /** From the first request to the last answer. */
  readonly elapsedMs: number;
  /** Counters of a `Histogram` over all requests. */
  readonly latency: Float64Array;
  /** What the generator itself used of the processor. */
  readonly cpuMs: number;
  readonly bodies: readonly string[];
}

export type Order =
  | { readonly kind: 'open'; readonly name: string; readonly target: Target }
  | { readonly kind: 'run'; readonly name: string; readonly limit: Limit }
  | { readonly kind: 'close'; readonly name: string };

export type Report =
  | { readonly kind: 'done' }
  | { readonly kind: 'ran'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly message: string };

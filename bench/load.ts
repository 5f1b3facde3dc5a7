/**
 * How a work's requests reach a system, and runs that only prepare something.
 */
import type { Generator } from './generator/generator.ts';
import type { Target } from './generator/job.ts';

export interface Load {
  readonly generator: Generator;
  readonly connections: number;
  /** Requests on their way at once on each connection. */
  readonly inFlight: number;
  readonly payloadBytes: number;
}

/** Distinct requests of a work that writes; more would only fill the generator's memory. */
export const REQUESTS = 256;
/** What the distinct requests of a work may be together. */
const REQUESTS_BYTES_MAX = 64 * 1024 * 1024;

/** Fewer where each is large. */
export function distinctRequests({ payloadBytes }: Pick<Load, 'payloadBytes'>): number {
  return Math.max(1, Math.min(REQUESTS, Math.floor(REQUESTS_BYTES_MAX / (2 * payloadBytes))));
}

/** Where requests go, in how many connections. */
export function placeOf(
  url: URL,
  { connections, inFlight }: Load,
): Pick<Target, 'host' | 'port' | 'connections' | 'inFlight'> {
  return { host: url.hostname, port: Number(url.port), connections, inFlight };
}

/** Sends so many requests once, and gives back the answers' bodies. */
export async function oneRun(
  generator: Generator,
  target: Target,
  requests: number,
): Promise<readonly string[]> {
  const name = 'preparation';
  await generator.open(name, target);
  try {
    return (await generator.run(name, { requests, keepBodies: true })).bodies;
  } finally {
    await generator.close(name);
  }
}

export function times<Made>(count: number, make: (number: number) => Made): readonly Made[] {
  return Array.from({ length: count }, (_, number) => make(number));
}

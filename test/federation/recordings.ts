/** What Tessera's nodes said to each other, as recorded; `trim-recordings.ts` made the file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface StoredExchange {
  readonly scenario: string;
  /** What a direct case is about. */
  readonly title?: string;
  /** Number of the organisation whose node was asked. */
  readonly peer: number;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: string;
  };
  readonly response: {
    readonly status: number;
    readonly headers: readonly (readonly [string, string])[];
    readonly body: string;
  };
}

export function recordedExchanges(): readonly StoredExchange[] {
  const file = join(import.meta.dirname, 'recordings', 'peers.json');
  return JSON.parse(readFileSync(file, 'utf8')) as readonly StoredExchange[];
}

/** Recorded requests to one path, and their bodies. */
export function recordedBodies(path: string, status: number): readonly Buffer[] {
  return recordedExchanges()
    .filter(({ request, response }) => request.path === path && response.status === status)
    .map(({ request }) => Buffer.from(request.body, 'base64'));
}

export function headerIn(
  { headers }: StoredExchange['request'] | StoredExchange['response'],
  name: string,
): string | undefined {
  return headers.find(([known]) => known === name)?.[1];
}

interface RecordedKey {
  readonly node: number;
  readonly publicKey: string;
  readonly privateKey: string;
}

/** The key pairs of the recorded organisations. */
export function recordedPartyKeys(): readonly RecordedKey[] {
  const file = join(import.meta.dirname, '..', 'quorum', 'recordings', 'keys-test-only.json');
  return JSON.parse(readFileSync(file, 'utf8')) as readonly RecordedKey[];
}

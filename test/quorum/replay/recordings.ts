/**
 * The recorded exchanges of GoQuorum and of direct clients with Tessera, as they lie in
 * `test/quorum/recordings` (made by `trim-recordings.ts` from the shared vectors: P2P exchanges
 * left out, bodies of more than 16 KiB compressed).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

export type Surface = 'q2t' | 'third-party';

export interface RecordedMessage {
  /** In wire order and case. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

export interface RecordedRequest extends RecordedMessage {
  readonly method: string;
  readonly path: string;
}

export interface RecordedResponse extends RecordedMessage {
  readonly status: number;
}

export interface Recorded {
  readonly scenario: string;
  /** Its place in the scenario, from 0. */
  readonly index: number;
  /** What the direct client called the case; empty for GoQuorum's own traffic. */
  readonly title: string;
  readonly surface: Surface;
  readonly overSocket: boolean;
  readonly organisation: number;
  readonly request: RecordedRequest;
  /** Absent when nobody answered. */
  readonly response: RecordedResponse | undefined;
}

export interface StoredMessage {
  readonly headers: readonly (readonly [string, string])[];
  readonly text?: string;
  readonly base64?: string;
  readonly gzip?: string;
}

export interface StoredExchange {
  readonly title: string;
  readonly surface: Surface;
  readonly overSocket: boolean;
  readonly organisation: number;
  readonly request: StoredMessage & { readonly method: string; readonly path: string };
  readonly response?: StoredMessage & { readonly status: number };
}

export interface StoredScenario {
  readonly scenario: string;
  readonly exchanges: readonly StoredExchange[];
}

const FOLDER = join(import.meta.dirname, '../recordings');

/** All scenarios in the order of their replay: numbered ones first, then direct ones by name. */
export function recordedScenarios(): readonly (readonly Recorded[])[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json') && !name.startsWith('keys'))
    .sort()
    .map((name) => readScenario(join(FOLDER, name)));
}

function readScenario(path: string): readonly Recorded[] {
  const { scenario, exchanges } = JSON.parse(readFileSync(path, 'utf8')) as StoredScenario;
  return exchanges.map(({ request, response, ...rest }, index) => ({
    ...rest,
    scenario,
    index,
    request: { method: request.method, path: request.path, ...messageOf(request) },
    response:
      response === undefined ? undefined : { status: response.status, ...messageOf(response) },
  }));
}

function messageOf({ headers, text, base64, gzip }: StoredMessage): RecordedMessage {
  const body =
    text !== undefined
      ? Buffer.from(text, 'utf8')
      : gzip !== undefined
        ? gunzipSync(Buffer.from(gzip, 'base64'))
        : Buffer.from(base64 ?? '', 'base64');
  return { headers, body };
}

/** First value of a header. */
export function headerOf(
  headers: readonly (readonly [string, string])[],
  name: string,
): string | undefined {
  return headers.find(([key]) => key.toLowerCase() === name)?.[1];
}

/**
 * Makes `test/federation/recordings/peers.json` from the shared vectors: all that went between
 * Tessera's nodes, each once, without what only speaks of the connection.
 *
 *     CONCORDAT_VECTORS=<folder> node test/federation/trim-recordings.ts
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StoredExchange } from './recordings.ts';

interface Message {
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: { readonly base64?: string; readonly utf8?: string };
}

interface Exchange {
  readonly link?: string;
  readonly case?: string;
  readonly request: Message & {
    readonly method: string;
    readonly path: string;
    readonly port?: number;
  };
  readonly response?: (Message & { readonly status?: number }) | null;
}

const KEPT_HEADERS = ['content-type', 'accept', 'tesserasupportedapiversions'];

function peerOf({ link, request }: Exchange): number | undefined {
  const linked = /->tessera(\d):p2p$/.exec(link ?? '')?.[1];
  if (linked !== undefined) return Number(linked);
  const { port = 0 } = request;
  const kind = Math.floor(port / 10);
  return kind === 900 || kind === 930 ? port % 10 : undefined;
}

function bodyOf({ body }: Message): string {
  if (body?.base64 !== undefined) return body.base64;
  return Buffer.from(body?.utf8 ?? '').toString('base64');
}

function headersOf({ headers }: Message): readonly (readonly [string, string])[] {
  return headers
    .map(([name, value]) => [name.toLowerCase(), String(value)] as const)
    .filter(([name]) => KEPT_HEADERS.includes(name));
}

function trimmed(scenario: string, exchange: Exchange): StoredExchange | undefined {
  const peer = peerOf(exchange);
  const { request, response } = exchange;
  if (peer === undefined || typeof response?.status !== 'number') return undefined;
  return {
    scenario,
    ...(exchange.case === undefined ? {} : { title: exchange.case }),
    peer,
    request: {
      method: request.method,
      path: request.path,
      headers: headersOf(request),
      body: bodyOf(request),
    },
    response: {
      status: response.status,
      headers: headersOf(response),
      body: bodyOf(response).slice(0, 2_000),
    },
  };
}

const vectors = process.env.CONCORDAT_VECTORS;
if (vectors === undefined)
  throw new Error('set CONCORDAT_VECTORS to the folder of the vectors');
const folder = join(vectors, 'quorum');
const seen = new Set<string>();
const exchanges: StoredExchange[] = [];
for (const name of readdirSync(folder).sort()) {
  const source = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
    readonly scenario: string;
    readonly exchanges?: readonly Exchange[];
  };
  for (const exchange of source.exchanges ?? []) {
    const kept = trimmed(source.scenario, exchange);
    if (kept === undefined) continue;
    const identity = JSON.stringify([kept.peer, kept.request]);
    // Party information goes round every five seconds, and a resend repeats the pushes before it.
    if (seen.has(identity)) continue;
    seen.add(identity);
    exchanges.push(kept);
  }
}
const target = join(import.meta.dirname, 'recordings');
mkdirSync(target, { recursive: true });
const lines = exchanges.map((exchange) => JSON.stringify(exchange));
writeFileSync(join(target, 'peers.json'), `[\n${lines.join(',\n')}\n]\n`);

/**
 * Makes `test/quorum/recordings` from the shared vectors:
 *
 *     CONCORDAT_VECTORS=<folder> node test/quorum/replay/trim-recordings.ts
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { StoredExchange, StoredMessage, StoredScenario } from './recordings.ts';

const PLAIN_BYTES_MAX = 16 * 1024;

interface SourceMessage {
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: { readonly base64?: string; readonly utf8?: string };
}

interface SourceExchange {
  readonly link?: string;
  readonly case?: string;
  readonly request: SourceMessage & {
    readonly method: string;
    readonly path: string;
    readonly port?: number;
  };
  readonly response?: SourceMessage & { readonly status?: number };
}

interface SourceScenario {
  readonly scenario: string;
  readonly exchanges: readonly SourceExchange[];
}

function trimmed(source: SourceExchange): StoredExchange | undefined {
  const place = placeOf(source);
  if (place === undefined) return undefined;
  const { request, response } = source;
  return {
    title: source.case ?? '',
    ...place,
    request: { method: request.method, path: request.path, ...stored(request) },
    ...(response?.status === undefined
      ? {}
      : { response: { status: response.status, ...stored(response) } }),
  };
}

type Place = Pick<StoredExchange, 'surface' | 'overSocket' | 'organisation'>;

/** The surface and the organisation, from the link or from the port. */
function placeOf({ link, request }: SourceExchange): Place | undefined {
  const linked = /->tessera(\d):(q2t|q2t-unix|3p)$/.exec(link ?? '');
  if (linked !== null) {
    const surface = linked[2] === '3p' ? 'third-party' : 'q2t';
    return { surface, overSocket: linked[2] === 'q2t-unix', organisation: Number(linked[1]) };
  }
  const kind = Math.floor((request.port ?? 0) / 10);
  const organisation = (request.port ?? 0) % 10;
  if (kind === 910 || kind === 920) return { surface: 'q2t', overSocket: false, organisation };
  if (kind === 908 || kind === 938) {
    return { surface: 'third-party', overSocket: false, organisation };
  }
  return undefined;
}

function stored({ headers, body }: SourceMessage): StoredMessage {
  const texts = headers.map(([name, value]) => [name, String(value)] as const);
  const bytes = Buffer.from(body?.base64 ?? '', 'base64');
  if (bytes.length > PLAIN_BYTES_MAX) {
    return { headers: texts, gzip: gzipSync(bytes).toString('base64') };
  }
  const text = bytes.toString('utf8');
  return Buffer.from(text, 'utf8').equals(bytes)
    ? { headers: texts, text }
    : { headers: texts, base64: bytes.toString('base64') };
}

const vectors = process.env.CONCORDAT_VECTORS;
if (vectors === undefined) throw new Error('CONCORDAT_VECTORS names the folder of the vectors');
const source = join(vectors, 'quorum');
const target = join(import.meta.dirname, '../recordings');
mkdirSync(target, { recursive: true });
for (const name of readdirSync(source).filter((one) => /^(\d\d|direct)-.*\.json$/.test(one))) {
  const { scenario, exchanges } = JSON.parse(
    readFileSync(join(source, name), 'utf8'),
  ) as SourceScenario;
  const kept = exchanges.map(trimmed).filter((one) => one !== undefined);
  if (kept.length === 0) continue;
  const lines = kept.map((one) => JSON.stringify(one)).join(',\n');
  const text: string = `{"scenario":${JSON.stringify(scenario)},"exchanges":[\n${lines}\n]}\n`;
  void (JSON.parse(text) as StoredScenario);
  writeFileSync(join(target, name), text);
}
const keys = readFileSync(join(source, 'KEYS-test-only.json'), 'utf8');
writeFileSync(join(target, 'keys-test-only.json'), keys);

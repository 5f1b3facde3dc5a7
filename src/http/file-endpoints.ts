/**
 * `/node/snapshot` and `/node/ledger-chunk`: what an operator or a joining node downloads
 * (http-api.md §10, in the form of CCF 7.0 final). An interface serves them only if it has the
 * operator features they belong to. File names are looked up among those that the node knows, and
 * never become part of a path before.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type DigestName,
  type Endpoint,
  type OfferedFile,
  type Step,
  type Verb,
} from '../apps/interface.ts';
import { base64Of } from '../base/bytes.ts';
import type { ReadView } from '../kv/tables.ts';
import { errorAnswer, renderCcfError } from './answers.ts';
import type { Backend, NodeFiles } from './backend.ts';
import { byteRangeOf } from './byte-range.ts';
import { etagOf, matchesEtag, namedInEtags, wantedDigest } from './file-digests.ts';
import { nodeRows } from './governance-rows.ts';
import { urlOf } from './node-addresses.ts';
import { queryValue, wholeNumber } from './query.ts';

export const OPERATOR_FEATURES = ['SnapshotRead', 'LedgerChunkRead'] as const;
export type OperatorFeature = (typeof OPERATOR_FEATURES)[number];

const SNAPSHOT = '/node/snapshot';
const CHUNK = '/node/ledger-chunk';

export function fileEndpoints(
  backend: Backend,
  features: readonly OperatorFeature[],
): readonly Endpoint[] {
  const { files } = backend;
  if (files === undefined) return [];
  const endpoints: Endpoint[] = [];
  if (features.includes('SnapshotRead')) endpoints.push(...snapshotEndpoints(backend, files));
  if (features.includes('LedgerChunkRead')) endpoints.push(...chunkEndpoints(backend, files));
  return endpoints;
}

type Handle = (request: AppRequest, view: ReadView) => Step;

function both(path: string, summary: string, handle: Handle): readonly Endpoint[] {
  const verbs: readonly Verb[] = ['GET', 'HEAD'];
  return verbs.map((verb) => ({
    verb,
    path,
    authentication: ['no_auth'],
    effect: 'none',
    reads: 'current',
    answers: 'local',
    summary,
    hidden: true,
    handle,
  }));
}

function snapshotEndpoints(backend: Backend, files: NodeFiles): readonly Endpoint[] {
  return [
    ...both('/snapshot', 'The newest snapshot', ({ query }, view) =>
      answer(newestSnapshot(backend, files, query, view)),
    ),
    ...both('/snapshot/{name}', 'One snapshot', (request) =>
      fileStep(request, {
        folder: 'snapshots',
        what: 'snapshot',
        nameHeader: 'x-ms-ccf-snapshot-name',
        hasEtag: false,
      }),
    ),
  ];
}

function newestSnapshot(
  backend: Backend,
  files: NodeFiles,
  query: string,
  view: ReadView,
): AppResponse {
  const since = sinceOf(query);
  if (typeof since === 'object') return since;
  const { nodeId, primaryId } = backend.node();
  // Only the primary's snapshots have evidence.
  if (primaryId !== undefined && primaryId !== nodeId) {
    const primary = urlOf(view, nodeId, primaryId);
    if (primary !== undefined) return permanently(primary, SNAPSHOT, since);
  }
  const newest = files.newestSnapshot();
  if (newest === undefined || newest.seqno <= (since ?? 0)) {
    const after = since === undefined ? '' : ` since ${since}`;
    const message = `This node has no committed snapshots${after}`;
    return errorAnswer(404, 'ResourceNotFound', message);
  }
  return permanently(urlOf(view, nodeId, nodeId) ?? '', `${SNAPSHOT}/${newest.name}`);
}

function chunkEndpoints(backend: Backend, files: NodeFiles): readonly Endpoint[] {
  return [
    ...both('/ledger-chunk', 'The ledger chunk that holds an entry', ({ query }, view) =>
      answer(chunkWith(backend, files, query, view)),
    ),
    ...both('/ledger-chunk/{name}', 'One ledger chunk', (request) =>
      fileStep(request, {
        folder: 'ledger',
        what: 'ledger chunk',
        nameHeader: 'x-ms-ccf-ledger-chunk-name',
        hasEtag: true,
      }),
    ),
  ];
}

function chunkWith(
  backend: Backend,
  files: NodeFiles,
  query: string,
  view: ReadView,
): AppResponse {
  const since = sinceOf(query);
  if (typeof since === 'object') return since;
  if (since === undefined || since === 0) {
    const why = since === 0 ? 'The first entry of a ledger is 1' : 'It must be given';
    const message = `Query parameter 'since' names the entry to look for. ${why}`;
    return errorAnswer(400, 'InvalidQueryParameterValue', message);
  }
  const { nodeId, primaryId } = backend.node();
  const name = files.chunkWith(since);
  if (name !== undefined) {
    return permanently(urlOf(view, nodeId, nodeId) ?? '', `${CHUNK}/${name}`);
  }
  const other = since < files.firstSeqno ? nodeAfter(view, nodeId) : primaryId;
  const elsewhere = other === nodeId ? undefined : urlOf(view, nodeId, other);
  if (elsewhere !== undefined) return permanently(elsewhere, CHUNK, since);
  const message = `This node has no committed ledger chunk that holds entry ${since}`;
  return errorAnswer(404, 'ResourceNotFound', message);
}

/** The trusted node after this one in the order of their ids, the first after the last. */
function nodeAfter(view: ReadView, nodeId: string): string | undefined {
  const others = nodeRows(view)
    .filter((row) => row.info.status === 'Trusted' && row.nodeId !== nodeId)
    .map((row) => row.nodeId);
  return others.find((id) => id > nodeId) ?? others[0];
}

function sinceOf(query: string): number | undefined | AppResponse {
  const text = queryValue(query, 'since');
  if (text === undefined) return undefined;
  const since = wholeNumber(text);
  if (since !== undefined) return since;
  const message = `The value '${text}' of query parameter 'since' is not a seqno`;
  return errorAnswer(400, 'InvalidQueryParameterValue', message);
}

function permanently(origin: string, path: string, since?: number): AppResponse {
  const query = since === undefined ? '' : `?since=${since}`;
  return { status: 308, headers: { location: `${origin}${path}${query}` } };
}

interface FileKind {
  readonly folder: 'snapshots' | 'ledger';
  readonly what: string;
  readonly nameHeader: string;
  readonly hasEtag: boolean;
}

function fileStep(request: AppRequest, kind: FileKind): Step {
  const name = request.params.name ?? '';
  const wanted = wantedDigest(request.header('want-repr-digest'));
  const noneMatch = kind.hasEtag ? request.header('if-none-match') : undefined;
  const digests = new Set<DigestName>(noneMatch === undefined ? [] : namedInEtags(noneMatch));
  if (wanted !== undefined) digests.add(wanted);
  if (kind.hasEtag) digests.add('sha-256');
  return {
    kind: 'file',
    file: { folder: kind.folder, name, digests: [...digests] },
    next: (file) => answer(fileAnswer(request, kind, file, wanted, noneMatch)),
  };
}

function fileAnswer(
  request: AppRequest,
  { what, nameHeader, hasEtag }: FileKind,
  file: OfferedFile | undefined,
  wanted: DigestName | undefined,
  noneMatch: string | undefined,
): AppResponse {
  const name = request.params.name ?? '';
  if (file === undefined) {
    return errorAnswer(404, 'ResourceNotFound', `This node has no ${what} named ${name}`);
  }
  const digest = wanted === undefined ? undefined : file.digests.get(wanted);
  const headers = {
    'accept-ranges': 'bytes',
    [nameHeader]: name,
    ...(hasEtag ? { etag: etagOf(file.digests) } : {}),
    ...(digest === undefined ? {} : { 'repr-digest': `${wanted}=:${base64Of(digest)}:` }),
  };
  if (noneMatch !== undefined && matchesEtag(noneMatch, file.digests)) {
    return { status: 304, headers };
  }
  const content = { ...headers, 'content-type': 'application/octet-stream' };
  // Ranges are of GET alone (RFC 9110 §14.2).
  const asked = request.verb === 'GET' ? request.header('range') : undefined;
  if (asked === undefined) {
    return { status: 200, headers: content, stream: file.part(0, file.bytes) };
  }
  const range = byteRangeOf(asked, file.bytes);
  if (typeof range === 'string') {
    return renderCcfError({ status: 400, code: 'InvalidHeaderValue', message: range, headers });
  }
  const { from, to } = range;
  const place = `bytes ${from}-${to - 1}/${file.bytes}`;
  const partial = { ...content, 'content-range': place };
  return { status: 206, headers: partial, stream: file.part(from, to) };
}

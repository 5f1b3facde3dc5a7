/**
 * Signature transactions: the root of everything before them, signed by the node, by the service,
 * or by both, and a row that holds the tree (ledger-format.md §6).
 */
import { base64Of, bytesOfBase64, bytesOfHex, textOf, utf8 } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { VIEW_MAX } from '../base/ids.ts';
import type { MapWrites } from '../kv/write-set.ts';
import { COSE_SIGNATURES, SIGNATURES, TREE } from './entry.ts';

/** Key of a table that has one row: eight zero bytes, as binary text. */
export const SINGLETON_KEY = '\0'.repeat(8);

/** A node's signature over the root, which is taken as the digest (ledger-format.md §6.1). */
export interface RawSignature {
  /** PEM of the node's certificate as the service endorsed it. */
  readonly cert: string;
  /** Node id, 64 hex digits. */
  readonly node: string;
  readonly root: Uint8Array;
  readonly view: number;
  readonly seqno: number;
  /** ECDSA, DER. */
  readonly sig: Uint8Array;
}

export interface SignatureParts {
  readonly raw?: RawSignature;
  /** COSE_Sign1 by the service over the root (ledger-format.md §6.2). */
  readonly cose?: Uint8Array;
  /** `MerkleTree.serialise()`. */
  readonly tree?: Uint8Array;
}

/** The whole write set of a signature transaction. */
export function signatureMaps(parts: SignatureParts): MapWrites[] {
  const maps: MapWrites[] = [];
  if (parts.cose !== undefined) {
    maps.push(singleton(COSE_SIGNATURES, utf8(JSON.stringify(base64Of(parts.cose)))));
  }
  if (parts.raw !== undefined) maps.push(singleton(SIGNATURES, encodeRaw(parts.raw)));
  if (parts.tree !== undefined) maps.push(singleton(TREE, parts.tree));
  return maps;
}

function singleton(name: string, value: Uint8Array): MapWrites {
  return { name, writes: new Map([[SINGLETON_KEY, value]]), removes: NO_REMOVES };
}

const NO_REMOVES: ReadonlySet<string> = new Set();

/** Members in the order that CCF's serialiser gives them: sorted by name, without white space. */
function encodeRaw(raw: RawSignature): Uint8Array {
  return utf8(
    JSON.stringify({
      cert: raw.cert,
      commit_seqno: 0,
      commit_view: 0,
      hashed_nonce: '0'.repeat(64),
      node: raw.node,
      root: Buffer.from(raw.root).toString('hex'),
      seqno: raw.seqno,
      sig: base64Of(raw.sig),
      view: raw.view,
    }),
  );
}

/** A raw signature as it was read: older services left the certificate to the nodes' table. */
export type ReadRawSignature = Omit<RawSignature, 'cert'> & { readonly cert?: string };

export interface ReadSignature {
  readonly raw?: ReadRawSignature;
  readonly cose?: Uint8Array;
  readonly tree?: Uint8Array;
}

/**
 * Reads a signature transaction's write set; undefined when it is another kind of transaction.
 * Throws `BadSignatureEntry` when one of its tables is not as the format says, or when a table that
 * has no business there stands beside them.
 */
export function parseSignature(maps: readonly MapWrites[]): ReadSignature | undefined {
  const has = (name: string): boolean => maps.some((map) => map.name === name);
  if (!has(SIGNATURES) && !has(COSE_SIGNATURES)) return undefined;
  let parts: ReadSignature = {};
  for (const map of maps) {
    switch (map.name) {
      case SIGNATURES:
        parts = { ...parts, raw: decodeRaw(onlyValue(map)) };
        break;
      case COSE_SIGNATURES:
        parts = { ...parts, cose: decodeCose(onlyValue(map)) };
        break;
      case TREE:
        parts = { ...parts, tree: onlyValue(map) };
        break;
      default:
        throw bad(
          'table',
          map.name,
          'a signature transaction writes signatures and nothing else',
        );
    }
  }
  return parts;
}

function onlyValue(map: MapWrites): Uint8Array {
  const value = map.writes.get(SINGLETON_KEY);
  if (value === undefined || map.writes.size !== 1 || map.removes.size !== 0) {
    throw bad('rows', map.name, 'the table has one row, under eight zero bytes');
  }
  return value;
}

function decodeRaw(value: Uint8Array): ReadRawSignature {
  const row = jsonOf(value, SIGNATURES);
  if (typeof row !== 'object' || row === null) throw bad('row', row, 'it is not an object');
  const field = (name: string): unknown => Reflect.get(row, name);
  const cert = field('cert');
  const node = field('node');
  const rootText = field('root');
  const sigText = field('sig');
  const root = typeof rootText === 'string' ? bytesOfHex(rootText) : undefined;
  const sig = typeof sigText === 'string' ? bytesOfBase64(sigText) : undefined;
  if (cert !== undefined && typeof cert !== 'string') throw bad('cert', cert, 'it is PEM text');
  if (typeof node !== 'string' || !/^[0-9a-f]{64}$/.test(node)) {
    throw bad('node', node, 'a node id is 64 hexadecimal digits');
  }
  if (root?.length !== 32) throw bad('root', rootText, 'a root is 64 hexadecimal digits');
  if (sig === undefined || sig.length === 0) throw bad('sig', sigText, 'it is base64');
  const view = wholeNumber('view', field('view'), VIEW_MAX);
  const seqno = wholeNumber('seqno', field('seqno'), Number.MAX_SAFE_INTEGER);
  return { ...(cert === undefined ? {} : { cert }), node, root, view, seqno, sig };
}

function wholeNumber(name: string, value: unknown, max: number): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw bad(name, value, `it is a whole number up to ${max}`);
  }
  return value;
}

function decodeCose(value: Uint8Array): Uint8Array {
  const row = jsonOf(value, COSE_SIGNATURES);
  const bytes = typeof row === 'string' ? bytesOfBase64(row) : undefined;
  if (bytes === undefined) throw bad('cose', row, 'it is a JSON string of base64');
  return bytes;
}

function jsonOf(value: Uint8Array, table: string): unknown {
  try {
    return JSON.parse(textOf(value));
  } catch (cause) {
    throw bad('row', table, 'the row is not JSON', cause);
  }
}

function bad(field: string, value: unknown, why: string, cause?: unknown): CodedError {
  const shown = JSON.stringify(value)?.slice(0, 100) ?? 'missing';
  return new CodedError(
    'BadSignatureEntry',
    `not a signature transaction: ${field} is ${shown}; ${why}`,
    { field, value },
    { cause },
  );
}

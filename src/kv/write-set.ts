/**
 * The bytes of a write set: which rows of which tables an entry writes and removes
 * (ledger-format.md §4 and §5.1). Both domains of an entry hold such maps back to back.
 *
 * Encoding sorts, so that equal write sets have equal bytes on every node. Decoding keeps the order
 * it finds (an auditor judges it) but refuses what would make a write set ambiguous.
 */
import { bufferOf, compareBytes, textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { readU64, writeU64 } from '../base/words.ts';

/** One table's part of a write set. Keys are binary text (`base/bytes.ts`). */
export interface MapWrites {
  readonly name: string;
  readonly writes: ReadonlyMap<string, Uint8Array>;
  readonly removes: ReadonlySet<string>;
}

/** Whether a table's rows are readable by anyone who has the files. */
export function isPublicName(name: string): boolean {
  return name.startsWith('public:');
}

export type TableCategory = 'internal' | 'governance' | 'application' | 'reserved';

/** What a table's name says it is for; nobody may write `reserved` ones (ledger-format.md §4). */
export function tableCategory(name: string): TableCategory {
  const bare = isPublicName(name) ? name.slice('public:'.length) : name;
  if (!bare.startsWith('ccf.')) return 'application';
  if (bare.startsWith('ccf.internal.')) return 'internal';
  if (bare.startsWith('ccf.gov.')) return 'governance';
  return 'reserved';
}

/** The same writes with values of their own, so that they keep no larger buffer in memory. */
export function detachedWrites(map: MapWrites): MapWrites {
  const writes = new Map<string, Uint8Array>();
  for (const [key, value] of map.writes)
    writes.set(key, Uint8Array.prototype.slice.call(value));
  return { name: map.name, writes, removes: map.removes };
}

/** Name length, read version, read count, write count, remove count. */
const MAP_FIXED_BYTES = 5 * 8;
const NO_ROWS = (map: MapWrites): boolean => map.writes.size === 0 && map.removes.size === 0;

/** How many bytes `encodeMaps` makes of these maps. */
export function encodedMapsSize(maps: readonly MapWrites[]): number {
  let size = 0;
  for (const map of maps) {
    if (NO_ROWS(map)) continue;
    size += MAP_FIXED_BYTES + Buffer.byteLength(map.name, 'utf8');
    for (const [key, value] of map.writes) size += 16 + key.length + value.length;
    for (const key of map.removes) size += 8 + key.length;
  }
  return size;
}

/** Encodes maps: by name, then by key, in byte order; maps without rows are left out. */
export function encodeMaps(maps: readonly MapWrites[]): Buffer {
  const target = Buffer.allocUnsafe(encodedMapsSize(maps));
  encodeMapsInto(maps, target, 0);
  return target;
}

/** Encodes maps at `offset`, where there must be room; gives back the offset behind them. */
export function encodeMapsInto(
  maps: readonly MapWrites[],
  target: Buffer,
  offset: number,
): number {
  const inOrder = maps.length < 2 ? maps : [...maps].sort(byName);
  let at = offset;
  for (const map of inOrder) {
    if (NO_ROWS(map)) continue;
    const nameBytes = target.write(map.name, at + 8, 'utf8');
    at = writeU64(target, nameBytes, at) + nameBytes;
    at = writeU64(target, 0, at);
    at = writeU64(target, 0, at);
    at = writeU64(target, map.writes.size, at);
    at = writeRows(map.writes, target, at);
    at = writeU64(target, map.removes.size, at);
    for (const key of sorted(map.removes)) at = writeKey(key, target, at);
  }
  return at;
}

function writeRows(
  rows: ReadonlyMap<string, Uint8Array>,
  target: Buffer,
  offset: number,
): number {
  if (rows.size === 1) {
    for (const [key, value] of rows) return writeRow(key, value, target, offset);
  }
  let at = offset;
  for (const key of sorted(rows.keys())) {
    at = writeRow(key, rows.get(key) as Uint8Array, target, at);
  }
  return at;
}

function writeRow(key: string, value: Uint8Array, target: Buffer, offset: number): number {
  const at = writeU64(target, value.length, writeKey(key, target, offset));
  target.set(value, at);
  return at + value.length;
}

function writeKey(key: string, target: Buffer, offset: number): number {
  const at = writeU64(target, key.length, offset);
  target.write(key, at, 'latin1');
  return at + key.length;
}

/** Binary text compares like the bytes it stands for, so the default order is byte order. */
function sorted(keys: Iterable<string>): string[] {
  return Array.from(keys).sort();
}

/** Byte order of table names: UTF-16's is UTF-8's except where surrogates are involved. */
export function compareNames(left: string, right: string): number {
  if (SURROGATE.test(left) || SURROGATE.test(right)) {
    return compareBytes(Buffer.from(left), Buffer.from(right));
  }
  return left < right ? -1 : left > right ? 1 : 0;
}

function byName(left: MapWrites, right: MapWrites): number {
  return compareNames(left.name, right.name);
}

const SURROGATE = /[\ud800-\udfff]/;

/**
 * Decodes a domain's maps. Values are views into `bytes`. Throws `BadWriteSet` with the offset of
 * what cannot be: a length beyond the end, a name that is not UTF-8, recorded reads (nothing that
 * lasts has any), a table or a key that occurs twice, a key both written and removed.
 */
export function decodeMaps(bytes: Uint8Array): MapWrites[] {
  const reader = new Reader(bufferOf(bytes));
  const maps: MapWrites[] = [];
  const names = new Set<string>();
  while (!reader.done()) {
    const start = reader.at;
    const map = decodeMap(reader);
    if (names.has(map.name)) throw bad(start, `table ${quote(map.name)} occurs twice`);
    names.add(map.name);
    maps.push(map);
  }
  return maps;
}

/** The name of the first map, without decoding the rest; undefined when there is none. */
export function firstMapName(bytes: Uint8Array): string | undefined {
  const reader = new Reader(bufferOf(bytes));
  return reader.done() ? undefined : reader.name();
}

function decodeMap(reader: Reader): MapWrites {
  const name = reader.name();
  reader.word('read version');
  const readsAt = reader.at;
  const reads = reader.word('read count');
  if (reads !== 0) throw bad(readsAt, `table ${quote(name)} records ${reads} reads, not 0`);

  const writes = new Map<string, Uint8Array>();
  for (let left = reader.count('write count', 16); left > 0; left -= 1) {
    const keyAt = reader.at;
    const key = reader.key();
    if (writes.has(key)) throw bad(keyAt, `a key of ${quote(name)} is written twice`);
    writes.set(key, reader.bytes('value'));
  }
  const removes = new Set<string>();
  for (let left = reader.count('remove count', 8); left > 0; left -= 1) {
    const keyAt = reader.at;
    const key = reader.key();
    if (removes.has(key)) throw bad(keyAt, `a key of ${quote(name)} is removed twice`);
    if (writes.has(key)) throw bad(keyAt, `a key of ${quote(name)} is written and removed`);
    removes.add(key);
  }
  return { name, writes, removes };
}

/** Walks lengths and fields; never reads beyond the end. */
class Reader {
  at = 0;
  private readonly source: Buffer;

  constructor(source: Buffer) {
    this.source = source;
  }

  done(): boolean {
    return this.at === this.source.length;
  }

  word(what: string): number {
    if (this.source.length - this.at < 8) throw bad(this.at, `${what} is cut off`);
    const value = readU64(this.source, this.at);
    this.at += 8;
    return value;
  }

  /** A number of items of at least `bytesEach`, so that a huge one is refused before a loop. */
  count(what: string, bytesEach: number): number {
    const start = this.at;
    const value = this.word(what);
    if (value * bytesEach > this.source.length - this.at) {
      throw bad(start, `${what} ${value} is more than the ${this.left()} bytes left can hold`);
    }
    return value;
  }

  name(): string {
    const start = this.at;
    const end = this.field('table name');
    const text = this.source.toString('latin1', this.at, end);
    const bytes = this.source.subarray(this.at, end);
    this.at = end;
    if (ASCII.test(text)) return text;
    try {
      return textOf(bytes);
    } catch (cause) {
      throw bad(start, `table name ${quote(text)} is not UTF-8`, cause);
    }
  }

  key(): string {
    const end = this.field('key');
    const text = this.source.toString('latin1', this.at, end);
    this.at = end;
    return text;
  }

  bytes(what: string): Uint8Array {
    const end = this.field(what);
    const value = this.source.subarray(this.at, end);
    this.at = end;
    return value;
  }

  private left(): number {
    return this.source.length - this.at;
  }

  /** Reads a length; the field itself lies between `at` and the offset given back. */
  private field(what: string): number {
    const start = this.at;
    const length = this.word(`${what} length`);
    if (length > this.left()) {
      throw bad(start, `${what} length ${length} is more than the ${this.left()} bytes left`);
    }
    return this.at + length;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the whole of ASCII is meant.
const ASCII = /^[\x00-\x7f]*$/;

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

function bad(offset: number, what: string, cause?: unknown): CodedError {
  return new CodedError(
    'BadWriteSet',
    `not a write set: ${what} (at byte ${offset} of the domain)`,
    { offset },
    { cause },
  );
}

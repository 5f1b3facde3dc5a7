/**
 * What holds of each entry by itself: its framing, its place, its write set (ledger-format.md §3 to
 * §5, §15.3).
 */
import { isCoded } from '../base/errors.ts';
import {
  FLAG_CHUNK_AFTER,
  FLAG_CHUNK_BEFORE,
  type MapWrites,
  type ParsedEntry,
  parseEntry,
} from '../ledger/entry.ts';
import { FaultError, type Reason, rule } from './fault.ts';

/** Which rule an entry breaks when this field cannot be parsed. */
const REASON_BY_FIELD: Readonly<Record<string, Reason>> = {
  header: 'ChunkTorn',
  version: 'EntryVersion',
  flags: 'EntryFlags',
  size: 'EntrySize',
  seqno: 'EntrySeqno',
  view: 'EntryView',
  publicLength: 'EntryPublicLength',
  type: 'EntryType',
  publicSeqno: 'EntryPublicSeqno',
  maxConflictVersion: 'EntryConflictVersion',
};

/** Runs a parser over bytes that lie at `fileOffset`; what it refuses becomes a fault. */
export function inEntry<T>(fileOffset: number, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    if (!isCoded(thrown, 'BadEntry')) throw thrown;
    const reason = REASON_BY_FIELD[String(thrown.fields.field)] ?? 'EntryType';
    const offset = fileOffset + Number(thrown.fields.offset);
    // The sentence counts from where the bytes begin; the place, in the file, is told beside it.
    const detail = thrown.message.replace('not an entry: ', '').replace(/ at byte \d+/, '');
    throw new FaultError(reason, detail, offset);
  }
}

/** Parses the entry at `at` of bytes that begin at `fileOffset` of their file. */
export function auditedEntry(bytes: Buffer, at: number, fileOffset: number): ParsedEntry {
  return inEntry(fileOffset, () => parseEntry(bytes, at));
}

/** Where the audit stands when an entry comes. */
export interface Position {
  /** The seqno that comes next. */
  readonly seqno: number;
  readonly view: number;
  readonly isFirstInChunk: boolean;
  /** The entry before, in the same chunk, said that the chunk ends. */
  readonly afterEnd: boolean;
}

/** Seqno, view, type and chunk flags. */
export function mustFitPlace(
  entry: ParsedEntry,
  position: Position,
  deprecated: boolean,
): void {
  const { seqno, view, type } = entry;
  rule(!entry.isSnapshot, 'EntrySnapshot', () => 'this one is one');
  rule(
    seqno === position.seqno,
    'EntrySeqno',
    () => `${seqno} stands where ${position.seqno} is due`,
  );
  rule(
    view >= 2 && view >= position.view,
    'EntryView',
    () => `${view} follows ${position.view}`,
  );
  rule(type === 4 || (deprecated && (type === 0 || type === 3)), 'EntryType', () => {
    const old = type < 4 ? ', of former releases (see --deprecated)' : '';
    return `its type is ${type}${old}`;
  });
  rule(
    !position.afterEnd,
    'FlagAfterInside',
    () => 'the one before has it, and this one follows',
  );
  const before = (entry.flags & FLAG_CHUNK_BEFORE) !== 0;
  rule(!before || position.isFirstInChunk, 'FlagBeforeInside', () => 'others stand before it');
}

/** A flag that ends a chunk belongs to a signature. */
export function mustEndWithSignature(entry: ParsedEntry, isSignature: boolean): void {
  const after = (entry.flags & FLAG_CHUNK_AFTER) !== 0;
  rule(!after || isSignature, 'FlagAfterUnsigned', () => 'this one is none');
}

/** The public tables, in their order and in the right domain. */
export function auditedPublicMaps(entry: ParsedEntry): readonly MapWrites[] {
  const maps = decoded('WriteSet', () => entry.publicMaps);
  mustBeInOrder(maps, 'MapOrder', 'KeyOrder');
  for (const { name } of maps) {
    rule(name.startsWith('public:'), 'MapDomain', () => `${quote(name)} is not public`);
    rule(!isReserved(name), 'MapReserved', () => `${quote(name)} is neither`);
  }
  const isEmpty = maps.length === 0 && entry.ciphertext.length === 0;
  rule(!isEmpty, 'EntryEmpty', () => 'this one has no tables');
  return maps;
}

/** The private tables, likewise. */
export function mustBePrivate(maps: readonly MapWrites[]): void {
  mustBeInOrder(maps, 'PrivateMapOrder', 'PrivateKeyOrder');
  for (const { name } of maps) {
    rule(!name.startsWith('public:'), 'PrivateMapDomain', () => `${quote(name)} is public`);
    rule(!isReserved(name), 'MapReserved', () => `${quote(name)} is neither`);
  }
}

/** Decodes a domain; what cannot be decoded is a fault. */
export function decoded<T>(reason: Reason, decode: () => T): T {
  try {
    return decode();
  } catch (thrown) {
    if (!isCoded(thrown, 'BadWriteSet')) throw thrown;
    throw new FaultError(reason, thrown.message);
  }
}

function mustBeInOrder(maps: readonly MapWrites[], ofMaps: Reason, ofKeys: Reason): void {
  let before: string | undefined;
  for (const { name, writes, removes } of maps) {
    const previous = before;
    rule(previous === undefined || inOrder(previous, name), ofMaps, () => {
      return `${quote(name)} follows ${quote(previous ?? '')}`;
    });
    before = name;
    rule(
      rising(writes.keys()) && rising(removes),
      ofKeys,
      () => `those of ${quote(name)} do not`,
    );
  }
}

/** Keys are binary text, whose order is byte order. */
function rising(keys: Iterable<string>): boolean {
  let before: string | undefined;
  for (const key of keys) {
    if (before !== undefined && key <= before) return false;
    before = key;
  }
  return true;
}

function inOrder(before: string, name: string): boolean {
  return Buffer.compare(Buffer.from(before), Buffer.from(name)) < 0;
}

function isReserved(name: string): boolean {
  const bare = name.startsWith('public:') ? name.slice('public:'.length) : name;
  if (!bare.startsWith('ccf.')) return false;
  return !bare.startsWith('ccf.internal.') && !bare.startsWith('ccf.gov.');
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}

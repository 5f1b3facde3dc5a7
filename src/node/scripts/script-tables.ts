/**
 * The tables as one script sees them: what it was shown with its own writes over it, behind the
 * access rules of governance.md §1.2. It notes what was read, so that whoever applies the writes
 * can tell whether they still rest on the truth.
 */
import { binaryTextOf, bytesOfBinaryText } from '../../base/bytes.ts';
import type {
  ScriptAccess,
  ScriptRead,
  ScriptTables,
  ScriptWrite,
} from '../../governance/scripts.ts';
import { isPublicName, tableCategory } from '../../kv/write-set.ts';

/** Tables that one call may touch, writes and bytes it may make: more is no act of governance. */
const TABLES_MAX = 1_000;
const WRITES_MAX = 100_000;
const WRITTEN_BYTES_MAX = 64 * 1024 * 1024;

interface OneTable {
  readonly rows: ReadonlyMap<string, Uint8Array>;
  readonly writes: Map<string, Uint8Array | undefined>;
  readonly read: Set<string>;
  allRead: boolean;
}

type Right = 'read' | 'write';

export class ScriptTableSet {
  readonly #access: ScriptAccess;
  readonly #load: ScriptTables;
  readonly #tables = new Map<string, OneTable>();
  #writes = 0;
  #bytes = 0;

  constructor(access: ScriptAccess, load: ScriptTables) {
    this.#access = access;
    this.#load = load;
  }

  get(name: string, key: Uint8Array): Uint8Array | undefined {
    const table = this.#table(name, 'read');
    const text = binaryTextOf(key);
    if (table.writes.has(text)) return table.writes.get(text);
    table.read.add(text);
    return table.rows.get(text);
  }

  keys(name: string): readonly Uint8Array[] {
    const table = this.#table(name, 'read');
    table.allRead = true;
    const keys = new Set(table.rows.keys());
    for (const [key, value] of table.writes) {
      if (value === undefined) keys.delete(key);
      else keys.add(key);
    }
    return [...keys].sort().map(bytesOfBinaryText);
  }

  put(name: string, key: Uint8Array, value: Uint8Array): void {
    this.#note(key.length + value.length);
    this.#table(name, 'write').writes.set(binaryTextOf(key), value);
  }

  remove(name: string, key: Uint8Array): void {
    this.#note(key.length);
    this.#table(name, 'write').writes.set(binaryTextOf(key), undefined);
  }

  clear(name: string): void {
    this.#table(name, 'write');
    for (const key of this.keys(name)) this.remove(name, key);
  }

  get reads(): readonly ScriptRead[] {
    const reads: ScriptRead[] = [];
    for (const [table, { read, allRead }] of this.#tables) {
      if (allRead) reads.push({ table, keys: 'all' });
      else if (read.size > 0) reads.push({ table, keys: [...read].map(bytesOfBinaryText) });
    }
    return reads;
  }

  get writes(): readonly ScriptWrite[] {
    const all: ScriptWrite[] = [];
    for (const [table, { writes }] of this.#tables) {
      for (const [text, value] of writes) {
        const key = bytesOfBinaryText(text);
        all.push(value === undefined ? { table, key } : { table, key, value });
      }
    }
    return all;
  }

  #note(bytes: number): void {
    this.#writes += 1;
    this.#bytes += bytes;
    if (this.#writes > WRITES_MAX || this.#bytes > WRITTEN_BYTES_MAX) {
      throw new RangeError('this script writes more than one transaction may');
    }
  }

  #table(name: string, right: Right): OneTable {
    if (!isAllowed(name, right, this.#access)) {
      const verb = right === 'read' ? 'read from' : 'write to';
      throw new TypeError(`Cannot ${verb} table ${name}: it is not for this script`);
    }
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    if (this.#tables.size >= TABLES_MAX) throw new RangeError('too many tables');
    const rows = isAllowed(name, 'read', this.#access) ? this.#load(name) : [];
    const table: OneTable = {
      rows: new Map(rows.map(({ key, value }) => [binaryTextOf(key), value])),
      writes: new Map(),
      read: new Set(),
      allRead: false,
    };
    this.#tables.set(name, table);
    return table;
  }
}

function isAllowed(name: string, right: Right, access: ScriptAccess): boolean {
  if (access === 'none' || !isPublicName(name)) return false;
  switch (tableCategory(name)) {
    case 'governance':
      return right === 'read' || access === 'apply';
    case 'internal':
      return right === 'read';
    case 'application':
      return right === 'write' && access === 'apply';
    case 'reserved':
      return false;
  }
}

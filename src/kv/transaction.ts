/**
 * A transaction on the newest state: reads see that state and the transaction's own writes; what it
 * wrote becomes a write set. One thread runs one transaction at a time, so nothing can change under
 * it and it cannot conflict.
 */
import { invariant } from '../base/assert.ts';
import { binaryTextOf } from '../base/bytes.ts';
import type { Seqno } from '../base/ids.ts';
import { encodeRelabelled, encodeReplacing, encodeStored } from './archived-value.ts';
import { pageOf, type Store, startOf } from './store.ts';
import type {
  Archive,
  ArchiveRow,
  PageRequest,
  ReadTable,
  Row,
  Table,
  Transaction,
} from './tables.ts';
import { type MapWrites, tableCategory } from './write-set.ts';

const NO_CLAIMS: Uint8Array = new Uint8Array(32);

/** Who writes: an application may not touch the tables of governance and of the ledger itself. */
export type TransactionScope = 'application' | 'service';

class OwnWrites {
  readonly writes = new Map<string, Uint8Array>();
  readonly removes = new Set<string>();

  put(key: string, value: Uint8Array): void {
    this.removes.delete(key);
    this.writes.set(key, value);
  }

  remove(key: string): void {
    this.writes.delete(key);
    this.removes.add(key);
  }
}

export class StoreTransaction implements Transaction {
  readonly #store: Store;
  readonly #scope: TransactionScope;
  readonly #own = new Map<string, OwnWrites>();
  #claimsDigest = NO_CLAIMS;

  constructor(store: Store, scope: TransactionScope) {
    this.#store = store;
    this.#scope = scope;
  }

  table(name: string): Table {
    invariant(!this.#store.isArchived(name), `${name} is an archived table`);
    return new TransactionTable(this.#store.readTable(name, 'current'), name, this);
  }

  archive(name: string): Archive {
    const read = this.#store.readArchive(name, 'current');
    return {
      find: (key) => read.find(key),
      get size() {
        return read.size;
      },
      horizonOf: (label) => read.horizonOf(label),
      stretch: (wants, from) => read.stretch(wants, from),
      store: (key, label, value, keep) => {
        this.#archivedOnce(name, key, encodeStored(label, value, keep));
      },
      replace: (key, row, label, value) => {
        this.#archivedOnce(name, key, encodeReplacing(row.seqno, label, value));
      },
      relabel: (key: Uint8Array, row: ArchiveRow, label: Uint8Array) => {
        this.#archivedOnce(name, key, encodeRelabelled(row.seqno, label));
      },
    };
  }

  /** A write set has one row for a key: a second change would take the first one's place. */
  #archivedOnce(name: string, key: Uint8Array, value: Uint8Array): void {
    const own = this.ownFor(name);
    const text = binaryTextOf(key);
    invariant(!own.writes.has(text), `a key of ${name} changes once in a transaction`);
    own.put(text, value);
  }

  setClaimsDigest(digest: Uint8Array): void {
    invariant(digest.length === 32, 'a claims digest has 32 bytes');
    this.#claimsDigest = digest;
  }

  get claimsDigest(): Uint8Array {
    return this.#claimsDigest;
  }

  /** What was written, table by table; empty for a transaction that only read. */
  writeSet(): readonly MapWrites[] {
    const maps: MapWrites[] = [];
    for (const [name, own] of this.#own) {
      if (own.writes.size + own.removes.size > 0) {
        maps.push({ name, writes: own.writes, removes: own.removes });
      }
    }
    return maps;
  }

  /** Own writes to a table, or undefined; for its reader. */
  ownIn(name: string): OwnWrites | undefined {
    return this.#own.get(name);
  }

  /** Own writes to a table that is about to be written. */
  ownFor(name: string): OwnWrites {
    let own = this.#own.get(name);
    if (own === undefined) {
      const category = tableCategory(name);
      invariant(
        category === 'application' || (this.#scope === 'service' && category !== 'reserved'),
        `an ${this.#scope} transaction may write ${name}`,
      );
      own = new OwnWrites();
      this.#own.set(name, own);
    }
    return own;
  }
}

class TransactionTable implements Table {
  readonly #base: ReadTable;
  readonly #name: string;
  readonly #transaction: StoreTransaction;

  constructor(base: ReadTable, name: string, transaction: StoreTransaction) {
    this.#base = base;
    this.#name = name;
    this.#transaction = transaction;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const own = this.#transaction.ownIn(this.#name);
    if (own !== undefined) {
      const text = binaryTextOf(key);
      if (own.removes.has(text)) return undefined;
      const value = own.writes.get(text);
      if (value !== undefined) return value;
    }
    return this.#base.get(key);
  }

  has(key: Uint8Array): boolean {
    return this.get(key) !== undefined;
  }

  versionOf(key: Uint8Array): Seqno | undefined {
    const own = this.#transaction.ownIn(this.#name);
    const text = binaryTextOf(key);
    if (own?.writes.has(text) || own?.removes.has(text)) return undefined;
    return this.#base.versionOf(key);
  }

  get size(): number {
    const own = this.#transaction.ownIn(this.#name);
    let size = this.#base.size;
    if (own === undefined) return size;
    for (const key of own.writes.keys()) {
      if (!this.#base.has(Buffer.from(key, 'latin1'))) size += 1;
    }
    for (const key of own.removes) {
      if (this.#base.has(Buffer.from(key, 'latin1'))) size -= 1;
    }
    return size;
  }

  page(request: PageRequest = {}): readonly Row[] {
    const own = this.#transaction.ownIn(this.#name);
    if (own === undefined) return this.#base.page(request);
    return pageOf(this.#merged(own, request), request);
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#transaction.ownFor(this.#name).put(binaryTextOf(key), value);
  }

  remove(key: Uint8Array): void {
    this.#transaction.ownFor(this.#name).remove(binaryTextOf(key));
  }

  /** Rows of the base with the own writes laid over them, in key order. */
  *#merged(
    own: OwnWrites,
    request: PageRequest,
  ): Generator<readonly [string, Uint8Array], void, void> {
    const start = startOf(request);
    const mine = [...own.writes].filter(([key]) => key >= start).sort(byKey);
    let next = 0;
    let after: Uint8Array | undefined = request.after;
    for (;;) {
      const rows = this.#base.page({ ...request, ...(after === undefined ? {} : { after }) });
      for (const row of rows) {
        const key = binaryTextOf(row.key);
        for (let own = mine[next]; own !== undefined && own[0] < key; own = mine[next]) {
          yield own;
          next += 1;
        }
        if (!own.removes.has(key) && !own.writes.has(key)) yield [key, row.value];
      }
      const last = rows.at(-1);
      if (last === undefined) break;
      after = last.key;
    }
    yield* mine.slice(next);
  }
}

function byKey(left: readonly [string, unknown], right: readonly [string, unknown]): number {
  return left[0] < right[0] ? -1 : left[0] > right[0] ? 1 : 0;
}

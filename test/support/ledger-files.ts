// A ledger folder in memory, to be changed in one place and written somewhere else.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeMaps } from '../../src/kv/write-set.ts';
import { layoutOf } from '../../src/ledger/chunk.ts';
import { type MapWrites, parseEntry } from '../../src/ledger/entry.ts';
import { SINGLETON_KEY } from '../../src/ledger/signature.ts';
import { chunkBytes } from './ledger-writer.ts';

export class LedgerFiles {
  readonly files: Map<string, Buffer>;

  constructor(files: ReadonlyMap<string, Buffer>) {
    this.files = new Map([...files].map(([name, bytes]) => [name, Buffer.from(bytes)]));
  }

  static read(folder: string): LedgerFiles {
    const names = readdirSync(folder);
    return new LedgerFiles(
      new Map(names.map((name) => [name, readFileSync(join(folder, name))])),
    );
  }

  copy(): LedgerFiles {
    return new LedgerFiles(this.files);
  }

  write(folder: string): string {
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of this.files) writeFileSync(join(folder, name), bytes);
    return folder;
  }

  file(name: string): Buffer {
    const bytes = this.files.get(name);
    if (bytes === undefined) throw new Error(`there is no ${name}`);
    return bytes;
  }

  rename(from: string, to: string): void {
    const bytes = this.file(from);
    this.files.delete(from);
    this.files.set(to, bytes);
  }

  /** The chunk that holds an entry, and where in it the entry lies. */
  locate(seqno: number): {
    readonly name: string;
    readonly index: number;
    readonly offset: number;
  } {
    for (const [name, bytes] of this.files) {
      const start = Number(/^ledger_(\d+)/.exec(name)?.[1]);
      const { positions } = layoutOf(bytes);
      const offset = positions[seqno - start];
      if (seqno >= start && offset !== undefined) return { name, index: seqno - start, offset };
    }
    throw new Error(`there is no entry ${seqno}`);
  }

  /** The bytes of an entry, to be changed where they lie. */
  entry(seqno: number): Buffer {
    const { name, offset } = this.locate(seqno);
    const bytes = this.file(name);
    return bytes.subarray(offset, offset + 8 + bytes.readUIntLE(offset + 2, 6));
  }

  /** Replaces bytes of an entry by as many others. */
  replace(seqno: number, from: string, to: string): void {
    const entry = this.entry(seqno);
    const at = entry.indexOf(from, 0, 'latin1');
    if (at < 0 || from.length !== to.length) throw new Error(`no ${from} in entry ${seqno}`);
    entry.write(to, at, 'latin1');
  }

  /** Makes a chunk of other entries. */
  rebuild(name: string, change: (entries: Buffer[]) => Buffer[]): void {
    const bytes = this.file(name);
    const { positions, end, complete } = layoutOf(bytes);
    const entries = positions.map((at, i) =>
      Buffer.from(bytes.subarray(at, positions[i + 1] ?? end)),
    );
    this.files.set(name, chunkBytes(change(entries), complete));
  }

  /** Gives an entry other public tables; its seal and its digest no longer fit. */
  remap(seqno: number, change: (maps: MapWrites[]) => Uint8Array): void {
    const { name, index } = this.locate(seqno);
    this.rebuild(name, (entries) =>
      entries.map((entry, i) => {
        if (i !== index) return entry;
        const parsed = parseEntry(entry);
        const head = Buffer.from(entry.subarray(0, 44 + parsed.mapsAt));
        const maps = change([...parsed.publicMaps]);
        const whole = Buffer.concat([head, maps, parsed.ciphertext]);
        whole.writeUIntLE(whole.length - 8, 2, 6);
        whole.writeUInt32LE(parsed.mapsAt + maps.length, 36);
        return whole;
      }),
    );
  }

  /** Changes the one row of a table. */
  rerow(seqno: number, table: string, change: (value: string) => string): void {
    this.remap(seqno, (maps) =>
      encodeMaps(
        maps.map((map) => {
          const value = map.writes.get(SINGLETON_KEY);
          if (map.name !== table || value === undefined) return map;
          const changed = Buffer.from(change(Buffer.from(value).toString('latin1')), 'latin1');
          return { ...map, writes: new Map([[SINGLETON_KEY, changed]]) };
        }),
      ),
    );
  }

  /** Changes a field of a JSON row. */
  refield(
    seqno: number,
    table: string,
    change: (row: Record<string, unknown>) => unknown,
  ): void {
    this.rerow(seqno, table, (value) => {
      const row = JSON.parse(value);
      change(row);
      return JSON.stringify(row);
    });
  }

  /** Changes the COSE signature of a signature transaction. */
  recose(seqno: number, change: (bytes: Buffer) => Uint8Array | undefined): void {
    this.rerow(seqno, 'public:ccf.internal.cose_signatures', (value) => {
      const bytes = Buffer.from(JSON.parse(value), 'base64');
      const changed = change(bytes) ?? bytes;
      return JSON.stringify(Buffer.from(changed).toString('base64'));
    });
  }
}

// What a node's ledger holds in the end, for the judge of histories: each register's rows and each
// payload, read from the chunk files without a node, by somebody who has its secrets.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodePayload, openRecord } from '../../src/apps/quorum/payload-record.ts';
import { PAYLOADS } from '../../src/apps/quorum/tables.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { decodeArchivedValue } from '../../src/kv/archived-value.ts';
import { CHUNK_HEADER_BYTES, layoutOf } from '../../src/ledger/chunk.ts';
import {
  type MapWrites,
  openEntry,
  type ParsedEntry,
  parseEntry,
} from '../../src/ledger/entry.ts';
import { type LedgerSecret, ledgerSecretOf } from '../../src/ledger/secret.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import type { Row } from './history.ts';
import { nameOf } from './payload-client.ts';

const REGISTERS: Readonly<Record<string, string>> = {
  records: 'private',
  'public:records': 'public',
};

interface Secret {
  readonly from: number;
  readonly view: number;
  readonly key: LedgerSecret;
}

/**
 * The rows of the first node's ledger up to a seqno, in order. All nodes of the service are named,
 * and none may run: a node seals the secrets that it made, and reads others' from the ledger.
 */
export async function rowsOf(
  nodeFolders: readonly string[],
  upTo: number,
): Promise<readonly Row[]> {
  const found: Row[] = [];
  for await (const { tx, maps } of transactionsOf(nodeFolders, upTo)) {
    for (const map of maps) found.push(...rowsIn(map, tx));
  }
  return found;
}

export interface StoredPayload {
  /** Base64, as Quorum nodes know it. */
  readonly key: string;
  readonly payload: Buffer;
  readonly tx: string;
}

/** Every payload that the first node's ledger holds, as often as it holds it; see above. */
export async function payloadsOf(
  nodeFolders: readonly string[],
): Promise<readonly StoredPayload[]> {
  const found: StoredPayload[] = [];
  for await (const { tx, maps } of transactionsOf(nodeFolders, Number.MAX_SAFE_INTEGER)) {
    for (const map of maps) found.push(...payloadsIn(map, tx));
  }
  return found;
}

interface Transaction {
  readonly tx: string;
  readonly maps: readonly MapWrites[];
}

async function* transactionsOf(
  nodeFolders: readonly string[],
  upTo: number,
): AsyncGenerator<Transaction, void, void> {
  const secrets = (await Promise.all(nodeFolders.map((folder) => secretsOf(folder)))).flat();
  for (const path of await chunksOf(join(nodeFolders[0] ?? '', 'ledger'))) {
    const bytes = await readFile(path);
    // A kill may come between the making of a chunk's file and the first write to it.
    if (bytes.length < CHUNK_HEADER_BYTES) continue;
    for (const position of layoutOf(bytes).positions) {
      const entry = parseEntry(bytes, position);
      if (entry.seqno > upTo) return;
      const maps = [...entry.publicMaps, ...privateMaps(entry, secrets)];
      yield { tx: `${entry.view}.${entry.seqno}`, maps };
    }
  }
}

/** Paths of the chunk files of a folder, oldest first. */
export async function chunksOf(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder);
  const firstOf = (name: string): number => Number(/^ledger_(\d+)/.exec(name)?.[1] ?? 0);
  return names
    .filter((name) => /^ledger_\d+(-\d+)?(\.committed)?$/.test(name))
    .sort((left, right) => firstOf(left) - firstOf(right))
    .map((name) => join(folder, name));
}

async function secretsOf(nodeFolder: string): Promise<readonly Secret[]> {
  const folder = join(nodeFolder, 'sealed');
  const sealer = await virtualSealer(durableDisk, folder, systemRandom);
  const secrets = await new SealedFolder(durableDisk, folder, sealer).ledgerSecrets();
  return secrets.map(({ from, view, bytes }) => ({ from, view, key: ledgerSecretOf(bytes) }));
}

/** Nodes keep secrets that no history used, too; an entry opens with one alone. */
function privateMaps(entry: ParsedEntry, secrets: readonly Secret[]): readonly MapWrites[] {
  let refusal: unknown = new Error(`no ledger secret applies to entry ${entry.seqno}`);
  for (const { from, view, key } of secrets.toReversed()) {
    if (from > entry.seqno || view > entry.view) continue;
    try {
      return openEntry(entry, key);
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}

function rowsIn(map: MapWrites, tx: string): readonly Row[] {
  const table = REGISTERS[map.name];
  if (table !== undefined) {
    return [...map.writes].map(([id, message]) => ({
      type: 'applied',
      key: `${table}/${id}`,
      value: JSON.parse(Buffer.from(message).toString()) as string,
      tx,
    }));
  }
  return payloadsIn(map, tx).map(
    ({ key, payload }): Row => ({ type: 'stored', key, value: nameOf(payload), tx }),
  );
}

function payloadsIn(map: MapWrites, tx: string): readonly StoredPayload[] {
  if (map.name !== PAYLOADS) return [];
  return [...map.writes].flatMap(([binary, value]) => {
    const key = Buffer.from(binary, 'latin1');
    const stored = decodeArchivedValue(value);
    // What only names other parties for a payload that is there already stores none.
    if (stored.kind !== 'store') return [];
    const payload = Buffer.from(openRecord(decodePayload(key, stored.value)));
    return [{ key: key.toString('base64'), payload, tx }];
  });
}

/**
 * Archived values, read back from the ledger. What comes from the disk counts only if its leaf
 * digest is the one this node's Merkle tree was built from, and if its seal opens.
 */
import { CodedError } from '../base/errors.ts';
import type { Seqno } from '../base/ids.ts';
import { archivedValueIn } from '../kv/archived-value.ts';
import type { ArchiveLookup } from '../kv/tables.ts';
import { isPublicName, type MapWrites } from '../kv/write-set.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import { openEntry, type ParsedEntry, parseEntry } from '../ledger/entry.ts';
import type { LeafIndex } from '../ledger/leaf-index.ts';
import type { SecretHistory } from '../ledger/secret-history.ts';

export class ArchiveReader {
  readonly #chunks: ChunkStore;
  readonly #leaves: LeafIndex;
  readonly #secrets: SecretHistory;

  constructor(chunks: ChunkStore, leaves: LeafIndex, secrets: SecretHistory) {
    this.#chunks = chunks;
    this.#leaves = leaves;
    this.#secrets = secrets;
  }

  /** The entry at `seqno`, shown to belong to this history. Rejects with `LedgerUnreadable`. */
  async entry(seqno: Seqno): Promise<ParsedEntry> {
    const bytes = await this.#chunks.read(seqno);
    let entry: ParsedEntry;
    try {
      entry = parseEntry(bytes);
    } catch (cause) {
      throw damaged(seqno, 'its bytes are no entry', cause);
    }
    if (entry.seqno !== seqno || !this.#leaves.matches(seqno, entry.leaf())) {
      throw damaged(seqno, 'its bytes are not those that were committed', undefined);
    }
    return entry;
  }

  /** The private part of an entry's write set. */
  open(entry: ParsedEntry): readonly MapWrites[] {
    const seqno = entry.seqno as Seqno;
    const secret = this.#secrets.at(seqno);
    if (secret === undefined)
      throw damaged(seqno, 'its ledger secret is not known here', undefined);
    return openEntry(entry, secret);
  }

  /** The value that a lookup finds; undefined when the entry holds another key. */
  async value(lookup: ArchiveLookup): Promise<Uint8Array | undefined> {
    const entry = await this.entry(lookup.row.seqno);
    const maps = isPublicName(lookup.table) ? entry.publicMaps : this.open(entry);
    const map = maps.find((each) => each.name === lookup.table);
    return map === undefined ? undefined : archivedValueIn(map, lookup.key);
  }
}

function damaged(seqno: Seqno, why: string, cause: unknown): CodedError {
  return new CodedError(
    'LedgerUnreadable',
    `entry ${seqno} cannot be read from the ledger: ${why}`,
    { seqno, status: 503 },
    cause === undefined ? {} : { cause },
  );
}

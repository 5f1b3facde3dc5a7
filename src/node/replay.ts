/**
 * Reading a node's own ledger back at a restart (design decision 11).
 *
 * Every entry is hashed into the Merkle tree and every signature's root compared with it; entries
 * after the checkpoint are opened and applied. What a chunk's name or a checkpoint shows to be
 * committed is committed; later signatures wait for what the other nodes say. What follows the last
 * signature can be no ground of a vote or a commit and is cut; what cannot be understood before it
 * means damage, and then nothing is changed at all.
 */
import { invariant } from '../base/assert.ts';
import { equalBytes, hexOf, NO_BYTES } from '../base/bytes.ts';
import type { Disk } from '../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { type Seqno, seqnoAfter, seqnoOf, type TxId, viewOf } from '../base/ids.ts';
import { writeU64 } from '../base/words.ts';
import type { Entry } from '../consensus/messages.ts';
import { Store } from '../kv/store.ts';
import { detachedWrites, type MapWrites } from '../kv/write-set.ts';
import { CHUNK_HEADER_BYTES, encodePositions } from '../ledger/chunk.ts';
import type { ClosedChunk, OpenChunk } from '../ledger/chunk-store.ts';
import { FLAG_CHUNK_AFTER, openEntry, type ParsedEntry, parseEntry } from '../ledger/entry.ts';
import { LeafIndex } from '../ledger/leaf-index.ts';
import { MerkleTree } from '../ledger/merkle.ts';
import { type LedgerSecret, ledgerSecretOf } from '../ledger/secret.ts';
import { SecretHistory } from '../ledger/secret-history.ts';
import { parseSignature, type ReadSignature } from '../ledger/signature.ts';
import { ViewHistory } from '../ledger/view-history.ts';
import type { ScannedChunk } from './ledger-scan.ts';
import { LedgerState } from './ledger-state.ts';
import { factsOf, nodesAfter, nodesIn } from './membership.ts';
import type { SecretPool } from './secret-pool.ts';
import { damageIn, isBeginning } from './torn-tail.ts';

export interface ReplayRequest {
  readonly disk: Disk;
  readonly folder: string;
  readonly chunks: readonly ScannedChunk[];
  readonly archivedTables: readonly string[];
  /** The ledger secrets this node knows; which of them were used shows in the ledger. */
  readonly secrets: SecretPool;
  /** State to start from, once the ledger has been shown to lead to it. */
  readonly checkpoint?: {
    readonly seqno: Seqno;
    /**
     * Fills the store, if its state is the one at `root` (hexadecimal, over all leaves up to and
     * with that of `seqno`); false if it is not, or cannot be had. `secret` is the one that the
     * ledger shows to be in use at `seqno`.
     */
    readonly load: (
      store: Store,
      root: string,
      secret: LedgerSecret | undefined,
    ) => Promise<boolean>;
  };
  /** Leaves private tables out: their secrets are not known yet. */
  readonly publicOnly?: boolean;
  /** A signature up to which this node knows everything to be committed. */
  readonly committed?: Seqno;
  readonly onProgress?: (entries: number, bytes: number) => void;
}

/** What was after the last signature. */
export interface Tail {
  /** The file that holds it, and from where on. */
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  /** Whole entries in it, none of them acknowledged. */
  readonly entries: number;
}

export interface Replayed {
  readonly state: LedgerState;
  /** What consensus must know of the entries that are not known to be committed. */
  readonly uncommitted: readonly Entry[];
  /** The last signature, to which everything was rolled back; undefined if there is none. */
  readonly lastSigned: TxId | undefined;
  readonly lastSignature: ReadSignature | undefined;
  /** The root that it signs. */
  readonly lastRoot: Uint8Array | undefined;
  readonly closed: readonly ClosedChunk[];
  /** Complete chunks whose last entry is not known to be committed. */
  readonly complete: readonly OpenChunk[];
  /** The chunk to continue, and whether its last entry asks for it to be closed. */
  readonly open: OpenChunk | undefined;
  readonly openMustClose: boolean;
  readonly tail: Tail | undefined;
  readonly bytes: number;
}

/** The checkpoint does not belong to this ledger: replay again without it. */
class CheckpointMismatch extends Error {}

/** Replays a ledger. Throws `LedgerDamaged` with file, offset and reason; changes nothing. */
export async function replay(request: ReplayRequest): Promise<Replayed> {
  try {
    return await new Replay(request).run();
  } catch (error) {
    if (!(error instanceof CheckpointMismatch)) throw error;
    const { checkpoint: _ignored, ...without } = request;
    return await new Replay(without).run();
  }
}

interface Place {
  readonly chunk: ScannedChunk;
  readonly offset: number;
}

/** An entry that belongs here, with its private part once that is looked at. */
interface SoundEntry {
  readonly entry: ParsedEntry;
  readonly privateMaps: readonly MapWrites[] | undefined;
}

/** What is to become of a chunk that has no end in its name. */
interface OpenEnd {
  readonly open: OpenChunk | undefined;
  readonly openMustClose: boolean;
  readonly tail: Tail | undefined;
}

class Replay {
  readonly #request: ReplayRequest;
  readonly #state: LedgerState;
  /** Up to here all is known to be committed. */
  readonly #committed: number;
  readonly #uncommitted: Entry[] = [];
  #applying: boolean;
  #lastSigned: TxId | undefined;
  #lastSignature: ReadSignature | undefined;
  #lastRoot: Uint8Array | undefined;
  /** Positions of the chunk being read, and of the last signature in it. */
  #positions: number[] = [];
  #signedEnd = 0;
  #signedCount = 0;
  #signedFlags = 0;
  #bytes = 0;
  readonly #closed: ClosedChunk[] = [];
  readonly #complete: OpenChunk[] = [];

  constructor(request: ReplayRequest) {
    this.#request = request;
    this.#state = new LedgerState({
      store: new Store(request.archivedTables),
      tree: new MerkleTree(),
      leaves: new LeafIndex(),
      views: new ViewHistory(),
      secrets: new SecretHistory(),
    });
    this.#committed = Math.max(
      request.checkpoint?.seqno ?? 0,
      request.committed ?? 0,
      ...request.chunks.map(({ end }) => end ?? 0),
    );
    this.#applying = request.checkpoint === undefined;
  }

  get #newest(): Seqno {
    return this.#state.newest;
  }

  async run(): Promise<Replayed> {
    let last: OpenEnd = { open: undefined, openMustClose: false, tail: undefined };
    for (const [at, chunk] of this.#request.chunks.entries()) {
      const openEnd = await this.#readChunk(chunk);
      if (openEnd === undefined) continue;
      if (at + 1 < this.#request.chunks.length) {
        throw damaged({ chunk, offset: 0 }, 'it is unfinished, yet another chunk follows it');
      }
      last = openEnd;
    }
    if (!this.#applying) throw new CheckpointMismatch();
    this.#rollBack();
    return {
      state: this.#state,
      uncommitted: this.#uncommitted,
      lastSigned: this.#lastSigned,
      lastSignature: this.#lastSignature,
      lastRoot: this.#lastRoot,
      closed: this.#closed,
      complete: this.#complete,
      ...last,
      bytes: this.#bytes,
    };
  }

  /** Reads one file; undefined for a complete chunk. */
  async #readChunk(chunk: ScannedChunk): Promise<OpenEnd | undefined> {
    const bytes = await this.#load(chunk.name);
    const isClosed = chunk.end !== undefined;
    const end = isClosed ? chunk.word : bytes.length;
    this.#positions = [];
    this.#signedEnd = CHUNK_HEADER_BYTES;
    this.#signedCount = 0;
    this.#signedFlags = 0;
    let offset = CHUNK_HEADER_BYTES;
    while (offset < end) {
      const place: Place = { chunk, offset };
      const sound = this.#soundEntry(bytes.subarray(0, end), place, isClosed);
      if (sound === undefined) break;
      const { entry } = sound;
      await this.#take(sound, place);
      this.#positions.push(offset);
      offset += entry.bytes.length;
      if (this.#lastSigned?.seqno === entry.seqno) this.#noteSigned(offset, entry.flags);
    }
    this.#bytes += offset;
    this.#request.onProgress?.(this.#newest, this.#bytes);
    if (isClosed) {
      this.#checkClosed(chunk, bytes);
      return undefined;
    }
    return this.#openEnd(chunk, bytes);
  }

  #noteSigned(end: number, flags: number): void {
    this.#signedEnd = end;
    this.#signedCount = this.#positions.length;
    this.#signedFlags = flags;
  }

  #checkClosed(chunk: ScannedChunk, bytes: Buffer): void {
    const last = this.#newest;
    const place = { chunk, offset: chunk.word };
    if (last !== chunk.end) {
      throw damaged(place, `it ends at entry ${last}, but its name says ${chunk.end}`);
    }
    if (this.#lastSigned?.seqno !== last) {
      throw damaged(place, 'a closed chunk ends with a signature, and this one does not');
    }
    if (!bytes.subarray(chunk.word).equals(encodePositions(this.#positions))) {
      throw damaged(place, 'its table does not say where its entries are');
    }
    this.#closed.push({ name: chunk.name, start: chunk.start, end: last });
  }

  #openEnd(chunk: ScannedChunk, bytes: Buffer): OpenEnd | undefined {
    const kept = this.#positions.slice(0, this.#signedCount);
    const openMustClose = (this.#signedFlags & FLAG_CHUNK_AFTER) !== 0;
    if (chunk.word !== 0 && this.#isComplete(chunk, bytes)) {
      const { name, start } = chunk;
      const end = this.#newest;
      if (end <= this.#committed) this.#closed.push({ name, start, end });
      else this.#complete.push({ name, start, positions: kept, length: this.#signedEnd });
      return undefined;
    }
    if (kept.length === 0) {
      // Nothing in it counts, so it makes way for a chunk of the same name: even an empty file.
      const entries = this.#positions.length;
      const tail = { file: chunk.name, offset: 0, bytes: bytes.length, entries };
      return { open: undefined, openMustClose: false, tail };
    }
    const { name, start } = chunk;
    const open = { name, start, positions: kept, length: this.#signedEnd };
    const left = bytes.length - this.#signedEnd;
    const entries = this.#positions.length - kept.length;
    const tail =
      left === 0 ? undefined : { file: name, offset: this.#signedEnd, bytes: left, entries };
    return { open, openMustClose, tail };
  }

  /**
   * Whether a chunk whose first word is set has its table where the word says; false if the crash
   * came while the word was written, so that it must be written again.
   */
  #isComplete(chunk: ScannedChunk, bytes: Buffer): boolean {
    const hasTable =
      (this.#signedFlags & FLAG_CHUNK_AFTER) !== 0 &&
      this.#positions.length === this.#signedCount &&
      bytes.subarray(this.#signedEnd).equals(encodePositions(this.#positions));
    if (hasTable && chunk.word === this.#signedEnd) return true;
    const word = Buffer.alloc(CHUNK_HEADER_BYTES);
    writeU64(word, this.#signedEnd, 0);
    if (hasTable && isBeginning(bytes.subarray(0, CHUNK_HEADER_BYTES), word)) return false;
    throw damaged(
      { chunk, offset: 0 },
      `its first word says that its table is at byte ${chunk.word}, but its signed entries end ` +
        `at ${this.#signedEnd}`,
    );
  }

  /** The entry at a place, or undefined where an open chunk's torn tail begins. */
  #soundEntry(bytes: Buffer, place: Place, isClosed: boolean): SoundEntry | undefined {
    const { offset } = place;
    const expected = seqnoAfter(this.#newest);
    let why: string;
    try {
      const entry = parseEntry(bytes, offset);
      if (entry.seqno === expected && entry.view >= this.#state.views.lastView) {
        if (this.#request.publicOnly === true) return { entry, privateMaps: [] };
        const secret = this.#secretOf(entry);
        return { entry, privateMaps: this.#applying ? openEntry(entry, secret) : undefined };
      }
      why = `it holds entry ${entry.view}.${entry.seqno} where ${expected} comes next`;
    } catch (error) {
      if (!isCoded(error) || error.code === 'NotSealed') throw error;
      why = messageOf(error);
    }
    if (isClosed) throw damaged(place, why);
    const signedTo = this.#positions.length === this.#signedCount && this.#signedCount > 0;
    const mustClose = signedTo && (this.#signedFlags & FLAG_CHUNK_AFTER) !== 0;
    const damage = damageIn({
      bytes,
      offset,
      expected,
      secrets: (seqno) =>
        this.#request.secrets.all
          .filter(({ from }) => from <= seqno)
          .map((secret) => ledgerSecretOf(secret.bytes)),
      table: mustClose ? encodePositions(this.#positions) : undefined,
    });
    if (damage !== undefined) throw damaged(place, `${why}; ${damage}`);
    return undefined;
  }

  /** The secret that seals an entry: one made for just this place, or the one before. */
  #secretOf(entry: ParsedEntry): LedgerSecret {
    const { secrets } = this.#request;
    const own = secrets.beginningWith(entry);
    if (own !== undefined) return ledgerSecretOf(own.bytes);
    const secret = this.#state.secrets.at(seqnoOf(entry.seqno));
    if (secret !== undefined) return secret;
    if (secrets.all.some(({ from }) => from === entry.seqno)) {
      throw new CodedError(
        'SealBroken',
        `no secret was made for entry ${entry.view}.${entry.seqno}`,
      );
    }
    throw new CodedError(
      'NotSealed',
      `the ledger secret of entry ${entry.view}.${entry.seqno} is not among the sealed ones. ` +
        'Restore the sealed files, or join as a new node',
      { seqno: entry.seqno },
    );
  }

  async #take({ entry, privateMaps }: SoundEntry, place: Place): Promise<void> {
    const [view, seqno] = [viewOf(entry.view), seqnoOf(entry.seqno)];
    const { store, secrets } = this.#state;
    const own = this.#request.secrets.madeFor(view, seqno);
    if (own !== undefined) secrets.add(own);
    const isSignature = this.#within(place, () => entry.isSignature());
    const isOpen = seqno > this.#committed;
    let maps: readonly MapWrites[] = [];
    if (isSignature) {
      maps = this.#within(place, () => entry.publicMaps.map(detachedWrites));
      this.#checkSignature(entry, place, maps);
    }
    const leaf = this.#within(place, () => entry.leaf());
    if (privateMaps !== undefined) {
      if (!isSignature) {
        const all = this.#within(place, () => [...entry.publicMaps, ...privateMaps]);
        maps = all.map(detachedWrites);
      }
      store.apply(seqno, isSignature ? [] : maps);
    }
    const before = this.#state.nodes;
    const nodes = isOpen && !isSignature ? nodesAfter(before, maps) : before;
    const isDual = this.#lastSignature?.cose !== undefined;
    this.#state.append({
      ...{ seqno, view, leaf, flags: entry.flags, byteLength: entry.bytes.length },
      ...(isSignature ? { signature: { maps, isDual } } : {}),
      ...(nodes === before ? {} : { nodes }),
    });
    if (isOpen) this.#uncommitted.push(factsOf({ view, seqno, isSignature }, before, nodes));
    else if (isSignature) await this.#settle(seqno, place);
  }

  /** A signature that is known to be committed. */
  async #settle(seqno: Seqno, place: Place): Promise<void> {
    const state = this.#state;
    if (this.#applying) state.commit(seqno, () => undefined);
    else {
      state.pass(seqno);
      await this.#meetCheckpoint(seqno, place);
    }
    if (seqno === this.#committed) state.setCommittedNodes(nodesIn(state.store.committedView));
  }

  #checkSignature(entry: ParsedEntry, place: Place, maps: readonly MapWrites[]): void {
    const signature = this.#within(place, () => parseSignature(maps));
    invariant(signature !== undefined, 'an entry that begins like a signature is read as one');
    const { raw, tree } = signature;
    const root = this.#state.tree.root();
    const signed = this.#within(place, () =>
      raw !== undefined || tree === undefined ? raw?.root : MerkleTree.deserialise(tree).root(),
    );
    if (signed === undefined || !equalBytes(signed, root)) {
      throw damaged(
        place,
        `signature ${entry.view}.${entry.seqno} signs root ${hexOf(signed ?? NO_BYTES)}, but the ` +
          `entries before it have root ${hexOf(root)}`,
      );
    }
    if (raw !== undefined && (raw.seqno !== entry.seqno || raw.view !== entry.view)) {
      const says = `${raw.view}.${raw.seqno}`;
      throw damaged(place, `signature ${entry.view}.${entry.seqno} says it is ${says}`);
    }
    this.#lastSignature = signature;
    this.#lastRoot = root;
    this.#lastSigned = { view: viewOf(entry.view), seqno: seqnoOf(entry.seqno) };
  }

  async #meetCheckpoint(seqno: Seqno, place: Place): Promise<void> {
    const { checkpoint } = this.#request;
    invariant(checkpoint !== undefined, 'entries are passed over only before a checkpoint');
    if (seqno !== checkpoint.seqno) {
      if (seqno > checkpoint.seqno) throw new CheckpointMismatch();
      return;
    }
    if (this.#lastSigned?.seqno !== seqno) throw new CheckpointMismatch();
    const root = hexOf(this.#state.tree.root());
    const { store, secrets } = this.#state;
    const isLoaded = await checkpoint.load(store, root, secrets.at(seqno));
    if (!isLoaded) throw new CheckpointMismatch();
    invariant(store.committed === seqno, `the checkpoint met at ${place.offset} is loaded`);
    this.#applying = true;
  }

  /** Goes back to the last signature. */
  #rollBack(): void {
    const kept = this.#lastSigned?.seqno ?? seqnoOf(0);
    this.#state.rollback(kept);
    while ((this.#uncommitted.at(-1)?.seqno ?? 0) > kept) this.#uncommitted.pop();
  }

  async #load(name: string): Promise<Buffer> {
    const file = await this.#request.disk.open(`${this.#request.folder}/${name}`, 'read');
    try {
      const bytes = await file.read(0, await file.size());
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } finally {
      await file.close();
    }
  }

  /** Runs a decoder; what it refuses is damage at this place. */
  #within<Result>(place: Place, decode: () => Result): Result {
    try {
      return decode();
    } catch (error) {
      if (!isCoded(error)) throw error;
      throw damaged(place, messageOf(error));
    }
  }
}

function damaged(place: Place, why: string): CodedError {
  const { chunk, offset } = place;
  return new CodedError(
    'LedgerDamaged',
    `${chunk.name} is damaged at byte ${offset}: ${why}. Nothing was changed. Restore this file ` +
      'from a backup or another node, or join as a new node',
    { file: chunk.name, offset },
  );
}

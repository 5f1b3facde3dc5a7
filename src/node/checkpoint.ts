/**
 * A checkpoint: this node's committed state at one signature, sealed in the local index, so that a
 * restart opens only the entries after it. It is believed only if the ledger's Merkle root at its
 * seqno is the one it was taken at; otherwise it is ignored and the state rebuilt.
 */
import { hexOf } from '../base/bytes.ts';
import type { IndexChange, LocalIndex, Random } from '../base/environment.ts';
import { isCoded } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { type AeadKey, GCM_IV_BYTES, GCM_TAG_BYTES, openGcm, sealGcm } from '../crypto/aead.ts';
import { imageOf, loadImage } from '../kv/image.ts';
import type { Store } from '../kv/store.ts';
import { decodeImageTables, encodeImageTable } from '../ledger/state-image.ts';

const HEAD = 'checkpoint/head';
const PIECES = 'checkpoint/piece/';
/** Bytes of the state that one row of the index holds. */
const PIECE_BYTES = 1024 * 1024;

export interface CheckpointHead {
  /** A committed signature: the state is what stands after it. */
  readonly seqno: Seqno;
  /** Root over the leaves up to and with that entry's: hexadecimal. */
  readonly root: string;
  /** Number of rows the state is cut into, and the number that is part of their names. */
  readonly pieces: number;
  readonly generation: number;
}

/** Writes a checkpoint of the committed state in the place of the one before. */
export async function writeCheckpoint(
  index: LocalIndex,
  key: AeadKey,
  random: Random,
  store: Store,
  place: { readonly seqno: Seqno; readonly root: Uint8Array },
): Promise<void> {
  const state = Buffer.concat(imageOf(store).map(encodeImageTable));
  const old = await index.keys(PIECES);
  const generation = ((await readHead(index, key))?.generation ?? 0) + 1;
  const changes: IndexChange[] = old.map((name) => ({ key: name }));
  const pieces = Math.ceil(state.length / PIECE_BYTES);
  for (let piece = 0; piece < pieces; piece += 1) {
    const name = pieceName(generation, piece);
    const bytes = state.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES);
    changes.push({ key: name, value: sealRow(key, random, name, bytes) });
  }
  const head: CheckpointHead = {
    seqno: place.seqno,
    root: hexOf(place.root),
    pieces,
    generation,
  };
  const text = Buffer.from(JSON.stringify(head));
  changes.push({ key: HEAD, value: sealRow(key, random, HEAD, text) });
  await index.write(changes);
}

/** The head of the checkpoint at hand, or undefined if there is none that opens. */
export async function readHead(
  index: LocalIndex,
  key: AeadKey,
): Promise<CheckpointHead | undefined> {
  const sealed = await index.get(HEAD);
  const bytes = sealed === undefined ? undefined : openRow(key, HEAD, sealed);
  return bytes === undefined
    ? undefined
    : (JSON.parse(Buffer.from(bytes).toString()) as CheckpointHead);
}

/** Fills an empty store from a checkpoint; false, and the store unchanged, if a row is not right. */
export async function loadCheckpoint(
  index: LocalIndex,
  key: AeadKey,
  head: CheckpointHead,
  store: Store,
): Promise<boolean> {
  const pieces: Uint8Array[] = [];
  for (let piece = 0; piece < head.pieces; piece += 1) {
    const name = pieceName(head.generation, piece);
    const sealed = await index.get(name);
    const bytes = sealed === undefined ? undefined : openRow(key, name, sealed);
    if (bytes === undefined) return false;
    pieces.push(bytes);
  }
  loadImage(store, decodeImageTables(Buffer.concat(pieces)), seqnoOf(head.seqno));
  return true;
}

function pieceName(generation: number, piece: number): string {
  return `${PIECES}${String(generation).padStart(10, '0')}/${String(piece).padStart(8, '0')}`;
}

/** tag ‖ iv ‖ ciphertext, with the row's name authenticated. */
function sealRow(key: AeadKey, random: Random, name: string, bytes: Uint8Array): Uint8Array {
  const iv = random.bytes(GCM_IV_BYTES);
  const { tag, ciphertext } = sealGcm(key, iv, Buffer.from(name), bytes);
  return Buffer.concat([tag, iv, ciphertext]);
}

function openRow(key: AeadKey, name: string, sealed: Uint8Array): Uint8Array | undefined {
  const ivEnd = GCM_TAG_BYTES + GCM_IV_BYTES;
  if (sealed.length < ivEnd) return undefined;
  const iv = sealed.subarray(GCM_TAG_BYTES, ivEnd);
  const parts = { tag: sealed.subarray(0, GCM_TAG_BYTES), ciphertext: sealed.subarray(ivEnd) };
  try {
    return openGcm(key, iv, Buffer.from(name), parts);
  } catch (error) {
    if (isCoded(error, 'SealBroken')) return undefined;
    throw error;
  }
}

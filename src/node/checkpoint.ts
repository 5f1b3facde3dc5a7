/**
 * A checkpoint: this node's committed state at one signature, sealed in the local index, so that a
 * restart opens only the entries after it. It is believed only if the ledger's Merkle root at its
 * seqno is the one it was taken at; otherwise it is ignored and the state rebuilt.
 */
import { hexOf } from '../base/bytes.ts';
import type { IndexChange, LocalIndex, Random, Timers } from '../base/environment.ts';
import { isCoded } from '../base/errors.ts';
import { type Seqno, seqnoOf } from '../base/ids.ts';
import { type AeadKey, GCM_IV_BYTES, openWhole, sealWhole } from '../crypto/aead.ts';
import type { Capture } from '../kv/capture.ts';
import { loadImage } from '../kv/image.ts';
import type { Store } from '../kv/store.ts';
import { decodeImageTables, encodeTables } from '../ledger/state-image.ts';
import { inSlices } from './slices.ts';

const HEAD = 'checkpoint/head';
const PIECES = 'checkpoint/piece/';
/** Bytes of the state at which a row of the index is full: sealing one takes a fraction of a ms. */
const PIECE_BYTES = 512 * 1024;

export interface CheckpointHead {
  /** A committed signature: the state is what stands after it. */
  readonly seqno: Seqno;
  /** Root over the leaves up to and with that entry's: hexadecimal. */
  readonly root: string;
  /** Number of rows the state is cut into, and the number that is part of their names. */
  readonly pieces: number;
  readonly generation: number;
}

export interface CheckpointDependencies {
  readonly index: LocalIndex;
  readonly key: AeadKey;
  readonly random: Random;
  readonly timers: Timers;
}

/** Writes a checkpoint of a captured state in the place of the one before. */
export async function writeCheckpoint(
  { index, key, random, timers }: CheckpointDependencies,
  capture: Capture,
  root: Uint8Array,
): Promise<void> {
  const state = await inSlices(timers, encodeTables(capture.tables));
  const old = await index.keys(PIECES);
  const generation = ((await readHead(index, key))?.generation ?? 0) + 1;
  const changes: IndexChange[] = old.map((name) => ({ key: name }));
  let pieces = 0;
  const sealPieces = function* (): Generator<void, void, void> {
    for (const bytes of inPieces(state)) {
      const name = pieceName(generation, pieces);
      changes.push({ key: name, value: sealRow(key, random, name, bytes) });
      pieces += 1;
      yield;
    }
  };
  await inSlices(timers, sealPieces());
  const head: CheckpointHead = {
    seqno: capture.seqno,
    root: hexOf(root),
    pieces,
    generation,
  };
  const text = Buffer.from(JSON.stringify(head));
  changes.push({ key: HEAD, value: sealRow(key, random, HEAD, text) });
  await index.write(changes);
}

/** The state's bytes, `PIECE_BYTES` or a little more to a piece. */
function* inPieces(state: readonly Uint8Array[]): Generator<Uint8Array, void, void> {
  let gathered: Uint8Array[] = [];
  let length = 0;
  for (const part of state) {
    gathered.push(part);
    length += part.length;
    if (length < PIECE_BYTES) continue;
    yield Buffer.concat(gathered);
    gathered = [];
    length = 0;
  }
  if (length > 0) yield Buffer.concat(gathered);
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

/**
 * Fills an empty store from a checkpoint; false, and the store unchanged, if a row is not
 * right.
 */
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

/** A row's name is authenticated with it, so that none stands in the place of another. */
function sealRow(key: AeadKey, random: Random, name: string, bytes: Uint8Array): Uint8Array {
  return sealWhole(key, random.bytes(GCM_IV_BYTES), Buffer.from(name), bytes);
}

function openRow(key: AeadKey, name: string, sealed: Uint8Array): Uint8Array | undefined {
  try {
    return openWhole(key, Buffer.from(name), sealed);
  } catch (error) {
    if (isCoded(error, 'SealBroken')) return undefined;
    throw error;
  }
}

/**
 * The world as the core sees it: time, chance, disk and keys behind interfaces, so that one
 * seed can replace them all in a test and the code that ships is the code that is simulated.
 */

import type { NodeId } from './ids.ts';

/** Wall-clock time. Never used for ordering; only written into signatures and certificates. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  nowMs(): number;
}

/** One-shot timers, and the time by which they run. */
export interface Timers {
  /**
   * Milliseconds since some fixed moment, for measuring how long something took: it never goes
   * back, whatever is done to the clock on the wall.
   */
  elapsedMs(): number;
  /** Calls `action` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, action: () => void): () => void;
  /** Calls `action` once what has already arrived in this turn of the event loop was handled. */
  soon(action: () => void): void;
}

/** Unpredictable bytes. */
export interface Random {
  bytes(count: number): Uint8Array;
}

/** An open file. Offsets and lengths are in bytes. */
export interface DiskFile {
  /** Reads up to `length` bytes at `offset`; fewer only at the end of the file. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Writes all of `bytes` at `offset`. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Returns when what was written before is on stable storage. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

/** A folder tree. Paths are absolute. */
export interface Disk {
  /** Names of the regular files directly in a folder, in byte order. */
  list(folder: string): Promise<readonly string[]>;
  makeFolder(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  /** `read`: must exist; `write`: must exist; `create`: must not exist. */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile>;
  /** Atomic within a folder; durable only after `syncFolder`. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  syncFolder(path: string): Promise<void>;
}

/**
 * Carries messages between nodes. A message may be lost; those from one node to another that do
 * arrive keep their order, as a connection's bytes do.
 */
export interface Network {
  /**
   * Queues a message for a node, which must not be changed from here on. False, and nothing queued,
   * when there is no connection or too much waits already: the sender tries again later.
   */
  send(to: NodeId, bytes: Uint8Array): boolean;
  /**
   * Names who is given what arrives, with the sender that the connection proves. It throws a coded
   * error for bytes that are no message; the network then ends the connection they came by.
   */
  receiveWith(receive: (from: NodeId, bytes: Uint8Array) => void): void;
}

/** A private key that signs and never shows itself. */
export interface Signer {
  readonly algorithm: 'ES256' | 'ES384';
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  /** Signs the algorithm's hash of `message`; the signature is r ‖ s of fixed size. */
  sign(message: Uint8Array): Promise<Uint8Array>;
  /** Signs SHA-256 of `message` at once, in DER: a Merkle root's children are such a message. */
  signSha256Der(message: Uint8Array): Uint8Array;
}

/** Keeps secrets for the next start of this node, and of no other. */
export interface Sealer {
  /** What stands behind the seal, for people: `virtual` is no protection at all. */
  readonly kind: string;
  seal(name: string, secret: Uint8Array): Promise<Uint8Array>;
  /** Throws a coded error `SealBroken` when the bytes were not sealed here under this name. */
  unseal(name: string, sealed: Uint8Array): Promise<Uint8Array>;
}

/** One change to a local index; without a value the row is removed. */
export interface IndexChange {
  readonly key: string;
  readonly value?: Uint8Array;
}

/** A local, rebuildable index: rows by text key. Its loss costs time, never data. */
export interface LocalIndex {
  get(key: string): Promise<Uint8Array | undefined>;
  /** Keys that begin with `prefix`, in order. */
  keys(prefix: string): Promise<readonly string[]>;
  /** All of the changes or none. */
  write(changes: readonly IndexChange[]): Promise<void>;
  close(): Promise<void>;
}

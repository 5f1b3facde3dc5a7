/**
 * What a node is told at its start, and the values that stand when it is told nothing.
 */
import type { Application } from '../apps/interface.ts';
import type { Clock, Disk, LocalIndex, Random, Timers } from '../base/environment.ts';
import { CHUNK_BYTES_DEFAULT } from '../base/limits.ts';
import type { FrontDoorOptions } from '../http/front-door.ts';
import type { SignatureKind } from './root-signing.ts';

export interface NodeOptions {
  /** Holds `ledger/`, `snapshots/`, `sealed/` and `index/`. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** `fsync` acknowledges what is on stable storage; `os` what the operating system has. */
  readonly durability: 'fsync' | 'os';
  readonly signatures: SignatureOptions;
  readonly chunkBytes: number;
  /** Entries after which a new checkpoint of the state is written to the local index. */
  readonly checkpointEntries: number;
  /** Entries after which a snapshot is due, if the ledger has grown enough (design decision 12). */
  readonly snapshotEntries: number;
  readonly applications: readonly Application[];
  readonly version: string;
  readonly frontDoor: FrontDoorOptions;
}

export interface SignatureOptions {
  readonly kind: SignatureKind;
  readonly transactionsMax: number;
  readonly delayMs: number;
  readonly serviceSignatureMs: number;
  readonly serviceSignatureTransactions: number;
  readonly issuer: string;
  readonly subject: string;
}

/** `ledger_signatures` as design decision 5 sets them. */
export const SIGNATURE_DEFAULTS: SignatureOptions = {
  kind: 'mixed',
  transactionsMax: 5000,
  // Nobody waits for these, but whoever polls for a commit should not notice that.
  delayMs: 3,
  serviceSignatureMs: 1000,
  serviceSignatureTransactions: 5000,
  issuer: 'concordat',
  subject: 'ledger.signature',
};

export const NODE_DEFAULTS = {
  host: '127.0.0.1',
  durability: 'fsync',
  signatures: SIGNATURE_DEFAULTS,
  chunkBytes: CHUNK_BYTES_DEFAULT,
  checkpointEntries: 50_000,
  snapshotEntries: 10_000,
  frontDoor: {},
} as const;

export interface NodeDependencies {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: NodeLog;
  /** Opens the local index; LevelDB's unless a test has its own. */
  readonly openIndex?: (folder: string) => Promise<LocalIndex>;
  /** Something that must not happen did, or the disk failed: the process should end. */
  readonly onFatal: (error: unknown) => void;
}

/** Where a node says what happens to it. */
export interface NodeLog {
  info(message: string): void;
  warn(message: string): void;
  /** Progress of something long; the same `what` replaces the line before. */
  progress(what: string, done: number, total: number | undefined, unit: string): void;
}

/**
 * What a node is told at its start, and the values that stand when it is told nothing.
 */
import type { Application } from '../apps/interface.ts';
import type { HttpAsker } from '../attestation/sources/http-asker.ts';
import type { Clock, Disk, LocalIndex, Random, Sealer, Timers } from '../base/environment.ts';
import { CHUNK_BYTES_DEFAULT } from '../base/limits.ts';
import type { KeySource } from '../crypto/key-source.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { FederationOptions } from '../federation/federation.ts';
import type { ScriptRunner } from '../governance/scripts.ts';
import type { FrontDoorOptions } from '../http/front-door.ts';
import type { EvidenceDependencies } from './own-evidence.ts';
import type { PeerNetworkOptions } from './peers/peer-network.ts';
import type { PeerTransport, PeerTransportDependencies } from './peers/peer-transport.ts';
import type { RecoveryRelease } from './recovering/private-recovery.ts';
import type { SignatureKind } from './root-signing.ts';

export interface NodeOptions {
  /** Holds `ledger/`, `snapshots/`, `sealed/` and `index/`. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** `host:port` by which clients reach this node, if that is another. */
  readonly publishedAddress?: string;
  /** Where other nodes reach this one; without it there are no other nodes. */
  readonly nodeToNode?: NodeToNodeOptions;
  readonly consensus: ConsensusTimes;
  /** Whether a restart whose freshness cannot be proven goes on by itself (design decision 11). */
  readonly unprovenRestart: 'allow' | 'refuse';
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
  /** Tessera's protocol with peers outside; spoken with nobody when absent. */
  readonly federation?: FederationOptions;
  /** Between two readings of the keys of token issuers. */
  readonly tokenKeyRefreshMs?: number;
}

export interface NodeToNodeOptions {
  readonly host: string;
  readonly port: number;
  /** `host:port` by which the others are told to dial it, if that is another. */
  readonly publishedAddress?: string;
}

/** `consensus` of node-lifecycle.md §2, in milliseconds. */
export interface ConsensusTimes {
  readonly messageTimeoutMs: number;
  readonly electionTimeoutMs: number;
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
  consensus: { messageTimeoutMs: 50, electionTimeoutMs: 1000 },
  unprovenRestart: 'refuse',
  signatures: SIGNATURE_DEFAULTS,
  chunkBytes: CHUNK_BYTES_DEFAULT,
  checkpointEntries: 50_000,
  snapshotEntries: 10_000,
  frontDoor: {},
} as const;

export interface NodeDependencies extends EvidenceDependencies {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: NodeLog;
  /** Opens the local index; LevelDB's unless a test has its own. */
  readonly openIndex?: (folder: string) => Promise<LocalIndex>;
  /** Opens the way to the other nodes; real connections unless a test has its own. */
  readonly openTransport?: (
    options: PeerNetworkOptions,
    dependencies: PeerTransportDependencies,
  ) => PeerTransport;
  /** Opens what seals this node's secrets; the platform's own unless a test has another. */
  readonly openSealer?: (disk: Disk, folder: string, random: Random) => Promise<Sealer>;
  /** Keys and certificates; Node's own cryptography unless a test has its own. */
  readonly keys?: KeySource;
  /** Checks signatures; Node's own cryptography unless a test has its own. */
  readonly verifier?: Verifier;
  /** Runs governed scripts; a worker thread unless a test has its own. */
  readonly scripts?: ScriptRunner;
  /** Has keys released that open a lost service; without it only its members' shares do. */
  readonly recoveryRelease?: RecoveryRelease;
  /** Asks token issuers for their keys; without it none is ever asked. */
  readonly askIssuer?: HttpAsker;
  /** This node's retirement is recorded for good: the process should end. */
  readonly onRetired?: () => void;
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

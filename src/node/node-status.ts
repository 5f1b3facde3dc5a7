/**
 * What a node tells its operator of itself at one moment: `GET /status` of the operator's listener,
 * and the rows of `concordat status`. Fields are only ever added.
 */
import { type TxId, textOfTxId } from '../base/ids.ts';
import { serviceInfo } from '../governance/nodes.ts';
import type { ServiceStatus } from '../governance/tables.ts';
import type { NodeFacts } from '../http/backend.ts';
import type { FrontDoorStats } from '../http/stats.ts';
import type { ReadView } from '../kv/tables.ts';

export interface NodeStatus {
  readonly nodeId: string;
  readonly pid: number;
  readonly version: string;
  /** `virtual` is INSECURE, and is said wherever the status shows. */
  readonly platform: NodeFacts['platform'];
  readonly state: NodeFacts['state'];
  readonly role: NodeFacts['role'];
  readonly view: number;
  /** The primary as this node knows it. */
  readonly primaryId?: string;
  readonly serviceStatus: ServiceStatus;
  /** The last committed transaction, `<view>.<seqno>`. */
  readonly committed: string;
  readonly committedSeqno: number;
  /** The newest entry that this node holds. */
  readonly newestSeqno: number;
  /** Transactions of this node that wait for their commit. */
  readonly uncommitted: number;
  /** Committed since this process began. */
  readonly transactions: number;
  readonly rounds: number;
  /** How long recent rounds took from their first transaction to their commit; a leader's. */
  readonly commitMs?: Quantiles;
  /** Absent while the front door is closed. */
  readonly sessions?: { readonly active: number; readonly peak: number };
  readonly snapshotSeqno?: number;
  /** How the last restart was judged; absent before any. */
  readonly restart?: { readonly proven: boolean };
  /** A restart that waits for the word of these nodes, or for the operator. */
  readonly waitsFor: readonly string[];
  /** The other nodes as a leader hears them. */
  readonly peers: readonly PeerStatus[];
}

export interface PeerStatus {
  readonly nodeId: string;
  /** The last entry that it has acknowledged. */
  readonly acknowledgedSeqno: number;
  readonly silentMs: number;
}

export interface Quantiles {
  /** Over so many. */
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}

/** Where a status comes from. */
export interface StatusSource {
  node(): NodeFacts;
  current(): ReadView;
  committed(): TxId;
  figures(): {
    readonly newestSeqno: number;
    readonly uncommitted: number;
    readonly transactions: number;
    readonly rounds: number;
    readonly commitMs?: Quantiles;
  };
  readonly waitsFor: readonly string[];
  readonly files: { newestSnapshot(): { readonly seqno: number } | undefined };
}

/** A node's status; without `frontDoor` while that is closed. */
export function nodeStatusOf(
  source: StatusSource,
  pid: number,
  frontDoor: FrontDoorStats | undefined,
): NodeStatus {
  const { nodeId, version, platform, state, role, view, primaryId, restart, acks } =
    source.node();
  const { newestSeqno, uncommitted, transactions, rounds, commitMs } = source.figures();
  const committed = source.committed();
  const snapshot = source.files.newestSnapshot();
  return {
    ...{ nodeId, pid, version, platform, state, role, view },
    ...(primaryId === undefined ? {} : { primaryId }),
    serviceStatus: serviceInfo(source.current())?.status ?? 'Opening',
    committed: textOfTxId(committed),
    committedSeqno: committed.seqno,
    ...{ newestSeqno, uncommitted, transactions, rounds },
    ...(commitMs === undefined ? {} : { commitMs }),
    ...(frontDoor === undefined ? {} : { sessions: sessionsOf(frontDoor) }),
    ...(snapshot === undefined ? {} : { snapshotSeqno: snapshot.seqno }),
    ...(restart === undefined ? {} : { restart: { proven: restart.proven } }),
    waitsFor: source.waitsFor,
    peers: [...acks].map(([id, { seqno, lastReceivedMs }]) => ({
      nodeId: id,
      acknowledgedSeqno: seqno,
      silentMs: Math.round(lastReceivedMs),
    })),
  };
}

function sessionsOf({
  sessions: { active, peak },
}: FrontDoorStats): NonNullable<NodeStatus['sessions']> {
  return { active, peak };
}

/**
 * What a run found, as `--json` writes it. Fields are only ever added; `version` changes when one
 * changes its meaning.
 */
import type { Machine, ProcessMemory } from './machine.ts';
import type { Ratio, RefusedRatio } from './statistics.ts';
import type { MissingPeer } from './systems/peer.ts';

export const RESULT_VERSION = 1;

export interface RunResults {
  readonly version: number;
  /** When it began, ISO 8601. */
  readonly at: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly rounds: number;
  readonly sliceMs: number;
  readonly spreadMax: number;
  readonly connections: number;
  readonly payloadBytes: number;
  readonly machine: Machine;
  readonly systems: readonly SystemStatement[];
  readonly works: readonly WorkResult[];
  /** A long run; null unless it was asked for. */
  readonly soak: SoakResult | null;
  /** Curves; none unless they were asked for. */
  readonly growth: readonly GrowthCurve[];
  /** The service's memory at the end; null where it cannot be read. */
  readonly memory: ProcessMemory | null;
  /** That of peers whose processes somebody named. */
  readonly peerMemory: readonly { readonly name: string; readonly residentBytes: number }[];
  /** Writes that the service acknowledged in this run. */
  readonly stored: number;
  readonly warnings: readonly string[];
}

/** What a system is, and on what terms it took part. */
export interface SystemStatement {
  readonly name: string;
  readonly version: string;
  readonly durability: string;
  readonly load: string;
}

export interface WorkResult {
  readonly name: string;
  readonly summary: string;
  readonly waitsForCommit: boolean;
  /** What is counted in a second; requests when absent. */
  readonly unit?: string;
  /** Which of the ratios is the work's own; throughput when absent. */
  readonly judgedBy?: 'throughput' | 'p50';
  readonly systems: readonly SystemFigures[];
  /** Ours to each of the others: throughput. */
  readonly ratios: readonly NamedRatio[];
  /** Peers that could have taken part and were not there. */
  readonly missing: readonly MissingPeer[];
  /** What it was measured with; a work may have its own. */
  readonly load: WorkLoad;
  /** Part of the machine that processes not of this run used, in each round that counts. */
  readonly othersBusyRounds: readonly number[];
  /** Rounds left out because others used more of it. */
  readonly roundsDisturbed: number;
  /** Growth of the ledger folder by one write; null for reads. */
  readonly ledgerBytesPerWrite: number | null;
  /** The same when one client alone writes one after another; null where it was not measured. */
  readonly ledgerBytesPerLoneWrite: number | null;
}

/** A work for a long time at full load. */
export interface SoakResult {
  readonly work: string;
  readonly points: readonly SoakPoint[];
  /** From the second quarter to the last, as a part of the former. */
  readonly memoryGrowth: number;
  readonly latencyGrowth: number;
  /** The longest time that the node's event loop stood still. */
  readonly stallMs: number;
  /** What is not as a long run should be. */
  readonly faults: readonly string[];
}

export interface SoakPoint {
  readonly seconds: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly residentBytes: number;
  /** Objects and buffers. */
  readonly objectBytes: number;
  readonly stallMs: number;
}

/** How figures change while one thing grows. */
export interface GrowthCurve {
  readonly name: string;
  readonly summary: string;
  /** What grows. */
  readonly axis: string;
  readonly scale: 'linear' | 'log';
  readonly series: readonly {
    readonly name: string;
    readonly points: readonly GrowthPoint[];
  }[];
}

export interface GrowthPoint {
  readonly at: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** What the ledger grew by for one request; null where it was not measured. */
  readonly ledgerBytes: number | null;
  /** Objects and buffers of the node; null where it was not measured. */
  readonly memoryBytes: number | null;
}

export interface WorkLoad {
  readonly connections: number;
  readonly inFlight: number;
  readonly payloadBytes: number;
}

export interface SystemFigures {
  readonly name: string;
  readonly requests: number;
  /** Median of the rounds. */
  readonly perSecond: number;
  readonly perSecondRounds: readonly number[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Part of all requests, and the milliseconds that it does not exceed. */
  readonly latency: readonly (readonly [number, number])[];
  /** Null where it cannot be read. */
  readonly cpuMicrosRounds: readonly number[] | null;
  readonly p50MsRounds: readonly number[];
  readonly p99MsRounds: readonly number[];
  /** Null where it cannot be read. */
  readonly cpuMicrosPerRequest: number | null;
  /** Part of the time that the load generator's process was busy; null where there is none. */
  readonly generatorBusy: number | null;
}

export interface NamedRatio {
  readonly to: string;
  readonly throughput: Ratio | RefusedRatio;
  /** Ours to theirs too: less is better. */
  readonly p50: Ratio | RefusedRatio;
  readonly p99: Ratio | RefusedRatio;
  /** Processor time of the system for a request; null where it cannot be read. */
  readonly cpu: Ratio | RefusedRatio | null;
}

/**
 * The works that are measured: what is asked of the service, by how many, and beside whom.
 */
import type { Target } from './generator/job.ts';
import type { Load } from './load.ts';
import { logReadTarget, logWriteTarget } from './log-requests.ts';
import type { OwnWork } from './own-work.ts';
import { OWN_WORKS } from './own-works.ts';
import { receiveTarget, sendTarget } from './quorum-requests.ts';
import type { LogService, TransactionManagers } from './systems/asked.ts';

/** Stores what the work reads, if it reads, and gives back its requests. */
export type Ask =
  | {
      readonly of: 'managers';
      target(managers: TransactionManagers, load: Load): Target | Promise<Target>;
    }
  | { readonly of: 'log'; target(service: LogService, load: Load): Target | Promise<Target> };

interface Named {
  readonly name: string;
  readonly summary: string;
  /** Whether `--quick` does it without being asked by name. */
  readonly quick?: true;
}

/** Requests over HTTP, measured beside the limits and the peers that can do the same. */
export interface RequestWork extends Named {
  readonly kind: 'requests';
  readonly ask: Ask;
  /** Each request stores something, so that ledger bytes can be told for each. */
  readonly writes: boolean;
  /** The answer comes after commit, so that the disk sets a limit. */
  readonly waitsForCommit: boolean;
  /** Nodes of the service; one when absent. */
  readonly nodes?: number;
  /** What the command line says when absent. */
  readonly connections?: number;
  readonly payloadBytes?: number;
  /** Requests on their way at once on each connection; one when absent. */
  readonly inFlight?: number;
  /** Databases that store as much as durably, by their own protocols. */
  readonly databases?: readonly ('etcd' | 'postgresql')[];
  /** Measured beside HTTP with one seal and the hashes, which no write can do without. */
  readonly besideParts?: true;
}

/** One work on services of several sizes, compared with each other. */
export interface ClusterWork extends Named {
  readonly kind: 'sizes';
  readonly ask: Ask;
  readonly sizes: readonly number[];
}

export type Work = RequestWork | ClusterWork | OwnWork;

const TEN_KIB = 10 * 1024;
/** A single-row insert, as large as the table of issue 8 has it. */
const RECORD_BYTES = 300;
const MANY = 64;
const PIPELINED = 32;

const SEND: Ask = { of: 'managers', target: (managers, load) => sendTarget(managers, load) };
const RECEIVE: Ask = { of: 'managers', target: receiveTarget };
const WRITE: Ask = { of: 'log', target: (service, load) => logWriteTarget(service, load) };
const COMMITTED: Ask = {
  of: 'log',
  target: (service, load) => logWriteTarget(service, load, { committed: true }),
};
const INSERT: Ask = {
  of: 'log',
  target: (service, load) =>
    logWriteTarget(service, load, { committed: true, characters: load.payloadBytes }),
};
const READ: Ask = { of: 'log', target: logReadTarget };

const READS = { kind: 'requests', writes: false, waitsForCommit: false } as const;
const WRITES = { kind: 'requests', writes: true, waitsForCommit: false } as const;
const COMMITS = { kind: 'requests', writes: true, waitsForCommit: true } as const;

export const WORKS: readonly Work[] = [
  {
    name: 'send',
    summary:
      "a private payload through organisation 1's transaction manager, for organisation 2",
    ...{ ...COMMITS, ask: SEND, quick: true },
  },
  {
    name: 'receive',
    summary: "a private payload by its hash, through organisation 2's transaction manager",
    ...{ ...READS, ask: RECEIVE, quick: true },
  },
  {
    name: 'send 10k',
    summary: 'send with payloads of 10 KiB',
    ...{ ...COMMITS, ask: SEND, payloadBytes: TEN_KIB },
  },
  {
    name: 'receive 10k',
    summary: 'receive with payloads of 10 KiB',
    ...{ ...READS, ask: RECEIVE, payloadBytes: TEN_KIB },
  },
  {
    name: 'log write',
    summary: 'a private log message over mTLS, answered before commit as CCF does',
    ...{ ...WRITES, ask: WRITE, besideParts: true, quick: true },
  },
  {
    name: 'log write 1',
    summary: 'the same on one connection',
    ...{ ...WRITES, ask: WRITE, connections: 1 },
  },
  {
    name: 'log write 64',
    summary: 'the same on 64 connections',
    ...{ ...WRITES, ask: WRITE, connections: MANY, besideParts: true },
  },
  {
    name: 'log write pipelined',
    summary: `the same with ${PIPELINED} requests on their way on each connection`,
    ...{ ...WRITES, ask: WRITE, inFlight: PIPELINED, besideParts: true },
  },
  {
    name: 'log write committed',
    summary: 'the same, answered after commit (x-concordat-wait: commit)',
    ...{ ...COMMITS, ask: COMMITTED, besideParts: true, quick: true },
  },
  {
    name: 'insert',
    summary: `a committed private message of ${RECORD_BYTES} B, by ${MANY} clients`,
    ...{ ...COMMITS, ask: INSERT, payloadBytes: RECORD_BYTES, connections: MANY },
    ...{ besideParts: true, databases: ['postgresql', 'etcd'] },
  },
  {
    name: 'replicated insert',
    summary: 'the same on three nodes, at their primary',
    ...{ ...COMMITS, ask: INSERT, payloadBytes: RECORD_BYTES, connections: MANY },
    ...{ nodes: 3, databases: ['etcd'] },
  },
  {
    name: 'replicated write',
    summary: 'log write committed on services of 1, 3 and 5 nodes, at their primaries',
    ...{ kind: 'sizes', ask: COMMITTED, sizes: [1, 3, 5] },
  },
  {
    name: 'log read',
    summary: 'a private log message by its number, over mTLS',
    ...{ ...READS, ask: READ, quick: true },
  },
  {
    name: 'log read pipelined',
    summary: `the same with ${PIPELINED} requests on their way on each connection`,
    ...{ ...READS, ask: READ, inFlight: PIPELINED },
  },
  ...OWN_WORKS,
];

// What drives consensus in a node: what is promised leaves when the disk has it, what is in memory
// is what consensus has it hold, and time passes before anything that arrived meanwhile counts.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { isCoded } from '../../../src/base/errors.ts';
import { type NodeId, seqnoOf, viewOf } from '../../../src/base/ids.ts';
import { type Beginning, Consensus } from '../../../src/consensus/consensus.ts';
import type { VoteRequest } from '../../../src/consensus/messages.ts';
import { NOWHERE } from '../../../src/consensus/positions.ts';
import { aeadKeyOf } from '../../../src/crypto/aead.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { ChunkStore } from '../../../src/ledger/chunk-store.ts';
import type { LedgerState } from '../../../src/node/ledger-state.ts';
import type { AppendWithEntries, ConsensusMessage } from '../../../src/node/peers/messages.ts';
import { applyEntry, readEntries } from '../../../src/node/replication/entry-intake.ts';
import { Replication } from '../../../src/node/replication/replication.ts';
import { VoteRecordFile } from '../../../src/node/replication/vote-record.ts';
import { SecretPool } from '../../../src/node/secret-pool.ts';
import { CrashingDisk, type Operation } from '../../support/crashing-disk.ts';
import { emptyState } from '../../support/ledger-in-memory.ts';
import {
  LedgerWriter,
  makeService,
  NODE_CERTIFICATES,
  NODES,
  type ServiceKeys,
  table,
} from '../../support/ledger-writer.ts';
import { ManualTime, settle } from '../../support/manual-time.ts';

const OTHER = 'b'.repeat(64) as NodeId;
const THIRD = 'c'.repeat(64) as NodeId;
const ROWS = table('public:rows', { key: 'value' });
const NOTHING: Beginning = {
  kind: 'join',
  point: { oldest: NOWHERE, views: [], committed: seqnoOf(0), retirements: [] },
};

/** Time in which a process may be paused: its timers stand still while the world goes on. */
class PausingTime extends ManualTime {
  #pausedMs = 0;

  pause(ms: number): void {
    this.#pausedMs += ms;
  }

  override elapsedMs(): number {
    return super.elapsedMs() + this.#pausedMs;
  }
}

interface Rig {
  readonly replication: Replication;
  readonly consensus: Consensus;
  readonly state: LedgerState;
  readonly pool: SecretPool;
  readonly chunks: ChunkStore;
  readonly disk: CrashingDisk;
  readonly time: PausingTime;
  /** What left, in order. */
  readonly sent: { readonly to: NodeId; readonly message: ConsensusMessage }[];
  readonly events: string[];
  readonly fatal: unknown[];
}

let keys: ServiceKeys;
/** The leader's ledger, whoever that is. */
let writer: LedgerWriter;
let rig: Rig;

beforeAll(async () => {
  keys = await makeService();
});

/** The node of the service's keys, alone with its disk. */
async function build(beginning: Beginning, self = OTHER): Promise<void> {
  const disk = new CrashingDisk();
  for (const folder of ['/ledger', '/votes']) await disk.makeFolder(folder);
  const chunks = await ChunkStore.open(disk, '/ledger', true, [], undefined);
  const time = new PausingTime();
  const secret = { from: seqnoOf(1), view: viewOf(2), bytes: writer.secretBytes };
  const state = emptyState([]);
  const pool = new SecretPool([secret]);
  const votes = new VoteRecordFile(disk, '/votes', aeadKeyOf(Buffer.alloc(32)), systemRandom);
  const consensus = new Consensus(
    {
      ...{ self, incarnation: 1, nonce: 1, electionTimeoutMs: 1_000, messageTimeoutMs: 50 },
      ...{ uncommittedMax: 100, batchEntriesMax: 100, inFlightEntriesMax: 100, readsMax: 10 },
      unproven: 'refuse',
    },
    { spread: () => 0.5, viewLeap: () => 1 },
    beginning,
  );
  const sent: Rig['sent'] = [];
  const events: string[] = [];
  const fatal: unknown[] = [];
  const replication = new Replication({
    ...{ consensus, state, pool, chunks, verifier: nodeVerifier, timers: time },
    writeRecord: (record) => votes.write(record),
    send: (to, message) => {
      sent.push({ to, message });
      return true;
    },
    events: {
      leads: (view) => events.push(`leads ${view}`),
      follows: (leader) => events.push(`follows ${leader?.slice(0, 1) ?? 'nobody'}`),
      committed: ({ seqno }) => events.push(`committed ${seqno}`),
      moved: () => undefined,
      recordRetired: () => undefined,
      retirement: (phase) => events.push(phase),
      restartWaits: () => undefined,
      restarted: () => undefined,
      needsSnapshot: () => undefined,
      forked: () => undefined,
    },
    onFatal: (error) => fatal.push(error),
  });
  rig = { replication, consensus, state, pool, chunks, disk, time, sent, events, fatal };
  replication.start();
}

beforeEach(() => {
  writer = new LedgerWriter(keys);
});

const written = (): readonly Buffer[] => writer.chunks.flatMap(({ entries }) => entries);

/** The first transaction of a service of three, and a signature: 2.1 and 2.2. */
async function found(): Promise<void> {
  const trusted = JSON.stringify({ status: 'Trusted' });
  writer.transaction([
    table(NODES, { [keys.nodeId]: trusted, [OTHER]: trusted, [THIRD]: trusted }),
    table(NODE_CERTIFICATES, { [keys.nodeId]: keys.nodeCert }),
  ]);
  await writer.sign();
}

/** The leader's message of what it wrote after an entry. */
function append(after: number, commit = 0, previousView = writer.view): AppendWithEntries {
  const entries = written().slice(after);
  return {
    ...{
      kind: 'append',
      view: viewOf(writer.view),
      commit: seqnoOf(commit),
      round: 0,
      entries,
    },
    previous: { view: viewOf(after === 0 ? 0 : previousView), seqno: seqnoOf(after) },
    last: seqnoOf(after + entries.length),
  };
}

const leader = (): NodeId => keys.nodeId as NodeId;

/** Hears the leader, and lets everything come to rest. */
async function hear(message: ConsensusMessage, from = leader()): Promise<void> {
  rig.replication.receive(from, message);
  await rest();
}

/** Until the disk has done what it was asked, unless it is held up. */
async function rest(): Promise<void> {
  if (rig.disk.intercept === undefined) await rig.replication.idle();
  await settle();
}

/** What was acknowledged, and what was refused. */
function answers(): readonly string[] {
  return rig.sent.flatMap(({ message }) =>
    message.kind === 'append-answer'
      ? [`${message.accepted ? 'has' : 'lacks'} ${message.position.seqno}`]
      : [],
  );
}

/** Holds the disk up at operations of a kind. */
function hold(kind: Operation['kind']): () => void {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  rig.disk.intercept = async (operation) => {
    if (operation.kind === kind) await opened;
  };
  return () => {
    rig.disk.intercept = undefined;
    open();
  };
}

describe('a follower', () => {
  beforeEach(async () => {
    await build(NOTHING);
    await found();
  });

  test('acknowledges entries when its disk has them, and shows them before', async () => {
    const open = hold('sync');
    await hear(append(0));
    expect(rig.state.newest).toBe(2);
    expect(answers(), 'not yet').toEqual([]);
    await hear(append(2));
    expect(answers(), 'nor by a heartbeat').toEqual([]);
    open();
    await rest();
    expect(answers()).toEqual(['has 2', 'has 2']);
    expect(rig.disk.survivor('lost').files().get('/ledger/ledger_1')?.length).toBeGreaterThan(
      8,
    );
  });

  test('refuses what does not follow its own at once: that promises nothing', async () => {
    writer.transaction([ROWS]);
    const open = hold('sync');
    await hear(append(2));
    expect(answers()).toEqual(['lacks 0']);
    expect(rig.state.newest).toBe(0);
    open();
  });

  test('commits what its leader has committed, one signature after the other', async () => {
    writer.transaction([ROWS]);
    await writer.sign();
    writer.transaction([ROWS]);
    await hear(append(0, 4));
    const commits = rig.events.filter((event) => event.startsWith('committed'));
    expect(commits).toEqual(['committed 2', 'committed 4']);
    expect(rig.state.store.committed).toBe(4);
    expect(rig.state.newest).toBe(5);
    expect(rig.replication.toldCommit).toBe(4);
  });

  test('gives way to the next leader: memory and disk alike', async () => {
    writer.transaction([ROWS]);
    writer.transaction([ROWS]);
    await hear(append(0, 2));
    expect(rig.state.newest).toBe(4);
    const next = new LedgerWriter(keys);
    for (const entry of written().slice(0, 2)) next.append(entry);
    next.view = 5;
    writer = next;
    writer.transaction([table('public:rows', { other: 'value' })]);
    await hear(append(2, 2, 2), THIRD);
    expect(rig.state.newest).toBe(3);
    expect(rig.state.txIdAt(seqnoOf(3)).view).toBe(5);
    const rows = rig.state.store.current.table('public:rows');
    expect(rows.page().map(({ key }) => Buffer.from(key).toString())).toEqual(['other']);
    expect(answers().at(-1)).toBe('has 3');
    expect(await rig.chunks.read(seqnoOf(3))).toEqual(written()[2]);
    expect(rig.chunks.recent.get(seqnoOf(4))).toBeUndefined();
    await expect(rig.chunks.read(seqnoOf(4))).rejects.toMatchObject({
      code: 'LedgerUnreadable',
    });
  });

  test('does not acknowledge what a bad signature covers, and stops', async () => {
    writer.transaction([ROWS]);
    await writer.sign({ kind: 'raw', raw: { sig: Buffer.alloc(70, 1) } });
    await hear(append(0));
    expect(answers()).toEqual([]);
    expect(rig.fatal).toMatchObject([{ code: 'BadEntry' }]);
    await hear(append(4));
    await rig.time.advance(10_000);
    expect(answers(), 'it says nothing more').toEqual([]);
    expect(rig.fatal).toHaveLength(1);
  });

  test('stops at an entry that it cannot open, and keeps silent about it', async () => {
    await hear(append(0));
    const privateMaps = [table('rows', { key: 'private value' })];
    writer.transaction([ROWS], {
      privateMaps,
      bytes: (entry) => entry.fill(0, entry.length - 9),
    });
    await hear(append(2));
    expect(answers()).toEqual(['has 2']);
    expect(rig.fatal).toMatchObject([{ code: 'SealBroken' }]);
    expect(rig.state.newest).toBe(2);
  });

  test('lets the connection end by which something comes that is no entry', async () => {
    await hear(append(0));
    const noise = { ...append(2), last: seqnoOf(3), entries: [Buffer.from('noise')] };
    expect(() => rig.replication.receive(leader(), noise)).toThrow(/not an entry/);
    expect(rig.fatal).toEqual([]);
    writer.transaction([ROWS]);
    await hear(append(2));
    expect(answers()).toEqual(['has 2', 'has 3']);
  });

  test('gives its vote when the disk has it', async () => {
    await hear(append(0));
    const request: VoteRequest = {
      ...{ kind: 'vote-request', election: 'regular', view: viewOf(9) },
      position: { view: viewOf(2), seqno: seqnoOf(2) },
    };
    const open = hold('rename');
    await hear(request, THIRD);
    const votes = (): readonly unknown[] =>
      rig.sent
        .filter(({ message }) => message.kind === 'vote-answer')
        .map((each) => each.message);
    expect(votes()).toEqual([]);
    open();
    await rest();
    expect(votes()).toMatchObject([{ granted: true, view: 9 }]);
  });

  test('takes no part in anything once it has stopped', async () => {
    await hear(append(0));
    const stopped = rig.replication.stop();
    await hear(append(2));
    await stopped;
    await rig.time.advance(60_000);
    expect(answers()).toEqual(['has 2']);
    expect(rig.time.pending).toBe(0);
  });
});

describe('a leader', () => {
  /** It founds the service, and its first signature is committed. */
  beforeEach(async () => {
    const point = NOTHING.point;
    await build({ kind: 'found', point, view: viewOf(2) }, leader());
    await found();
    write(0);
    await rest();
    await answer(2);
    expect(rig.events).toEqual(['leads 2', 'committed 2']);
  });

  /** What a pipeline does: puts entries into the state, then hands them over. */
  function write(after: number): void {
    const { state, pool, replication } = rig;
    const read = readEntries(append(after), written().slice(after), state);
    for (const received of read) {
      void applyEntry(received, { state, pool, verifier: nodeVerifier });
    }
    replication.replicate(read.map(({ facts, entry }) => ({ facts, bytes: entry.bytes })));
  }

  /** Another node says that it has everything up to an entry. */
  async function answer(seqno: number, from = OTHER, round = 0): Promise<void> {
    const position = { view: viewOf(writer.view), seqno: seqnoOf(seqno) };
    const rest = { view: viewOf(2), accepted: true, commit: seqnoOf(0), incarnation: 1 };
    await hear({ kind: 'append-answer', ...rest, position, round }, from);
  }

  test('does not wait for its own disk to send what it wrote', async () => {
    writer.transaction([ROWS]);
    await writer.sign();
    const open = hold('sync');
    write(2);
    await settle();
    const last = rig.sent.filter(({ to }) => to === OTHER).at(-1)?.message;
    expect(last).toMatchObject({ kind: 'append', last: 4 });
    await answer(4);
    expect(rig.state.store.committed, 'one other is no quorum yet').toBe(2);
    await answer(4, THIRD);
    expect(rig.state.store.committed, 'two others are').toBe(4);
    open();
    await rest();
  });

  test('counts itself when its disk has what it wrote', async () => {
    writer.transaction([ROWS]);
    await writer.sign();
    const open = hold('sync');
    write(2);
    await answer(4);
    expect(rig.state.store.committed).toBe(2);
    open();
    await rest();
    expect(rig.state.store.committed).toBe(4);
  });

  test('undoes what it had not handed over when another leads', async () => {
    writer.transaction([ROWS]);
    const { state, pool } = rig;
    for (const received of readEntries(append(2), written().slice(2), state)) {
      applyEntry(received, { state, pool, verifier: nodeVerifier });
    }
    expect(state.newest).toBe(3);
    await hear(
      { kind: 'vote-request', election: 'regular', view: viewOf(7), position: NOWHERE },
      OTHER,
    );
    expect(rig.events.at(-1)).toBe('follows nobody');
    expect(state.newest).toBe(2);
    expect(rig.replication.logEnd).toBe(2);
  });

  test('that was paused gives up before it counts what came meanwhile', async () => {
    writer.transaction([ROWS]);
    await writer.sign();
    write(2);
    await settle();
    rig.time.pause(5_000);
    await answer(4);
    expect(rig.events.at(-1)).toBe('follows nobody');
    expect(rig.state.store.committed).toBe(2);
  });

  test('serves a fresh read when a quorum has confirmed it, and not before', async () => {
    let fresh: number | undefined;
    const read = rig.replication.readIndex().then((seqno) => {
      fresh = seqno;
    });
    await settle();
    expect(fresh).toBeUndefined();
    const round = rig.sent.reduce(
      (most, { message }) => Math.max(most, message.kind === 'append' ? message.round : 0),
      0,
    );
    expect(round).toBeGreaterThan(0);
    await answer(2, OTHER, round);
    await read;
    expect(fresh).toBe(2);
  });

  test('gives a read up after four seconds without a quorum', async () => {
    const outcome = rig.replication.readIndex().then(String, (error: unknown) => error);
    for (let ms = 0; ms < 4_200; ms += 100) await rig.time.advance(100);
    expect(isCoded(await outcome, 'NotConfirmed')).toBe(true);
  });

  test('that stops lets nobody wait for a read', async () => {
    const outcome = rig.replication.readIndex().then(String, (error: unknown) => error);
    await rig.replication.stop();
    expect(isCoded(await outcome, 'NodeStopping')).toBe(true);
    expect(rig.time.pending).toBe(0);
  });

  test('refuses more reads than it may keep waiting', async () => {
    const reads = Array.from({ length: 11 }, () =>
      rig.replication.readIndex().then(String, (error: unknown) => error),
    );
    expect(isCoded(await reads.at(-1), 'NotConfirmed')).toBe(true);
    await rig.replication.stop();
    await Promise.all(reads);
  });
});

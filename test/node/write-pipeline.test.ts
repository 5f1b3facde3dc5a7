// The writing half of a leading node: what is signed when, when replies may leave, and what a
// failure of the disk or the end of the view does (design decision 5). Time stands still unless a
// test moves it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { type Seqno, seqnoOf, type TxId, viewOf } from '../../src/base/ids.ts';
import {
  REPLICATED_ENTRY_BYTES_MAX,
  UNCOMMITTED_TRANSACTIONS_MAX,
} from '../../src/base/limits.ts';
import { NODE_INFO } from '../../src/governance/tables.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import { FLAG_CHUNK_AFTER, parseEntry } from '../../src/ledger/entry.ts';
import type { PipelineOptions } from '../../src/node/write-pipeline.ts';
import { codeOf, type Operation } from '../support/crashing-disk.ts';
import { settle } from '../support/manual-time.ts';
import { FOLDER, type PipelineRig, pipelineIn, pipelineRig } from '../support/pipeline-rig.ts';

let rig: PipelineRig;

/** A ledger with nothing in it, and a pipeline that has not begun yet. */
async function build(options: Partial<PipelineOptions> = {}, flush = true): Promise<void> {
  rig = await pipelineRig(options, flush);
}

/** The same, with its view begun: the ledger holds one transaction and a signature, `tD`. */
async function begun(options: Partial<PipelineOptions> = {}, flush = true): Promise<void> {
  await build(options, flush);
  rig.pipeline.begin(write(0));
  await settled(2);
}

/** Waits for what is on its way to be committed. */
async function settled(seqno: number): Promise<void> {
  await rig.host.waiters.whenReached(seqnoOf(seqno));
}

function write(number: number): readonly MapWrites[] {
  const value = Buffer.from(`value ${number}`);
  return [{ name: 'rows', writes: new Map([[`row ${number}`, value]]), removes: new Set() }];
}

function submit(number: number): TxId {
  return rig.pipeline.submit(write(number));
}

async function commit(number: number): Promise<Seqno> {
  const txId = submit(number);
  const committed = rig.host.waiters.whenCommitted(txId);
  rig.pipeline.hurry();
  await committed;
  return txId.seqno;
}

/** What the ledger holds: `t` a transaction, `r` a signature of the node alone, `D` of both. */
async function shape(): Promise<string> {
  let text = '';
  for (let seqno = 1; seqno <= rig.state.store.committed; seqno += 1) {
    const entry = parseEntry(await rig.chunks.read(seqnoOf(seqno)));
    expect(entry.seqno).toBe(seqno);
    const names = entry.publicMaps.map(({ name }) => name.replace('public:ccf.internal.', ''));
    if (!entry.isSignature()) text += 't';
    else
      text += names.includes('cose_signatures')
        ? names.includes('signatures')
          ? 'D'
          : 'C'
        : 'r';
  }
  return text;
}

/** Everything that the state in memory is made of ends at one entry. */
function expectStateAt(seqno: number): void {
  const { store, tree, leaves, views, newest } = rig.state;
  expect([store.newest, tree.size - 1, leaves.newest, newest]).toEqual(Array(4).fill(seqno));
  expect(views.viewAt(seqnoOf(seqno + 1))).toBe(views.viewAt(seqnoOf(seqno)));
}

beforeEach(async () => {
  await begun();
});

afterEach(() => {
  expect(rig.host.fatal, 'nothing failed unnoticed').toEqual([]);
});

describe('how a view begins', () => {
  test('a service begins with its first transaction and a signature, nothing before', async () => {
    await build();
    expect(rig.pipeline.isOpen).toBe(false);
    expect(() => submit(1)).toThrow('a view begins with a signature');
    const first = rig.pipeline.begin(write(0));
    expect(first).toEqual({ view: 2, seqno: 1 });
    expect(rig.pipeline.isOpen, 'what comes now stands behind the signature').toBe(true);
    const second = submit(1);
    expect(second.seqno).toBe(3);
    await settled(4);
    expect(await shape()).toBe('tDtr');
    expect(rig.host.handedOver).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  test('a later view begins with a dual signature alone, whatever came before', async () => {
    await commit(1);
    await rig.pipeline.stop();
    const next = pipelineIn(rig, viewOf(3));
    expect(next.begin()).toEqual({ view: 3, seqno: 6 });
    await settled(6);
    expect(await shape()).toBe('tDtrDD');
    expect(rig.state.txIdAt(seqnoOf(6)).view).toBe(3);
    expect(() => next.begin()).toThrow('a view begins once');
  });
});

describe('which signatures are made', () => {
  test('the first of a view is dual, the next ones are the node’s alone', async () => {
    for (let number = 1; number < 5; number += 1) await commit(number);
    expect(await shape()).toBe('tDtrtrtrtr');
    expect(rig.signer.signed).toBe(1);
  });

  test('after a second one more is dual, and signatures alone never cause another', async () => {
    await commit(1);
    await rig.time.advance(999);
    expect(await shape()).toBe('tDtr');
    await rig.time.advance(1);
    await rig.pipeline.stop();
    expect(await shape()).toBe('tDtrD');
    await rig.time.advance(60_000);
    expect(await shape()).toBe('tDtrD');
    expect(rig.time.pending).toBe(0);
  });

  test('a quiet ledger stays as it is, however long', async () => {
    for (let second = 0; second < 100; second += 1) await rig.time.advance(1_000);
    expect(await shape()).toBe('tD');
    expect(rig.time.pending).toBe(0);
  });

  test('enough transactions bring the service’s signature sooner', async () => {
    await begun({ serviceSignatureTransactions: 3 });
    for (let number = 1; number < 8; number += 1) await commit(number);
    expect(await shape()).toBe('tDtrtrtDtrtrtDtr');
  });

  test('who wants the service’s signature has it with the next round', async () => {
    await commit(1);
    rig.pipeline.wantServiceSignature();
    await commit(2);
    expect(await shape()).toBe('tDtrtD');
  });

  test('one that ends a chunk is dual, says so, and the chunk gets its name', async () => {
    await begun({ chunkBytes: 4_000 });
    for (let number = 1; number < 13; number += 1) await commit(number);
    await rig.pipeline.stop();
    await rig.host.storage.idle();
    const { closed } = rig.chunks;
    expect(closed.length).toBeGreaterThan(1);
    const kinds = await shape();
    for (const { name, start, end } of closed) {
      expect(await rig.disk.exists(`${FOLDER}/${name}`)).toBe(true);
      expect(kinds[end - 1], name).toBe('D');
      for (let seqno = start; seqno <= end; seqno = seqnoOf(seqno + 1)) {
        const { flags } = parseEntry(await rig.chunks.read(seqno));
        expect(flags).toBe(seqno === end ? FLAG_CHUNK_AFTER : 0);
      }
    }
  });

  test.each([
    ['dual', 'tDtDtDtD'],
    ['cose', 'tCtCtCtC'],
    ['raw', 'trtrtrtr'],
  ] as const)('of kind %s all are alike, and they come to rest', async (kind, expected) => {
    await begun({ kind });
    for (let number = 1; number < 4; number += 1) await commit(number);
    await rig.time.advance(5_000);
    expect(await shape()).toBe(expected);
    await rig.pipeline.stop();
    expect(await shape()).toBe(expected);
    expect(rig.time.pending).toBe(0);
  });
});

describe('rounds', () => {
  test('many who write at once share few rounds', async () => {
    const written = Array.from({ length: 500 }, (_, number) => commit(number + 1));
    await Promise.all(written);
    const { rounds } = rig.host;
    expect(rounds.reduce((sum, count) => sum + count, 0)).toBe(501);
    expect(rounds.length).toBeLessThanOrEqual(3);
  });

  test('what arrives while a round is on its way to the disk makes the next one', async () => {
    const gate = hold((operation) => operation.kind === 'sync');
    const first = commit(1);
    await gate.reached;
    const later = [commit(2), commit(3), commit(4)];
    await rig.time.advance(0);
    expect(rig.state.store.committed).toBe(2);
    expect(rig.host.handedOver, 'at most one round is on its way').toHaveLength(2);
    gate.open();
    await Promise.all([first, ...later]);
    expect(await shape()).toBe('tDtrtttr');
  });

  test('without anybody waiting a round is cut by time', async () => {
    submit(1);
    await rig.time.advance(2);
    expect(rig.state.store.committed).toBe(2);
    submit(2);
    await rig.time.advance(1);
    await rig.pipeline.stop();
    expect(await shape()).toBe('tDttrD');
  });

  test('or by count', async () => {
    await begun({ transactionsMax: 10, delayMs: 1_000_000 });
    for (let number = 1; number < 10; number += 1) submit(number);
    await rig.time.advance(0);
    expect(rig.host.rounds).toEqual([1]);
    submit(10);
    await settle();
    expect(rig.host.rounds).toEqual([1, 10]);
  });

  test('or because somebody begins to wait for what is there', async () => {
    await begun({ delayMs: 1_000_000 });
    const txId = submit(1);
    await settle();
    expect(rig.host.rounds).toEqual([1]);
    const committed = rig.host.waiters.whenCommitted(txId);
    rig.pipeline.hurry();
    await committed;
    expect(rig.host.rounds).toEqual([1, 1]);
  });

  test('entries sealed behind a service signature keep their order and commit', async () => {
    await build();
    rig.signer.holds = true;
    rig.pipeline.begin(write(0));
    expect(rig.signer.held, 'the service’s key is at work').toBeDefined();
    const behind = [1, 2, 3].map((number) => commit(number));
    expect(rig.state.store.newest).toBe(5);
    expect(rig.state.newest, 'nothing stands in the tree before the signature').toBe(1);
    expect(rig.state.store.current.table('rows').size).toBe(4);
    rig.signer.holds = false;
    rig.signer.held?.();
    expect(await Promise.all(behind)).toEqual([3, 4, 5]);
    expect(await shape()).toBe('tDtttr');
    expectStateAt(6);
  });

  test('entries behind a signature that ends a chunk begin the next one', async () => {
    await build({ chunkBytes: 1 });
    rig.signer.holds = true;
    rig.pipeline.begin(write(0));
    const behind = [commit(1), commit(2)];
    rig.signer.holds = false;
    rig.signer.held?.();
    await Promise.all(behind);
    await rig.pipeline.stop();
    await rig.host.storage.idle();
    expect(await shape()).toBe('tDttD');
    expect(rig.chunks.closed.map(({ start, end }) => [start, end])).toEqual([
      [1, 2],
      [3, 5],
    ]);
  });

  test('beyond the bound of uncommitted transactions new ones are refused', async () => {
    const gate = hold((operation) => operation.kind === 'write');
    const first = commit(1);
    await gate.reached;
    while (rig.pipeline.uncommitted < UNCOMMITTED_TRANSACTIONS_MAX) submit(1);
    expect(() => submit(2)).toThrow(/10000 transactions wait/);
    expect(rig.state.store.newest, 'a refused one leaves no trace').toBe(
      2 + UNCOMMITTED_TRANSACTIONS_MAX,
    );
    gate.open();
    await first;
    await commit(3);
    expect(rig.state.store.current.table('rows').size).toBe(3);
  });

  test('a transaction too large for other nodes is refused, and leaves no trace', async () => {
    const nodes = rig.state.nodes;
    const before = rig.pipeline.uncommitted;
    const value = Buffer.alloc(REPLICATED_ENTRY_BYTES_MAX);
    const row = utf8(JSON.stringify({ status: 'Trusted' }));
    const large = [
      { name: 'rows', writes: new Map([['large', value]]), removes: new Set<string>() },
      { name: NODE_INFO, writes: new Map([['a node', row]]), removes: new Set<string>() },
    ];
    expect(codeOfThrown(() => rig.pipeline.submit(large))).toBe('EntryTooLarge');
    expectStateAt(2);
    expect(rig.pipeline.uncommitted).toBe(before);
    expect(rig.state.store.current.table('rows').has(utf8('large'))).toBe(false);
    expect(await commit(1), 'the next one takes its place').toBe(3);
    expect(rig.state.nodes, 'the node that it named is none').toBe(nodes);
    expect(await shape()).toBe('tDtr');
  });

  test('stopping commits what is there and takes no more', async () => {
    submit(1);
    submit(2);
    await rig.pipeline.stop();
    expect(await shape()).toBe('tDttD');
    expect(codeOfThrown(() => submit(3))).toBe('NodeStopping');
    await rig.pipeline.stop();
    expect(await shape()).toBe('tDttD');
  });

  test('stopping in the middle of a round waits for it', async () => {
    const gate = hold((operation) => operation.kind === 'sync');
    const committed = commit(1);
    await gate.reached;
    const stopped = rig.pipeline.stop();
    gate.open();
    await Promise.all([committed, stopped]);
    expect(await shape()).toBe('tDtrD');
  });
});

describe('when the view is over', () => {
  /** Nothing more is handed over or signed, whatever comes to its end late. */
  async function expectNothingMore(handedOver: number): Promise<void> {
    rig.disk.intercept = undefined;
    rig.signer.held?.();
    await rig.time.advance(10_000);
    await rig.host.storage.idle();
    await settle();
    expect(rig.host.handedOver).toHaveLength(handedOver);
    expectStateAt(rig.host.logEnd);
    expect(codeOfThrown(() => submit(9))).toBe('NotPrimary');
    await rig.pipeline.stop();
  }

  test('in the middle of a round, what was not handed over is gone', async () => {
    const gate = hold((operation) => operation.kind === 'sync');
    const txId = submit(1);
    rig.pipeline.hurry();
    await rig.time.advance(3);
    await gate.reached;
    submit(2);
    submit(3);
    expect(rig.state.store.newest).toBe(6);
    rig.host.follow();
    expectStateAt(4);
    const { current } = rig.state.store;
    expect(current.table('rows').has(utf8('row 2'))).toBe(false);
    expect(textOf(current.table('rows').get(utf8('row 1')) ?? Buffer.alloc(0))).toBe('value 1');
    gate.open();
    await expectNothingMore(2);
    // What was handed over may still commit: that is for the next leader to say.
    await rig.host.waiters.whenCommitted(txId);
    expect(await shape()).toBe('tDtr');
  });

  test('while the service’s key signs, neither its signature stays nor the rest', async () => {
    await commit(1);
    rig.signer.holds = true;
    rig.pipeline.wantServiceSignature();
    submit(2);
    rig.pipeline.hurry();
    await rig.time.advance(3);
    expect(rig.signer.held, 'the service’s key is at work').toBeDefined();
    submit(3);
    submit(4);
    expect(rig.state.store.newest).toBe(8);
    rig.host.follow();
    expectStateAt(4);
    await expectNothingMore(2);
    expect(await shape()).toBe('tDtr');
  });

  test('in the very turn in which the node’s own key has signed', async () => {
    await build({ kind: 'raw' });
    rig.pipeline.begin(write(0));
    expect(rig.state.newest, 'the signature is made').toBe(2);
    rig.host.follow();
    expectStateAt(0);
    await expectNothingMore(0);
  });

  test('before its first signature, when the service’s key is slow', async () => {
    await build();
    rig.signer.holds = true;
    rig.pipeline.begin(write(0));
    submit(1);
    rig.host.follow();
    expectStateAt(0);
    await expectNothingMore(0);
  });

  test('who waited learns that it is invalid once another view commits', async () => {
    const gate = hold((operation) => operation.kind === 'sync');
    const first = commit(1);
    await gate.reached;
    const lost = submit(2);
    const waiting = rig.host.waiters.whenCommitted(lost);
    rig.host.follow();
    gate.open();
    await first;
    rig.disk.intercept = undefined;
    pipelineIn(rig, viewOf(3)).begin();
    await expect(waiting).rejects.toMatchObject({ code: 'TransactionInvalid' });
  });

  test('stopping does not wait for a round that will never land', async () => {
    const gate = hold((operation) => operation.kind === 'sync');
    submit(1);
    rig.pipeline.hurry();
    await rig.time.advance(3);
    await gate.reached;
    const stopped = rig.pipeline.stop();
    rig.host.follow();
    await stopped;
    gate.open();
    await expectNothingMore(2);
  });
});

describe('durability', () => {
  /** Replies that left while something written was not yet synced. */
  async function earlyReplies(): Promise<number> {
    let synced = true;
    let early = 0;
    rig.disk.intercept = async ({ kind }: Operation) => {
      if (kind === 'write') synced = false;
      await new Promise((resolve) => setImmediate(resolve));
      if (kind === 'sync') synced = true;
    };
    for (let round = 0; round < 20; round += 1) {
      await Promise.all(
        [1, 2, 3].map(async (number) => {
          await commit(round * 3 + number);
          if (!synced) early += 1;
        }),
      );
    }
    return early;
  }

  test('no reply leaves before the sync of its round has returned', async () => {
    await begun({ chunkBytes: 3_000 });
    expect(await earlyReplies()).toBe(0);
  });

  test('planted, and caught: replies that do not wait for any sync', async () => {
    await begun({ chunkBytes: 3_000 }, false);
    expect(await earlyReplies()).toBe(60);
  });

  test.each(['write', 'sync', 'create', 'sync-folder'] as const)(
    'a failed %s rejects all who wait, stops the node, and acknowledges nothing',
    async (kind) => {
      await build();
      const failure = Object.assign(new Error('input/output error'), { code: 'EIO' });
      rig.disk.intercept = (operation) => {
        if (operation.kind === kind) throw failure;
      };
      rig.pipeline.begin(write(0));
      const outcomes = await Promise.allSettled([commit(1), commit(2)]);
      for (const outcome of outcomes) {
        expect(outcome.status).toBe('rejected');
        if (outcome.status === 'rejected')
          expect(codeOf(outcome.reason)).toBe('LedgerWriteFailed');
      }
      expect(rig.host.fatal.splice(0)).toEqual([failure]);
      expect(rig.state.store.committed).toBe(0);
      expect(codeOfThrown(() => submit(3))).toBe('NotPrimary');
      await expect(settled(1)).rejects.toThrow('this node stops');
      rig.disk.intercept = undefined;
      await rig.time.advance(10_000);
      await rig.pipeline.stop();
      expect(rig.state.store.committed, 'it does not try again').toBe(0);
      expect(rig.host.rounds).toEqual([]);
    },
  );

  test('a service key that fails stops the node as well', async () => {
    await build();
    const failure = new Error('the key is gone');
    rig.signer.sign = () => Promise.reject(failure);
    rig.pipeline.begin(write(0));
    await expect(commit(1)).rejects.toMatchObject({ code: 'LedgerWriteFailed' });
    expect(rig.host.fatal.splice(0)).toEqual([failure]);
    expect(rig.host.handedOver).toEqual([]);
  });

  test('a failed rename comes after the acknowledgement and stops the node', async () => {
    await build({ chunkBytes: 1 });
    rig.disk.intercept = (operation) => {
      if (operation.kind === 'rename') throw new Error('no rename');
    };
    rig.pipeline.begin(write(0));
    await settled(2);
    await rig.time.advance(0);
    expect(rig.host.fatal.splice(0)).toHaveLength(1);
    expect(rig.state.store.committed).toBe(2);
  });
});

/** Holds the disk up at the next operation of a kind. */
function hold(wanted: (operation: Operation) => boolean): {
  readonly reached: Promise<void>;
  readonly open: () => void;
} {
  let open: () => void = () => undefined;
  let reach: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  rig.disk.intercept = async (operation) => {
    if (!wanted(operation)) return;
    reach();
    await opened;
  };
  return { reached, open };
}

function codeOfThrown(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return codeOf(error);
  }
  return 'nothing was thrown';
}

// The writing half of a node: what is signed when, when replies may leave, and what a failure of
// the disk does (design decision 5). Time stands still unless a test moves it.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Seqno, seqnoOf, viewOf } from '../../src/base/ids.ts';
import { UNCOMMITTED_TRANSACTIONS_MAX } from '../../src/base/limits.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { Store } from '../../src/kv/store.ts';
import type { MapWrites } from '../../src/kv/write-set.ts';
import { ChunkStore } from '../../src/ledger/chunk-store.ts';
import { FLAG_CHUNK_AFTER, parseEntry } from '../../src/ledger/entry.ts';
import { LeafIndex } from '../../src/ledger/leaf-index.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { SecretHistory } from '../../src/ledger/secret-history.ts';
import { ViewHistory } from '../../src/ledger/view-history.ts';
import { SIGNATURE_DEFAULTS } from '../../src/node/node-options.ts';
import { type PipelineOptions, WritePipeline } from '../../src/node/write-pipeline.ts';
import { CrashingDisk, codeOf, type Operation } from '../support/crashing-disk.ts';
import { ManualTime } from '../support/manual-time.ts';

const FOLDER = '/ledger';
const nodeKey = SigningKey.generate('P-256');
const serviceKey = SigningKey.generate('P-384');

/** A signer that can be held up, as a slow key would. */
class SlowSigner {
  readonly algorithm = serviceKey.algorithm;
  readonly publicKeyDer = serviceKey.publicKeyDer;
  signed = 0;
  held: (() => void) | undefined;
  holds = false;

  async sign(message: Uint8Array): Promise<Uint8Array> {
    this.signed += 1;
    if (this.holds) {
      await new Promise<void>((resolve) => {
        this.held = resolve;
      });
    }
    return await serviceKey.sign(message);
  }

  signSha256Der(message: Uint8Array): Uint8Array {
    return serviceKey.signSha256Der(message);
  }
}

interface Rig {
  readonly pipeline: WritePipeline;
  readonly store: Store;
  readonly chunks: ChunkStore;
  readonly leaves: LeafIndex;
  readonly disk: CrashingDisk;
  readonly time: ManualTime;
  readonly signer: SlowSigner;
  readonly fatal: unknown[];
  readonly rounds: number[];
}

let rig: Rig;

async function build(options: Partial<PipelineOptions> = {}, flush = true): Promise<Rig> {
  const disk = new CrashingDisk();
  await disk.makeFolder(FOLDER);
  const time = new ManualTime();
  const signer = new SlowSigner();
  const store = new Store([]);
  const leaves = new LeafIndex();
  const secrets = new SecretHistory();
  secrets.add({ from: seqnoOf(1), view: viewOf(2), bytes: systemRandom.bytes(32) });
  const chunks = await ChunkStore.open(disk, FOLDER, flush, [], undefined);
  const fatal: unknown[] = [];
  const rounds: number[] = [];
  const pipeline = new WritePipeline(
    {
      ...SIGNATURE_DEFAULTS,
      nodeId: nodeKey.fingerprint,
      view: viewOf(2),
      chunkBytes: 1_000_000,
      ...options,
    },
    {
      store,
      tree: new MerkleTree(),
      leaves,
      views: new ViewHistory(),
      secrets,
      chunks,
      nodeKey,
      serviceKey: signer,
      nodeCertificatePem: 'a certificate',
      clock: time,
      timers: time,
      onFatal: (error) => fatal.push(error),
      onCommit: (_seqno, transactions) => rounds.push(transactions),
    },
  );
  rig = { pipeline, store, chunks, leaves, disk, time, signer, fatal, rounds };
  return rig;
}

function write(number: number): readonly MapWrites[] {
  const value = Buffer.from(`value ${number}`);
  return [{ name: 'rows', writes: new Map([[`row ${number}`, value]]), removes: new Set() }];
}

function submit(number: number): Seqno {
  return rig.pipeline.submit(write(number)).seqno;
}

async function commit(number: number): Promise<Seqno> {
  const seqno = submit(number);
  await rig.pipeline.whenCommitted(seqno);
  return seqno;
}

/** What the ledger holds: `t` a transaction, `r` a signature of the node alone, `D` of both. */
async function shape(): Promise<string> {
  let text = '';
  for (let seqno = 1; seqno <= rig.store.committed; seqno += 1) {
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

beforeEach(async () => {
  await build();
});

afterEach(() => {
  expect(rig.fatal, 'nothing failed unnoticed').toEqual([]);
});

describe('which signatures are made', () => {
  test('the first of a view is dual, the next ones are the node’s alone', async () => {
    for (let number = 0; number < 4; number += 1) await commit(number);
    expect(await shape()).toBe('tDtrtrtr');
    expect(rig.signer.signed).toBe(1);
  });

  test('after a second one more is dual, and signatures alone never cause another', async () => {
    await commit(0);
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
    await commit(0);
    for (let second = 0; second < 100; second += 1) await rig.time.advance(1_000);
    expect(await shape()).toBe('tD');
  });

  test('enough transactions bring the service’s signature sooner', async () => {
    await build({ serviceSignatureTransactions: 3 });
    for (let number = 0; number < 7; number += 1) await commit(number);
    expect(await shape()).toBe('tDtrtrtDtrtrtD');
  });

  test('one that ends a chunk is dual, says so, and the chunk gets its name', async () => {
    await build({ chunkBytes: 4_000 });
    for (let number = 0; number < 12; number += 1) await commit(number);
    await rig.pipeline.stop();
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
    ['dual', 'tDtDtD'],
    ['cose', 'tCtCtC'],
    ['raw', 'trtrtr'],
  ] as const)('of kind %s all are alike, and they come to rest', async (kind, expected) => {
    await build({ kind });
    for (let number = 0; number < 3; number += 1) await commit(number);
    await rig.time.advance(5_000);
    expect(await shape()).toBe(expected);
    await rig.pipeline.stop();
    expect(await shape()).toBe(expected);
    expect(rig.time.pending).toBe(0);
  });
});

describe('rounds', () => {
  test('many who write at once share few rounds', async () => {
    await commit(0);
    const written = Array.from({ length: 500 }, (_, number) => commit(number + 1));
    await Promise.all(written);
    expect(rig.rounds.reduce((sum, count) => sum + count, 0)).toBe(501);
    expect(rig.rounds.length).toBeLessThanOrEqual(3);
  });

  test('what arrives while a round is on its way to the disk makes the next one', async () => {
    await commit(0);
    const gate = hold((operation) => operation.kind === 'sync');
    const first = commit(1);
    await gate.reached;
    const later = [commit(2), commit(3), commit(4)];
    await rig.time.advance(0);
    expect(rig.store.committed).toBe(2);
    gate.open();
    await Promise.all([first, ...later]);
    expect(await shape()).toBe('tDtrtttr');
  });

  test('without anybody waiting a round is cut by time', async () => {
    submit(0);
    await rig.time.advance(2);
    expect(rig.store.committed).toBe(0);
    submit(1);
    await rig.time.advance(1);
    await rig.pipeline.stop();
    expect(await shape()).toBe('ttD');
  });

  test('or by count', async () => {
    await build({ transactionsMax: 10, delayMs: 1_000_000 });
    for (let number = 0; number < 9; number += 1) submit(number);
    await rig.time.advance(0);
    expect(rig.rounds).toEqual([]);
    await rig.pipeline.whenCommitted(submit(9));
    expect(rig.rounds).toEqual([10]);
  });

  test('entries sealed behind a service signature keep their order and commit', async () => {
    rig.signer.holds = true;
    const first = commit(0);
    await rig.time.advance(0);
    expect(rig.signer.held, 'the service’s key is at work').toBeDefined();
    const behind = [1, 2, 3].map((number) => commit(number));
    expect(rig.store.newest).toBe(5);
    expect(rig.store.current.table('rows').size).toBe(4);
    rig.signer.holds = false;
    rig.signer.held?.();
    expect([await first, ...(await Promise.all(behind))]).toEqual([1, 3, 4, 5]);
    expect(await shape()).toBe('tDtttr');
    expect(rig.leaves.newest).toBe(6);
  });

  test('entries behind a signature that ends a chunk begin the next one', async () => {
    await build({ chunkBytes: 1 });
    rig.signer.holds = true;
    const first = commit(0);
    await rig.time.advance(0);
    const behind = [commit(1), commit(2)];
    rig.signer.holds = false;
    rig.signer.held?.();
    await Promise.all([first, ...behind]);
    await rig.pipeline.stop();
    expect(await shape()).toBe('tDttD');
    expect(rig.chunks.closed.map(({ start, end }) => [start, end])).toEqual([
      [1, 2],
      [3, 5],
    ]);
  });

  test('beyond the bound of uncommitted transactions new ones are refused', async () => {
    const gate = hold((operation) => operation.kind === 'write');
    const first = commit(0);
    await gate.reached;
    while (rig.pipeline.uncommitted < UNCOMMITTED_TRANSACTIONS_MAX) submit(1);
    expect(() => submit(2)).toThrow(/10000 transactions wait/);
    expect(rig.store.newest, 'a refused one leaves no trace').toBe(
      UNCOMMITTED_TRANSACTIONS_MAX,
    );
    gate.open();
    await first;
    await commit(3);
    expect(rig.store.current.table('rows').size).toBe(3);
  });

  test('stopping commits what is there and takes no more', async () => {
    await commit(0);
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
    const seqno = submit(0);
    const committed = rig.pipeline.whenCommitted(seqno);
    await gate.reached;
    const stopped = rig.pipeline.stop();
    gate.open();
    await Promise.all([committed, stopped]);
    expect(await shape()).toBe('tD');
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
    await build({ chunkBytes: 3_000 });
    expect(await earlyReplies()).toBe(0);
  });

  test('planted, and caught: replies that do not wait for any sync', async () => {
    await build({ chunkBytes: 3_000 }, false);
    expect(await earlyReplies()).toBe(60);
  });

  test.each(['write', 'sync', 'create', 'sync-folder'] as const)(
    'a failed %s rejects all who wait, stops the node, and acknowledges nothing',
    async (kind) => {
      const failure = Object.assign(new Error('input/output error'), { code: 'EIO' });
      rig.disk.intercept = (operation) => {
        if (operation.kind === kind) throw failure;
      };
      const waiting = [commit(0), commit(1)];
      const outcomes = await Promise.allSettled(waiting);
      for (const outcome of outcomes) {
        expect(outcome.status).toBe('rejected');
        if (outcome.status === 'rejected')
          expect(codeOf(outcome.reason)).toBe('LedgerWriteFailed');
      }
      expect(rig.fatal.splice(0)).toEqual([failure]);
      expect(rig.store.committed).toBe(0);
      expect(codeOfThrown(() => submit(2))).toBe('LedgerWriteFailed');
      await expect(rig.pipeline.whenCommitted(seqnoOf(1))).rejects.toThrow('this node stops');
      rig.disk.intercept = undefined;
      await rig.time.advance(10_000);
      await rig.pipeline.stop();
      expect(rig.store.committed, 'it does not try again').toBe(0);
      expect(rig.rounds).toEqual([]);
    },
  );

  test('a service key that fails stops the node as well', async () => {
    const failure = new Error('the key is gone');
    rig.signer.sign = () => Promise.reject(failure);
    await expect(commit(0)).rejects.toMatchObject({ code: 'LedgerWriteFailed' });
    expect(rig.fatal.splice(0)).toEqual([failure]);
  });

  test('a failed rename comes after the acknowledgement and stops the node', async () => {
    await build({ chunkBytes: 1 });
    rig.disk.intercept = (operation) => {
      if (operation.kind === 'rename') throw new Error('no rename');
    };
    await commit(0);
    await rig.time.advance(0);
    expect(rig.fatal.splice(0)).toHaveLength(1);
    expect(rig.store.committed).toBe(2);
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

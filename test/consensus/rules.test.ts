// Single rules that a whole simulation would only show by luck: bounds, quorums, backtracking.

import { describe, expect, test } from 'vitest';
import { type NodeId, type Seqno, seqnoOf, type TxId, viewOf } from '../../src/base/ids.ts';
import {
  agreedSeqno,
  Configurations,
  isQuorumOfEach,
} from '../../src/consensus/configurations.ts';
import { Consensus } from '../../src/consensus/consensus.ts';
import type { Entry } from '../../src/consensus/messages.ts';
import type { Outputs } from '../../src/consensus/outputs.ts';
import { comparePositions, LogPositions, NOWHERE } from '../../src/consensus/positions.ts';
import { Progress } from '../../src/consensus/progress.ts';
import { ReadQueue } from '../../src/consensus/read-queue.ts';
import { USUAL_OPTIONS } from './cluster.ts';
import { EMPTY_POINT } from './host.ts';

const ids = (text: string): NodeId[] => [...text] as NodeId[];
const at = (view: number, seqno: number): TxId => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
});

/**
 * A log from its views in order: "2 2s 3" is two entries of view 2, the second signed, one of
 * 3.
 */
function logOf(text: string): LogPositions {
  const log = new LogPositions({ oldest: NOWHERE, views: [], committed: seqnoOf(0) });
  for (const [index, word] of text.split(' ').entries()) {
    log.append(at(Number.parseInt(word, 10), index + 1), word.endsWith('s'));
  }
  return log;
}

describe('a quorum', () => {
  const configurations = [
    { seqno: seqnoOf(1), nodes: ids('abc') },
    { seqno: seqnoOf(5), nodes: ids('cde') },
  ];

  test.each([
    ['ab', false],
    ['cd', false],
    ['abde', true],
    ['ac', false],
    ['acd', true],
    ['bce', true],
    ['cde', false],
  ])('of both abc and cde: %s is %s', (nodes, expected) => {
    expect(isQuorumOfEach(configurations, (node) => nodes.includes(node))).toBe(expected);
  });

  test('of no configuration is none', () => {
    expect(isQuorumOfEach([], () => true)).toBe(false);
  });

  test('agrees on the lowest of what each configuration has reached', () => {
    const reached: Record<string, number> = { a: 9, b: 7, c: 3, d: 2, e: 8 };
    const seqno = agreedSeqno(configurations, (node) => seqnoOf(reached[node] ?? 0));
    expect(seqno).toBe(3);
  });

  test('loses older configurations by commit, newer ones by truncation', () => {
    const active = new Configurations(configurations[0]);
    active.add({ seqno: seqnoOf(5), nodes: ids('cde') });
    active.add({ seqno: seqnoOf(8), nodes: ids('e') });
    active.truncate(seqnoOf(7));
    expect(active.active.map(({ seqno }) => seqno)).toEqual([1, 5]);
    active.commit(seqnoOf(4));
    expect(active.active.map(({ seqno }) => seqno)).toEqual([1, 5]);
    active.commit(seqnoOf(5));
    expect(active.active.map(({ seqno }) => seqno)).toEqual([5]);
    expect(() => active.add({ seqno: seqnoOf(9), nodes: [] })).toThrow('names a node');
    expect(() => active.add({ seqno: seqnoOf(9), nodes: ids('aa') })).toThrow('once');
  });
});

describe('positions', () => {
  test('are compared by view, then by seqno', () => {
    expect(comparePositions(at(3, 1), at(2, 9))).toBeGreaterThan(0);
    expect(comparePositions(at(2, 8), at(2, 9))).toBeLessThan(0);
  });

  test('end for votes at the last signature', () => {
    expect(logOf('2 2s 2 2').lastCommittable).toEqual(at(2, 2));
    expect(logOf('2 2').lastCommittable).toEqual(at(0, 0));
  });

  test('are committed at signatures only, and then stay', () => {
    const log = logOf('2 2s 2 2s');
    expect(() => log.commitTo(seqnoOf(3))).toThrow('only at a signature');
    log.commitTo(seqnoOf(2));
    expect(() => log.truncate(seqnoOf(1))).toThrow('what is committed stays');
    expect(() => log.append(at(1, 5), false)).toThrow('views grow');
    expect(() => log.append(at(2, 7), false)).toThrow('the next one');
  });

  // The other log has `probe` there; where may ours agree with it at the latest?
  test.each([
    ['2 2 2', at(2, 9), at(2, 3)],
    ['2 2 3 3 3', at(2, 9), at(2, 2)],
    ['2 2 3 3 3', at(3, 4), at(3, 4)],
    ['2 2 5 5', at(4, 4), at(2, 2)],
    ['5 5 5', at(4, 3), at(0, 0)],
  ])('of %s, told %j, may match at %j', (text, probe, expected) => {
    expect(logOf(text).highestPossibleMatch(probe)).toEqual(expected);
  });
});

describe("a peer's progress", () => {
  test('never loses what was acknowledged to a refusal', () => {
    const progress = new Progress(seqnoOf(10));
    progress.isPresentLife(1, seqnoOf(10));
    progress.accept(seqnoOf(6));
    progress.refuse(seqnoOf(2));
    expect([progress.match, progress.sent]).toEqual([6, 6]);
  });

  test('counts nothing of a former life', () => {
    const progress = new Progress(seqnoOf(10));
    progress.isPresentLife(1, seqnoOf(10));
    progress.accept(seqnoOf(6));
    expect(progress.isPresentLife(2, seqnoOf(12))).toBe(true);
    expect([progress.match, progress.sent]).toEqual([0, 12]);
    expect(progress.isPresentLife(1, seqnoOf(12))).toBe(false);
  });

  test('counts nothing of a former life that began under the same incarnation', () => {
    const progress = new Progress(seqnoOf(10));
    expect(progress.isPresentLifeAsking(7, 1, seqnoOf(10))).toBe(true);
    progress.accept(seqnoOf(8));
    expect(progress.isPresentLifeAsking(7, 2, seqnoOf(10))).toBe(false);
    expect(progress.match).toBe(8);
    const { nextIncarnation } = progress;
    expect(progress.isPresentLifeAsking(nextIncarnation, 2, seqnoOf(10))).toBe(true);
    expect(progress.match).toBe(0);
    expect(progress.isPresentLifeAsking(nextIncarnation, 2, seqnoOf(10))).toBe(true);
  });

  test('starts no new probe for a refusal that teaches nothing', () => {
    const progress = new Progress(seqnoOf(10));
    progress.hasProbed = true;
    progress.refuse(seqnoOf(4));
    expect(progress.hasProbed).toBe(false);
    progress.hasProbed = true;
    progress.refuse(seqnoOf(4));
    expect(progress.hasProbed).toBe(true);
  });
});

describe('a restarting node whose incarnation is taken', () => {
  const [a, b] = ids('ab') as [NodeId, NodeId];
  const restarted = (): Consensus => {
    const node = new Consensus(
      { ...USUAL_OPTIONS, self: a, incarnation: 4, nonce: 9 },
      { spread: () => 0.5, viewLeap: () => 1 },
      {
        kind: 'restart',
        point: EMPTY_POINT,
        record: { view: viewOf(2) },
        entries: [
          { ...at(2, 1), isSignature: false, reconfiguration: ids('abc') },
          { ...at(2, 2), isSignature: true },
        ],
      },
    );
    node.start();
    return node;
  };
  const asked = (outputs: Outputs): readonly (readonly [string, number])[] =>
    outputs.messages.flatMap(({ to, message }) =>
      message.kind === 'inquiry' ? [[to, message.incarnation] as const] : [],
    );

  test('asks all again under the one that it is told', () => {
    const outlived = { kind: 'outlived', incarnation: 6 } as const;
    const told = asked(restarted().step({ kind: 'message', from: b, message: outlived }));
    expect(told.filter(([, incarnation]) => incarnation === 6)).toEqual([
      ['b', 6],
      ['c', 6],
    ]);
  });

  test.each([3, 4])('makes nothing of one that is no larger: %i', (incarnation) => {
    const message = { kind: 'outlived', incarnation } as const;
    const outputs = restarted().step({ kind: 'message', from: 'd' as NodeId, message });
    expect(asked(outputs).filter(([to]) => to !== 'd')).toEqual([]);
  });
});

describe('bounds', () => {
  function leader(more: Partial<typeof USUAL_OPTIONS> = {}): Consensus {
    const node = new Consensus(
      { ...USUAL_OPTIONS, ...more, self: 'a' as NodeId, incarnation: 1, nonce: 1 },
      { spread: () => 0, viewLeap: () => 1 },
      { kind: 'found', point: EMPTY_POINT, view: viewOf(2) },
    );
    node.start();
    const entries = [
      written(1, { reconfiguration: ids('abc') }),
      written(2, { isSignature: true }),
    ];
    node.step({ kind: 'replicate', entries });
    return node;
  }

  const written = (seqno: number, more: Partial<Entry> = {}): Entry => ({
    ...at(2, seqno),
    isSignature: false,
    ...more,
  });

  test('uncommitted transactions are refused beyond theirs; signatures are not', () => {
    const node = leader({ uncommittedMax: 4 });
    node.step({ kind: 'replicate', entries: [written(3), written(4)] });
    expect(node.refusal([written(5)])).toBe('TooManyUncommitted');
    expect(node.refusal([written(5, { isSignature: true })])).toBeUndefined();
    const { events } = node.step({ kind: 'replicate', entries: [written(5)] });
    expect(events).toEqual([{ kind: 'refused', reason: 'TooManyUncommitted' }]);
    expect(node.last.seqno).toBe(4);
  });

  test('reads are refused beyond theirs, and forgotten ones make room', () => {
    const node = leader({ readsMax: 2 });
    for (const id of [1, 2]) expect(node.step({ kind: 'read', id }).events).toEqual([]);
    const { events } = node.step({ kind: 'read', id: 3 });
    expect(events).toEqual([{ kind: 'refused', reason: 'TooManyReads' }]);
    node.step({ kind: 'forget-read', id: 1 });
    expect(node.step({ kind: 'read', id: 3 }).events).toEqual([]);
  });

  test('a batch ends with its view, at the count, or where the caller cuts it', () => {
    const cut: [Seqno, Seqno][] = [];
    const node = new Consensus(
      { ...USUAL_OPTIONS, batchEntriesMax: 3, self: 'a' as NodeId, incarnation: 1, nonce: 1 },
      {
        spread: () => 0,
        viewLeap: () => 1,
        batchEnd: (first, last) => {
          cut.push([first, last]);
          return first;
        },
      },
      { kind: 'found', point: EMPTY_POINT, view: viewOf(2) },
    );
    node.start();
    const entries = [
      written(1, { reconfiguration: ids('ab') }),
      written(2, { isSignature: true }),
      ...[3, 4, 5].map((seqno) => written(seqno)),
    ];
    const { messages } = node.step({ kind: 'replicate', entries });
    expect(cut).toEqual([[1, 3]]);
    expect(messages).toMatchObject([{ to: 'b', message: { previous: at(0, 0), last: 1 } }]);
  });

  test('a batch that is asked for again waits once', () => {
    const queue = new ReadQueue(10);
    const reader = { kind: 'there', node: 'b' as NodeId, batch: 1, incarnation: 1 } as const;
    expect([queue.add(reader), queue.add(reader), queue.count]).toEqual([true, true, 1]);
    expect([queue.add({ ...reader, incarnation: 2 }), queue.count]).toEqual([true, 2]);
  });
});

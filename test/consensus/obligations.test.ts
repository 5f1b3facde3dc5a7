// The caller's obligations, by their numbers in `src/consensus/consensus.ts`: each is broken once,
// and the damage must show. What a caller cannot see from the outputs it cannot keep.

import { describe, expect, test } from 'vitest';
import { type NodeId, type Seqno, seqnoOf, type View, viewOf } from '../../src/base/ids.ts';
import { type Beginning, Consensus } from '../../src/consensus/consensus.ts';
import type { Append, Entry, Message } from '../../src/consensus/messages.ts';
import type { Outputs } from '../../src/consensus/outputs.ts';
import { USUAL_OPTIONS } from './cluster.ts';
import { EMPTY_POINT } from './host.ts';
import { PLANTED_BUGS, seedsToCatch } from './planted-bugs.ts';
import { type SimulationOptions, simulate } from './simulation.ts';

const [a, b, c] = ['n0', 'n1', 'n2'] as [NodeId, NodeId, NodeId];

/** The first violation in the lives of these seeds. */
function violationOf(options: Omit<SimulationOptions, 'seed'>, seedsMax = 40): string {
  for (let seed = 1; seed <= seedsMax; seed += 1) {
    const { violation } = simulate({ ...options, seed });
    if (violation !== undefined) return violation.message;
  }
  return 'nothing was broken';
}

const released =
  (kind: Message['kind']) =>
  (outputs: Outputs): Outputs => ({
    ...outputs,
    messages: outputs.messages.map((outgoing) =>
      outgoing.message.kind === kind ? { ...outgoing, after: 0 } : outgoing,
    ),
  });

const entry = (view: number, seqno: number, more: Partial<Entry> = {}): Entry => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
  isSignature: false,
  ...more,
});
const signature = (view: number, seqno: number): Entry =>
  entry(view, seqno, { isSignature: true });

function nodeWith(beginning: Beginning, incarnation = 1): Consensus {
  return new Consensus(
    { ...USUAL_OPTIONS, self: b, incarnation, nonce: incarnation },
    { spread: () => 0.5, viewLeap: () => 1 },
    beginning,
  );
}

/** A leader's message of entries after (view, seqno). */
function append(
  view: number,
  previous: readonly [number, number],
  entries: readonly Entry[],
  commit = 0,
): { readonly message: Append; readonly entries: readonly Entry[] } {
  const [previousView, previousSeqno] = previous;
  return {
    message: {
      kind: 'append',
      view: viewOf(view),
      previous: { view: viewOf(previousView), seqno: seqnoOf(previousSeqno) },
      last: seqnoOf(previousSeqno + entries.length),
      commit: seqnoOf(commit),
      round: 0,
    },
    entries,
  };
}

/** A follower of a three-node service that has what view 2 wrote: 1 and 2 are committed. */
function follower(): Consensus {
  const node = nodeWith({ kind: 'join', point: EMPTY_POINT });
  node.start();
  const entries = [entry(2, 1, { reconfiguration: [a, b, c] }), signature(2, 2)];
  node.step({ kind: 'message', from: a, ...append(2, [0, 0], entries, 2) });
  return node;
}

describe("the caller's obligations", () => {
  test('1: storage operations keep their order', () => {
    const reversed = (outputs: Outputs): Outputs => ({
      ...outputs,
      storage: outputs.storage.toReversed(),
    });
    expect(violationOf({ distort: reversed })).not.toBe('nothing was broken');
  });

  test('1: their numbers go up by one, over all steps', () => {
    const node = follower();
    const { storage } = node.step({
      kind: 'message',
      from: c,
      ...append(3, [2, 2], [signature(3, 3)], 2),
    });
    expect(storage).toEqual([
      { kind: 'record', record: { view: 3 }, operation: 3 },
      { kind: 'append', entries: [signature(3, 3)], operation: 4 },
    ]);
  });

  test.each([
    ['vote-answer', 'PromiseIsDurable'],
    ['vote-request', 'PromiseIsDurable'],
    ['report', 'PromiseIsDurable'],
    ['append-answer', 'ReplicationInv'],
  ] as const)('2: a %s waits for the disk', (kind, invariantName) => {
    expect(violationOf({ distort: released(kind) })).toContain(invariantName);
  });

  test('3: stored means stored', () => {
    expect(violationOf({ acknowledgesEarly: true })).toContain('QuorumLogInv');
  });

  test('4: entries come with the message that names them, all of them', () => {
    const node = follower();
    const { message } = append(2, [2, 2], [entry(2, 3), entry(2, 4)]);
    const input = { kind: 'message', from: a, message } as const;
    expect(() => node.step({ ...input, entries: [entry(2, 3)] })).toThrow(
      'hands in the entries',
    );
    expect(() => node.step({ ...input, entries: [entry(2, 4), entry(2, 3)] })).toThrow(
      'its place',
    );
  });

  test('5: what is rolled back was executed and must be undone', () => {
    const node = follower();
    const executed: { view: View; seqno: Seqno }[] = [];
    const obedient: { view: View; seqno: Seqno }[] = [];
    const take = ({ events, storage }: Outputs): void => {
      for (const event of events)
        if (event.kind === 'rolled-back') obedient.length = event.seqno - 2;
      for (const operation of storage) {
        if (operation.kind !== 'append') continue;
        executed.push(...operation.entries);
        obedient.push(...operation.entries);
      }
    };
    const old = [entry(2, 3), signature(2, 4)];
    take(node.step({ kind: 'message', from: a, ...append(2, [2, 2], old, 2) }));
    const real = [signature(3, 3), entry(3, 4), signature(3, 5)];
    take(node.step({ kind: 'message', from: c, ...append(3, [2, 2], real, 5) }));
    expect(obedient).toEqual(real);
    expect(executed).not.toEqual(real);
    expect(node.commit).toBe(5);
  });

  test('6: what is appended is not committed, and may be lost', () => {
    const node = follower();
    const { events } = node.step({
      kind: 'message',
      from: a,
      ...append(2, [2, 2], [entry(2, 3), signature(2, 4)], 2),
    });
    expect(events).toEqual([]);
    const lost = node.step({
      kind: 'message',
      from: c,
      ...append(3, [2, 2], [signature(3, 3)], 3),
    });
    expect(lost.events).toContainEqual({ kind: 'rolled-back', seqno: 2 });
    expect(lost.events).toContainEqual({ kind: 'committed', seqno: 3 });
  });

  test('7: the first entry of a view is a signature; founding, one may come before it', () => {
    const node = nodeWith({ kind: 'found', point: EMPTY_POINT, view: viewOf(2) });
    const { events } = node.start();
    expect(events).toMatchObject([{ kind: 'leads', view: 2, unproven: false }]);
    const first = entry(2, 1, { reconfiguration: [b] });
    const two = node.step({ kind: 'replicate', entries: [first, entry(2, 2)] });
    expect(two.events).toEqual([{ kind: 'refused', reason: 'SignatureFirst' }]);
    node.step({ kind: 'replicate', entries: [first] });
    const more = node.step({ kind: 'replicate', entries: [entry(2, 2)] });
    expect(more.events).toEqual([{ kind: 'refused', reason: 'SignatureFirst' }]);
    expect(node.refusal([signature(2, 2), entry(2, 3)])).toBeUndefined();
  });

  test('8: a node that lived before is no joiner: it would forget its promises', async () => {
    const bug = PLANTED_BUGS.find(({ name }) => name === 'a restarting node trusts its disk');
    expect(bug === undefined ? undefined : await seedsToCatch(bug)).toBeDefined();
    const record = { view: viewOf(1) };
    const entries = [entry(2, 1, { reconfiguration: [a, b] })];
    expect(() => nodeWith({ kind: 'restart', point: EMPTY_POINT, record, entries })).toThrow(
      'not older than the log',
    );
  });

  test('9: a leader that is told of its pause gives up before it does anything else', () => {
    const lead = (): Consensus => {
      const node = nodeWith({ kind: 'found', point: EMPTY_POINT, view: viewOf(2) });
      node.start();
      const entries = [entry(2, 1, { reconfiguration: [a, b, c] }), signature(2, 2)];
      node.step({ kind: 'replicate', entries });
      return node;
    };
    const told = lead();
    told.step({ kind: 'tick', elapsedMs: 30_000 });
    expect(told.role).toBe('follower');
    expect(told.refusal([entry(2, 3)])).toBe('NotLeader');
    const untold = lead();
    untold.step({ kind: 'tick', elapsedMs: 1 });
    expect(untold.refusal([entry(2, 3)])).toBeUndefined();
    expect(() => untold.step({ kind: 'tick', elapsedMs: -1 })).toThrow('backwards');
  });

  test('10: a read served below its seqno is stale', () => {
    const early = (outputs: Outputs): Outputs => ({
      ...outputs,
      events: outputs.events.map((event) =>
        event.kind === 'read-ready' ? { ...event, seqno: seqnoOf(event.seqno - 1) } : event,
      ),
    });
    expect(violationOf({ distort: early })).toContain('FreshRead');
  });

  test('11: without a record of its retirement a node never may go', () => {
    const deaf = (outputs: Outputs): Outputs => ({
      ...outputs,
      events: outputs.events.filter(({ kind }) => kind !== 'record-retired'),
    });
    expect(violationOf({ distort: deaf })).toContain('still retiring');
  });
});

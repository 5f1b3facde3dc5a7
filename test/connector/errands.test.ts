/** How a request finds its answer among nodes that are slow, dead, cut off or without a primary. */
import { beforeEach, describe, expect, test } from 'vitest';
import { Counters } from '../../src/connector/counters.ts';
import { type Outcome, runErrand } from '../../src/connector/errand.ts';
import { ManualTime } from '../support/manual-time.ts';
import { FakeNodes, pass, type Sent } from './fake-nodes.ts';

const [A, B, C] = ['https://a:1', 'https://b:1', 'https://c:1'];

let time: ManualTime;
let nodes: FakeNodes;
let counters: Counters;
let wanted: boolean;
let outcome: Outcome | undefined;
let lost: boolean;

beforeEach(() => {
  time = new ManualTime();
  nodes = new FakeNodes([A, B, C], time);
  counters = new Counters();
  wanted = true;
  lost = false;
  outcome = undefined;
});

function send(purpose: 'read' | 'write', bodyBytes = 0): void {
  const request = { method: 'POST', target: '/x', headerLines: '', body: Buffer.alloc(0) };
  void runErrand(
    {
      purpose,
      request: () => request,
      bodyBytes,
      arrivedMs: time.elapsedMs(),
      isWanted: () => wanted,
      confirmLoss: () => Promise.resolve(lost),
    },
    { nodes, timers: time, counters },
  ).then((ended) => {
    outcome = ended;
  });
}

const status = (): number | undefined =>
  outcome?.kind === 'answer' ? outcome.answer.status : undefined;

/** The request as the node at `url` had it last. */
function last(url: string): Sent {
  const found = nodes.sent.findLast((sent) => sent.url === url);
  if (found === undefined) throw new Error(`${url} was not asked`);
  return found;
}

describe('a read', () => {
  test('is asked of one node when that answers', async () => {
    send('read');
    await pass(time, 100);
    last(A).answer(200);
    await pass(time, 5_000);
    expect([status(), nodes.urls]).toEqual([200, [A]]);
    expect([counters.hedges, counters.failovers, time.pending]).toEqual([0, 0, 0]);
  });

  test('leaves a node that says nothing, within a second, and still hears it', async () => {
    send('read');
    await pass(time, 700);
    expect(nodes.urls).toEqual([A, B]);
    expect(last(B).atMs).toBeLessThanOrEqual(700);
    last(A).answer(200);
    await pass(time, 10);
    expect([status(), counters.hedges, counters.failovers]).toEqual([200, 1, 0]);
    expect(last(B).abandoned).toBe(true);
  });

  test('goes through all that are dead, and to none of them twice', async () => {
    send('read');
    await pass(time, 3_500);
    expect(nodes.urls).toEqual([A, B, C]);
    last(C).answer(404);
    await pass(time, 10);
    expect([status(), counters.failovers]).toEqual([404, 1]);
  });

  test('has patience with an answer that is coming in', async () => {
    send('read');
    last(A).progress = 'answering';
    await pass(time, 2_500);
    expect(nodes.urls).toEqual([A]);
    last(A).progress = 'sent';
    await pass(time, 700);
    expect(nodes.urls).toEqual([A, B]);
  });

  test('has patience with a body that takes long to send', async () => {
    send('read', 10_000_000);
    await pass(time, 1_500);
    expect(nodes.urls).toEqual([A]);
    await pass(time, 200);
    expect(nodes.urls).toEqual([A, B]);
  });

  test('goes on at once when a connection is cut or refused', async () => {
    nodes.onSent = (sent) => {
      if (sent.url === A) sent.cut();
      else if (sent.url === B) sent.refuse();
      else sent.answer(200);
    };
    send('read');
    await pass(time, 10);
    expect([status(), nodes.urls, counters.failovers]).toEqual([200, [A, B, C], 1]);
  });

  test('asks a node that came back, while one of the others hangs', async () => {
    nodes.onSent = (sent) => {
      if (sent.url !== A && sent.atMs < 1_500) sent.refuse();
      else if (sent.url !== A) sent.answer(200);
    };
    send('read');
    await pass(time, 2_000);
    expect(status()).toBe(200);
  });

  test('is refused only after all were asked all the time, with what one said', async () => {
    nodes.onSent = (sent) => sent.answer(503, { 'retry-after': '1' }, sent.url);
    send('read');
    await pass(time, 3_900);
    expect(outcome).toBeUndefined();
    await pass(time, 400);
    expect(outcome).toMatchObject({ kind: 'none', refusal: { status: 503 } });
    expect(nodes.sent.length).toBeLessThan(120);
  });

  test('ends after 4.5 s at the latest, whatever hangs', async () => {
    send('read');
    await pass(time, 4_450);
    expect(outcome).toBeUndefined();
    await pass(time, 60);
    expect(outcome).toMatchObject({ kind: 'none', refusal: undefined });
    expect(time.pending).toBe(0);
  });

  test('follows to the node that another names', async () => {
    nodes.onSent = (sent) => {
      if (sent.url === A) sent.answer(307, { location: `${C}/app/quorum/x` });
      else sent.answer(200);
    };
    send('read');
    await pass(time, 10);
    expect([status(), nodes.urls]).toEqual([200, [A, C]]);
  });

  test('passes a fault on only when it is the same everywhere', async () => {
    nodes.onSent = (sent) => sent.answer(sent.url === C ? 200 : 500);
    send('read');
    await pass(time, 10);
    expect([status(), nodes.unable]).toEqual([200, [A, B]]);
    nodes.onSent = (sent) => sent.answer(500);
    send('read');
    await pass(time, 10);
    expect(status()).toBe(500);
  });

  test('is not repeated for a client that has gone', async () => {
    send('read');
    wanted = false;
    last(A).cut();
    await pass(time, 10);
    expect([outcome?.kind, nodes.urls]).toEqual(['none', [A]]);
  });
});

describe('a write', () => {
  test('is held while there is no primary, and asked of all until there is one', async () => {
    nodes.onSent = (sent) => {
      if (sent.atMs < 2_000) sent.answer(503, { 'x-concordat-error': 'NotPrimary' });
      else sent.answer(201);
    };
    send('write');
    await pass(time, 1_900);
    expect(outcome).toBeUndefined();
    await pass(time, 400);
    expect(status()).toBe(201);
    expect(counters.retries).toBe(nodes.sent.length - 1);
    // Three nodes, then a pause of at most 200 ms.
    expect(nodes.sent.length).toBeLessThan(60);
  });

  test('leaves a primary that says nothing to anybody after a second', async () => {
    nodes.silent.add(A);
    send('write');
    await pass(time, 1_100);
    expect(nodes.urls).toEqual([A, B]);
    last(B).answer(201);
    await pass(time, 10);
    expect([status(), counters.hedges, counters.retries]).toEqual([201, 1, 1]);
  });

  test('has more patience with one that serves others meanwhile', async () => {
    send('write');
    await pass(time, 1_900);
    expect(nodes.urls).toEqual([A]);
    await pass(time, 200);
    expect(nodes.urls).toEqual([A, B]);
  });

  test('that hangs with all of them is tried again, four times at once at most', async () => {
    for (const url of [A, B, C]) nodes.silent.add(url);
    send('write');
    await pass(time, 4_000);
    expect(nodes.urls).toEqual([A, B, C, A]);
    await pass(time, 1_000);
    expect(outcome).toMatchObject({ kind: 'none', doubt: true });
  });

  test.each([
    ['nothing was sent', 'refuse', false],
    ['it was sent and never answered', 'cut', true],
  ] as const)('of which %s ends with doubt: %s', async (_, how, doubt) => {
    nodes.onSent = (sent) => sent[how]();
    send('write');
    await pass(time, 4_800);
    expect(outcome).toMatchObject({ kind: 'none', doubt });
  });

  test('that still waits for a session when time is up leaves no doubt', async () => {
    nodes.onSent = (sent) => {
      sent.progress = 'waiting';
    };
    send('write');
    await pass(time, 4_800);
    expect(outcome).toMatchObject({ kind: 'none', doubt: false });
  });

  test.each([
    ['TooManyPendingTransactions', false],
    ['TransactionPendingOrUnknown', true],
  ])('that nodes refuse with %s to the end leaves doubt: %s', async (code, doubt) => {
    nodes.onSent = (sent) => sent.answer(503, { 'x-concordat-error': code });
    send('write');
    await pass(time, 4_800);
    expect(outcome).toMatchObject({ kind: 'none', doubt });
  });

  test('under an id that is too old, of which nothing can have been done, says so', async () => {
    nodes.onSent = (sent) => sent.answer(409, { 'x-concordat-error': 'RequestIdTooOld' });
    send('write');
    await pass(time, 10);
    expect([outcome?.kind, nodes.urls]).toEqual(['too old', [A]]);
  });

  test('under an id that is too old after an attempt without answer is in doubt', async () => {
    nodes.onSent = (sent) => {
      if (sent.url === A) sent.cut();
      else sent.answer(409, { 'x-concordat-error': 'RequestIdTooOld' });
    };
    send('write');
    await pass(time, 10);
    expect(outcome).toMatchObject({ kind: 'none', doubt: true });
    expect(nodes.urls).toEqual([A, B]);
  });

  test('under an id that is too old waits for the attempt that is under way', async () => {
    nodes.silent.add(A);
    send('write');
    await pass(time, 1_100);
    last(B).answer(409, { 'x-concordat-error': 'RequestIdTooOld' });
    await pass(time, 1_000);
    expect([outcome, nodes.urls]).toEqual([undefined, [A, B]]);
    last(A).answer(201);
    await pass(time, 10);
    expect(status()).toBe(201);
  });
});

describe('a node that says that a transaction was lost', () => {
  const LOST = { 'x-concordat-error': 'SessionConsistencyLost' };

  test('ends the errand when that is so', async () => {
    lost = true;
    nodes.onSent = (sent) => sent.answer(500, LOST);
    send('read');
    await pass(time, 10);
    expect([outcome?.kind, nodes.urls]).toEqual(['lost', [A]]);
  });

  test('is passed over when it is not', async () => {
    nodes.onSent = (sent) => sent.answer(sent.url === A ? 500 : 200, LOST);
    send('read');
    await pass(time, 10);
    expect([status(), nodes.urls]).toEqual([200, [A, B]]);
  });
});

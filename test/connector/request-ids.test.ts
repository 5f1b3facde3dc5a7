/** Under which ids writes go, what is refused, and when the connector says it does not know. */
import { beforeEach, describe, expect, test } from 'vitest';
import type { Answer } from '../../src/client/answer-reader.ts';
import { SeenTransactions } from '../../src/client/seen-transactions.ts';
import { Relay } from '../../src/connector/relay.ts';
import { ManualTime } from '../support/manual-time.ts';
import { FakeNodes, pass, type Sent } from './fake-nodes.ts';

const SEND = '/app/quorum/q2t/send';
const GET = '/app/quorum/q2t/transaction/x';

let time: ManualTime;
let nodes: FakeNodes;
let relay: Relay;
let said: string[];
/** What the nodes answer; `/app/commit` and `/app/tx` are answered from the two below. */
let answering: (sent: Sent) => void;
let commit: string | undefined;
let txStatus: string;

beforeEach(() => {
  time = new ManualTime();
  nodes = new FakeNodes(['https://a:1', 'https://b:1'], time);
  said = [];
  commit = '3.41';
  txStatus = 'Committed';
  answering = (sent) => sent.answer(201);
  let drawn = 0;
  relay = new Relay({
    nodes,
    seen: new SeenTransactions(),
    timers: time,
    random: {
      bytes: (count) => {
        drawn += 1;
        return new Uint8Array(count).fill(drawn);
      },
    },
    log: (line) => said.push(line),
  });
  nodes.onSent = (sent) => {
    if (sent.target === '/app/commit') {
      if (commit === undefined) sent.answer(404);
      else sent.answer(200, {}, JSON.stringify({ transaction_id: commit }));
    } else if (sent.target.startsWith('/app/tx?')) {
      sent.answer(200, {}, JSON.stringify({ status: txStatus }));
    } else answering(sent);
  };
});

/** Asks, and lets so much time pass; the answer, or the code of the error. */
async function ask(target: string, ms = 20): Promise<Answer | string | undefined> {
  const method = target === GET ? 'GET' : 'POST';
  const request = { method, target, headerLines: 'a: b\r\n', body: Buffer.from('{}') };
  let ended: Answer | string | undefined;
  relay
    .ask(request, time.elapsedMs(), () => true)
    .then(
      (answer) => {
        ended = answer;
      },
      (thrown: { readonly code: string; readonly message: string }) => {
        ended = `${thrown.code}: ${thrown.message}`;
      },
    );
  await pass(time, ms);
  return ended;
}

const writes = (): readonly Sent[] => nodes.sent.filter(({ target }) => target === SEND);
const ids = (): readonly (string | undefined)[] => writes().map(({ own }) => own['request-id']);
const shows = (txId: string) => ({ 'x-ms-ccf-transaction-id': txId });

describe('the id of a write', () => {
  test('names the position that the service has committed, asked for once', async () => {
    expect(await ask(SEND)).toMatchObject({ status: 201 });
    expect(await ask(SEND)).toMatchObject({ status: 201 });
    expect(ids()).toEqual([`41.${'01'.repeat(16)}`, `41.${'02'.repeat(16)}`]);
    const asked = nodes.sent.filter(({ target }) => target === '/app/commit');
    expect(asked).toHaveLength(1);
  });

  test('names the newest position that an answer has shown, and never an older one', async () => {
    for (const shown of ['3.50', '3.47']) {
      answering = (sent) => sent.answer(200, shows(shown));
      await ask(GET);
    }
    await ask(SEND);
    expect(ids()[0]).toMatch(/^50\./);
  });

  test('names nothing when nothing can be known, as in a service not yet open', async () => {
    commit = undefined;
    expect(await ask(SEND)).toMatchObject({ status: 201 });
    expect(ids()[0]).toMatch(/^0\.[0-9a-f]{32}$/);
  });

  test('is for writes alone', async () => {
    answering = (sent) => sent.answer(200);
    await ask(GET);
    await ask('/app/quorum/q2t/encodedpayload/decrypt');
    for (const { own } of nodes.sent) expect(own['request-id']).toBeUndefined();
  });

  test('stays the same however often the write is sent, and never serves another', async () => {
    const executed = new Map<string, number>();
    let times = 0;
    answering = (sent) => {
      const id = sent.own['request-id'] ?? 'none';
      executed.set(id, (executed.get(id) ?? 0) + 1);
      times += 1;
      if (times % 3 === 1) sent.cut();
      else if (times % 3 === 2) sent.answer(503, { 'x-concordat-error': 'NotPrimary' });
      else sent.answer(201);
    };
    for (let one = 0; one < 50; one += 1) {
      expect(await ask(SEND, 100)).toMatchObject({ status: 201 });
    }
    expect(executed.size).toBe(50);
    expect(new Set(executed.values())).toEqual(new Set([3]));
    expect(relay.counters.retries).toBe(100);
  });

  test('is kept when the transaction was rolled back', async () => {
    let times = 0;
    answering = (sent) => {
      times += 1;
      if (times === 1) sent.answer(500, { 'x-concordat-error': 'TransactionInvalid' });
      else sent.answer(201);
    };
    expect(await ask(SEND)).toMatchObject({ status: 201 });
    expect(new Set(ids()).size).toBe(1);
  });
});

describe('an id that the service calls too old', () => {
  const TOO_OLD = { 'x-concordat-error': 'RequestIdTooOld' };

  test('is replaced by one that names where the service is now', async () => {
    answering = (sent) => {
      if (sent.own['request-id']?.startsWith('41.') === true) sent.answer(409, TOO_OLD);
      else sent.answer(201);
    };
    await relayPrepared();
    commit = '4.100050';
    expect(await ask(SEND)).toMatchObject({ status: 201 });
    expect(ids().map((id) => id?.split('.')[0])).toEqual(['41', '100050']);
    expect(relay.counters.unknownOutcomes).toBe(0);
  });

  test('is not replaced when an attempt under it was not answered', async () => {
    let times = 0;
    answering = (sent) => {
      times += 1;
      if (times === 1) sent.cut();
      else sent.answer(409, TOO_OLD);
    };
    expect(await ask(SEND)).toMatch(
      /^OutcomeUnknown: whether this was carried out is not known/,
    );
    expect(new Set(ids()).size).toBe(1);
    expect(relay.counters.unknownOutcomes).toBe(1);
  });

  test('is not replaced for ever', async () => {
    answering = (sent) => sent.answer(409, TOO_OLD);
    expect(await ask(SEND, 100)).toMatch(/^ServiceUnreachable/);
    expect(new Set(ids()).size).toBe(3);
  });

  async function relayPrepared(): Promise<void> {
    void relay.prepare();
    await pass(time, 10);
  }
});

describe('when there is no answer', () => {
  test('to a write that was sent, the outcome is unknown', async () => {
    answering = (sent) => sent.cut();
    expect(await ask(SEND, 4_800)).toMatch(
      /^OutcomeUnknown: .*may be carried out a second time/,
    );
    expect(new Set(ids()).size).toBe(1);
  });

  test('to a write that was not sent, or to a read, the service is out of reach', async () => {
    answering = (sent) => sent.refuse();
    expect(await ask(SEND, 4_800)).toMatch(/^ServiceUnreachable/);
    answering = (sent) => sent.cut();
    expect(await ask(GET, 4_800)).toMatch(/^ServiceUnreachable/);
    expect(relay.counters.unknownOutcomes).toBe(0);
  });

  test('but a refusal, the client is told why', async () => {
    const code = { 'x-concordat-error': 'TransactionPendingOrUnknown' };
    answering = (sent) => sent.answer(503, code, 'this node has not reached 3.50 yet');
    const answer = await ask(GET, 4_800);
    expect(answer).toMatchObject({ status: 503 });
    expect(relay.lost).toBeUndefined();
  });
});

describe('a service that has lost what it had committed', () => {
  const LOST = { 'x-concordat-error': 'SessionConsistencyLost' };

  beforeEach(async () => {
    answering = (sent) => sent.answer(200, shows('3.50'));
    await ask(GET);
  });

  test.each([
    [GET, 'Invalid', '5.90'],
    [SEND, 'Invalid', '5.90'],
    // Its new history is not yet as long as the old one was.
    [GET, 'Unknown', '5.49'],
    [SEND, 'Unknown', '3.49'],
  ])('is refused from then on: %s %s %s', async (target, status, position) => {
    answering = (sent) => sent.answer(500, LOST);
    txStatus = status;
    commit = position;
    const sentence =
      /^ServiceLostTransaction: the service has lost transaction 3\.50, .*restart/;
    expect(await ask(target)).toMatch(sentence);
    const asked = nodes.sent.length;
    answering = (sent) => sent.answer(200);
    for (const next of [GET, SEND]) expect(await ask(next)).toMatch(sentence);
    expect(nodes.sent.length).toBe(asked);
    expect(said).toHaveLength(1);
  });

  test('is found out by an answer that cannot come from the same history', async () => {
    answering = (sent) => sent.answer(200, shows('5.20'));
    commit = '5.20';
    expect(await ask(GET)).toMatch(/^ServiceLostTransaction/);
  });

  test('ends what is being asked when a probe finds it out', async () => {
    answering = () => undefined;
    const asking = [ask(GET, 200), ask(SEND, 200)];
    commit = '4.20';
    relay.checkForLoss();
    for (const answer of await Promise.all(asking)) {
      expect(answer).toMatch(/^ServiceLostTransaction/);
    }
    expect(relay.counters.unknownOutcomes).toBe(0);
  });

  test('is not one whose node is behind, or ends a session for another reason', async () => {
    let times = 0;
    commit = '3.50';
    answering = (sent) => {
      times += 1;
      if (times === 1) sent.answer(500, LOST);
      else if (times === 2)
        sent.answer(503, { 'x-concordat-error': 'TransactionPendingOrUnknown' });
      else sent.answer(200, shows('3.51'));
    };
    expect(await ask(GET, 300)).toMatchObject({ status: 200 });
    expect([relay.lost, said]).toEqual([undefined, []]);
  });

  test('is asked for what was seen, without being held to it', async () => {
    answering = (sent) => sent.answer(500, LOST);
    commit = '3.50';
    await ask(GET);
    const [position, status] = nodes.sent.slice(2);
    expect(position).toMatchObject({ target: '/app/commit', own: { read: 'linearizable' } });
    expect(status).toMatchObject({ target: '/app/tx?transaction_id=3.50', own: {} });
    for (const question of [position, status]) {
      expect(question?.own).not.toHaveProperty('min-txid');
    }
  });
});

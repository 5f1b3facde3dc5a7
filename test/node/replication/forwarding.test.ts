// Clients' requests on their way to the primary: answered once, by whom they were sent to, and told
// apart whether nothing was done or nobody knows (design decision 6).

import { beforeEach, describe, expect, test } from 'vitest';
import { isCoded } from '../../../src/base/errors.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import type { ForwardedAnswer, ForwardedRequest } from '../../../src/http/backend.ts';
import { Forwarding } from '../../../src/node/forwarding.ts';
import type {
  ForwardAnswer,
  ForwardRefusal,
  ForwardRequest,
  PeerMessage,
} from '../../../src/node/peers/messages.ts';
import { ManualTime, settle } from '../../support/manual-time.ts';

const PRIMARY = 'a'.repeat(64) as NodeId;
const OTHER = 'b'.repeat(64) as NodeId;

let time: ManualTime;
let forwarding: Forwarding;
let sent: { readonly to: NodeId; readonly message: PeerMessage }[];
let faults: unknown[];
let primary: NodeId | undefined;
let isReachable: boolean;
/** What this node does with what it is asked to execute. */
let execute: (request: ForwardedRequest) => Promise<ForwardedAnswer | undefined>;

beforeEach(() => {
  time = new ManualTime();
  sent = [];
  faults = [];
  primary = PRIMARY;
  isReachable = true;
  execute = () => Promise.reject(new Error('nothing is to be executed here'));
  forwarding = new Forwarding({
    send: (to, message) => {
      if (isReachable) sent.push({ to, message });
      return isReachable;
    },
    primary: () => primary,
    execute: (request) => execute(request),
    timers: time,
    onFault: (fault) => faults.push(fault),
  });
});

function request(target: string): ForwardedRequest {
  const rest = { interfaceName: 'main', verb: 'POST', headers: [] };
  return { ...rest, target, body: Buffer.from(target) };
}

function answer(text: string): ForwardedAnswer {
  return { status: 200, headers: [], body: Buffer.from(text) };
}

/** Forwards a request, and sees what comes of it. */
function forward(target: string): { outcome: string | undefined; isRetryable?: unknown } {
  const seen: { outcome: string | undefined; isRetryable?: unknown } = { outcome: undefined };
  forwarding.forward(request(target), 3_000).then(
    ({ body }) => {
      seen.outcome = Buffer.from(body).toString();
    },
    (error: unknown) => {
      if (!isCoded(error)) throw error;
      seen.outcome = error.code;
      seen.isRetryable = error.fields.retryable;
      expect(error.fields.status).toBe(503);
    },
  );
  return seen;
}

/** The requests that left, oldest first. */
function requests(): readonly ForwardRequest[] {
  return sent.flatMap(({ message }) => (message.kind === 'forward-request' ? [message] : []));
}

function idOf(target: string): number {
  const found = requests().find((each) => each.target === target);
  if (found === undefined) throw new Error(`${target} was not sent`);
  return found.id;
}

const reply = (target: string, text: string): ForwardAnswer => ({
  kind: 'forward-answer',
  id: idOf(target),
  ...answer(text),
});

const refusal = (target: string): ForwardRefusal => ({
  kind: 'forward-refusal',
  id: idOf(target),
});

describe('on the way to the primary', () => {
  test('each request gets its own answer, in whichever order they come', async () => {
    const [first, second] = [forward('/one'), forward('/two')];
    expect(sent.map(({ to }) => to)).toEqual([PRIMARY, PRIMARY]);
    forwarding.receive(PRIMARY, reply('/two', 'of two'));
    forwarding.receive(PRIMARY, reply('/one', 'of one'));
    await settle();
    expect([first.outcome, second.outcome]).toEqual(['of one', 'of two']);
    expect(time.pending).toBe(0);
  });

  test.each([
    [
      'no primary is known',
      () => {
        primary = undefined;
      },
    ],
    [
      'it cannot be reached',
      () => {
        isReachable = false;
      },
    ],
  ])('while %s nothing was done, and it may be tried again', async (_why, arrange) => {
    arrange();
    const refused = forward('/one');
    await settle();
    expect(refused).toEqual({ outcome: 'InternalError', isRetryable: true });
    expect(time.pending).toBe(0);
  });

  test('a refusal says the same', async () => {
    const refused = forward('/one');
    forwarding.receive(PRIMARY, refusal('/one'));
    await settle();
    expect(refused).toEqual({ outcome: 'RequestAlreadyForwarded', isRetryable: true });
  });

  test('when the primary goes away nobody knows, and it must not be tried blindly', async () => {
    const [first, second] = [forward('/one'), forward('/two')];
    primary = OTHER;
    const third = forward('/three');
    forwarding.onPeerDown(PRIMARY);
    await settle();
    for (const lost of [first, second]) {
      expect(lost).toEqual({ outcome: 'TransactionPendingOrUnknown', isRetryable: undefined });
    }
    expect(third.outcome, 'another was asked for this').toBeUndefined();
    forwarding.receive(OTHER, reply('/three', 'of three'));
    await settle();
    expect(third.outcome).toBe('of three');
  });

  test('only the node that was asked can answer or refuse', async () => {
    const asked = forward('/one');
    forwarding.receive(OTHER, reply('/one', 'forged'));
    forwarding.receive(OTHER, refusal('/one'));
    forwarding.onPeerDown(OTHER);
    await settle();
    expect(asked.outcome).toBeUndefined();
    forwarding.receive(PRIMARY, reply('/one', 'true'));
    await settle();
    expect(asked.outcome).toBe('true');
  });

  test('a second answer, a late one, and one to nothing are ignored', async () => {
    const first = forward('/one');
    forwarding.receive(PRIMARY, reply('/one', 'first'));
    forwarding.receive(PRIMARY, reply('/one', 'second'));
    const late = forward('/late');
    await time.advance(3_000);
    forwarding.receive(PRIMARY, reply('/late', 'too late'));
    forwarding.receive(PRIMARY, { kind: 'forward-answer', id: 999, ...answer('to nothing') });
    forwarding.receive(PRIMARY, { kind: 'forward-refusal', id: 999 });
    await settle();
    expect([first.outcome, late.outcome]).toEqual(['first', undefined]);
  });
});

describe('taken in from another node', () => {
  const asked: ForwardRequest = { kind: 'forward-request', id: 7, ...request('/here') };

  test('a request is executed as it came and answered to whom it came from', async () => {
    const seen: ForwardedRequest[] = [];
    execute = async (each) => {
      seen.push(each);
      return answer('done');
    };
    forwarding.receive(OTHER, asked);
    await settle();
    expect(seen).toEqual([request('/here')]);
    expect(sent).toEqual([
      { to: OTHER, message: { kind: 'forward-answer', id: 7, ...answer('done') } },
    ]);
  });

  test('a node that is not the primary refuses, and sends it nowhere else', async () => {
    execute = async () => undefined;
    forwarding.receive(OTHER, asked);
    await settle();
    expect(sent).toEqual([{ to: OTHER, message: { kind: 'forward-refusal', id: 7 } }]);
  });

  test('one that fails is this node’s fault to tell, and gets no answer', async () => {
    const fault = new Error('no answer was made');
    execute = () => Promise.reject(fault);
    forwarding.receive(OTHER, asked);
    await settle();
    expect(faults).toEqual([fault]);
    expect(sent).toEqual([]);
  });

  test('a node that went away meanwhile is not answered: its next life counts anew', async () => {
    let end: (answered: ForwardedAnswer) => void = () => undefined;
    execute = () => new Promise((resolve) => (end = resolve));
    forwarding.receive(OTHER, asked);
    // It restarts while its client's request is still being executed, and asks for another client.
    forwarding.onPeerDown(OTHER);
    const first = end;
    execute = async () => answer('for the second client');
    forwarding.receive(OTHER, { ...asked, target: '/second' });
    first(answer('for the first client'));
    await settle();
    expect(
      sent.map(({ message }) => Buffer.from(Reflect.get(message, 'body')).toString()),
    ).toEqual(['for the second client']);
  });
});

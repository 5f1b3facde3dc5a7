// What is encoded is decoded to the same, by our decoder and by protobufjs' own from the same
// .proto files; what is malformed, or more than it may be, is refused with a reason.

import { join } from 'node:path';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import { NO_BYTES } from '../../src/base/bytes.ts';
import { type NodeId, seqnoOf, type TxId, viewOf } from '../../src/base/ids.ts';
import { APPEND_ENTRIES_ENTRIES_COUNT_MAX } from '../../src/node/peers/generated/consensus.ts';
import { decodeMessage, encodeMessage } from '../../src/node/peers/message-codec.ts';
import type { PeerMessage } from '../../src/node/peers/messages.ts';
import { createMessenger } from '../../src/node/peers/peer-transport.ts';
import { type SeededRandom, withSeeds } from '../support/seeded-random.ts';
import { projectRoot } from '../tidy/source-files.ts';

const ANNA = 'a1'.repeat(32) as NodeId;
const BEN = 'b2'.repeat(32) as NodeId;
const at = (view: number, seqno: number): TxId => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
});
const MOST = Number.MAX_SAFE_INTEGER;
const ENTRY = Buffer.alloc(44, 0xe1);

const MESSAGES: readonly (readonly [string, PeerMessage])[] = [
  [
    'entries',
    {
      kind: 'append',
      view: viewOf(3),
      previous: at(2, 41),
      last: seqnoOf(43),
      commit: seqnoOf(40),
      round: 9,
      entries: [ENTRY, Buffer.alloc(100_000, 0xe2)],
    },
  ],
  [
    'a heartbeat before everything',
    {
      kind: 'append',
      view: viewOf(0),
      previous: at(0, 0),
      last: seqnoOf(0),
      commit: seqnoOf(0),
      round: 0,
      entries: [],
    },
  ],
  [
    'agreement, with the largest numbers',
    {
      kind: 'append-answer',
      view: viewOf(0x7fff_ffff),
      accepted: true,
      position: at(0x7fff_ffff, MOST),
      commit: seqnoOf(MOST),
      round: MOST,
      incarnation: MOST,
    },
  ],
  [
    'disagreement',
    {
      kind: 'append-answer',
      view: viewOf(3),
      accepted: false,
      position: at(2, 17),
      commit: seqnoOf(5),
      round: 2 ** 32,
      incarnation: 1,
    },
  ],
  ['a need of a snapshot', { kind: 'behind', view: viewOf(3), oldest: at(2, 1_000) }],
  [
    'a pre-vote asked for',
    { kind: 'vote-request', election: 'pre', view: viewOf(4), position: at(3, 99) },
  ],
  [
    'a vote given',
    {
      kind: 'vote-answer',
      election: 'regular',
      view: viewOf(4),
      granted: true,
      unproven: true,
    },
  ],
  [
    'a vote refused',
    { kind: 'vote-answer', election: 'pre', view: viewOf(4), granted: false, unproven: false },
  ],
  ['a call to stand', { kind: 'propose-vote', view: viewOf(5) }],
  ['a read asked for', { kind: 'read-request', view: viewOf(5), batch: 77, incarnation: 4 }],
  [
    'a read answered',
    {
      kind: 'read-answer',
      view: viewOf(5),
      batch: 77,
      incarnation: 4,
      seqno: seqnoOf(2 ** 40),
    },
  ],
  ['a life that is outlived', { kind: 'outlived', incarnation: 9 }],
  ['an inquiry', { kind: 'inquiry', incarnation: 8, nonce: MOST, atLeast: viewOf(6) }],
  [
    'a report',
    {
      kind: 'report',
      incarnation: 8,
      restarting: false,
      view: viewOf(6),
      heard: viewOf(7),
      position: at(6, 12),
      leader: BEN,
      configurations: [
        { seqno: seqnoOf(1), nodes: [ANNA] },
        { seqno: seqnoOf(9), nodes: [ANNA, BEN] },
      ],
    },
  ],
  [
    'a report of a restarting node',
    {
      kind: 'report',
      incarnation: 8,
      restarting: true,
      view: viewOf(6),
      heard: viewOf(6),
      position: at(0, 0),
      configurations: [],
    },
  ],
  [
    'a forwarded request',
    {
      kind: 'forward-request',
      id: 12,
      callerCertificate: Buffer.from('30030101ff', 'hex'),
      interfaceName: 'quorum',
      verb: 'POST',
      target: '/app/quorum/q2t/send?a=%2F',
      headers: [
        { name: 'content-type', value: 'application/json' },
        { name: 'x-empty', value: '' },
        { name: 'x-text', value: 'größe ✓' },
      ],
      body: Buffer.from('{}'),
    },
  ],
  [
    'a forwarded request of somebody without a certificate',
    {
      kind: 'forward-request',
      id: 0,
      interfaceName: '',
      verb: 'GET',
      target: '/',
      headers: [],
      body: NO_BYTES,
    },
  ],
  [
    'its answer',
    {
      kind: 'forward-answer',
      id: 12,
      status: 201,
      headers: [{ name: 'content-type', value: 'application/json' }],
      body: Buffer.from('{"key":""}'),
      txId: at(2, 8),
    },
  ],
  [
    'an answer without a transaction',
    { kind: 'forward-answer', id: 12, status: 404, headers: [], body: NO_BYTES },
  ],
  ['a refusal to execute it', { kind: 'forward-refusal', id: 12 }],
  [
    'where nodes are reached',
    { kind: 'known-nodes', nodes: [{ nodeId: ANNA, address: '127.0.0.1:7000' }] },
  ],
];

const root = new protobuf.Root();
root.resolvePath = (_origin, target) =>
  join(projectRoot, target.startsWith('google/') ? 'node_modules/protobufjs' : 'proto', target);
root.loadSync('node.proto');
const Envelope = root.lookupType('concordat.node.Envelope');

test.each(MESSAGES)('%s comes back as it went', (_what, message) => {
  expect(decodeMessage(ANNA, encodeMessage(ANNA, message))).toEqual(message);
});

test.each(MESSAGES)('%s is to protobufjs what it is to us', (_what, message) => {
  const ours = encodeMessage(ANNA, message);
  const theirs = Envelope.decode(ours);
  expect(Envelope.verify(theirs)).toBeNull();
  expect(Object.keys(theirs)).toHaveLength(2);
  // Encoded by them and decoded by us it is still the same message, with nothing lost.
  expect(decodeMessage(ANNA, Envelope.encode(theirs).finish())).toEqual(message);
});

test('every kind of message is in the list above', () => {
  const kinds = new Set(MESSAGES.map(([, message]) => encodedKind(message)));
  expect([...kinds].sort()).toEqual([...(Envelope.oneofs.body?.oneof ?? [])].sort());
});

const encodedKind = (message: PeerMessage): string | undefined =>
  Object.keys(Envelope.decode(encodeMessage(ANNA, message))).find((key) => key !== 'from');

/** An envelope made by protobufjs, so that it can hold what our types do not allow. */
function envelope(body: Readonly<Record<string, unknown>>, from = ANNA): Uint8Array {
  return Envelope.encode({ from: Buffer.from(from, 'hex'), ...body }).finish();
}
/** A 64-bit number by its two words. */
const words = (high: number, low: number): unknown => ({ high, low, unsigned: true });

describe('refused', () => {
  test.each([
    ['nothing at all', NO_BYTES, 'body is missing'],
    ['no body', envelope({}), 'body is missing'],
    ['another sender', envelope({ proposeRequestVote: { view: 2 } }, BEN), `${BEN} sent it`],
    [
      'a short sender',
      envelope({ proposeRequestVote: { view: 2 } }, 'a1' as NodeId),
      'of 1 bytes',
    ],
    [
      'a number of 2^53',
      envelope({ readIndexRequest: { view: 2, batch: words(0x20_0000, 0) } }),
      'is 2^53 or more',
    ],
    [
      'the largest number',
      envelope({ readIndexRequest: { view: 2, batch: words(-1, -1) } }),
      'is 2^53 or more',
    ],
    ['a view of 32 bits', envelope({ proposeRequestVote: { view: 2 ** 31 } }), 'a view is'],
    ['no election', envelope({ requestVote: { view: 2 } }), 'election is missing'],
    ['election 0', Buffer.from(`0a20${ANNA}2a021000`, 'hex'), '0 is no Election'],
    ['election 3', envelope({ requestVote: { view: 2, election: 3 } }), '3 is no Election'],
    [
      'an entry too short to be one',
      envelope({ appendEntries: { entries: [ENTRY, ENTRY.subarray(1)] } }),
      'entry 1 has 43 bytes',
    ],
    [
      'more entries than one may carry',
      envelope({
        appendEntries: {
          entries: Array.from({ length: APPEND_ENTRIES_ENTRIES_COUNT_MAX + 1 }, () => ENTRY),
        },
      }),
      'more than 10000 items',
    ],
    [
      'entries beyond the last seqno',
      envelope({ appendEntries: { prevSeqno: MOST, entries: [ENTRY] } }),
      'a seqno is',
    ],
    [
      'a header that is no text',
      Buffer.from(
        Buffer.from(envelope({ forwardRequest: { headers: [{ name: 'abc', value: 'xyz' }] } }))
          .toString('latin1')
          .replace('xyz', '\xff\xfe\xfd'),
        'latin1',
      ),
      '',
    ],
    [
      'more headers than a request has',
      envelope({
        forwardRequest: { headers: Array.from({ length: 257 }, () => ({ name: 'a' })) },
      }),
      'more than 256',
    ],
    ['a status that is none', envelope({ forwardResponse: { outcome: 1, status: 99 } }), '99'],
    [
      'a leader that is no node',
      envelope({ restartReport: { leader: Buffer.from('x') } }),
      'of 1 bytes',
    ],
    [
      'a voter that is no node',
      envelope({ restartReport: { configurations: [{ nodes: [Buffer.from('xy')] }] } }),
      'of 2 bytes',
    ],
    ['groups without end', Buffer.alloc(1_000_000, 0x7b), ''],
    [
      'a length beyond the end',
      Buffer.concat([envelope({ proposeRequestVote: {} }), Buffer.from('0aff', 'hex')]),
      '',
    ],
  ])('%s', (_what, bytes, why) => {
    const decode = (): unknown => decodeMessage(ANNA, bytes);
    expect(decode).toThrow(why);
    expect(decode).toThrow(expect.objectContaining({ code: 'BadPeerMessage' }));
  });

  test('by the sender itself: more entries than one may carry, or fewer than it says', () => {
    const [[, message]] = MESSAGES as [[string, PeerMessage]];
    if (message.kind !== 'append') throw new Error('the first is an append');
    const many = Array.from({ length: APPEND_ENTRIES_ENTRIES_COUNT_MAX + 1 }, () => ENTRY);
    const last = seqnoOf(41 + many.length);
    expect(() => encodeMessage(ANNA, { ...message, entries: many, last })).toThrow('10001');
    expect(() => encodeMessage(ANNA, { ...message, entries: [] })).toThrow(
      'all of its entries',
    );
    expect(() => encodeMessage(ANNA, { ...message, round: 0.5 })).toThrow(
      'goes into no uint64',
    );
  });
});

test('fields of a later version are passed over', () => {
  const later = Buffer.concat([
    encodeMessage(ANNA, { kind: 'propose-vote', view: viewOf(5) }),
    // Field 1000: a varint, eight bytes, a text, a group with a field in it, four bytes.
    Buffer.from('c03eff01c13e0102030405060708c23e03616263c33e0801c43ec53e01020304', 'hex'),
  ]);
  expect(decodeMessage(ANNA, later)).toEqual({ kind: 'propose-vote', view: 5 });
});

test('entries are views of the bytes they came in: nothing is copied', () => {
  const [[, message]] = MESSAGES as [[string, PeerMessage]];
  const bytes = encodeMessage(ANNA, message);
  const decoded = decodeMessage(ANNA, bytes);
  if (decoded.kind !== 'append') throw new Error('it is an append');
  expect(decoded.entries.every((entry) => entry.buffer === bytes.buffer)).toBe(true);
});

/** Changes some bytes, cuts some off, puts some in. */
function mutated(bytes: Uint8Array, random: SeededRandom): Buffer {
  let mutant = Buffer.from(bytes);
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    const place = random.below(mutant.length + 1);
    switch (random.below(4)) {
      case 0:
        mutant = mutant.subarray(0, place);
        break;
      case 1:
        mutant = Buffer.concat([
          mutant.subarray(0, place),
          random.bytes(random.below(12)),
          mutant.subarray(place),
        ]);
        break;
      case 2:
        mutant = Buffer.concat([mutant.subarray(0, place), mutant.subarray(place + 1)]);
        break;
      default:
        if (place < mutant.length) mutant[place] = random.below(256);
    }
  }
  return mutant;
}

test('fuzz: a mutant is refused, or is a message that goes round', async () => {
  const seen = { refused: 0, understood: 0 };
  await withSeeds(20_000, (random) => {
    const [, message] = random.pick(MESSAGES);
    const whole = encodeMessage(ANNA, message).subarray(0, 400);
    const bytes = random.oneIn(5) ? random.bytes(random.below(200)) : mutated(whole, random);
    let decoded: PeerMessage;
    try {
      decoded = decodeMessage(ANNA, bytes);
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'BadPeerMessage' });
      seen.refused += 1;
      return;
    }
    seen.understood += 1;
    expect(decodeMessage(ANNA, encodeMessage(ANNA, decoded))).toEqual(decoded);
  });
  expect(seen.refused).toBeGreaterThan(2_000);
  expect(seen.understood).toBeGreaterThan(200);
});

test('a simulator passes messages through the same codec, over a network of its own', () => {
  const heard: unknown[] = [];
  const receivers = new Map<NodeId, (from: NodeId, bytes: Uint8Array) => void>();
  const networkOf = (id: NodeId) => ({
    send(to: NodeId, bytes: Uint8Array): boolean {
      receivers.get(to)?.(id, bytes);
      return receivers.has(to);
    },
    receiveWith(receive: (from: NodeId, bytes: Uint8Array) => void): void {
      receivers.set(id, receive);
    },
  });
  const anna = createMessenger(ANNA, networkOf(ANNA), () => undefined);
  createMessenger(BEN, networkOf(BEN), (from, message) => heard.push([from, message]));
  for (const [, message] of MESSAGES) expect(anna.send(BEN, message)).toBe(true);
  expect(heard).toEqual(MESSAGES.map(([, message]) => [ANNA, message]));
});

// Who may talk to whom: only the key counts, it must be one that is trusted at this moment, and it
// is proved in a TLS 1.3 handshake, by both ends (design decision 6).

import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/base/ids.ts';
import {
  aWhile,
  closeAll,
  heartbeat,
  house,
  impostor,
  person,
  stranger,
  until,
  welcomeOf,
} from './house.ts';

afterEach(closeAll);

const TLS_1_2 = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
} as const;

test('two nodes that trust each other talk in both directions', async () => {
  const [anna, ben] = [await house(await person()), await house(await person())];
  anna.knows(anna, ben);
  ben.knows(anna, ben);
  await until(() => anna.events.length === 1 && ben.events.length === 1, 'both are up');
  expect(anna.transport.connected()).toEqual([ben.id]);
  expect(anna.transport.send(ben.id, heartbeat(1))).toBe(true);
  expect(ben.transport.send(anna.id, heartbeat(2))).toBe(true);
  await until(() => anna.received.length + ben.received.length === 2, 'both heard');
  expect(ben.received).toEqual([{ from: anna.id, message: heartbeat(1) }]);
  expect(anna.received).toEqual([{ from: ben.id, message: heartbeat(2) }]);
});

test('dates and endorsements of a certificate decide nothing: the key does', async () => {
  const [anna, ben] = [await house(await person(-1)), await house(await person(-1))];
  anna.knows(ben);
  ben.knows(anna);
  await until(() => anna.transport.connected().length === 1, 'an expired certificate will do');
});

describe('a node does not let in', () => {
  test.each([
    ['a node that it does not know', async () => ({ identity: (await person()).identity })],
    ['somebody without a certificate', async () => ({ identity: undefined })],
  ])('%s', async (_who, make) => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    const { identity } = await make();
    expect(await welcomeOf(stranger(ben.address, identity))).toBe('end');
    await until(() => ben.notes.some((note) => note.includes('was refused')), 'it is told');
  });

  test('a trusted node over TLS 1.2', async () => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    expect(await welcomeOf(stranger(ben.address, known.identity, TLS_1_2))).toBe('end');
    expect(await welcomeOf(stranger(ben.address, known.identity))).toBe('beat');
  });

  test.each([
    ['another protocol', ['http/1.1']],
    ['no protocol', undefined],
  ])('a trusted node that speaks %s', async (_what, ALPNProtocols) => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    const socket = stranger(ben.address, known.identity, { ALPNProtocols });
    expect(await welcomeOf(socket)).toBe('end');
  });

  test('a trusted node that resumes an earlier session', async () => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    const first = stranger(ben.address, known.identity);
    const [session] = await once(first, 'session');
    const second = stranger(ben.address, known.identity, { session });
    expect(await welcomeOf(second)).toBe('end');
    expect(ben.notes.join()).toContain('resumed');
  });

  test('its own key, which somebody must have copied', async () => {
    const me = await person();
    const ben = await house(me);
    ben.knows(ben);
    expect(await welcomeOf(stranger(ben.address, me.identity))).toBe('end');
    expect(ben.notes.join()).toContain("this node's own key");
  });

  test('a node that was taken off the list, from that moment', async () => {
    const [anna, ben] = [await house(await person()), await house(await person())];
    anna.knows(ben);
    ben.knows(anna);
    await until(() => anna.events.length === 1 && ben.events.length === 1, 'both are up');
    // What anna sent has arrived at ben's socket, or is about to: none of it may be heard.
    for (let round = 0; round < 100; round += 1) anna.transport.send(ben.id, heartbeat(round));
    await new Promise((resolve) => setImmediate(resolve));
    ben.knows();
    const heard = ben.received.length;
    expect(ben.transport.connected()).toEqual([]);
    expect(ben.events).toEqual([`up ${anna.id}`, `down ${anna.id}`]);
    expect(ben.transport.send(anna.id, heartbeat())).toBe(false);
    await until(() => anna.events.at(-1) === `down ${ben.id}`, 'anna notices');
    await aWhile();
    expect(ben.received).toHaveLength(heard);
    expect(anna.events).toEqual([`up ${ben.id}`, `down ${ben.id}`]);
  });
});

test('messages of one chunk stop at the one by which trust ends', async () => {
  const [annaSelf, benSelf] = [await person(), await person()];
  const anna = await house(annaSelf);
  const ben = await house(benSelf, { onMessage: () => ben.knows() });
  anna.knows(ben);
  ben.knows(anna);
  await until(() => anna.transport.connected().length === 1, 'anna is up');
  for (let round = 0; round < 10; round += 1) anna.transport.send(ben.id, heartbeat(round));
  await until(() => ben.received.length > 0, 'the first arrives');
  await aWhile();
  expect(ben.received).toEqual([{ from: anna.id, message: heartbeat(0) }]);
});

test('a joiner may trust nodes that its own list does not name yet', async () => {
  const [anna, trusted] = [await house(await person()), new Set<NodeId>()];
  const joiner = await house(await person(), { isTrusted: (id) => trusted.has(id) });
  trusted.add(anna.id);
  anna.knows(joiner);
  await until(() => anna.transport.connected().length === 1, 'the joiner lets anna in');
  trusted.delete(anna.id);
  joiner.knows();
  await until(() => anna.transport.connected().length === 0, 'and cuts it off when told so');
});

describe('a node does not talk to', () => {
  test.each([
    ['a node with another key', 'other', {}],
    ['the right node over TLS 1.2', 'right', TLS_1_2],
    ['the right node that speaks another protocol', 'right', { ALPNProtocols: ['h2'] }],
    ['the right node that does not trust it', 'right', { beats: false }],
  ] as const)('%s', async (_whom, key, tls) => {
    const [right, other] = [await person(), await person()];
    const there = await impostor((key === 'right' ? right : other).identity, tls);
    const anna = await house(await person());
    anna.knows({ id: right.id, address: there.address });
    await aWhile();
    expect(anna.transport.send(right.id, heartbeat())).toBe(false);
    expect(anna.events).toEqual([]);
    if (key === 'other') {
      await until(() => anna.notes.length > 0, 'it says whom it found');
      expect(anna.notes.join()).toContain(other.id);
    }
  });
});

test('planted: the impostor with the right key and no fault is talked to', async () => {
  const right = await person();
  const there = await impostor(right.identity);
  const anna = await house(await person());
  anna.knows({ id: right.id, address: there.address });
  await until(() => anna.transport.send(right.id, heartbeat()), 'anna is up');
});

test('strangers that say nothing fill no more than their share', async () => {
  const known = await person();
  const ben = await house(await person(), {
    limits: { handshakesMax: 3, handshakeMsMax: 500 },
  });
  ben.knows({ id: known.id, address: '127.0.0.1:1' });
  const { connect } = await import('node:net');
  const port = Number(ben.address.split(':')[1]);
  const silent = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  await aWhile();
  expect(await welcomeOf(stranger(ben.address, known.identity))).toBe('end');
  expect(ben.notes.join()).toContain('3 others');
  await Promise.all(silent.map((socket) => once(socket.resume(), 'close')));
  expect(await welcomeOf(stranger(ben.address, known.identity))).toBe('beat');
});

test('those that proved who they are do not count among the strangers', async () => {
  const friends = [await person(), await person(), await person()];
  const ben = await house(await person(), { limits: { handshakesMax: 1 } });
  ben.knows(...friends.map(({ id }) => ({ id, address: '127.0.0.1:1' })));
  for (const { identity } of friends) {
    expect(await welcomeOf(stranger(ben.address, identity))).toBe('beat');
  }
});

test('refusals are told in summary', async () => {
  const ben = await house(await person());
  const { identity } = await person();
  for (let count = 0; count < 20; count += 1) {
    expect(await welcomeOf(stranger(ben.address, identity))).toBe('end');
  }
  expect(ben.notes).toHaveLength(1);
  await until(() => ben.notes.length === 2, 'the rest in one line');
  expect(ben.notes[1]).toContain('19 connections');
});

test('an address that is none is told, and the node itself still trusted', async () => {
  const known = await person();
  const ben = await house(await person());
  ben.knows({ id: known.id, address: 'nowhere' });
  expect(ben.notes.join()).toContain('"nowhere" is not host:port');
  expect(await welcomeOf(stranger(ben.address, known.identity))).toBe('beat');
});

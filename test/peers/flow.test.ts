// How messages flow: in order, whatever their size; a peer that reads slowly or not at all costs a
// bounded amount of memory and nobody else's time; what is lost is noticed and dialled again.

import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { frameHeader } from '../../src/node/peers/frames.ts';
import { PEER_LIMITS } from '../../src/node/peers/peer-limits.ts';
import { ManualTime, settle } from '../support/manual-time.ts';
import { withSeeds } from '../support/seeded-random.ts';
import {
  append,
  aWhile,
  closeAll,
  type House,
  heartbeat,
  house,
  impostor,
  person,
  QUICK,
  stranger,
  until,
  welcomeOf,
} from './house.ts';

afterEach(closeAll);

const MIB = 1024 * 1024;

async function pair(): Promise<readonly [House, House]> {
  const houses = [await house(await person()), await house(await person())] as const;
  const [anna, ben] = houses;
  anna.knows(ben);
  ben.knows(anna);
  await until(() => anna.events.length === 1 && ben.events.length === 1, 'both are up');
  return houses;
}

const roundsOf = (who: House): readonly number[] =>
  who.received.map(({ message }) => (message.kind === 'append' ? message.round : -1));

test('20,000 messages of mixed size arrive once each, in order', async () => {
  const [anna, ben] = await pair();
  const rounds = Array.from({ length: 20_000 }, (_, round) => round);
  for (const round of rounds) {
    const entries = round % 50 === 0 ? [Buffer.alloc(44 + round, round)] : [];
    expect(anna.transport.send(ben.id, append(round, entries))).toBe(true);
  }
  await until(() => ben.received.length === rounds.length, 'all arrive');
  expect(roundsOf(ben)).toEqual(rounds);
});

test('a message almost as long as a frame may be arrives whole', async () => {
  const [anna, ben] = await pair();
  const entry = Buffer.alloc(PEER_LIMITS.frameBytesMax - 1_000);
  for (let at = 0; at < entry.length; at += 4096) entry.writeUInt32LE(at, at);
  expect(anna.transport.send(ben.id, append(1, [entry]))).toBe(true);
  expect(anna.transport.send(ben.id, append(2, [Buffer.alloc(2_000)]))).toBe(false);
  await until(() => ben.received.length === 1, 'it arrives');
  const message = ben.received[0]?.message;
  if (message?.kind !== 'append') throw new Error('it is an append');
  expect(Buffer.compare(message.entries[0] ?? Buffer.alloc(0), entry)).toBe(0);
  await until(() => anna.transport.send(ben.id, append(2, [])), 'there is room again');
});

test("a longer one is the sender's own mistake", async () => {
  const [anna, ben] = await pair();
  const tooLong = append(1, [Buffer.alloc(PEER_LIMITS.frameBytesMax)]);
  expect(() => anna.transport.send(ben.id, tooLong)).toThrow('longer than a frame');
});

test('a peer that does not read is refused more at the bound, and slows nobody', async () => {
  const [slowSelf, ben] = [await person(), await house(await person())];
  const slow = await impostor(slowSelf.identity);
  const limits = { ...QUICK, beatMs: 10_000, queueBytesMax: 8 * MIB };
  const anna = await house(await person(), { limits });
  anna.knows({ id: slowSelf.id, address: slow.address }, ben);
  ben.knows(anna);
  await until(() => anna.transport.connected().length === 2, 'anna reaches both');
  const [socket] = slow.sockets;
  if (socket === undefined) throw new Error('anna came');
  let refused = 0;
  let accepted = 0;
  let mostQueued = 0;
  // Until the kernel's buffers and the queue are full, and then on.
  for (let turn = 0; turn < 200 && refused < 100; turn += 1) {
    if (anna.transport.send(slowSelf.id, append(turn, [Buffer.alloc(MIB)]))) accepted += 1;
    else refused += 1;
    mostQueued = Math.max(mostQueued, anna.transport.queuedBytes(slowSelf.id));
    await new Promise((resolve) => setImmediate(resolve));
    expect(anna.transport.send(ben.id, append(turn, []))).toBe(true);
  }
  expect(refused).toBeGreaterThan(50);
  expect(mostQueued).toBeGreaterThan(6 * MIB);
  expect(mostQueued).toBeLessThanOrEqual(8 * MIB);
  await until(() => ben.received.length === refused + accepted, 'ben has heard all of his');
  // It reads at last: all that was accepted comes, and there is room again.
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await until(() => bytes > accepted * MIB, 'all of it comes');
  await until(() => anna.transport.send(slowSelf.id, heartbeat()), 'there is room again');
});

test('a peer that restarts is reached again, and its old connection forgotten', async () => {
  const [anna, benSelf] = [await house(await person()), await person()];
  const ben = await house(benSelf);
  anna.knows(ben);
  ben.knows(anna);
  await until(() => anna.events.length === 1 && ben.events.length === 1, 'both are up');
  const port = Number(ben.address.split(':')[1]);
  await ben.transport.close();
  await until(() => anna.events.at(-1) === `down ${ben.id}`, 'anna notices');
  expect(anna.transport.send(ben.id, heartbeat())).toBe(false);
  await until(
    () => anna.notes.some((note) => note.includes('cannot be reached')),
    'and says so',
  );
  const again = await house(benSelf, { port });
  again.knows(anna);
  await until(() => anna.events.length === 3 && again.events.length === 1, 'both are up again');
  expect(anna.events).toEqual([`up ${ben.id}`, `down ${ben.id}`, `up ${ben.id}`]);
  expect(anna.notes.at(-1)).toContain('is reached again');
  expect(again.transport.send(anna.id, heartbeat(3))).toBe(true);
  expect(anna.transport.send(ben.id, heartbeat(4))).toBe(true);
  await until(() => again.received.length === 1 && anna.received.length === 1, 'they talk');
  // Its next absence is a new one, and told again.
  await again.transport.close();
  const told = (): number => anna.notes.filter((note) => note.includes('be reached')).length;
  await until(() => told() === 2, 'anna says so again');
});

test('a peer that moves is dialled at its new address', async () => {
  const [anna, benSelf] = [await house(await person()), await person()];
  const [old, fresh] = [await impostor(benSelf.identity), await impostor(benSelf.identity)];
  anna.knows({ id: benSelf.id, address: old.address });
  await until(() => anna.events.length === 1, 'anna is up');
  anna.knows({ id: benSelf.id, address: old.address });
  expect(anna.events).toHaveLength(1);
  anna.knows({ id: benSelf.id, address: fresh.address });
  await until(() => anna.events.length === 3, 'down, and up again');
  expect(fresh.sockets).toHaveLength(1);
});

test('the second connection of one peer takes the place of the first', async () => {
  // Beats so rare that silence is not what ends the first.
  const ben = await house(await person(), { limits: { beatMs: 60_000 } });
  const known = await person();
  ben.knows({ id: known.id, address: '127.0.0.1:1' });
  const first = stranger(ben.address, known.identity);
  expect(await welcomeOf(first)).toBe('beat');
  const second = stranger(ben.address, known.identity);
  const firstEnds = once(first, 'close');
  expect(await welcomeOf(second)).toBe('beat');
  await firstEnds;
});

describe('half-open connections, on a clock of our own', () => {
  const SILENCE_MS = PEER_LIMITS.beatMs * (PEER_LIMITS.silentBeatsMax + 1);

  /** Moves the clock beat by beat, with time for what the network does in between. */
  async function pass(time: ManualTime, ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += PEER_LIMITS.beatMs) {
      await time.advance(PEER_LIMITS.beatMs);
      await new Promise((resolve) => setTimeout(resolve, 10));
      await settle();
    }
  }

  test('an idle connection on which both ends beat stays', async () => {
    const [annaTime, benTime] = [new ManualTime(), new ManualTime()];
    const anna = await house(await person(), { timers: annaTime, limits: {} });
    const ben = await house(await person(), { timers: benTime, limits: {} });
    ben.knows({ id: anna.id, address: anna.address });
    anna.knows(ben);
    await until(() => anna.events.length === 1 && ben.events.length === 1, 'both are up');
    for (let beat = 0; beat < 30; beat += 1) {
      await pass(annaTime, PEER_LIMITS.beatMs);
      await pass(benTime, PEER_LIMITS.beatMs);
    }
    expect(anna.events).toEqual([`up ${ben.id}`]);
    expect(ben.events).toEqual([`up ${anna.id}`]);
  });

  test('a peer from which nothing comes back is lost, and dialled again', async () => {
    const time = new ManualTime();
    const mute = await person();
    const there = await impostor(mute.identity);
    const anna = await house(await person(), { timers: time, limits: {} });
    anna.knows({ id: mute.id, address: there.address });
    await until(() => anna.events.length === 1, 'anna is up');
    await pass(time, SILENCE_MS - 2 * PEER_LIMITS.beatMs);
    expect(anna.events).toEqual([`up ${mute.id}`]);
    await pass(time, 2 * PEER_LIMITS.beatMs);
    expect(anna.events.slice(0, 2)).toEqual([`up ${mute.id}`, `down ${mute.id}`]);
    await pass(time, PEER_LIMITS.redialMsMax);
    await until(() => there.sockets.length === 2, 'anna dials again');
  });

  test('a peer that sends nothing is cut off; one that only beats is not', async () => {
    const time = new ManualTime();
    const [mute, alive] = [await person(), await person()];
    const ben = await house(await person(), { timers: time, limits: {} });
    const nowhere = '127.0.0.1:1';
    ben.knows({ id: mute.id, address: nowhere }, { id: alive.id, address: nowhere });
    const [muteSocket, aliveSocket] = [
      stranger(ben.address, mute.identity),
      stranger(ben.address, alive.identity),
    ];
    expect(await welcomeOf(muteSocket)).toBe('beat');
    expect(await welcomeOf(aliveSocket)).toBe('beat');
    const end = once(muteSocket, 'close');
    for (let passed = 0; passed < SILENCE_MS; passed += PEER_LIMITS.beatMs) {
      aliveSocket.write(frameHeader(0));
      await new Promise((resolve) => setTimeout(resolve, 10));
      await pass(time, PEER_LIMITS.beatMs);
    }
    await end;
    expect(ben.notes.join()).toContain('nothing comes from it any more');
    expect(aliveSocket.destroyed).toBe(false);
  });

  test('a pause of the whole process is no silence', async () => {
    const time = new ManualTime();
    const mute = await person();
    const there = await impostor(mute.identity);
    const anna = await house(await person(), { timers: time, limits: {} });
    anna.knows({ id: mute.id, address: there.address });
    await until(() => anna.events.length === 1, 'anna is up');
    await time.advance(60_000);
    expect(anna.events).toEqual([`up ${mute.id}`]);
  });

  test('an end that takes a connection and says nothing is given up in time', async () => {
    const time = new ManualTime();
    const taken: Socket[] = [];
    const server = createServer((socket) => taken.push(socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const anna = await house(await person(), { timers: time, limits: {} });
    anna.knows({ id: (await person()).id, address: `127.0.0.1:${port}` });
    try {
      await until(() => taken.length === 1, 'anna dials');
      await time.advance(PEER_LIMITS.handshakeMsMax - 1);
      await aWhile();
      expect(taken).toHaveLength(1);
      await time.advance(1);
      await time.advance(PEER_LIMITS.redialMsMin);
      await until(() => taken.length === 2, 'anna dials again');
    } finally {
      for (const socket of taken) socket.destroy();
      server.close();
    }
  });

  test('the pauses between attempts double up to a bound, with chance in them', async () => {
    const time = new ManualTime();
    let attempts = 0;
    const server = createServer((socket) => {
      attempts += 1;
      socket.destroy();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    // Chance at its lowest: each pause is half of what it may be.
    const anna = await house(await person(), { timers: time, limits: {} });
    anna.knows({ id: (await person()).id, address: `127.0.0.1:${port}` });
    try {
      for (const [at, pauseMs] of [25, 50, 100, 200, 400, 500, 500].entries()) {
        // The attempt has failed when its time-out has given way to the timer of the next.
        await until(() => attempts === at + 1, `attempt ${at + 1}`);
        await aWhile();
        await time.advance(pauseMs - 1);
        await aWhile();
        expect(attempts).toBe(at + 1);
        await time.advance(1);
      }
      expect(anna.notes).toHaveLength(1);
    } finally {
      server.close();
    }
  });
});

describe('a trusted peer that sends nonsense is cut off, and the reason told', () => {
  test.each([
    ['a frame that is no message', Buffer.concat([frameHeader(3), Buffer.from('abc')])],
    ['a frame longer than any may be', frameHeader(PEER_LIMITS.frameBytesMax + 1)],
  ])('%s', async (_what, bytes) => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    const socket = stranger(ben.address, known.identity);
    expect(await welcomeOf(socket)).toBe('beat');
    socket.write(bytes);
    await once(socket, 'close');
    const told = ben.notes.filter((note) => note.includes(`node ${known.id} was cut off: `));
    expect(told).toHaveLength(1);
    expect(ben.received).toEqual([]);
  });

  test('a message where only beats may come', async () => {
    const known = await person();
    const there = await impostor(known.identity);
    const anna = await house(await person());
    anna.knows({ id: known.id, address: there.address });
    await until(() => anna.events.length === 1, 'anna is up');
    there.sockets[0]?.write(frameHeader(1));
    await until(() => anna.events.at(-1) === `down ${known.id}`, 'anna hangs up');
  });

  test('whatever it is, the node goes on', async () => {
    const [ben, known] = [await house(await person()), await person()];
    ben.knows({ id: known.id, address: '127.0.0.1:1' });
    await withSeeds(40, async (random) => {
      const socket = stranger(ben.address, known.identity);
      expect(await welcomeOf(socket)).toBe('beat');
      socket.end(random.bytes(1 + random.below(5_000)));
      await once(socket, 'close');
    });
    const socket = stranger(ben.address, known.identity);
    expect(await welcomeOf(socket)).toBe('beat');
  });
});

// The simulated network keeps what base's `Network` promises, and makes each trouble it can.

import { describe, expect, test } from 'vitest';
import { hexOf } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { type NodeId, viewOf } from '../../src/base/ids.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import type { ForwardRequest, PeerMessage } from '../../src/node/peers/messages.ts';
import { Chance } from './chance.ts';
import { EventHash } from './event-hash.ts';
import { FaultCounts } from './fault-counts.ts';
import { MachineClock, Process } from './process.ts';
import { SimulatedTransport } from './simulated-transport.ts';
import { Timeline } from './timeline.ts';
import { FAIR_WEATHER, type Weather, Wires } from './wires.ts';

const idOf = (name: string): NodeId => hexOf(sha256Text(name)) as NodeId;

const vote = (view: number): PeerMessage => ({ kind: 'propose-vote', view: viewOf(view) });

class Pair {
  readonly timeline = new Timeline();
  readonly faults = new FaultCounts();
  readonly chance = new Chance(5);
  readonly hash = new EventHash();
  readonly wires = new Wires(this);
  readonly heard: string[] = [];
  readonly notes: string[] = [];
  readonly processes: Record<string, Process> = {};
  readonly a = this.node('a');
  readonly b = this.node('b');
  refuse = false;

  node(name: string): SimulatedTransport {
    const process = new Process(name, this.timeline, new MachineClock(this.timeline, 0));
    this.processes[name] = process;
    const transport = new SimulatedTransport(
      { nodeId: idOf(name), host: name, port: 1 },
      {
        timers: process,
        random: this.chance,
        identity: () => {
          throw new Error('nothing here opens a TLS session');
        },
        onPeerUp: () => this.notes.push(`${name} up`),
        onPeerDown: () => this.notes.push(`${name} down`),
        note: (text) => this.notes.push(text),
        onMessage: (_from, message) => {
          if (this.refuse) throw new CodedError('BadEntry', 'refused');
          const what = 'view' in message ? message.view : message.kind;
          this.heard.push(`${name} ${what}`);
        },
      },
      {
        wires: this.wires,
        process,
        chance: this.chance,
        address: `${name}:1`,
        queueBytesMax: 1_000,
        onSent: () => undefined,
        onQueued: () => undefined,
      },
    );
    void transport.listen();
    return transport;
  }

  async meet(weather: Partial<Weather> = {}): Promise<void> {
    const peers = ['a', 'b'].map((name) => ({ nodeId: idOf(name), address: `${name}:1` }));
    this.a.setPeers(peers);
    this.b.setPeers(peers);
    await this.play(2_000);
    this.wires.weather = { ...FAIR_WEATHER, ...weather };
  }

  async play(ms: number): Promise<void> {
    await this.timeline.play(this.timeline.nowMs() + ms);
  }
}

describe('messages', () => {
  test('arrive in order, through the codec, whatever their delays', async () => {
    const pair = new Pair();
    await pair.meet({ straggle: 0.5, straggleMsMax: 500 });
    for (let view = 1; view <= 20; view += 1) pair.a.send(idOf('b'), vote(view));
    await pair.play(5_000);
    expect(pair.heard).toEqual(Array.from({ length: 20 }, (_, index) => `b ${index + 1}`));
    expect(pair.faults.of('network: delayed')).toBeGreaterThan(0);
  });

  test('of consensus come twice, overtake and come again in unruly weather', async () => {
    const pair = new Pair();
    await pair.meet({ duplicate: 0.3, overtake: 0.3, replay: 0.3 });
    for (let view = 1; view <= 50; view += 1) {
      pair.a.send(idOf('b'), vote(view));
      await pair.play(1);
    }
    await pair.play(5_000);
    expect(pair.heard.length).toBeGreaterThan(60);
    for (const fault of ['duplicated', 'overtaken', 'old message replayed']) {
      expect(pair.faults.of(`network: ${fault}`), fault).toBeGreaterThan(0);
    }
  });

  test('of clients never come twice', async () => {
    const pair = new Pair();
    await pair.meet({ duplicate: 1, overtake: 1, replay: 1 });
    const rest = { interfaceName: 'i', verb: 'GET', target: '/', headers: [] };
    const request: ForwardRequest = {
      kind: 'forward-request',
      id: 1,
      body: new Uint8Array(),
      ...rest,
    };
    pair.a.send(idOf('b'), request);
    await pair.play(1_000);
    expect(pair.heard).toEqual(['b forward-request']);
  });

  test('are lost, and changed ones never arrive', async () => {
    const pair = new Pair();
    await pair.meet({ loss: 0.5 });
    for (let view = 1; view <= 20; view += 1) pair.a.send(idOf('b'), vote(view));
    await pair.play(100);
    expect(pair.heard.length).toBeLessThan(20);
    pair.wires.weather = { ...FAIR_WEATHER, corruption: 1 };
    pair.heard.length = 0;
    pair.a.send(idOf('b'), vote(21));
    await pair.play(1_000);
    expect([pair.heard, pair.faults.of('network: corrupted')]).toEqual([[], 1]);
    expect(pair.notes).toContain('a down');
  });

  test('that cannot be understood end the connection, which is then made anew', async () => {
    const pair = new Pair();
    await pair.meet();
    pair.refuse = true;
    pair.a.send(idOf('b'), vote(1));
    await pair.play(1_000);
    expect(pair.notes.slice(2)).toEqual([expect.stringContaining('refused'), 'a down', 'a up']);
  });
});

describe('connections', () => {
  test('are refused more than may wait', async () => {
    const pair = new Pair();
    await pair.meet();
    const sent = Array.from({ length: 100 }, (_, view) => pair.a.send(idOf('b'), vote(view)));
    expect([sent[0], sent.at(-1)]).toEqual([true, false]);
  });

  test('end with a process at once, and with its power only by the silence', async () => {
    const pair = new Pair();
    await pair.meet();
    pair.b.cutOff(true);
    await pair.play(1_000);
    expect(pair.a.connected()).toEqual([idOf('b')]);
    await pair.play(3_000);
    expect(pair.a.connected()).toEqual([]);
  });

  test('that are cut carry nothing in one direction, and come back', async () => {
    const pair = new Pair();
    await pair.meet();
    pair.wires.cut('a:1', 'b:1');
    pair.a.send(idOf('b'), vote(1));
    pair.b.send(idOf('a'), vote(2));
    await pair.play(4_000);
    expect(pair.heard).toEqual(['a 2']);
    pair.wires.healAll();
    await pair.play(2_000);
    pair.a.send(idOf('b'), vote(3));
    await pair.play(100);
    expect(pair.heard).toEqual(['a 2', 'b 3']);
  });

  test('are not made to a node that does not trust the other', async () => {
    const pair = new Pair();
    pair.a.setPeers([{ nodeId: idOf('b'), address: 'b:1' }]);
    await pair.play(3_000);
    expect(pair.a.connected()).toEqual([]);
  });
});

test('a paused process hears all in the end, and a dead one nothing', async () => {
  const pair = new Pair();
  await pair.meet();
  pair.processes.b?.pause();
  pair.a.send(idOf('b'), vote(1));
  await pair.play(100);
  expect(pair.heard).toEqual([]);
  pair.processes.b?.resume();
  await pair.play(1);
  expect(pair.heard).toEqual(['b 1']);
  pair.processes.b?.die();
  pair.a.send(idOf('b'), vote(2));
  await pair.play(100);
  expect(pair.heard).toEqual(['b 1']);
});

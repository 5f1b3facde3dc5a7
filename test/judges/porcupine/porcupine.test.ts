// The judge of client histories is shown histories with a planted fault, each of which it must
// find and name, and sound ones that look like them, which it must let pass.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Call, HistoryLine, Row } from '../../cluster/history.ts';
import { judgeHistory, porcupineJudge, testWithPorcupine, type Verdict } from './judge.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-histories-'));
afterAll(() => rmSync(folder, { recursive: true }));

type Told = Partial<Call> & Pick<Call, 'kind' | 'call'>;

/** A call that was answered after 5 µs, by client 1 at node 1, unless told otherwise. */
function op(told: Told): HistoryLine {
  const outcome = told.outcome ?? 'ok';
  return {
    type: 'op',
    id: 0,
    client: 1,
    node: '1',
    key: 'private/1',
    outcome,
    ...(outcome === 'unknown' ? {} : { return: told.call + 5 }),
    ...told,
  };
}
const write = (
  call: number,
  value: string,
  tx: string,
  rest: Partial<Call> = {},
): HistoryLine => op({ kind: 'write', call, value, tx, ...rest });
const unanswered = (call: number, value: string): HistoryLine =>
  op({ kind: 'write', call, value, outcome: 'unknown' });
/** A fresh read; a plain one is told by `fresh: undefined`. */
const read = (
  call: number,
  value: string | undefined,
  tx: string,
  rest: Partial<Call> = {},
): HistoryLine =>
  op({
    kind: 'read',
    call,
    fresh: true,
    ...(value === undefined ? {} : { value, tx }),
    ...rest,
  });
const plain = (
  call: number,
  value: string | undefined,
  tx: string,
  min?: string,
): HistoryLine => {
  const seen = value === undefined ? {} : { value, tx };
  return op({ kind: 'read', call, client: 2, ...seen, ...(min === undefined ? {} : { min }) });
};
const send = (call: number, value: string, rest: Partial<Call> = {}): HistoryLine =>
  op({ kind: 'send', call, value, key: 'K', ...rest });
const receive = (call: number, value?: string, rest: Partial<Call> = {}): HistoryLine =>
  op({ kind: 'receive', call, key: 'K', ...(value === undefined ? {} : { value }), ...rest });
const applied = (value: string, tx: string, key = 'private/1'): Row => ({
  type: 'applied',
  key,
  value,
  tx,
});
const stored = (value: string, tx: string, key = 'K'): Row => ({
  type: 'stored',
  key,
  value,
  tx,
});
const LEDGER: HistoryLine = { type: 'ledger', views: ['2.1', '3.50'], committed: '3.99' };

/** Two writes, and what everybody must see of them. */
const SOUND = [
  write(10, 'a', '2.10'),
  read(20, 'a', '2.10'),
  write(30, 'b', '2.20'),
  applied('a', '2.10'),
  applied('b', '2.20'),
];
const SEEN = [...SOUND, read(900, 'b', '3.60')];

let files = 0;
function fileOf(history: readonly HistoryLine[], ledger = LEDGER): string {
  files += 1;
  const path = join(folder, `${files}.jsonl`);
  const numbered = [...history, ledger].map((line, id) =>
    line.type === 'op' ? { ...line, id } : line,
  );
  writeFileSync(path, numbered.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return path;
}

async function judged(history: readonly HistoryLine[]): Promise<Verdict> {
  return await judgeHistory(fileOf(history));
}

interface Planted {
  readonly history: readonly HistoryLine[];
  /** The promises that it breaks. */
  readonly broken: readonly string[];
  /** Numbers of the calls in the smallest part, of the first violation. */
  readonly part?: readonly number[];
}

const planted: Readonly<Record<string, Planted>> = {
  'a stale read': {
    history: [...SOUND, read(40, 'a', '2.19'), read(900, 'b', '3.60')],
    broken: ['linearizable', 'order'],
    part: [0, 2, 5],
  },
  'a stale read whose TxID lies': {
    history: [...SOUND, read(40, 'a', '2.21'), read(900, 'b', '3.60')],
    broken: ['linearizable', 'explained'],
  },
  'a fresh read that saw nothing after a write': {
    history: [
      write(10, 'a', '2.10'),
      applied('a', '2.10'),
      read(20, undefined, ''),
      read(900, 'a', '3.60'),
    ],
    broken: ['linearizable'],
    part: [0, 2],
  },
  'a value that came and went: a write without an answer was seen, and then was not': {
    history: [...SOUND, unanswered(40, 'c'), read(50, 'c', '2.70'), read(60, 'b', '3.60')],
    broken: ['linearizable'],
    // Without the older reads and writes of other values.
    part: [2, 5, 6, 7],
  },
  'a lost write: the end does not show it': {
    history: [...SOUND.slice(0, 4), read(900, 'a', '3.60')],
    broken: ['linearizable', 'lost'],
  },
  'a lost write that was overwritten before anybody looked': {
    history: [
      write(10, 'a', '2.10'),
      write(30, 'b', '2.20'),
      applied('b', '2.20'),
      read(900, 'b', '3.60'),
    ],
    broken: ['lost'],
    part: [0],
  },
  'an acknowledged TxID that was rolled back': {
    history: [write(10, 'a', '2.60'), applied('a', '3.60'), read(900, 'a', '3.61')],
    broken: ['lost'],
  },
  'a fresh read of a value never written': {
    history: [...SOUND, read(40, 'x', '2.30'), read(900, 'b', '3.60')],
    broken: ['linearizable', 'invented'],
    part: [5],
  },
  'a plain read of a value never written': {
    history: [...SEEN, plain(40, 'x', '2.30')],
    broken: ['invented'],
  },
  'a plain read of the future': {
    history: [plain(4, 'a', '2.9'), ...SEEN],
    broken: ['invented'],
  },
  'a row in the ledger that nobody wrote': {
    history: [...SEEN, applied('x', '3.70')],
    broken: ['invented'],
  },
  'a plain read of an older state than its TxID names': {
    history: [...SEEN, plain(40, 'a', '2.25')],
    broken: ['explained'],
  },
  'a plain read of a newer state than its TxID names': {
    history: [...SEEN, plain(40, 'b', '2.15')],
    broken: ['explained'],
  },
  'a rolled-back read of what only the next view wrote': {
    history: [
      ...SEEN.slice(0, -1),
      write(800, 'c', '3.60'),
      applied('c', '3.60'),
      plain(810, 'c', '2.70'),
      read(900, 'c', '3.70'),
    ],
    broken: ['explained'],
  },
  'a plain read behind the TxID that it carried': {
    history: [...SEEN, plain(40, 'a', '2.15', '2.20')],
    broken: ['monotone'],
  },
  'an answer from the ledger to a session that saw what was rolled back': {
    history: [...SEEN, plain(40, 'b', '3.60', '2.70')],
    broken: ['monotone'],
  },
  'nothing seen from a TxID on at which there was something': {
    history: [...SEEN, plain(40, undefined, '', '2.30')],
    broken: ['absence'],
  },
  'a later write of another register with an earlier TxID': {
    history: [
      ...SEEN,
      write(40, 'c', '2.15', { key: 'public/2' }),
      applied('c', '2.15', 'public/2'),
      read(910, 'c', '3.61', { key: 'public/2' }),
    ],
    broken: ['order'],
    part: [2, 6],
  },
  'a fresh read of one register from before a write of another': {
    history: [
      ...SEEN,
      write(40, 'c', '2.40', { key: 'public/2' }),
      applied('c', '2.40', 'public/2'),
      read(50, 'b', '2.39'),
      read(910, 'c', '3.61', { key: 'public/2' }),
    ],
    broken: ['order'],
  },
  'a write that took effect twice': {
    history: [
      ...SEEN,
      unanswered(40, 'c'),
      applied('c', '3.70'),
      applied('c', '3.72'),
      read(950, 'c', '3.80'),
    ],
    broken: ['duplicate'],
  },
  'a refused write in the ledger': {
    history: [
      ...SEEN,
      op({ kind: 'write', call: 40, value: 'c', outcome: 'fail' }),
      applied('c', '3.70'),
      read(950, 'c', '3.80'),
    ],
    broken: ['refused', 'linearizable'],
  },
  'a payload stored twice for one request': {
    history: [send(10, 'p'), stored('p', '2.10'), stored('p', '2.12', 'L'), receive(900, 'p')],
    broken: ['duplicate'],
  },
  'a payload stored twice whose request was never answered': {
    history: [
      op({ kind: 'send', key: '', call: 10, value: 'p', outcome: 'unknown' }),
      stored('p', '2.10'),
      stored('p', '2.12', 'L'),
    ],
    broken: ['duplicate'],
  },
  'an acknowledged payload that is said not to exist': {
    history: [send(10, 'p'), stored('p', '2.10'), receive(20), receive(900, 'p')],
    broken: ['linearizable'],
    part: [0, 2],
  },
  'an acknowledged payload that is gone': {
    history: [send(10, 'p'), receive(900)],
    broken: ['linearizable', 'lost'],
  },
  'another payload than was sent': {
    history: [send(10, 'p'), stored('p', '2.10'), receive(900, 'q')],
    broken: ['linearizable'],
  },
  'a payload shown to a stranger': {
    history: [
      send(10, 'p'),
      stored('p', '2.10'),
      receive(30, 'p', { stranger: true }),
      receive(900, 'p'),
    ],
    broken: ['stranger'],
  },
};

describe('planted, and found', () => {
  for (const [name, { history, broken, part }] of Object.entries(planted)) {
    testWithPorcupine(name, async () => {
      const { verdict, broken: found, text } = await judged(history);
      expect(verdict, text).toBe('violation');
      expect([...found].sort(), text).toEqual([...broken].sort());
      if (part !== undefined) expect(idsOf(text)).toEqual(part);
    });
  }
});

/** Numbers of the calls printed below the first violation. */
function idsOf(text: string): number[] {
  const [, first = ''] = text.split(/^VIOLATION .*\n/m);
  return [...first.matchAll(/"type":"op","id":(\d+)/g)].map(([, id]) => Number(id));
}

const sound: Readonly<Record<string, readonly HistoryLine[]>> = {
  'all in order': SEEN,
  'a fresh read that overlaps a write may see it or not': [
    ...SOUND,
    write(100, 'c', '2.30', { return: 200 }),
    applied('c', '2.30'),
    read(110, 'b', '2.29', { client: 2 }),
    read(130, 'c', '2.30', { client: 2 }),
    read(950, 'c', '3.80'),
  ],
  'a write without an answer never took effect': [...SEEN, unanswered(40, 'c')],
  'a write without an answer took effect long afterwards': [
    ...SOUND,
    unanswered(40, 'c'),
    read(100, 'b', '2.30'),
    applied('c', '3.70'),
    read(900, 'c', '3.80'),
  ],
  'a plain read may be old, as long as its TxID says so': [...SEEN, plain(40, 'a', '2.15')],
  'a plain read that saw nothing and carried nothing': [...SEEN, plain(40, undefined, '')],
  'a plain read of a write that was rolled back': [
    ...SEEN,
    unanswered(35, 'c'),
    plain(40, 'c', '2.70'),
  ],
  'a refused write whose value was seen while it was there': [
    ...SEEN,
    op({ kind: 'write', call: 35, value: 'c', outcome: 'fail' }),
    plain(40, 'c', '2.70'),
  ],
  'a session that went on over a change of view': [
    ...SEEN,
    plain(40, 'b', '2.49', '2.20'),
    plain(50, 'b', '3.55', '2.49'),
  ],
  'a payload sent, received by its party, and unknown to a stranger': [
    send(10, 'p'),
    stored('p', '2.10'),
    receive(20, 'p'),
    receive(30, undefined, { stranger: true }),
  ],
  'a send without an answer that was stored once, and received': [
    op({ kind: 'send', key: '', call: 10, value: 'p', outcome: 'unknown' }),
    stored('p', '2.10'),
    receive(20),
    receive(900, 'p'),
  ],
};

describe('sound, and let pass', () => {
  for (const [name, history] of Object.entries(sound)) {
    testWithPorcupine(name, async () => {
      const { verdict, text } = await judged(history);
      expect(verdict, text).toBe('good');
    });
  }
});

const refused: Readonly<Record<string, readonly HistoryLine[]>> = {
  'nobody looked at a register in the end': SOUND,
  'nobody received a payload': [send(10, 'p'), stored('p', '2.10')],
  'two writes of one value': [...SEEN, write(40, 'b', '2.30')],
  'an acknowledged write without a TxID': [
    ...SEEN,
    op({ kind: 'write', call: 40, value: 'c' }),
  ],
  'a call that ended before it began': [
    ...SEEN,
    plain(40, 'a', '2.15'),
    read(40, 'b', '2.30', { return: 39 }),
  ],
  'a TxID after the end of the ledger': [...SEEN, plain(40, 'b', '3.100')],
  'two ends of the ledger': [...SEEN, LEDGER],
};

describe('no history, and refused', () => {
  for (const [name, history] of Object.entries(refused)) {
    testWithPorcupine(name, async () => {
      const { verdict, text } = await judged(history);
      expect(verdict, text).toBe('bad input');
    });
  }
  testWithPorcupine('a field that the judge does not know', async () => {
    const path = fileOf(SEEN);
    writeFileSync(path, readFileSync(path, 'utf8').replace('"key"', '"kee"'));
    expect((await judgeHistory(path)).verdict).toBe('bad input');
  });
});

testWithPorcupine(
  'the picture of a violation is drawn, with what happened meanwhile',
  async () => {
    const picture = join(folder, 'stale.html');
    const event: HistoryLine = { type: 'event', at: 35, text: 'node 2 was paused' };
    await judgeHistory(fileOf([...(planted['a stale read']?.history ?? []), event]), picture);
    const drawn = readFileSync(picture, 'utf8');
    expect(drawn).toContain('node 2 was paused');
    expect(drawn).toContain('read \\"a\\"');
  },
);

testWithPorcupine('no picture is drawn of a sound history', async () => {
  const picture = join(folder, 'sound.html');
  expect((await judgeHistory(fileOf(SEEN), picture)).figures).toMatchObject({
    'fresh reads': 2,
    'write ok': 2,
    violations: 0,
  });
  expect(existsSync(picture)).toBe(false);
});

testWithPorcupine('a long history is judged within seconds', async () => {
  const history: HistoryLine[] = [];
  const keys = 100;
  const rounds = 300;
  // Ten clients at once on each register, each a write and a read that overlap with the others'.
  for (let round = 0; round < rounds; round += 1) {
    for (let key = 0; key < keys; key += 1) {
      const name = `private/${key}`;
      const at = round * 1000 + key;
      const tx = `2.${round * keys + key + 1}`;
      const value = `${key}-${round}`;
      history.push(write(at, value, tx, { key: name, client: 1, return: at + 400 }));
      history.push(read(at + 300, value, tx, { key: name, client: 2, return: at + 600 }));
      history.push({ type: 'applied', key: name, value, tx });
    }
  }
  for (let key = 0; key < keys; key += 1) {
    const name = `private/${key}`;
    history.push(read(1e6, `${key}-${rounds - 1}`, `2.${rounds * keys}`, { key: name }));
  }
  const ledger: HistoryLine = {
    type: 'ledger',
    views: ['2.1'],
    committed: `2.${rounds * keys}`,
  };
  const begun = performance.now();
  const { verdict, text, figures } = await judgeHistory(fileOf(history, ledger));
  expect(verdict, text).toBe('good');
  expect(figures.ordered).toBe(keys * rounds * 2 + keys);
  console.log(`${figures.ordered} calls judged in ${Math.round(performance.now() - begun)} ms`);
});

test('where the judge is missing, the reason is said', () => {
  const judge = porcupineJudge();
  if ('missing' in judge) expect(judge.missing).toMatch(/^no Porcupine: /);
  else expect(existsSync(judge.program)).toBe(true);
});

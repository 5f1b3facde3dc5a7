// Scripts that mean harm, each run in the worker of a node: every one of them ends, says why, and
// leaves the thread that executes free and the next script unharmed.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ScriptJob, ScriptRunner } from '../../../src/governance/scripts.ts';
import { realTimers } from '../../../src/node/real-time.ts';
import { workerRunner } from '../../../src/node/scripts/worker-runner.ts';

const LIMITS = { heapBytes: 32 * 1024 * 1024, stackBytes: 256 * 1024, ms: 600 };
/** Longest pause of the executing thread: less than a script has, whatever else runs here. */
const PAUSE_MS_MAX = 500;

let runner: ScriptRunner;

beforeAll(() => {
  runner = workerRunner(realTimers);
});

afterAll(() => runner.close());

function job(source: string, change: Partial<ScriptJob> = {}): ScriptJob {
  return {
    ...{ name: 'ballot', source, function: 'vote', args: ['{}', 'aa'], access: 'read' },
    ...{ limits: LIMITS, nowMs: 0, answers: [] },
    ...change,
  };
}

const vote = (body: string): string => `export function vote(proposal, proposer) { ${body} }`;

const TYPES = ['process', 'require', 'fetch', 'setTimeout', 'WebAssembly', 'globalThis.host']
  .map((name) => `typeof ${name}`)
  .join();

const HOSTILE: readonly (readonly [name: string, source: string, said: RegExp])[] = [
  ['an endless loop', vote('for (;;) {}'), /^time/],
  ['an endless loop while loading', 'for (;;) {}', /^time/],
  ['an endless loop that catches', vote('for (;;) try { for (;;) {} } catch {}'), /^time/],
  [
    'a generator without an end',
    vote('function* g() { for (;;) yield 1 } [...g()]'),
    /^(time|memory)/,
  ],
  ['recursion', vote('return vote()'), /^stack/],
  [
    'recursion by getters',
    vote('const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x'),
    /^stack/,
  ],
  [
    'recursion in sorting',
    vote('return [2, 1].sort(function c() { return [2, 1].sort(c) })'),
    /^stack/,
  ],
  ['nested JSON', vote('return JSON.parse("[".repeat(1e6))'), /stack|exception/],
  [
    'nested JSON to write',
    vote('let a = {}; for (let i = 0; i < 1e6; i += 1) a = { a }; return JSON.stringify(a)'),
    /^(stack|time|memory|exception)/,
  ],
  [
    'arrays without end',
    vote('const a = []; for (;;) a.push(new Array(1e5).fill(1))'),
    /^memory/,
  ],
  ['objects without end', vote('const a = []; for (;;) a.push({ a: {} })'), /^(memory|time)/],
  ['a string that doubles', vote('let s = "x"; for (;;) s += s'), /^(memory|exception)/],
  [
    'a string of a gigabyte',
    vote('return "x".repeat(2 ** 28).repeat(2 ** 10)'),
    /^(memory|exception)/,
  ],
  [
    'a huge buffer',
    vote('return new ArrayBuffer(2 ** 31 - 1).byteLength'),
    /^(memory|exception)/,
  ],
  [
    'a sparse array that is filled',
    vote('return new Array(2 ** 32 - 1).fill(0)'),
    /^(time|memory)/,
  ],
  [
    'a regular expression that backtracks',
    vote('return /(a+)+$/.test("a".repeat(40) + "b")'),
    /^time/,
  ],
  [
    'promises without end',
    vote('function f() { return Promise.resolve().then(f) } f(); return new Promise(() => {})'),
    /^returned \{\}/,
  ],
  ['an async vote', 'export async function vote() { return true }', /^returned \{\}/],
  [
    'waiting at the top',
    'await new Promise(() => {}); export function vote() {}',
    /never ends/,
  ],
  ['an import', 'import "./constitution.js"; export function vote() {}', /there is no module/],
  [
    'a built-in module',
    'import * as os from "os"; export function vote() { os.exit() }',
    /there is no module/,
  ],
  ['throwing nothing', vote('throw undefined'), /^(memory|exception)/],
  [
    'throwing a proxy',
    vote('throw new Proxy({}, { get() { throw 1 } })'),
    /^(exception|interpreter|memory)/,
  ],
  [
    'prototype tricks',
    `Object.prototype.toJSON = () => 'true';
    Array.prototype[Symbol.iterator] = function* () { yield 1 };
    Function.prototype.call = () => 1; JSON.stringify = () => 'true'; ${vote('return false')}`,
    /^returned false|^exception/,
  ],
  [
    'what the host shows',
    vote(`return [${TYPES}].join()`),
    /^returned "(undefined,){5}undefined"/,
  ],
  [
    'a way out by constructors',
    vote('return ccf.kv.get.constructor("return typeof process")()'),
    /^(exception|returned "undefined")/,
  ],
  [
    'private tables',
    vote('return ccf.kv["secrets"].get(ccf.strToBuf("x"))'),
    /Cannot read from table secrets/,
  ],
  [
    'an application’s tables',
    vote('return ccf.kv["public:app"].size'),
    /Cannot read from table public:app/,
  ],
  [
    'writing',
    vote('ccf.kv["public:ccf.gov.users.certs"].set(ccf.strToBuf("x"), ccf.strToBuf("y"))'),
    /Cannot write to table/,
  ],
  [
    'no buffer as key',
    vote('ccf.kv["public:ccf.gov.users.certs"].get({ byteLength: 1 })'),
    /must be an ArrayBuffer/,
  ],
  ['effects of a vote', vote('ccf.node.triggerLedgerRekey()'), /^exception/],
  [
    'a console without end',
    vote('for (let i = 0; i < 300; i += 1) console.log("x".repeat(1e4)); return true'),
    /^returned true/,
  ],
  [
    'changing ccf',
    vote('try { ccf.kv = 1 } catch {} try { ccf.gov.x = 1 } catch {} return typeof ccf.kv'),
    /^returned "object"|^exception/,
  ],
];

test.each(HOSTILE)('%s', async (_name, source, said) => {
  const pauses = watchPauses();
  const outcome = await runner.run(job(source), () => []);
  const longest = pauses.stop();
  const told =
    outcome.kind === 'returned'
      ? `returned ${JSON.stringify(outcome.value)}`
      : outcome.kind === 'threw'
        ? `${outcome.failure}: ${outcome.reason}`
        : outcome.kind;
  expect(told).toMatch(said);
  expect(longest).toBeLessThan(PAUSE_MS_MAX);
  // Whatever it did to its own world, the next script finds a whole one.
  const next = await runner.run(
    job(vote('return proposal === "{}" && proposer === "aa"')),
    () => [],
  );
  expect(next).toMatchObject({ kind: 'returned', value: true });
});

test('a crowd of scripts is refused, not kept', async () => {
  const many = Array.from({ length: 80 }, () => runner.run(job(vote('return 1')), () => []));
  const ends = await Promise.allSettled(many);
  const refused = ends.filter(({ status }) => status === 'rejected');
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.length).toBeLessThan(20);
});

function watchPauses(): { stop(): number } {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 5);
  return {
    stop: () => {
      clearInterval(timer);
      return longest;
    },
  };
}

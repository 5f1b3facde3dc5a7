// Settings that whoever starts a sandbox lays over those of its nodes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterAll, expect, test } from 'vitest';
import { readNodeSettings, withSettings } from '../../src/cli/sandbox/node-settings.ts';
import { registerProcessMetrics } from '../../src/node/process-metrics.ts';
import { runProgram } from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-node-settings-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

test('objects are merged to any depth, other values replaced', () => {
  const own = { folder: 'x', network: { a: { port: 1, cap: 2 } }, list: [1, 2] };
  const given = { network: { a: { cap: 9 } }, list: [3], ledger: { chunk_size: '1MB' } };
  expect(withSettings(own, given)).toEqual({
    folder: 'x',
    network: { a: { port: 1, cap: 9 } },
    list: [3],
    ledger: { chunk_size: '1MB' },
  });
  expect(own.network.a.cap).toBe(2);
});

test.each([
  ['[]', 'an object of a node'],
  ['{', 'settings.json'],
])('a file with %s is refused', (text, reason) => {
  expect(() => readNodeSettings(file('settings.json', text))).toThrow(reason);
});

test('the node judges them, and its words are what the sandbox ends with', async () => {
  const settings = file('unknown.json', '{"ledger_signatures":{"tx_counts":3}}');
  const data = join(folder, 'data');
  const ended = await runProgram([
    ...['sandbox', '--data', data, '--nodes', '1', '--node-settings', settings, '--json'],
  ]);
  expect(ended.code).not.toBe(0);
  expect(ended.stdout).toContain('"code":"BadConfiguration"');
  expect(ended.stdout).toContain('ledger_signatures.tx_counts is no setting');
});

test('a node tells how long it stood still, once, and its memory', async () => {
  const registry = new Registry();
  const stopLooking = registerProcessMetrics(registry);
  const value = async (name: string): Promise<number> => {
    const metric = await registry.getSingleMetric(name)?.get();
    return metric?.values[0]?.value ?? Number.NaN;
  };
  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));
  await pause();
  await value('concordat_event_loop_stall_milliseconds');
  const stallMs = 300;
  const untilMs = performance.now() + stallMs;
  while (performance.now() < untilMs);
  await pause();
  const stall = await value('concordat_event_loop_stall_milliseconds');
  // It may have begun within a pause between two looks.
  expect(stall).toBeGreaterThan(stallMs - 25);
  stopLooking();
  // What was told is told once.
  expect(await value('concordat_event_loop_stall_milliseconds')).toBe(0);
  expect(await value('concordat_heap_bytes')).toBeGreaterThan(1e6);
  expect(await value('concordat_buffer_bytes')).toBeGreaterThan(0);
});

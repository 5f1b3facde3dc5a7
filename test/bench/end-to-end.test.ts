// The command itself, in a form so short that its figures mean nothing but its answers are whole.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { benchOptions } from '../../bench/arguments.ts';
import { pageOf } from '../../bench/pictures/page.ts';
import { reportOf } from '../../bench/report.ts';
import type { RunResults } from '../../bench/result.ts';
import { projectRoot } from '../tidy/source-files.ts';

const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-bench-test-'));
  folders.push(folder);
  return folder;
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function bench(
  args: readonly string[],
  onProgress?: (kill: () => void) => void,
): Promise<Ended> {
  const entry = join(projectRoot, 'bench', 'main.ts');
  // Peers of whoever runs the tests would make them longer.
  const { CONCORDAT_CCF: _ccf, CONCORDAT_TESSERA: _tessera, ...env } = process.env;
  const child = spawn(process.execPath, [...HARDENING, entry, ...args], { env });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString();
    onProgress?.(() => child.kill('SIGINT'));
  });
  return new Promise((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}

test('one work, measured in a moment, gives whole figures and leaves nothing behind', async () => {
  const folder = temporaryFolder();
  const json = join(folder, 'figures.json');
  const html = join(folder, 'figures.html');
  const data = join(folder, 'data');
  const short = ['--rounds', '3', '--slice', '60', '--connections', '4'];
  const ended = await bench([
    '--quick',
    ...['--only', 'log write', '--only', 'commit'],
    ...short,
    ...['--json', json, '--html', html, '--data', data],
  ]);
  expect(ended.stderr).toContain('log write');
  expect(ended.code).toBe(0);
  expect(readdirSync(data)).toEqual([]);

  const results = JSON.parse(readFileSync(json, 'utf8')) as RunResults;
  expect(results).toMatchObject({ version: 1, quick: true, rounds: 3, connections: 4 });
  expect(results.machine.node).toBe(process.version);
  expect(results.machine.cores).toBeGreaterThan(0);
  expect(results.systems.map(({ name }) => name)).toEqual([
    'Concordat',
    'bare https',
    'https, seal, hashes',
    'append and sync',
  ]);
  const [work, commit, ...more] = results.works;
  expect(more).toEqual([]);
  expect(commit).toMatchObject({ name: 'commit', unit: 'commits', judgedBy: 'p50' });
  expect(commit?.systems.map(({ name }) => name)).toEqual([
    'Concordat, asked',
    'Concordat, waits',
  ]);
  expect(commit?.ratios[0]?.p50.rounds).toHaveLength(3);
  expect(work?.name).toBe('log write');
  expect(work?.systems.map(({ name }) => name)).toEqual([
    'Concordat',
    'bare https',
    'https, seal, hashes',
  ]);
  expect(work?.missing.map(({ name }) => name)).toEqual(['CCF']);
  for (const figures of work?.systems ?? []) {
    expect(figures.perSecondRounds).toHaveLength(3);
    expect(figures.perSecond).toBeGreaterThan(0);
    expect(figures.p50Ms).toBeGreaterThan(0);
    expect(figures.p99Ms).toBeGreaterThanOrEqual(figures.p50Ms);
  }
  expect(work?.ratios).toHaveLength(2);
  expect(work?.ratios[0]?.throughput.rounds).toHaveLength(3);
  // One write is its sealed entry and its share of signatures.
  expect(work?.ledgerBytesPerWrite).toBeGreaterThan(100);
  expect(work?.ledgerBytesPerWrite).toBeLessThan(5_000);
  expect(results.stored).toBeGreaterThan(0);
  expect(ended.stdout.startsWith(`${reportOf(results)}\n\n`)).toBe(true);
  expect(ended.stdout.slice(reportOf(results).length)).toMatch(/compared|against the figures/);
  expect(readFileSync(html, 'utf8')).toBe(pageOf(results));
});

test('a ledger is written, verified, and restarted', async () => {
  const folder = temporaryFolder();
  const json = join(folder, 'figures.json');
  const works = ['--only', 'verify', '--only', 'restart', '--ledger', '1'];
  const ended = await bench([
    ...['--quick', '--rounds', '1', '--slice', '10', '--json', json],
    ...works,
  ]);
  expect(ended.code).toBe(0);
  const results = JSON.parse(readFileSync(json, 'utf8')) as RunResults;
  const [verify, restart] = results.works;
  // A tenth of the writes in a quick run, and what opens and ends a ledger.
  expect(verify?.systems[0]?.requests).toBeGreaterThan(4_000);
  expect(verify?.unit).toBe('transactions');
  expect(restart?.systems.map(({ name }) => name)).toEqual(['Concordat', 'read and hash']);
  const mib = restart?.systems[1]?.requests;
  expect(mib).toBeGreaterThan(0.9);
  expect(mib).toBeLessThan(3);
  // One round says nothing of its noise.
  expect(ended.stdout).toContain(
    '! no ratio of restart to read and hash: 1 rounds are too few',
  );
}, 180_000);

test('stopped early it says so, fails, and leaves nothing behind', async () => {
  const data = temporaryFolder();
  let told = false;
  const ended = await bench(['--quick', '--data', data], (kill) => {
    if (told) return;
    told = true;
    kill();
  });
  expect(ended.code).toBe(1);
  expect(ended.stdout).toBe('');
  expect(ended.stderr).toContain('stopped before the end');
  expect(readdirSync(data)).toEqual([]);
});

test('what is not understood is said, with all that is', async () => {
  const ended = await bench(['--fast']);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('--fast');
  expect(ended.stderr).toContain('Usage: npm run bench');
});

test.each([
  [['--only', 'nothing'], '"receive"'],
  [['--rounds', '0'], '--rounds is "0"'],
  [['--slice', '1e3'], '--slice is "1e3"'],
  [['--durability', 'maybe'], 'fsync or os'],
  [['--curve', 'x'], '"recipients"'],
  [['--ledger', '0'], '--ledger is "0"'],
])('%j is refused with what there is', (args, sentence) => {
  expect(() => benchOptions(args)).toThrow(sentence);
});

test('--help names every work', async () => {
  const ended = await bench(['--help']);
  expect(ended.code).toBe(0);
  for (const name of ['send', 'receive', 'log write committed', 'log read', '--json FILE']) {
    expect(ended.stdout).toContain(name);
  }
});

// In a checkout the launcher brings node_modules in line with the lock file, once, whoever and
// however many start at the same moment. The npm of these stories only takes notes.

import { existsSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { describe, expect, test } from 'vitest';
import { MiniTree } from './mini-tree.ts';

const program = `console.log('ran');`;
const one = { 'node_modules/one': { version: '1.0.0', integrity: 'sha512-one' } };

/** A process id that certainly belongs to nobody: above what any kernel we run on gives out. */
const DEAD_PID = 2 ** 30;

describe('npm ci is called', () => {
  test.each([
    ['nothing is installed', one, {}],
    [
      'a version differs',
      one,
      { 'node_modules/one': { ...one['node_modules/one'], version: '2.0.0' } },
    ],
    [
      'a hash differs',
      one,
      { 'node_modules/one': { version: '1.0.0', integrity: 'sha512-two' } },
    ],
    ['there is one package too many', {}, one],
    [
      'an optional package for this very platform is missing',
      {
        'node_modules/x': {
          version: '1.0.0',
          optional: true,
          os: process.platform,
          cpu: process.arch,
        },
      },
      {},
    ],
  ])('when %s', async (_reason, wanted, present) => {
    using tree = new MiniTree({ program, wanted, present });
    const { code, stdout, stderr } = await tree.run(['start']);
    expect(tree.npmCalls()[0]).toMatch(/^ci --include=dev --include=optional --ignore-scripts/);
    expect(stderr).toContain('installing');
    expect(stdout, 'stdout belongs to the program').toBe('ran\n');
    expect(code).toBe(0);
    expect(existsSync(tree.path('.install-lock'))).toBe(false);

    const again = await tree.run(['start']);
    expect(tree.npmCalls(), 'the second start installs nothing').toHaveLength(2);
    expect(again.stderr).toBe('');
  });

  test('when a folder was deleted behind the back of npm', async () => {
    using tree = new MiniTree({ program, wanted: one });
    rmSync(tree.path('node_modules/one'), { recursive: true });
    await tree.run(['start']);
    expect(tree.npmCalls()).toHaveLength(2);
  });
});

describe('npm ci is not called', () => {
  test.each([
    ['everything matches', one, one],
    [
      'what is missing is for another system',
      {
        ...one,
        'node_modules/x': { version: '1.0.0', optional: true, os: ['win32'], cpu: ['x64'] },
      },
      one,
    ],
    [
      'what is missing is for any system but this one',
      {
        ...one,
        'node_modules/x': { version: '1.0.0', optional: true, os: [`!${process.platform}`] },
      },
      one,
    ],
  ])('when %s', async (_reason, wanted, present) => {
    using tree = new MiniTree({ program, wanted, present });
    expect(await tree.run(['start'])).toMatchObject({ code: 0, stdout: 'ran\n', stderr: '' });
    expect(tree.npmCalls()).toEqual([]);
  });
});

test('a failing npm ends the launcher with a sentence and leaves no lock', async () => {
  using tree = new MiniTree({ program, wanted: one, present: {} });
  tree.write('fake/npm-cli.js', 'process.exit(9);');
  const { code, stderr, stdout } = await tree.run(['start']);
  expect(code).toBe(1);
  expect(stderr).toContain('npm ci failed with exit code 9');
  expect(stdout).toBe('');
  expect(existsSync(tree.path('.install-lock'))).toBe(false);
});

describe('the install lock', () => {
  test('lets one of four concurrent launchers install; the others wait and then run', async () => {
    using tree = new MiniTree({ program, wanted: one, present: {} });
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => tree.run(['start'])));
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(Array(4).fill('ran\n'));
    expect(tree.npmCalls()).toHaveLength(2);
  });

  test('of a dead process is taken over, by one of four', async () => {
    using tree = new MiniTree({ program, wanted: one, present: {} });
    const holder = { pid: DEAD_PID, npm: 0, host: hostname() };
    writeFileSync(tree.path('.install-lock'), JSON.stringify(holder));
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => tree.run(['start'])));
    expect(outcomes.map(({ stdout }) => stdout)).toEqual(Array(4).fill('ran\n'));
    expect(outcomes.filter(({ stderr }) => stderr.includes('taking over'))).toHaveLength(1);
    expect(tree.npmCalls()).toHaveLength(2);
    expect(existsSync(tree.path('.install-lock'))).toBe(false);
  });

  test.each([
    ['a live launcher', { pid: process.pid, npm: 0, host: hostname() }],
    [
      'a dead launcher whose npm goes on',
      { pid: DEAD_PID, npm: process.pid, host: hostname() },
    ],
    ['a launcher on another host', { pid: DEAD_PID, npm: 0, host: 'elsewhere.invalid' }],
  ])('of %s is respected until it falls silent', async (_who, holder) => {
    using tree = new MiniTree({ program, wanted: one, present: {} });
    const lock = tree.path('.install-lock');
    writeFileSync(lock, JSON.stringify(holder));
    const launched = tree.start(['start']);
    await new Promise((done) => setTimeout(done, 1_200));
    expect(tree.npmCalls()).toEqual([]);
    expect(JSON.parse(readFileSync(lock, 'utf8'))).toEqual(holder);

    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await launched.ended).toMatchObject({ code: 0, stdout: 'ran\n' });
    expect(tree.npmCalls()).toHaveLength(2);
  });
});

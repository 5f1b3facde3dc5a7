// The launcher stands between a person (or npm, or a service manager) and the program. These
// stories show that it is not felt: arguments, output, exit code and signals go straight through.

import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MiniTree, outerNode, platformPackage } from './mini-tree.ts';

const outerMajor = Number.parseInt(
  execFileSync(outerNode, ['--version'], { encoding: 'utf8' }).slice(1),
  10,
);

describe('a command', () => {
  test('reaches the program with its arguments as they are, in the caller folder', async () => {
    using tree = new MiniTree({
      program: `const args: string[] = process.argv.slice(2);
        console.log(JSON.stringify({ args, folder: process.cwd() }));`,
    });
    const args = ['start', '--data', 'a b', '', '--json', '$HOME', '--', '-x'];
    const { code, stdout, stderr } = await tree.run(args);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({ args, folder: process.cwd() });
    expect(code).toBe(0);
  });

  test('runs on the pinned Node, first in PATH, under the hardening flags', async () => {
    using tree = new MiniTree({
      program: `console.log(JSON.stringify({ version: process.versions.node,
        path: process.env.PATH, proto: '__proto__' in {}, node: process.execPath,
        code: (() => { try { return eval('1'); } catch { return 'refused'; } })() }));`,
    });
    const seen = JSON.parse((await tree.run(['start'])).stdout);
    expect(Number.parseInt(seen.version, 10)).toBeGreaterThanOrEqual(26);
    expect(seen.path.split(':')[0]).toBe(dirname(seen.node));
    expect(seen.proto).toBe(false);
    expect(seen.code).toBe('refused');
  });

  test('keeps its modules compiled in a checkout, and never in an installed package', async () => {
    const program = `console.log(process.env.NODE_COMPILE_CACHE ?? 'none');`;
    using tree = new MiniTree({ program });
    const { stdout } = await tree.run(['start']);
    expect(stdout.trim()).toBe(tree.path('node_modules/.cache/concordat'));
    using installed = new MiniTree({
      folder: 'elsewhere/node_modules/concordat',
      installed: true,
      program,
    });
    expect((await installed.run(['start'])).stdout.trim()).toBe('none');
  });

  test.each([0, 1, 3, 255])('ends with the exit code of the program: %i', async (code) => {
    using tree = new MiniTree({ program: `process.exit(${code});` });
    expect(await tree.run([])).toMatchObject({ code, signal: null });
  });

  test('dies of the signal that the program died of', async () => {
    using tree = new MiniTree({ program: `process.kill(process.pid, 'SIGKILL');` });
    expect(await tree.run([])).toMatchObject({ code: null, signal: 'SIGKILL' });
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'gets %s once and may end in its own time',
    async (signal) => {
      using tree = new MiniTree({
        program: `let count = 0;
        process.on('${signal}', () => {
          count += 1;
          setTimeout(() => { console.log('seen', count); process.exit(7); }, 300);
        });
        setInterval(() => {}, 1000);
        console.log('ready');`,
      });
      const launched = tree.start(['start']);
      await launched.prints('ready');
      launched.child.kill(signal);
      const { code, stdout } = await launched.ended;
      expect(stdout).toContain('seen 1');
      expect(code).toBe(7);
    },
  );
});

describe('an installed package', () => {
  test('runs its compiled program and installs nothing', async () => {
    using tree = new MiniTree({
      folder: 'somewhere/node_modules/concordat',
      installed: true,
      program: `console.log('compiled', ...process.argv.slice(2));`,
      // A lock file that nothing on disk matches, as if one had been published by mistake.
      wanted: { 'node_modules/absent': { version: '1.0.0', integrity: 'sha512-x' } },
      present: {},
    });
    const { code, stdout } = await tree.run(['test', '--x']);
    expect(stdout).toBe('compiled test --x\n');
    expect(code).toBe(0);
    expect(tree.npmCalls()).toEqual([]);
  });
});

describe('without a pinned Node', () => {
  test('the running Node is used if it is new enough', async () => {
    using tree = new MiniTree({
      program: `console.log(process.execPath);`,
      withPinnedNode: false,
    });
    const { stdout } = await tree.run([], process.execPath);
    expect(stdout.trim()).toBe(process.execPath);
  });

  test.skipIf(outerMajor >= 26)(
    'an older Node gives a sentence that says what to do (needs an outer Node below 26)',
    async () => {
      using tree = new MiniTree({ program: '', withPinnedNode: false });
      const { code, stderr } = await tree.run([]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/is not installed.*Install Node 26 or newer/);
      expect(stderr).not.toContain('    at ');
    },
  );

  test('a binary that does not run here counts as none', async () => {
    using tree = new MiniTree({ program: `console.log('ran');`, withPinnedNode: false });
    const folder = `node_modules/${platformPackage ?? 'none'}`;
    tree.write(`${folder}/package.json`, '{}');
    tree.write(`${folder}/bin/node`, '#!/no/such/loader\n');
    chmodSync(tree.path(folder, 'bin/node'), 0o755);
    const { stdout } = await tree.run([], process.execPath);
    expect(stdout).toBe('ran\n');
  });
});

test('the tests themselves run on the pinned Node, without the hardening flags', () => {
  expect(Number.parseInt(process.versions.node, 10)).toBeGreaterThanOrEqual(26);
  expect(process.execArgv.join(' ')).not.toContain('--disallow-code-generation');
  expect(basename(process.execPath)).toBe('node');
});

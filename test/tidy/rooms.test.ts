// Imports point down the table of rooms. Each check is first shown a planted fault.

import { describe, expect, test } from 'vitest';
import { importsOf } from './imports.ts';
import { maskCommentsAndStrings } from './masking.ts';
import * as rooms from './rooms.ts';
import { projectFiles, type SourceFile } from './source-files.ts';

const files = projectFiles();
const readme = files.find(({ path }) => path === 'src/README.md')?.text ?? '';
const table = rooms.readRooms(readme);

const at = (path: string, text: string): readonly SourceFile[] => [{ path, text }];

test('the project obeys its table', () => {
  expect(rooms.everyFolderIsARoom(table)(files)).toEqual([]);
  expect(rooms.importsPointDown(table)(files)).toEqual([]);
  expect(rooms.coreTakesNothingAmbient(table)(files)).toEqual([]);
});

describe('planted: an import that the table forbids', () => {
  test.each([
    ['upwards', 'src/kv/a.ts', `import { b } from '../ledger/b.ts';`],
    ['of a type only', 'src/kv/a.ts', `import type { B } from '../ledger/b.ts';`],
    ['inside braces', 'src/kv/a.ts', `import { type B,\n  c } from '../crypto/b.ts';`],
    ['for its effect', 'src/kv/a.ts', `import '../ledger/b.ts';`],
    ['dynamic', 'src/kv/a.ts', `const b = await import('../ledger/b.ts');`],
    ['as a type query', 'src/kv/a.ts', `type B = import('../ledger/b.ts').B;`],
    ['passed on', 'src/kv/a.ts', `export * from '../ledger/b.ts';`],
    ['by a worker', 'src/kv/a.ts', `new Worker(new URL('../node/w.ts', import.meta.url));`],
    ['computed', 'src/node/a.ts', `await import(name);`],
    ['computed by a template', 'src/node/a.ts', 'await import(`../kv/${name}.ts`);'],
    ['out of src', 'src/node/a.ts', `import { x } from '../../test/x.ts';`],
    ['after a string with a comment sign', 'src/kv/a.ts', `f('/*');import '../node/b.ts';`],
    ['of an application by federation', 'src/federation/a.ts', `import '../apps/log/b.ts';`],
    ['of files by the store', 'src/kv/a.ts', `import { open } from 'node:fs/promises';`],
    ['of timers by an application', 'src/apps/log/a.ts', `import 'node:timers';`],
    ['of sockets by base', 'src/base/a.ts', `import type { Socket } from 'node:net';`],
    ['of cryptography elsewhere', 'src/node/a.ts', `import { sign } from 'node:crypto';`],
    ['of cryptography by base', 'src/base/a.ts', `import 'node:crypto';`],
    ['of files by crypto', 'src/crypto/a.ts', `import 'node:fs';`],
  ])('%s', (_how, path, text) => {
    expect(rooms.importsPointDown(table)(at(path, text))).toHaveLength(1);
  });

  test.each([
    ['src/ledger/a.ts', `import { b } from '../kv/b.ts';`],
    ['src/kv/a.ts', `import { b } from './b.ts';`],
    ['src/federation/a.ts', `import type { App } from '../apps/interface.ts';`],
    ['src/node/a.ts', `import 'node:fs'; import '../http/b.ts';`],
    ['src/crypto/a.ts', `import { sign } from 'node:crypto';`],
    ['src/kv/a.ts', `// import '../ledger/b.ts'\nconst s = "import '../node/b.ts'";`],
  ])('and none is seen where there is none: %s', (path, text) => {
    expect(rooms.importsPointDown(table)(at(path, text))).toEqual([]);
  });
});

describe('planted: something ambient in a core room', () => {
  test.each([
    `const t = Date.now();`,
    `const t = new Date();`,
    `if (Math.random() < 0.5) f();`,
    `f(process.env.HOME);`,
    `setTimeout(f, 10);`,
    `setImmediate(f);`,
    `const t = performance.now();`,
    `const id = crypto.randomUUID();`,
    `const t = globalThis['Da' + 'te'];`,
    'const s = `at ${Date.now()}`;',
    `const r = /[/']/; const t = Date.now(); // '`,
  ])('%s', (text) => {
    expect(rooms.coreTakesNothingAmbient(table)(at('src/ledger/a.ts', text))).toHaveLength(1);
    expect(rooms.coreTakesNothingAmbient(table)(at('src/node/a.ts', text))).toEqual([]);
  });

  test.each([
    `// Date.now() is not for us`,
    `throw new Error('Date.now() was called');`,
    `this.timers.setTimeout(f, 10);`,
    `const ratio = a / b; const c = d / e;`,
  ])('and none is seen in: %s', (text) => {
    expect(rooms.coreTakesNothingAmbient(table)(at('src/ledger/a.ts', text))).toEqual([]);
  });
});

test('planted: a folder without a row', () => {
  expect(rooms.everyFolderIsARoom(table)(at('src/misc/a.ts', ''))).toHaveLength(1);
});

describe('planted: a table that cannot be right', () => {
  const row = (name: string, imports: string, nature = 'core'): string =>
    `| \`${name}/\` | this | that | ${imports} | ${nature} |`;
  test.each([
    ['no row', 'words'],
    ['an import upwards', [row('a', '–'), row('b', '`a`')].join('\n')],
    ['an unknown room', [row('a', '`c`'), row('b', '–')].join('\n')],
    ['an unknown nature', row('a', '–', 'free')],
    ['a forgotten cell', '| `a/` | this | – | core |'],
    ['an empty list', row('a', '')],
  ])('%s', (_what, text) => {
    expect(() => rooms.readRooms(text)).toThrow();
  });
});

test('masking keeps every offset and every line', () => {
  for (const { text } of files.filter(({ path }) => path.endsWith('.ts'))) {
    const masked = maskCommentsAndStrings(text);
    expect(masked).toHaveLength(text.length);
    expect(masked.split('\n')).toHaveLength(text.split('\n').length);
  }
});

test('imports are found where they are: this very file has five', () => {
  const own = files.find(({ path }) => path === 'test/tidy/rooms.test.ts');
  const found = importsOf(own ?? { path: '', text: '' }).map(({ specifier }) => specifier);
  expect(found).toEqual([
    'vitest',
    './imports.ts',
    './masking.ts',
    './rooms.ts',
    './source-files.ts',
  ]);
});

// A type error, a lint finding or a misformatted file fails `npm test`, not only `npm run check`.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from './source-files.ts';

function runTool(packageName: string, command: string, args: readonly string[]): string {
  const folder = join(projectRoot, 'node_modules', packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly bin: Readonly<Record<string, string>>;
  };
  const entry = join(folder, bin[command] ?? command);
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], {
    cwd: projectRoot,
    encoding: 'utf8',
  });
  return status === 0 ? 'clean' : `exit code ${status}\n${stdout}${stderr}`;
}

const types = (project: string): string => runTool('typescript', 'tsc', ['--project', project]);
const lint = (path: string): string =>
  runTool('@biomejs/biome', 'biome', [
    ...['check', '--error-on-warnings', '--colors=off', '--max-diagnostics=50'],
    ...[`--config-path=${join(projectRoot, '.biome.jsonc')}`, path],
  ]);

test('the types are right', () => {
  expect(types('tsconfig.json')).toBe('clean');
});

test('lint and format are clean', () => {
  expect(lint('.')).toBe('clean');
});

test('planted: a type error, a bad format and a lint finding are found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-types-'));
  try {
    const file = join(folder, 'a.ts');
    const extended = join(projectRoot, 'tsconfig.json');
    const options = { typeRoots: [join(projectRoot, 'node_modules/@types')] };
    writeFileSync(
      join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: extended, compilerOptions: options, include: ['a.ts'] }),
    );
    writeFileSync(file, 'export const a: number = [1][0];\n');
    expect(types(folder)).toContain('TS2322');
    expect(lint(file)).toBe('clean');
    writeFileSync(file, 'export  const a = "1"\n');
    expect(types(folder)).toBe('clean');
    expect(lint(file)).toContain('format');
    writeFileSync(file, 'export default 1;\n');
    expect(lint(file)).toContain('noDefaultExport');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// A type error, a lint finding or a misformatted file fails `npm test`, not only `npm run check`.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from './source-files.ts';

function runTool(
  packageName: string,
  command: string,
  args: readonly string[],
  cwd: string = projectRoot,
): string {
  const folder = join(projectRoot, 'node_modules', packageName);
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly bin: Readonly<Record<string, string>>;
  };
  const entry = join(folder, bin[command] ?? command);
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], {
    cwd,
    encoding: 'utf8',
  });
  return status === 0 ? 'clean' : `exit code ${status}\n${stdout}${stderr}`;
}

const types = (project: string): string => runTool('typescript', 'tsc', ['--project', project]);
const lint = (folder: string, ...targets: readonly string[]): string => {
  const args = ['check', '--error-on-warnings', '--colors=off', '--max-diagnostics=50'];
  return runTool('@biomejs/biome', 'biome', [...args, ...targets], folder);
};

test('the types are right', () => {
  expect(types('tsconfig.json')).toBe('clean');
});

test('lint and format are clean', () => {
  expect(lint(projectRoot, '.')).toBe('clean');
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
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    // Biome takes a configuration from the folder it runs in; this one is in no repository.
    copyFileSync(join(projectRoot, '.biome.jsonc'), join(folder, '.biome.jsonc'));
    const lintPlanted = (): string => lint(folder, '--vcs-enabled=false', 'a.ts');
    writeFileSync(file, 'export const a: number = [1][0];\n');
    expect(types(folder)).toContain('TS2322');
    expect(lintPlanted()).toBe('clean');
    writeFileSync(file, 'export  const a = "1"\n');
    expect(types(folder)).toBe('clean');
    expect(lintPlanted()).toContain('format');
    writeFileSync(file, 'export default 1;\n');
    expect(lintPlanted()).toContain('noDefaultExport');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// The verifier runs in browsers too: nothing that it loads is Node's.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { importsOf } from '../tidy/imports.ts';
import { maskCommentsAndStrings } from '../tidy/masking.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Packages that say of themselves that they run in browsers. */
const PACKAGES = ['cborg', '@noble/curves/nist.js', 'jose'];

/** Every file that is loaded with these, and what they import that is no file of ours. */
function loadedWith(...entries: readonly string[]): {
  readonly files: ReadonlySet<string>;
  readonly foreign: readonly string[];
} {
  const files = new Set<string>();
  const foreign: string[] = [];
  const open = [...entries];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (files.has(path)) continue;
    files.add(path);
    const text = readFileSync(resolve(ROOT, path), 'utf8');
    for (const { specifier = '(computed)' } of importsOf({ path, text })) {
      if (specifier.startsWith('.')) open.push(relative(path, specifier));
      else foreign.push(`${path}: ${specifier}`);
    }
  }
  return { files, foreign };
}

const relative = (from: string, specifier: string): string =>
  resolve('/', from, '..', specifier).slice(1);

test.each([
  ['src/attestation/judge.ts'],
  ['src/attestation/maa-token.ts'],
  ['src/attestation/maa-signer-evidence.ts'],
  ['src/attestation/release-policy.ts'],
  ['src/crypto/verifier-web.ts'],
])('%s loads nothing of Node', (entry) => {
  const { files, foreign } = loadedWith(entry);
  const packages = foreign.filter(
    (line) => !PACKAGES.some((name) => line.endsWith(` ${name}`)),
  );
  expect(packages).toEqual([]);
  for (const path of files) {
    const masked = maskCommentsAndStrings(readFileSync(resolve(ROOT, path), 'utf8'));
    expect(masked, path).not.toMatch(/\b(?:Buffer|process|require)\b\s*[.(]/);
  }
});

test('planted: the verifier of Node is found out', () => {
  const { foreign } = loadedWith('src/crypto/verifier-node.ts');
  expect(foreign).toContain('src/crypto/verifier-node.ts: node:crypto');
});

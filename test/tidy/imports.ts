// What each file imports: static, type-only, dynamic, re-exports, and workers by `new URL`.

import { maskCommentsAndStrings } from './masking.ts';
import { lineAt, type SourceFile } from './source-files.ts';

export interface Import {
  readonly path: string;
  readonly line: number;
  /** Undefined where it is computed, and so cannot be checked. */
  readonly specifier: string | undefined;
}

const STATIC = /\b(?:import|export)\b[^;'"`()]*?\bfrom\s*(?=['"])/g;
const FOR_EFFECT = /\bimport\s*(?=['"])/g;
const DYNAMIC = /(?<![.\w$])import\s*\(\s*/g;
const WORKER = /\bnew\s+URL\s*\(\s*(?=['"`][^'"`]*['"`]\s*,\s*import\.meta\.url)/g;

export function importsOf(file: SourceFile): readonly Import[] {
  const masked = maskCommentsAndStrings(file.text);
  const found: Import[] = [];
  for (const pattern of [STATIC, FOR_EFFECT, DYNAMIC, WORKER]) {
    for (const match of masked.matchAll(pattern)) {
      const quoteAt = match.index + match[0].length;
      const specifier = /^(['"`])([^'"`$]*)\1/.exec(file.text.slice(quoteAt))?.[2];
      found.push({ path: file.path, line: lineAt(file.text, match.index), specifier });
    }
  }
  return found;
}

/** `@scope/name/file.js` and `name/file.js` to the package; undefined for our own and Node's. */
export function packageOf(specifier: string): string | undefined {
  if (/^(?:\.|\/|node:|file:|data:)/.test(specifier)) return undefined;
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

// Checks on the text of the files: what a reader should not meet.

import { maskCommentsAndStrings } from './masking.ts';
import { type Check, isScript, isShipped, lineAt, type SourceFile } from './source-files.ts';

const COLUMNS_MAX = 100;
const SOURCE_LINES_MAX = 600;

/** Words in pieces, so that this file is not its own finding. */
const joined = (...parts: readonly string[]): string => parts.join('');

const UNFINISHED = new RegExp(`\\b(?:${joined('TO', 'DO')}|${joined('FIX', 'ME')})\\b`, 'g');
const MACHINE_PATHS = new RegExp(
  `(?<![\\w.-])/(?:${joined('wo', 'rk')}|${joined('fa', 'rm')})/`,
  'g',
);
const REGISTRY_HOSTS = new RegExp(
  [
    ...[joined('registry.', 'npmjs.org'), joined('registry.', 'yarnpkg.com')],
    ...[joined('files.', 'pythonhosted.org'), joined('pypi.', 'org')],
  ]
    .map((host) => host.replaceAll('.', '\\.'))
    .join('|'),
  'g',
);
/** As a whole name or its last word; `common-endpoints` says what it holds, `common` does not. */
const VAGUE_NAME = /(?:^|[-_.])(?:utils?|helpers?|common|managers?)(?:\.test)?(?:\.m?[jt]s)?$/i;

function places(file: SourceFile, text: string, pattern: RegExp, what: string): string[] {
  return [...text.matchAll(pattern)].map(
    ({ index }) => `${file.path}:${lineAt(text, index)}: ${what}`,
  );
}

const inScripts =
  (find: (file: SourceFile) => readonly string[]): Check =>
  (files) =>
    files.filter(({ path }) => isScript(path)).flatMap(find);

const inCode = (pattern: RegExp, what: string): Check =>
  inScripts((file) => places(file, maskCommentsAndStrings(file.text), pattern, what));

/** Vitest takes its configuration as a default export only. */
export const noDefaultExports: Check = (files) =>
  inCode(
    /\bexport\s+default\b|\bexport\s*\{[^}]*\bas\s+default\b/g,
    'a default export',
  )(files.filter(({ path }) => !path.endsWith('.config.ts')));

export const noUncheckedCasts: Check = inCode(
  /\bas\s+unknown\s+as\b/g,
  'a cast past the types',
);

export const noAny: Check = inCode(/(?::|\bas|[<,|&])\s*any\b(?!\s*[:(?])/g, 'the type any');

/** A test that runs alone makes all others pass unseen. */
export const noFocusedTests: Check = inCode(/\.\s*only\s*\(/g, 'a focused test');

export const noUnfinishedWords: Check = inScripts((file) =>
  places(file, file.text, UNFINISHED, 'a note of unfinished work; it belongs in an issue'),
);

export const linesAreShort: Check = inScripts((file) =>
  file.text
    .split('\n')
    .flatMap((line, index) =>
      line.length > COLUMNS_MAX ? [`${file.path}:${index + 1}: ${line.length} columns`] : [],
    ),
);

export const sourceFilesAreShort: Check = (files) =>
  files.flatMap(({ path, text }) => {
    const count = text.split('\n').length - 1;
    return isShipped(path) && count > SOURCE_LINES_MAX ? [`${path}: ${count} lines`] : [];
  });

export const namesSayWhat: Check = (files) =>
  files.flatMap(({ path }) => {
    if (!isScript(path)) return [];
    const parts = path.split('/');
    const file = parts.at(-1) ?? '';
    if (/^index\.m?[jt]s$/.test(file)) return [`${path}: a barrel`];
    return parts.some((part) => VAGUE_NAME.test(part))
      ? [`${path}: a name without a content`]
      : [];
  });

export const noMachinePaths: Check = (files) =>
  files.flatMap((file) => places(file, file.text, MACHINE_PATHS, 'a path of one machine'));

export const noRegistryHosts: Check = (files) =>
  files.flatMap((file) => places(file, file.text, REGISTRY_HOSTS, 'the address of a registry'));

/** The lock file names versions and hashes, so that it serves behind any registry. */
export const lockFileHasNoAddresses: Check = (files) =>
  files
    .filter(({ path }) => path === 'package-lock.json')
    .flatMap((file) => places(file, file.text, /"resolved"/g, 'a download address'));

// Checks that `src/` obeys the table in `src/README.md`.

import { posix } from 'node:path';
import { importsOf } from './imports.ts';
import { maskCommentsAndStrings } from './masking.ts';
import { type Check, isShipped, lineAt, type SourceFile } from './source-files.ts';

export interface Room {
  readonly name: string;
  readonly mayImport: readonly string[];
  readonly nature: string;
}

const NATURES = ['edge', 'core', 'crypto'];
const CORE_NODE_MODULES = ['node:buffer'];

/** What a core room must be given instead of taking. */
const AMBIENT: readonly (readonly [RegExp, string])[] = [
  [/(?<![.\w$])Date\b/g, 'Date'],
  [/(?<![.\w$])Math\s*\.\s*random\b/g, 'Math.random'],
  [/(?<![.\w$])process\s*\./g, 'process'],
  [/(?<![.\w$])performance\s*\./g, 'performance'],
  [/(?<![.\w$])set(?:Timeout|Interval|Immediate)\s*\(/g, 'a timer'],
  [/(?<![.\w$])fetch\s*\(/g, 'fetch'],
  [/(?<![.\w$])crypto\s*\.\s*(?:subtle|getRandomValues|randomUUID)\b/g, 'crypto'],
  [/(?<![.\w$])globalThis\b/g, 'globalThis'],
];

/** Reads the table; a table that says nothing, or nonsense, is an error and not an easy pass. */
export function readRooms(readme: string): readonly Room[] {
  const rows = readme
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim()));
  const names = rows.map((cells) => unquoted(cells[1] ?? ''));
  if (names.length === 0) throw new Error('src/README.md has no table of rooms');
  return rows.map((cells, row) => {
    const name = names[row] ?? '';
    const [, , , , imports = '', nature = ''] = cells;
    if (cells.length !== 7) throw new Error(`${name}: the row has not five cells`);
    if (!NATURES.includes(nature)) throw new Error(`${name}: unknown nature "${nature}"`);
    const below = names.slice(row + 1);
    const mayImport = [...imports.matchAll(/`([^`]+)`/g)].flatMap(([, word = '']) => {
      if (word === 'all') return names;
      if (word === 'below') return below;
      const [room = ''] = word.split('/');
      if (!below.includes(room)) throw new Error(`${name}: "${word}" is not further down`);
      return [word];
    });
    if (mayImport.length === 0 && imports !== '–') throw new Error(`${name}: imports nothing?`);
    return { name, mayImport, nature };
  });
}

const unquoted = (cell: string): string => cell.replaceAll('`', '').replace(/\/$/, '');

/** `src/kv/store.ts` is in `kv`, `src/main.ts` in `main.ts`. */
const roomOf = (path: string): string => path.split('/')[1] ?? '';

export function everyFolderIsARoom(rooms: readonly Room[]): Check {
  return (files) =>
    files
      .filter(({ path }) => isShipped(path) && !rooms.some(({ name }) => name === roomOf(path)))
      .map(({ path }) => `${path}: ${roomOf(path)} is not in the table of src/README.md`);
}

export function importsPointDown(rooms: readonly Room[]): Check {
  return (files) =>
    files
      .filter(({ path }) => isShipped(path))
      .flatMap((file) => {
        const room = rooms.find(({ name }) => name === roomOf(file.path));
        return room === undefined ? [] : faultsOfImports(file, room);
      });
}

function faultsOfImports(file: SourceFile, room: Room): readonly string[] {
  return importsOf(file).flatMap(({ line, specifier }) => {
    const place = `${file.path}:${line}`;
    // The launcher reads package.json files and imports nothing by a computed name.
    if (specifier === undefined) return [`${place}: a computed import cannot be checked`];
    if (specifier.startsWith('node:')) return faultOfNodeModule(place, specifier, room);
    if (!specifier.startsWith('.')) return [];
    const target = posix.join(posix.dirname(file.path), specifier);
    if (!target.startsWith('src/')) return [`${place}: ${specifier} lies outside src/`];
    const targetRoom = roomOf(target);
    if (targetRoom === room.name) return [];
    const inner = target.slice('src/'.length).replace(/\.m?[jt]s$/, '');
    const allowed = room.mayImport.some(
      (word) => word === targetRoom || word === inner || inner.startsWith(`${word}/`),
    );
    return allowed ? [] : [`${place}: ${room.name} may not import ${inner}`];
  });
}

function faultOfNodeModule(place: string, specifier: string, room: Room): readonly string[] {
  const isCrypto = specifier === 'node:crypto';
  if (room.name === 'launch.mjs') return [];
  if (isCrypto && room.nature !== 'crypto') {
    return [`${place}: only crypto/ may import node:crypto`];
  }
  if (room.nature === 'edge' || isCrypto || CORE_NODE_MODULES.includes(specifier)) return [];
  return [`${place}: ${room.name} is ${room.nature} and may not import ${specifier}`];
}

export function coreTakesNothingAmbient(rooms: readonly Room[]): Check {
  const core = rooms.filter(({ nature }) => nature === 'core').map(({ name }) => name);
  return (files) =>
    files
      .filter(({ path }) => isShipped(path) && core.includes(roomOf(path)))
      .flatMap(({ path, text }) => {
        const masked = maskCommentsAndStrings(text);
        return AMBIENT.flatMap(([pattern, what]) =>
          [...masked.matchAll(pattern)].map(
            ({ index }) => `${path}:${lineAt(text, index)}: a core room takes ${what}`,
          ),
        );
      });
}

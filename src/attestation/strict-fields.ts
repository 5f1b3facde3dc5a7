/**
 * Reads JSON that people wrote, strictly: a name that is not known, a value of another kind or out
 * of bounds is an error that names the place, the value and, where it can be told, what was meant.
 */
import { CodedError } from '../base/errors.ts';
import { nearestName } from '../base/nearest-name.ts';
import { parseJson } from './untrusted-json.ts';

/** Reads a value at a place, named for errors; throws the error that `Fault` makes. */
export type Reader<T> = (value: unknown, place: Place) => T;

export interface Place {
  readonly name: string;
  /** What the whole is called, and the code of its errors. */
  readonly document: { readonly code: string; readonly what: string };
}

type Members = Readonly<Record<string, unknown>>;

/** Of a whole document. */
export function documentPlace(code: string, what: string): Place {
  return { name: '', document: { code, what } };
}

/** Parses the text of a document and reads it. */
export function readDocument<T>(text: string, read: Reader<T>, place: Place): T {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw fault(place, 'it is not JSON', cause);
  }
  const twice = nameGivenTwice(text);
  if (twice !== undefined) throw fault(place, `${twice} stands twice in one object`);
  return read(value, place);
}

/** Of JSON: `JSON.parse` would let the last one win, which a reader may not notice. */
function nameGivenTwice(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (const [token, name] of json.matchAll(
    /("(?:\\.|[^"\\])*")\s*:|"(?:\\.|[^"\\])*"|[{}[\]]/g,
  )) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (name !== undefined) {
      const names = open.at(-1);
      const plain: unknown = JSON.parse(name);
      if (names?.has(String(plain)) === true) return JSON.stringify(plain);
      names?.add(String(plain));
    }
  }
  return undefined;
}

export function fault(place: Place, why: string, cause?: unknown): CodedError {
  const { name, document } = place;
  const at = name === '' ? document.what : `${document.what}, ${name}`;
  return new CodedError(document.code, `${at}: ${why}`, { place: name }, { cause });
}

function within(place: Place, name: string): Place {
  return { ...place, name: place.name === '' ? name : `${place.name}.${name}` };
}

/** An object of just these members; those that are not `required` may be absent. */
export function fields<T extends object>(
  readers: { readonly [Name in keyof T]-?: Reader<Exclude<T[Name], undefined>> },
  required: readonly (keyof T & string)[] = [],
): Reader<T> {
  return (value, place) => {
    const members = objectAt(value, place);
    const known = Object.keys(readers);
    const read: Record<string, unknown> = {};
    for (const [name, member] of Object.entries(members)) {
      const reader: Reader<unknown> | undefined = Object.entries<Reader<unknown>>(readers).find(
        ([each]) => each === name,
      )?.[1];
      if (reader === undefined) throw unknownName(name, known, place);
      read[name] = reader(member, within(place, name));
    }
    for (const name of required) {
      if (!Object.hasOwn(read, name)) throw fault(place, `${name} is missing`);
    }
    return read as T;
  };
}

function unknownName(name: string, known: readonly string[], place: Place): CodedError {
  const near = nearestName(name, known);
  const guess = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
  return fault(place, `${JSON.stringify(name)} is not known; ${guess}`);
}

function objectAt(value: unknown, place: Place): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fault(place, `${shown(value)} is not an object`);
  }
  return { ...value };
}

/** An object whose members all are of one kind, and whose names look like this. */
export function mapOf<T>(
  names: RegExp,
  meaning: string,
  read: Reader<T>,
): Reader<Readonly<Record<string, T>>> {
  return (value, place) => {
    const entries = Object.entries(objectAt(value, place)).map(([name, member]) => {
      if (!names.test(name)) {
        throw fault(place, `${JSON.stringify(name)} is not ${meaning}`);
      }
      return [name, read(member, within(place, name))] as const;
    });
    return Object.fromEntries(entries);
  };
}

export function listOf<T>(read: Reader<T>): Reader<readonly T[]> {
  return (value, place) => {
    if (!Array.isArray(value)) throw fault(place, `${shown(value)} is not a list`);
    return value.map((item: unknown, index) =>
      read(item, { ...place, name: `${place.name}[${index}]` }),
    );
  };
}

/** Hexadecimal of so many digits; capital letters become small ones. */
export function hex(digits: number): Reader<string> {
  return (value, place) => {
    const good = typeof value === 'string' && value.length === digits;
    if (good && /^[0-9a-fA-F]*$/.test(value)) return value.toLowerCase();
    throw fault(place, `${shown(value)} is not ${digits} hexadecimal digits`);
  };
}

export function whole(least: number, most: number): Reader<number> {
  return (value, place) => {
    const good = typeof value === 'number' && Number.isInteger(value);
    if (good && value >= least && value <= most) return value;
    throw fault(place, `${shown(value)} is not a whole number of ${least} to ${most}`);
  };
}

export const flag: Reader<boolean> = (value, place) => {
  if (typeof value === 'boolean') return value;
  throw fault(place, `${shown(value)} is neither true nor false`);
};

/** A text of some characters, of this form if one is named. */
export function text(form = /^/, meaning = 'a text'): Reader<string> {
  return (value, place) => {
    if (typeof value === 'string' && value !== '' && form.test(value)) return value;
    throw fault(place, `${shown(value)} is not ${meaning}`);
  };
}

export function oneOf<T extends string | number>(...choices: readonly T[]): Reader<T> {
  return (value, place) => {
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    throw fault(place, `${shown(value)} is none of ${choices.join(', ')}`);
  };
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

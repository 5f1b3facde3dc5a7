/**
 * JSON bodies: one reader that knows which fields there may be, takes what Tessera takes (unknown
 * fields, the last of doubled ones, numbers as text, one value for a list of one) and says of all
 * else what is wrong with it.
 */
import { textOf } from '../../../base/bytes.ts';
import type { AppRequest } from '../../interface.ts';
import { refuseWith } from './answers.ts';
import { decodeLenient, decodeStrict } from './base64.ts';

/** The fields of a JSON body. */
export class Body {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(fields: Readonly<Record<string, unknown>>) {
    this.#fields = fields;
  }

  /** Text, or undefined when absent or null. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value === undefined || value === null) return undefined;
    return scalarText(name, value);
  }

  /** A list of texts; empty when absent or null. */
  texts(name: string): readonly string[] {
    const value = this.#value(name);
    if (value === undefined || value === null) return [];
    return (Array.isArray(value) ? value : [value]).map((item) => scalarText(name, item));
  }

  has(name: string): boolean {
    const value = this.#value(name);
    return value !== undefined && value !== null;
  }

  /** A byte field; undefined when absent or null, empty when it is not base64. */
  bytes(name: string): Buffer | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : decodeLenient(value);
  }

  /** A whole number; `absent` when there is none. */
  integer(name: string, absent: number): number {
    const value = this.text(name);
    if (value === undefined || value === '') return absent;
    if (!/^[+-]?\d{1,9}$/.test(value)) throw refuseWith(400, `${name} is not a whole number`);
    return Number(value);
  }

  /** A map of texts; empty when absent or null. */
  map(name: string): ReadonlyMap<string, string> {
    const value = this.#value(name);
    const entries = new Map<string, string>();
    if (value === undefined || value === null) return entries;
    if (typeof value !== 'object' || Array.isArray(value)) {
      throw refuseWith(400, `${name} is not an object`);
    }
    for (const [key, item] of Object.entries(value)) entries.set(key, scalarText(name, item));
    return entries;
  }

  #value(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }
}

/** Reads a JSON body; an empty list counts as an empty object, as with Tessera. */
export function readBody(request: AppRequest): Body {
  let value: unknown;
  try {
    value = JSON.parse(textOf(request.body));
  } catch {
    throw refuseWith(400, 'HTTP 400 Bad Request');
  }
  if (Array.isArray(value) && value.length === 0) return new Body({});
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuseWith(400, 'HTTP 400 Bad Request');
  }
  return new Body(value as Record<string, unknown>);
}

/** Bytes of a key or hash in base64, or a refusal in Java's words. */
export function bytesOfText(value: string): Buffer {
  const decoded = decodeStrict(value);
  if (!decoded.ok) throw refuseWith(400, decoded.sentence);
  return decoded.bytes;
}

function scalarText(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw refuseWith(400, `${name} holds a value that is neither text nor a number`);
}

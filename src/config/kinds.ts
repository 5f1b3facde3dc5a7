/**
 * The kinds of values that settings take, each with its bounds and its default. A default is
 * written as a user would write it and goes through the same reading.
 */
import { resolve } from 'node:path';
import { invariant } from '../base/assert.ts';
import { bytesOfBase64 } from '../base/bytes.ts';
import { fault, type Scalar, type Setting, scalar } from './setting.ts';
import { bytesOfSize, millisecondsOf, SIZE_UNITS, TIME_UNITS } from './units.ts';

/** An X25519 public key. */
const PARTY_KEY_BYTES = 32;

/** `host:port`; an IPv6 address stands in brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

type Kind<Value> = Pick<Scalar<Value, never>, 'takes' | 'parse'>;

const text: Kind<string> = {
  takes: 'a text',
  parse: (given) => (typeof given === 'string' && given !== '' ? given : undefined),
};

const path: Kind<string> = {
  takes: 'a path',
  parse: (given, { folder }) =>
    typeof given === 'string' && given !== '' ? resolve(folder, given) : undefined,
};

const flag: Kind<boolean> = {
  takes: 'true or false',
  parse: (given) => (typeof given === 'boolean' ? given : undefined),
};

const address: Kind<Address> = {
  takes: 'an address such as "127.0.0.1:8000"',
  parse: (given) => (typeof given === 'string' ? addressOf(given) : undefined),
};

/** Without a slash at its end, so that a path can be put behind it. */
const url: Kind<string> = {
  takes: 'an address such as "https://host/path"',
  parse: (given) =>
    typeof given === 'string' && /^https?:\/\/[^\s]+$/.test(given) && URL.canParse(given)
      ? given.replace(/\/+$/, '')
      : undefined,
};

const duration = (least: string): Kind<number> => ({
  takes: `a time such as "100ms" (${TIME_UNITS}), at least ${least}`,
  parse: (given) => {
    const value = typeof given === 'string' ? millisecondsOf(given) : undefined;
    return value !== undefined && value >= (millisecondsOf(least) ?? 0) ? value : undefined;
  },
});

const size = (least: string): Kind<number> => ({
  takes: `a size such as "5MB" (${SIZE_UNITS}), at least ${least}`,
  parse: (given) => {
    const value = typeof given === 'string' ? bytesOfSize(given) : undefined;
    return value !== undefined && value >= (bytesOfSize(least) ?? 0) ? value : undefined;
  },
});

const count = (least: number, most: number): Kind<number> => ({
  takes: `a whole number from ${least} to ${most}`,
  parse: (given) =>
    typeof given === 'number' && Number.isInteger(given) && given >= least && given <= most
      ? given
      : undefined,
});

const choice = <const Values extends readonly string[]>(
  values: Values,
): Kind<Values[number]> => ({
  takes: values.map((each) => JSON.stringify(each)).join(', '),
  parse: (given) => values.find((each) => each === given),
});

const choices = <const Values extends readonly string[]>(
  values: Values,
): Kind<readonly Values[number][]> => ({
  takes: `a list of ${values.map((each) => JSON.stringify(each)).join(', ')}`,
  parse: (given) => {
    if (!Array.isArray(given)) return undefined;
    const chosen = values.filter((each) => given.includes(each));
    return chosen.length === given.length ? chosen : undefined;
  },
});

/** A party key as Tessera writes it. */
const partyKey: Kind<string> = {
  takes: `${PARTY_KEY_BYTES} bytes in base64`,
  parse: (given) =>
    typeof given === 'string' && bytesOfBase64(given)?.length === PARTY_KEY_BYTES
      ? given
      : undefined,
};

export const KINDS = {
  ...{ text, path, flag, address, url, duration, size, count, choice, choices, partyKey },
} as const;

/** A setting that must be there. */
export function required<Value>(kind: Kind<Value>, about: string): Setting<Value> {
  return scalar<Value, never>({
    ...kind,
    about,
    otherwise: 'required',
    absent: (place) => {
      throw fault(place, `is missing; it takes ${kind.takes}`);
    },
  });
}

/** A setting that may be absent. */
export function optional<Value>(kind: Kind<Value>, about: string): Setting<Value | undefined> {
  return scalar<Value, undefined>({
    ...kind,
    about,
    otherwise: 'none',
    absent: () => undefined,
  });
}

/** A setting with a default, written as a user would write it. */
export function defaulted<Value>(
  kind: Kind<Value>,
  otherwise: string | number | boolean,
  about: string,
): Setting<Value> {
  return scalar<Value, Value>({
    ...kind,
    about,
    otherwise: JSON.stringify(otherwise),
    absent: (place) => {
      const value = kind.parse(otherwise, place);
      invariant(value !== undefined, `the default of ${place.name} is a value of its kind`);
      return value;
    },
  });
}

/** The address in a text, or undefined for anything else. */
export function addressOf(given: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(given);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

/** `host:port` of an address. */
export function textOfAddress({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * Whether an answer is equivalent to the recorded one: same status, same media type, same fields,
 * same kinds of values; equal values wherever the value is not made anew at every run.
 */

import type { Names } from './names.ts';
import { headerOf, type RecordedResponse } from './recordings.ts';

export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** JSON fields whose bytes are random: compared by length only. */
const RANDOM_FIELDS: readonly string[] = [
  'key',
  'privacyGroupId',
  'cipherText',
  'cipherTextNonce',
  'recipientBoxes',
  'recipientNonce',
];
/** Fields whose values are names that later requests use. */
const NAMING_FIELDS: readonly string[] = ['key', 'privacyGroupId'];
/** Lists whose order Tessera leaves to a hash set. */
const UNORDERED_FIELDS: readonly string[] = [
  'affectedContractTransactions',
  'managedParties',
  'keys',
  'recipientKeys',
];

/** Tessera's figures, and beside them the connector's own. */
const METRICS = /^(?=tessera_)((tessera|concordat_connector)_\w+ [\d.]+\n)+$/;

/** What differs, or undefined when the answers are equivalent. Learns the names that were made. */
export function difference(
  recorded: RecordedResponse,
  ours: Answer,
  names: Names,
  path: string,
): string | undefined {
  if (recorded.status !== ours.status) {
    return `status ${ours.status} instead of ${recorded.status}: ${shown(ours.body)}`;
  }
  const type = mediaType(recorded.headers);
  if (recorded.body.length > 0 && type !== mediaType(ours.headers)) {
    return `type ${mediaType(ours.headers)} instead of ${type}`;
  }
  return (
    bodyDifference(recorded, ours, names, path) ?? locationDifference(recorded, ours, names)
  );
}

export function mediaType(headers: RecordedResponse['headers']): string | undefined {
  return headerOf(headers, 'content-type')?.split(';')[0]?.trim();
}

function bodyDifference(
  recorded: RecordedResponse,
  ours: Answer,
  names: Names,
  path: string,
): string | undefined {
  if (recorded.body.length === 0) {
    return ours.body.length === 0 ? undefined : `body ${shown(ours.body)} instead of none`;
  }
  const left = jsonOf(recorded.body);
  const right = jsonOf(ours.body);
  if (typeof left === 'object' && left !== null) {
    return right === undefined ? 'no JSON' : valueDifference(left, right, names, 'body');
  }
  return textDifference(recorded.body.toString(), ours.body.toString(), names, path);
}

function textDifference(
  recorded: string,
  ours: string,
  names: Names,
  path: string,
): string | undefined {
  if (names.inText(recorded) === ours) return undefined;
  const bytes = Buffer.from(recorded, 'base64');
  if (bytes.length === 64 && bytes.toString('base64') === recorded) {
    if (Buffer.from(ours, 'base64').length !== 64) return `text "${ours}" is no hash`;
    names.learn(recorded, ours);
    return undefined;
  }
  // Figures are figures, and a version is a version, whoever's.
  if (path === '/metrics' && METRICS.test(ours)) return undefined;
  if (/^\/version/.test(path) && /^\d+\.\d+\.\d+/.test(ours)) return undefined;
  return `text "${ours}" instead of "${recorded}"`;
}

function valueDifference(
  recorded: unknown,
  ours: unknown,
  names: Names,
  at: string,
): string | undefined {
  if (Array.isArray(recorded)) {
    if (!Array.isArray(ours)) return `${at} is no list`;
    if (recorded.length !== ours.length) return `${at} has ${ours.length} items`;
    const [left, right] = UNORDERED_FIELDS.includes(fieldOf(at))
      ? [sortedBy(recorded, (item) => mapped(item, names)), sortedBy(ours, (item) => item)]
      : [recorded, ours];
    return first(left.map((item, i) => valueDifference(item, right[i], names, `${at}[]`)));
  }
  if (typeof recorded === 'object' && recorded !== null) {
    if (typeof ours !== 'object' || ours === null) return `${at} is no object`;
    const left = Object.keys(recorded).sort().join();
    const right = Object.keys(ours).sort().join();
    if (left !== right) return `${at} has the fields ${right} instead of ${left}`;
    return first(
      Object.entries(recorded).map(([name, value]) =>
        valueDifference(value, (ours as Record<string, unknown>)[name], names, `${at}.${name}`),
      ),
    );
  }
  return scalarDifference(recorded, ours, names, at);
}

function scalarDifference(
  recorded: unknown,
  ours: unknown,
  names: Names,
  at: string,
): string | undefined {
  if (mapped(recorded, names) === ours) return undefined;
  if (typeof recorded !== typeof ours) return `${at} is a ${typeof ours}`;
  const field = fieldOf(at);
  if (typeof recorded === 'string' && typeof ours === 'string') {
    if (RANDOM_FIELDS.includes(field)) {
      const lengths = [recorded, ours].map((one) => Buffer.from(one, 'base64').length);
      if (lengths[0] !== lengths[1]) return `${at} has ${lengths[1]} bytes`;
      if (NAMING_FIELDS.includes(field)) names.learn(recorded, ours);
      return undefined;
    }
  }
  return `${at} is ${JSON.stringify(ours)} instead of ${JSON.stringify(recorded)}`;
}

/** The name of the field a place lies in, lists passed over. */
function fieldOf(at: string): string {
  return at.replaceAll('[]', '').split('.').at(-1) ?? '';
}

function locationDifference(
  recorded: RecordedResponse,
  ours: Answer,
  names: Names,
): string | undefined {
  const left = headerOf(recorded.headers, 'location');
  const right = headerOf(ours.headers, 'location');
  if (left === undefined) return right === undefined ? undefined : `location ${right}`;
  if (right === undefined) return 'no location';
  const [recordedKey, key] = [left, right].map((one) =>
    decodeURIComponent(one.split('/transaction/')[1] ?? ''),
  );
  const escaped = encodeURIComponent(key ?? '');
  if (!right.endsWith(`/transaction/${escaped}`)) return `location ${right}`;
  return names.ours(recordedKey ?? '') === key ? undefined : `location names ${key}`;
}

function mapped(value: unknown, names: Names): unknown {
  return typeof value === 'string' ? names.inText(value) : value;
}

function sortedBy(items: readonly unknown[], keyOf: (item: unknown) => unknown): unknown[] {
  return [...items].sort((left, right) => {
    const [a, b] = [left, right].map((one) => JSON.stringify(keyOf(one)));
    return (a ?? '') < (b ?? '') ? -1 : 1;
  });
}

function first(differences: readonly (string | undefined)[]): string | undefined {
  return differences.find((one) => one !== undefined);
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}

function shown(body: Buffer): string {
  return JSON.stringify(body.toString('utf8').slice(0, 120));
}

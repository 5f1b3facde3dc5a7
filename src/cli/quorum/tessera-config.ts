/**
 * Reading a Tessera configuration: the file, and what was put over it on Tessera's command line
 * (`--override KEY=VALUE`, `-o`), with the same paths: `serverConfigs[0].sslConfig.tls=STRICT`.
 */
import { CodedError } from '../../base/errors.ts';
import { readJson } from '../node/party-keys-file.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** The configuration with its overrides; throws `BadTesseraConfig`. */
export function readTesseraConfig(path: string, overrides: readonly string[]): Fields {
  const bad = (why: string): CodedError =>
    new CodedError('BadTesseraConfig', `${path}: ${why}`, { path });
  const given = readJson(path, bad);
  if (!isFields(given)) throw bad('a JSON object is expected');
  return overrides.reduce<Fields>((config, text) => overridden(config, text), given);
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A list of texts; one text stands for a list of one, null for none. */
export function textsOf(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map(String);
}

/** True for `true` and for the text "true", which Tessera's own samples hold. */
export function isTrue(value: unknown): boolean {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true');
}

/** A text that says something. */
export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined;
}

const STEP = /^([A-Za-z]\w*)((?:\[\d{1,4}\])*)$/;

function overridden(config: Fields, text: string): Fields {
  const equals = text.indexOf('=');
  const path = text.slice(0, equals).trim();
  const steps = equals < 1 ? undefined : stepsOf(path);
  if (steps === undefined) {
    throw new CodedError(
      'Usage',
      `--override ${JSON.stringify(text)} is not KEY=VALUE, say peer[0].url=http://host:9001`,
    );
  }
  return set(config, steps, text.slice(equals + 1), path) as Fields;
}

function stepsOf(path: string): readonly (string | number)[] | undefined {
  const steps: (string | number)[] = [];
  for (const part of path.split('.')) {
    const match = STEP.exec(part);
    if (match === null) return undefined;
    steps.push(match[1] ?? '');
    for (const [, index] of (match[2] ?? '').matchAll(/\[(\d+)\]/g)) steps.push(Number(index));
  }
  return steps;
}

function set(
  given: unknown,
  steps: readonly (string | number)[],
  value: string,
  path: string,
): unknown {
  const [step, ...rest] = steps;
  if (step === undefined) {
    // A list of texts named as a whole grows by one, as with Tessera.
    if (Array.isArray(given)) return [...given, value];
    return value === 'true' ? true : value === 'false' ? false : value;
  }
  if (typeof step === 'number') {
    const items: readonly unknown[] = Array.isArray(given) ? given : [];
    if (step > items.length) {
      throw new CodedError(
        'Usage',
        `--override ${path}: item ${step} does not follow the ${items.length} there are`,
      );
    }
    const item = set(items[step], rest, value, path);
    return [...items.slice(0, step), item, ...items.slice(step + 1)];
  }
  const fields = isFields(given) ? given : {};
  const own = Object.hasOwn(fields, step) ? fields[step] : undefined;
  return { ...fields, [step]: set(own, rest, value, path) };
}

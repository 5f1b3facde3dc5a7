/**
 * What a setting is: a name's meaning, the values it takes, and how one is read. Schemas are made
 * of these, so that reading, `--check` and the reference page can never say different things.
 */
import { nearestName } from '../base/nearest-name.ts';

/** One line of the reference page. */
export interface SettingLine {
  /** The whole name, as `consensus.election_timeout`. */
  readonly name: string;
  readonly takes: string;
  /** What stands when nothing is said. */
  readonly otherwise: string;
  readonly about: string;
}

/** Where a value stands: its whole name, and the folder that relative paths start from. */
export interface Place {
  readonly name: string;
  readonly folder: string;
}

export interface Setting<Value> {
  /** Reads a value; undefined stands for one that is absent. Throws `SettingFaults`. */
  read(given: unknown, place: Place): Value;
  /** What the reference page says of it under this name. */
  lines(name: string): readonly SettingLine[];
  /** Names of settings within it, each relative to it. */
  readonly names: readonly string[];
}

/** What is wrong, one sentence for each fault, each beginning with the setting's name. */
export class SettingFaults extends Error {
  override readonly name = 'SettingFaults';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** A single value: how it is read, and what stands when it is absent. */
export interface Scalar<Value, Absent> {
  readonly about: string;
  readonly takes: string;
  readonly otherwise: string;
  /** Undefined for a value that is not what `takes` says. */
  readonly parse: (given: unknown, place: Place) => Value | undefined;
  readonly absent: (place: Place) => Absent;
}

export function scalar<Value, Absent>(of: Scalar<Value, Absent>): Setting<Value | Absent> {
  return {
    read(given, place) {
      if (given === undefined) return of.absent(place);
      const value = of.parse(given, place);
      if (value !== undefined) return value;
      throw fault(place, `is ${JSON.stringify(given)}; it takes ${of.takes}`);
    },
    lines: (name) => [{ name, takes: of.takes, otherwise: of.otherwise, about: of.about }],
    names: [],
  };
}

type Shape = Readonly<Record<string, Setting<unknown>>>;

/** What a section reads: the value of each of its settings. */
export type ValuesOf<Of extends Shape> = {
  readonly [Name in keyof Of]: Of[Name] extends Setting<infer Value> ? Value : never;
};

/** A section: an object with these settings and no others. An absent one is read as empty. */
export function section<Of extends Shape>(settings: Of): Setting<ValuesOf<Of>> {
  const names = Object.entries(settings).flatMap(([name, setting]) => [
    name,
    ...setting.names.map((inner) => `${name}.${inner}`),
  ]);
  return {
    read(given, place) {
      if (given !== undefined && !isObject(given)) {
        throw fault(place, `is ${JSON.stringify(given)}; it takes an object of settings`);
      }
      const faults = unknownNames(given ?? {}, Object.keys(settings), names, place);
      const values = Object.entries(settings).map(([name, setting]) => {
        const inner = { ...place, name: inside(place.name, name) };
        return [name, collecting(faults, () => setting.read(given?.[name], inner))];
      });
      if (faults.length > 0) throw new SettingFaults(faults);
      return Object.fromEntries(values) as ValuesOf<Of>;
    },
    lines: (name) =>
      Object.entries(settings).flatMap(([each, setting]) => setting.lines(inside(name, each))),
    names,
  };
}

/** A section that may be absent as a whole. */
export function optionalSection<Of extends Shape>(
  settings: Of,
): Setting<ValuesOf<Of> | undefined> {
  const whole = section(settings);
  return {
    ...whole,
    read: (given, place) => (given === undefined ? undefined : whole.read(given, place)),
  };
}

/** A list; an absent one is empty. */
export function listOf<Value>(each: Setting<Value>): Setting<readonly Value[]> {
  return {
    read(given, place) {
      if (given === undefined) return [];
      if (!Array.isArray(given)) {
        throw fault(place, `is ${JSON.stringify(given)}; it takes a list`);
      }
      const faults: string[] = [];
      const values = given.map((value: unknown, index) => {
        const inner = { ...place, name: `${place.name}[${index}]` };
        return collecting(faults, () => each.read(value, inner));
      });
      if (faults.length > 0) throw new SettingFaults(faults);
      return values as readonly Value[];
    },
    lines: (name) => each.lines(`${name}[]`),
    names: each.names,
  };
}

/** A list of single values; `about` speaks of the list. */
export function listOfValues<Value>(each: Setting<Value>): Setting<readonly Value[]> {
  return {
    ...listOf(each),
    lines: (name) =>
      each.lines(name).map((line) => ({
        ...line,
        takes: `a list, each ${line.takes}`,
        otherwise: 'empty',
      })),
  };
}

/** A fault of the setting at `place`. */
export function fault(place: Place, what: string): SettingFaults {
  const name = place.name === '' ? 'the configuration' : place.name;
  return new SettingFaults([`${name} ${what}`]);
}

function collecting<Value>(faults: string[], read: () => Value): Value | undefined {
  try {
    return read();
  } catch (thrown) {
    if (!(thrown instanceof SettingFaults)) throw thrown;
    faults.push(...thrown.faults);
    return undefined;
  }
}

function unknownNames(
  given: Readonly<Record<string, unknown>>,
  known: readonly string[],
  deeper: readonly string[],
  place: Place,
): string[] {
  return Object.keys(given)
    .filter((name) => !known.includes(name))
    .map((name) => {
      // Somebody may have misspelt it, or written it one level too high.
      const misplaced = deeper.find((each) => each.split('.').at(-1) === name);
      const near = misplaced ?? nearestName(name, known) ?? nearestDeeper(name, deeper);
      const advice =
        near === undefined
          ? `there are ${known.join(', ')}`
          : `did you mean ${inside(place.name, near)}?`;
      return `${inside(place.name, name)} is no setting; ${advice}`;
    });
}

function nearestDeeper(name: string, deeper: readonly string[]): string | undefined {
  const last = (each: string): string => each.split('.').at(-1) ?? '';
  const nearest = nearestName(name, deeper.map(last));
  return deeper.find((each) => last(each) === nearest);
}

function inside(outer: string, name: string): string {
  return outer === '' ? name : `${outer}.${name}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

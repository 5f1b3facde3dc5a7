/** The options of a word after `concordat quorum`. */
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../../base/errors.ts';

/** Which options take a value, once or several times, and which take none. */
export interface OptionNames {
  readonly texts?: readonly string[];
  readonly lists?: readonly string[];
  readonly flags?: readonly string[];
}

export interface Options {
  readonly positionals: readonly string[];
  text(name: string): string | undefined;
  list(name: string): readonly string[];
  flag(name: string): boolean;
  /** A text that must be there. */
  required(name: string): string;
  /** A whole number within bounds. */
  count(name: string, otherwise: number, least: number, most: number): number;
}

/** Reads an action's options; throws `Usage` for what it does not take. */
export function readOptions(args: readonly string[], names: OptionNames): Options {
  const { texts = [], lists = [], flags = [] } = names;
  const { values, positionals } = parsed(args, { texts, lists, flags });
  const text = (name: string): string | undefined => {
    const value = values[name];
    return typeof value === 'string' ? value : undefined;
  };
  return {
    positionals,
    text,
    list: (name) => {
      const value = values[name];
      return Array.isArray(value) ? value.map(String) : [];
    },
    flag: (name) => values[name] === true,
    required: (name) => {
      const value = text(name);
      if (value === undefined) throw new CodedError('Usage', `--${name} is missing`);
      return value;
    },
    count: (name, otherwise, least, most) => {
      const value = text(name);
      if (value === undefined) return otherwise;
      const number = /^\d{1,10}$/.test(value) ? Number(value) : Number.NaN;
      if (number >= least && number <= most) return number;
      const takes = `a whole number from ${least} to ${most}`;
      throw new CodedError('Usage', `--${name} is ${JSON.stringify(value)}; it takes ${takes}`);
    },
  };
}

type Values = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>;

function parsed(
  args: readonly string[],
  { texts, lists, flags }: Required<OptionNames>,
): { readonly values: Values; readonly positionals: readonly string[] } {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: Object.fromEntries([
        ...texts.map((name) => [name, { type: 'string' }] as const),
        ...lists.map((name) => [name, { type: 'string', multiple: true }] as const),
        ...flags.map((name) => [name, { type: 'boolean' }] as const),
      ]),
    });
  } catch (thrown) {
    throw new CodedError('Usage', messageOf(thrown));
  }
}

/** `concordat quorum import-config`: a Tessera configuration turned into ours. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { base64Of } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { Action } from '../action.ts';
import { EXIT } from '../exit-codes.ts';
import { type Converted, convertConfig } from './convert-config.ts';
import { writeNew } from './key-files.ts';
import { readOptions } from './options.ts';
import { readTesseraConfig } from './tessera-config.ts';
import type { SettingNote } from './tessera-settings.ts';

export const IMPORT_CONFIG: Action = {
  name: 'import-config',
  usage: `Usage: concordat quorum import-config TESSERA.json [--out FOLDER] [OPTIONS]

Turns a Tessera configuration into ours, and says what has no counterpart and why. With --out it
writes, and writes nothing over:
  party-keys.json   private keys in the clear, for command.start.opens.party_keys_file of a node
  residents.json    its resident groups, if it has any
  connector.json    for concordat connector --config
  federation.json   the federation settings of a node's configuration
Private keys go nowhere else, and never to the terminal.

  --out FOLDER           write the files there
  --organisation N       whose keys they are in party-keys.json (default 1)
  --password-file FILE   passwords of locked keys, a line for each key; in place of the named one
  --override KEY=VALUE   as Tessera's own -o; may be given several times
  --service URL, --service-certificate FILE, --certificate FILE, --key FILE,
  --attestation-policy FILE
                         put into connector.json, so that it is whole
  --json                 one JSON object: keys, connector, federation, residents, notes, files

Exit codes: 0 done, whatever had no counterpart; 3 a key does not open, a file cannot be read.`,
  async run(args, io) {
    const options = readOptions(args, {
      texts: ['out', 'organisation', 'password-file', ...SERVICE_FILES],
      lists: ['override', 'service'],
      flags: ['json'],
    });
    const [path, ...others] = options.positionals;
    if (path === undefined || others.length > 0) {
      throw new CodedError('Usage', 'name one configuration: import-config TESSERA.json');
    }
    const organisation = options.count('organisation', 1, 1, 1_000_000);
    const passwordFile = options.text('password-file');
    const converted = await convertConfig(readTesseraConfig(path, options.list('override')), {
      path,
      ...(passwordFile === undefined ? {} : { passwordFile }),
      environment: process.env,
      progress: (text) => io.progress(text),
    });
    const service = options.list('service');
    const connector = {
      ...(service.length === 0 ? {} : { service }),
      ...Object.fromEntries(
        SERVICE_FILES.flatMap((name) => {
          const value = options.text(name);
          return value === undefined ? [] : [[camel(name), value]];
        }),
      ),
      ...converted.connector,
    };
    const out = options.text('out');
    const files =
      out === undefined ? [] : writeAll(out, organisation, { ...converted, connector });
    if (options.flag('json')) {
      const { residents, multiplePrivateStates, federation, notes } = converted;
      const keys = converted.keys.map(({ publicKey }) => base64Of(publicKey));
      io.out(
        JSON.stringify({
          ...{ ok: true, keys, connector, federation, residents, multiplePrivateStates },
          ...{ notes, files },
        }),
      );
      return EXIT.good;
    }
    for (const line of reportOf(converted.notes)) io.out(line);
    for (const file of files) io.out(`wrote ${file}`);
    if (out === undefined) io.out('nothing is written; say --out FOLDER');
    return EXIT.good;
  },
};

const SERVICE_FILES = [
  'service-certificate',
  'certificate',
  'key',
  'attestation-policy',
] as const;

function camel(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function writeAll(
  folder: string,
  organisation: number,
  { keys, residents, connector, federation }: Converted,
): readonly string[] {
  const partyKeys = keys.map(({ publicKey, privateKey }) => ({
    node: organisation,
    publicKey: base64Of(publicKey),
    privateKey: base64Of(privateKey),
  }));
  const wanted: readonly (readonly [string, unknown, number])[] = [
    ['party-keys.json', partyKeys, 0o600],
    ...(residents.length === 0
      ? []
      : [['residents.json', { [organisation]: residents }, 0o644] as const]),
    ['connector.json', connector, 0o644],
    ['federation.json', { federation }, 0o644],
  ];
  // All or nothing: half a set beside one of before would be a riddle.
  const paths = wanted.map(([name]) => join(folder, name));
  const there = paths.find((path) => existsSync(path));
  if (there !== undefined) {
    throw new CodedError('FileExists', `${there} exists; nothing is written over`);
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const [name, value, mode] of wanted) {
    writeNew(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`, mode);
  }
  return paths;
}

const HEADS: Readonly<Record<SettingNote['kind'], string>> = {
  taken: 'TAKEN',
  'no counterpart': 'NO COUNTERPART',
  warning: 'WARNING',
};

function reportOf(notes: readonly SettingNote[]): readonly string[] {
  return (['taken', 'no counterpart', 'warning'] as const).flatMap((kind) => {
    // What holds for several settings is said once.
    const settings = new Map<string, string[]>();
    for (const { setting, text } of notes.filter((note) => note.kind === kind)) {
      settings.set(text, [...(settings.get(text) ?? []), setting]);
    }
    const lines = [...settings].map(([text, names]) => `  ${names.join(', ')}: ${text}`);
    return lines.length === 0 ? [] : [HEADS[kind], ...lines];
  });
}

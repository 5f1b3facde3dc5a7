/** `concordat quorum keygen`: party keys in files that Tessera accepts too. */
import { basename } from 'node:path';
import { CodedError } from '../../base/errors.ts';
import { generatePartyKey } from '../../crypto/party-keys.ts';
import { systemRandom } from '../../crypto/random.ts';
import {
  type ArgonOptions,
  lockKey,
  TESSERA_ARGON,
  type TesseraKey,
  unlockedKey,
} from '../../crypto/tessera-key.ts';
import type { Action } from '../action.ts';
import { EXIT } from '../exit-codes.ts';
import { readNamed, type WrittenKey, writeKeyPair } from './key-files.ts';
import { type Options, readOptions } from './options.ts';

export const KEYGEN: Action = {
  name: 'keygen',
  usage: `Usage: concordat quorum keygen NAME… [--password-file FILE] [--json]

Makes a party key pair for each NAME: NAME.key (private, readable by its owner alone) and NAME.pub,
in Tessera's own formats. Files that exist are not written over.

  --password-file FILE   lock the private keys; a line for each NAME, or one line for all
  --argon-variant V      i, d or id (default: ${TESSERA_ARGON.variant}, as Tessera)
  --argon-memory KIB     default ${TESSERA_ARGON.memory}
  --argon-iterations N   default ${TESSERA_ARGON.iterations}
  --argon-parallelism N  default ${TESSERA_ARGON.parallelism}
  --json                 {"ok":true,"keys":[{"publicKey","keyFile","publicKeyFile","locked"}]}`,
  async run(args, io) {
    const options = readOptions(args, {
      texts: [
        ...['password-file', 'argon-variant', 'argon-memory'],
        ...['argon-iterations', 'argon-parallelism'],
      ],
      flags: ['json'],
    });
    const names = options.positionals;
    if (names.length === 0) throw new CodedError('Usage', 'name at least one key: keygen NAME');
    const passwords = passwordsFor(names, options.text('password-file'));
    const aopts = argonOf(options);
    const written: WrittenKey[] = [];
    for (const [index, name] of names.entries()) {
      const { publicKey, privateKey } = generatePartyKey(systemRandom);
      const password = passwords[index];
      if (password !== undefined) io.progress(`locking ${basename(name)} …`);
      const key: TesseraKey =
        password === undefined
          ? unlockedKey(privateKey)
          : await lockKey(systemRandom, privateKey, password, aopts);
      written.push(writeKeyPair(name, publicKey, key));
    }
    if (options.flag('json')) io.out(JSON.stringify({ ok: true, keys: written }));
    else for (const key of written) io.out(lineOf(key));
    return EXIT.good;
  },
};

function lineOf({ publicKey, keyFile, publicKeyFile, locked }: WrittenKey): string {
  return `${publicKey}  ${publicKeyFile}  ${keyFile}${locked ? ' (locked)' : ''}`;
}

function argonOf(options: Options): ArgonOptions {
  return {
    variant: options.text('argon-variant') ?? TESSERA_ARGON.variant,
    memory: options.count('argon-memory', TESSERA_ARGON.memory, 8, 4_194_304),
    iterations: options.count('argon-iterations', TESSERA_ARGON.iterations, 1, 1_000),
    parallelism: options.count('argon-parallelism', TESSERA_ARGON.parallelism, 1, 64),
  };
}

function passwordsFor(
  names: readonly string[],
  file: string | undefined,
): readonly (string | undefined)[] {
  if (file === undefined) return names.map(() => undefined);
  const lines = passwordLines(readNamed(file, '--password-file'));
  if (lines.length === 1) return names.map(() => lines[0]);
  if (lines.length === names.length) return lines;
  throw new CodedError(
    'Usage',
    `${file} has ${lines.length} passwords for ${names.length} keys; give one for each, or one`,
  );
}

/** The passwords in a file, one a line; the last line need not end. */
export function passwordLines(text: string): readonly string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/**
 * Private keys as Tessera keeps them in files and configurations: plain (`unlocked`), or locked
 * with a password (`argon2sbox`): NaCl's secretbox under Argon2 (RFC 9106) of the password, 32
 * bytes, with the salt and the parameters that stand beside it.
 */
import { argon2 } from 'node:crypto';
import { base64Of, bytesOfBase64, utf8 } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { PARTY_KEY_BYTES } from './party-keys.ts';
import { openPayload, PAYLOAD_NONCE_BYTES, sealPayload } from './payload.ts';

/** Argon2's parameters under Tessera's names. */
export interface ArgonOptions {
  /** `i`, `d` or `id`. */
  readonly variant: string;
  /** KiB. */
  readonly memory: number;
  readonly iterations: number;
  readonly parallelism: number;
}

export interface UnlockedKey {
  readonly type: 'unlocked';
  readonly data: { readonly bytes: string };
}

export interface LockedKey {
  readonly type: 'argon2sbox';
  readonly data: {
    readonly aopts: ArgonOptions;
    readonly snonce: string;
    readonly asalt: string;
    readonly sbox: string;
  };
}

export type TesseraKey = UnlockedKey | LockedKey;

/** What Tessera's own keygen locks with when nothing else is asked for. */
export const TESSERA_ARGON: ArgonOptions = {
  variant: 'i',
  memory: 1_048_576,
  iterations: 10,
  parallelism: 4,
};

/** A file may ask for no more than this: 4 GiB, and minutes rather than days. */
const MEMORY_KIB_MAX = 4_194_304;
const ITERATIONS_MAX = 1_000;
const PARALLELISM_MAX = 64;
/** What Argon2 itself needs of a salt (RFC 9106 §3.1). */
const SALT_BYTES_MIN = 8;
const SALT_BYTES = 16;

/** A private key in the clear. */
export function unlockedKey(privateKey: Uint8Array): UnlockedKey {
  return { type: 'unlocked', data: { bytes: base64Of(privateKey) } };
}

/** Locks a private key with a password. */
export async function lockKey(
  random: Random,
  privateKey: Uint8Array,
  password: string,
  aopts: ArgonOptions,
): Promise<LockedKey> {
  const salt = random.bytes(SALT_BYTES);
  const nonce = random.bytes(PAYLOAD_NONCE_BYTES);
  const secret = await secretOf(password, salt, checkedOptions(aopts));
  const sbox = sealPayload(secret, nonce, privateKey);
  return {
    type: 'argon2sbox',
    data: {
      aopts: {
        variant: aopts.variant,
        memory: aopts.memory,
        iterations: aopts.iterations,
        parallelism: aopts.parallelism,
      },
      snonce: base64Of(nonce),
      asalt: base64Of(salt),
      sbox: base64Of(sbox),
    },
  };
}

/** Reads `{type, data}`; throws `BadTesseraKey` for anything else. */
export function readTesseraKey(given: unknown): TesseraKey {
  const { type, data } = fieldsOf(given, 'a key');
  const fields = fieldsOf(data, 'data');
  if (type === 'unlocked') {
    return { type, data: { bytes: base64Of(bytesIn(fields, 'bytes', PARTY_KEY_BYTES)) } };
  }
  if (type !== 'argon2sbox') {
    throw bad(`type is ${JSON.stringify(type)}; it is "unlocked" or "argon2sbox"`);
  }
  const aopts = fieldsOf(fields.aopts, 'data.aopts');
  const options = {
    // Constellation's files name it so; Tessera calls it variant.
    variant: String(aopts.variant ?? aopts.algorithm),
    memory: Number(aopts.memory),
    iterations: Number(aopts.iterations),
    parallelism: Number(aopts.parallelism),
  };
  return {
    type,
    data: {
      aopts: checkedOptions(options),
      snonce: base64Of(bytesIn(fields, 'snonce', PAYLOAD_NONCE_BYTES)),
      asalt: base64Of(bytesIn(fields, 'asalt')),
      sbox: base64Of(bytesIn(fields, 'sbox', PARTY_KEY_BYTES + 16)),
    },
  };
}

/** The private key; throws `WrongPassword` when a locked one does not open. */
export async function openTesseraKey(
  key: TesseraKey,
  password: string | undefined,
): Promise<Uint8Array> {
  if (key.type === 'unlocked') return bytesIn(key.data, 'bytes', PARTY_KEY_BYTES);
  if (password === undefined) {
    throw new CodedError('PasswordNeeded', 'the key is locked and no password is given');
  }
  const { aopts } = key.data;
  const salt = bytesIn(key.data, 'asalt');
  const secret = await secretOf(password, salt, checkedOptions(aopts));
  const nonce = bytesIn(key.data, 'snonce', PAYLOAD_NONCE_BYTES);
  const opened = openPayload(secret, nonce, bytesIn(key.data, 'sbox'));
  if (opened?.length === PARTY_KEY_BYTES) return opened;
  throw new CodedError('WrongPassword', 'the key does not open with the password given');
}

function secretOf(
  password: string,
  salt: Uint8Array,
  { variant, memory, iterations, parallelism }: ArgonOptions,
): Promise<Uint8Array> {
  if (salt.length < SALT_BYTES_MIN) {
    throw bad(`data.asalt has ${salt.length} bytes; Argon2 needs at least ${SALT_BYTES_MIN}`);
  }
  const algorithm = ALGORITHMS[variant];
  if (algorithm === undefined) throw bad(`data.aopts.variant is ${JSON.stringify(variant)}`);
  const parameters = {
    message: utf8(password),
    nonce: salt,
    parallelism,
    memory,
    passes: iterations,
    tagLength: PARTY_KEY_BYTES,
  };
  return new Promise((resolve, reject) => {
    argon2(algorithm, parameters, (error, secret) => {
      if (error === null) resolve(secret);
      else reject(new CodedError('ArgonFailed', `Argon2 failed: ${messageOf(error)}`));
    });
  });
}

const ALGORITHMS: Readonly<Record<string, 'argon2i' | 'argon2d' | 'argon2id'>> = {
  i: 'argon2i',
  d: 'argon2d',
  id: 'argon2id',
};

function checkedOptions(options: ArgonOptions): ArgonOptions {
  const { variant, memory, iterations, parallelism } = options;
  if (!Object.hasOwn(ALGORITHMS, variant)) {
    throw bad(`data.aopts.variant is ${JSON.stringify(variant)}; it is "i", "d" or "id"`);
  }
  checkCount('iterations', iterations, 1, ITERATIONS_MAX);
  checkCount('parallelism', parallelism, 1, PARALLELISM_MAX);
  // Argon2 needs eight blocks for each lane (RFC 9106 §3.1).
  checkCount('memory', memory, 8 * parallelism, MEMORY_KIB_MAX);
  return options;
}

function checkCount(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw bad(`data.aopts.${name} is ${value}; it is a whole number from ${least} to ${most}`);
}

function fieldsOf(given: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) {
    return given as Readonly<Record<string, unknown>>;
  }
  throw bad(`${what} is no object of {type, data}`);
}

function bytesIn(fields: object, name: string, length?: number): Uint8Array {
  const given = (fields as Readonly<Record<string, unknown>>)[name];
  const bytes = typeof given === 'string' ? bytesOfBase64(given) : undefined;
  // A private key is never shown, not even a damaged one.
  if (bytes === undefined) throw bad(`data.${name} is not base64`);
  if (length !== undefined && bytes.length !== length) {
    throw bad(`data.${name} has ${bytes.length} bytes, ${length} are needed`);
  }
  return bytes;
}

function bad(why: string): CodedError {
  return new CodedError('BadTesseraKey', why);
}

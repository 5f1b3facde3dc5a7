/**
 * Seals a node's restart state to this machine's TPM and to the code that it measured: a key that
 * the TPM gives back only while its registers say the same (TPM 2.0 library part 3, TPM2_Create and
 * TPM2_PolicyPCR; through tpm2-tools). On a confidential VM that is the paravisor's vTPM, which the
 * host cannot look into.
 *
 * What is sealed carries the TPM's object with it, so that nothing else has to be kept.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import type { Random, Sealer } from '../../base/environment.ts';
import { CodedError, isCoded } from '../../base/errors.ts';
import { join, sameBytes, toHex, toUtf8 } from '../../base/portable-bytes.ts';
import {
  type AeadKey,
  aeadKeyOf,
  GCM_IV_BYTES,
  GCM_KEY_BYTES,
  openWhole,
  sealWhole,
} from '../../crypto/aead.ts';
import { PCR_COUNT } from '../tpm-quote.ts';
import type { RunProgram } from './programs.ts';

export interface TpmSealerOptions {
  /** Folder of `tpm2_create` and its like. */
  readonly programs: string;
  /** A folder in memory: the key passes through it while the TPM is told. */
  readonly temporary: string;
  /** Registers of the SHA-256 bank that must not change between sealing and unsealing. */
  readonly pcrs: readonly number[];
}

export interface TpmSealerDependencies {
  readonly run: RunProgram;
  readonly random: Random;
}

/** The two parts of a sealed object, as tpm2-tools write them. */
interface TpmObject {
  readonly publicPart: Uint8Array;
  readonly privatePart: Uint8Array;
}

const MARK = toUtf8('TPM1');
/** Both parts have about 150 bytes. */
const PART_BYTES_MAX = 1024;
/**
 * Without `userwithauth`, which tpm2_create would otherwise set: with it, an empty password would
 * do instead of the policy.
 */
const ATTRIBUTES = 'fixedtpm|fixedparent|noda';

/** Opens the sealer, with a new key that the TPM has taken; rejects with `SealerUnavailable`. */
export async function tpmSealer(
  options: TpmSealerOptions,
  dependencies: TpmSealerDependencies,
): Promise<Sealer> {
  const { random } = dependencies;
  const tpm = new Tpm(options, dependencies);
  const secret = random.bytes(GCM_KEY_BYTES);
  const header = headerOf(await tpm.create(secret));
  const keys = new Map<string, AeadKey>([[toHex(header), aeadKeyOf(secret)]]);
  return {
    kind: 'tpm',
    async seal(name, plain) {
      const key = keys.get(toHex(header));
      if (key === undefined) throw broken(name, 'its key is gone');
      const aad = join(header, toUtf8(name));
      return join(header, sealWhole(key, random.bytes(GCM_IV_BYTES), aad, plain));
    },
    async unseal(name, sealed) {
      const object = objectIn(sealed);
      if (object === undefined) throw broken(name, 'a TPM did not seal it');
      const itsHeader = headerOf(object);
      const known = keys.get(toHex(itsHeader));
      const key = known ?? (await tpm.keyIn(object, name));
      keys.set(toHex(itsHeader), key);
      try {
        const aad = join(itsHeader, toUtf8(name));
        return openWhole(key, aad, sealed.subarray(itsHeader.length));
      } catch (thrown) {
        if (isCoded(thrown, 'SealBroken')) throw broken(name, 'it was changed');
        throw thrown;
      }
    },
  };
}

class Tpm {
  readonly #options: TpmSealerOptions;
  readonly #run: RunProgram;
  readonly #selection: string;

  constructor(options: TpmSealerOptions, { run }: TpmSealerDependencies) {
    const { pcrs } = options;
    const isGood =
      pcrs.length > 0 &&
      pcrs.every((index) => Number.isInteger(index) && index >= 0 && index < PCR_COUNT);
    if (!isGood || new Set(pcrs).size !== pcrs.length) {
      const message = `registers are named once each, from 0 to 23, and not none: ${pcrs}`;
      throw new CodedError('BadRegisters', message, { pcrs });
    }
    this.#options = options;
    this.#run = run;
    this.#selection = `sha256:${[...pcrs].sort((left, right) => left - right).join(',')}`;
  }

  /** Has the TPM take a key in, to give it back under today's registers only. */
  async create(secret: Uint8Array): Promise<TpmObject> {
    return await this.#inFolder(async (file) => {
      await this.#primary(file);
      const policy = ['--policy-pcr', '-l', this.#selection, '-L', file('policy')];
      await this.#must('tpm2_createpolicy', policy);
      await writeFile(file('secret'), secret, { mode: 0o600 });
      await this.#must('tpm2_create', [
        ...['-C', file('primary'), '-L', file('policy'), '-i', file('secret')],
        ...['-a', ATTRIBUTES, '-u', file('public'), '-r', file('private')],
      ]);
      return {
        publicPart: await readFile(file('public')),
        privatePart: await readFile(file('private')),
      };
    });
  }

  async keyIn({ publicPart, privatePart }: TpmObject, name: string): Promise<AeadKey> {
    return await this.#inFolder(async (file) => {
      await this.#primary(file);
      await writeFile(file('public'), publicPart);
      await writeFile(file('private'), privatePart);
      const loading = ['-C', file('primary'), '-u', file('public'), '-r', file('private')];
      await this.#may('tpm2_load', [...loading, '-c', file('object')], (said) =>
        broken(name, `another TPM sealed it, or it was changed (tpm2_load ${said})`),
      );
      const unsealing = ['-c', file('object'), '-p', `pcr:${this.#selection}`];
      const secret = await this.#may('tpm2_unseal', unsealing, (said) => {
        const why = `other code is running than when it was sealed, by ${this.#selection}`;
        return broken(name, `${why} (tpm2_unseal ${said})`);
      });
      if (secret.length !== GCM_KEY_BYTES)
        throw broken(name, 'the TPM gave something else back');
      return aeadKeyOf(Uint8Array.from(secret));
    });
  }

  /** From the owner's seed, so that it is the same key each time without being kept. */
  async #primary(file: (name: string) => string): Promise<void> {
    const args = ['-C', 'o', '-g', 'sha256', '-G', 'ecc', '-c', file('primary')];
    await this.#must('tpm2_createprimary', args);
  }

  #must(program: string, args: readonly string[]): Promise<Uint8Array> {
    return this.#may(program, args, (said) => unavailable(`${program} ${said}`));
  }

  /** A program that says no is told by `refusal`; one that does not run is no answer at all. */
  async #may(
    program: string,
    args: readonly string[],
    refusal: (said: string) => CodedError,
  ): Promise<Uint8Array> {
    const outcome = await this.#run(joinPath(this.#options.programs, program), args);
    switch (outcome.kind) {
      case 'done':
        return outcome.output;
      case 'missing':
        throw unavailable(`${program} cannot be run: ${outcome.why}. Install tpm2-tools`);
      case 'late':
        throw unavailable(`${program} took longer than ${outcome.timeoutMs} ms`);
      case 'failed':
        throw refusal(`${outcome.exit}: ${outcome.said || 'it said nothing'}`);
    }
  }

  async #inFolder<T>(work: (file: (name: string) => string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(joinPath(this.#options.temporary, 'concordat-seal-'));
    try {
      return await work((name) => joinPath(folder, name));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** Mark, then each part behind its length in two bytes. */
function headerOf({ publicPart, privatePart }: TpmObject): Uint8Array {
  return join(MARK, sized(publicPart), sized(privatePart));
}

function sized(part: Uint8Array): Uint8Array {
  if (part.length === 0 || part.length > PART_BYTES_MAX) {
    throw unavailable(`tpm2_create wrote a part of ${part.length} bytes`);
  }
  return join(Uint8Array.of(part.length >> 8, part.length & 0xff), part);
}

function objectIn(sealed: Uint8Array): TpmObject | undefined {
  if (!sameBytes(sealed.subarray(0, MARK.length), MARK)) return undefined;
  const publicPart = partAt(sealed, MARK.length);
  if (publicPart === undefined) return undefined;
  const privatePart = partAt(sealed, MARK.length + 2 + publicPart.length);
  return privatePart === undefined ? undefined : { publicPart, privatePart };
}

function partAt(sealed: Uint8Array, at: number): Uint8Array | undefined {
  const [high = 0, low = 0] = sealed.subarray(at, at + 2);
  const length = high * 256 + low;
  const part = sealed.subarray(at + 2, at + 2 + length);
  const isGood = length > 0 && length <= PART_BYTES_MAX && part.length === length;
  return isGood ? part : undefined;
}

function broken(name: string, why: string): CodedError {
  return new CodedError(
    'SealBroken',
    `${name} does not unseal: ${why}. Start what ran before, restore the file, or join as a ` +
      'new node',
    { name },
  );
}

function unavailable(why: string): CodedError {
  return new CodedError('SealerUnavailable', `the TPM seals nothing: ${why}`);
}

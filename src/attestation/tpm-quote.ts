/**
 * A TPM's quote: what it says of its platform configuration registers, signed by its attestation
 * key (TPM 2.0 library, part 2, §10.12.12 TPMS_ATTEST and §11.3.4 TPMT_SIGNATURE; big-endian).
 */
import { CodedError } from '../base/errors.ts';
import { fromHex, join } from '../base/portable-bytes.ts';

export interface TpmQuote {
  /** What the caller gave the TPM to sign along: a nonce, or what binds the quote. */
  readonly extraData: Uint8Array;
  readonly resetCount: number;
  readonly restartCount: number;
  /** Indices of the registers quoted, ascending; all of the SHA-256 bank. */
  readonly pcrSelection: readonly number[];
  /** Over the registers' values, one after another. */
  readonly pcrDigest: Uint8Array;
}

const GENERATED_BY_TPM = 0xff544347;
const ST_ATTEST_QUOTE = 0x8018;
const ALG_SHA256 = 0x000b;
const ALG_RSASSA = 0x0014;
/** A name, 64 bytes of data, a digest and the fixed fields stay far below. */
const MESSAGE_BYTES_MAX = 1024;
export const PCR_COUNT = 24;
const PCR_BYTES = 32;

/** Reads a quote's message; throws `BadTpmQuote`. */
export function readTpmQuote(message: Uint8Array): TpmQuote {
  if (message.length > MESSAGE_BYTES_MAX) throw bad(`it has ${message.length} bytes`);
  const reader = new TpmReader(message);
  if (reader.number(4) !== GENERATED_BY_TPM) throw bad('no TPM made it: its magic is another');
  const type = reader.number(2);
  if (type !== ST_ATTEST_QUOTE) throw bad(`its type is ${type}, which is no quote`);
  reader.sized();
  const extraData = reader.sized();
  reader.bytes(8);
  const resetCount = reader.number(4);
  const restartCount = reader.number(4);
  if (reader.number(1) > 1) throw bad('whether its clock is safe is neither yes nor no');
  reader.bytes(8);
  const pcrSelection = readSelection(reader);
  const pcrDigest = reader.sized();
  reader.end();
  return { extraData, resetCount, restartCount, pcrSelection, pcrDigest };
}

/** One bank only: with several, a register's value would say nothing without its bank. */
function readSelection(reader: TpmReader): readonly number[] {
  const banks = reader.number(4);
  if (banks !== 1) throw bad(`it quotes ${banks} banks of registers; quote sha256 only`);
  const bank = reader.number(2);
  if (bank !== ALG_SHA256) throw bad(`it quotes bank ${bank}; quote the sha256 bank`);
  const bits = reader.bytes(reader.number(1));
  const selected: number[] = [];
  bits.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit += 1) if ((byte >> bit) & 1) selected.push(8 * at + bit);
  });
  if (selected.some((index) => index >= PCR_COUNT)) throw bad('it quotes unknown registers');
  return selected;
}

/**
 * The signature itself: tpm2-tools write it inside a TPMT_SIGNATURE, or plainly. Throws
 * `BadTpmQuote` for one of another algorithm than RSASSA with SHA-256.
 */
export function tpmSignatureBytes(signature: Uint8Array): Uint8Array {
  // A plain one has the modulus' size, a power of two here; the structure is 6 bytes longer.
  if (signature.length % 128 === 0 && signature.length > 0) return signature;
  const reader = new TpmReader(signature);
  const algorithm = reader.number(2);
  const hash = reader.number(2);
  if (algorithm !== ALG_RSASSA || hash !== ALG_SHA256) {
    throw bad(
      `its signature is of algorithm ${algorithm} with hash ${hash}, not RSASSA-SHA256`,
    );
  }
  const inner = reader.sized();
  reader.end();
  return inner;
}

/** Values of registers by index; throws `BadTpmQuote`. */
export function readPcrs(value: unknown): ReadonlyMap<number, Uint8Array> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad('the values of its registers are no object');
  }
  const entries = Object.entries(value).map(([name, text]): [number, Uint8Array] => {
    const index = Number(name);
    const bytes = typeof text === 'string' ? fromHex(text) : undefined;
    if (!/^(?:0|[1-9]\d?)$/.test(name) || index >= PCR_COUNT) {
      throw bad(`there is no register ${JSON.stringify(name.slice(0, 20))}`);
    }
    if (bytes?.length !== PCR_BYTES) throw bad(`register ${name} is not ${PCR_BYTES} bytes`);
    return [index, bytes];
  });
  return new Map(entries);
}

/** What the digest of a quote is made over: the selected registers' values in their order. */
export function quotedValues(
  selection: readonly number[],
  pcrs: ReadonlyMap<number, Uint8Array>,
): Uint8Array | undefined {
  const values = selection.map((index) => pcrs.get(index));
  return values.every((value) => value !== undefined) ? join(...values) : undefined;
}

class TpmReader {
  #at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  bytes(count: number): Uint8Array {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw bad(`it is cut off after ${this.#bytes.length} bytes`);
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  number(size: 1 | 2 | 4): number {
    return this.bytes(size).reduce((value, byte) => value * 256 + byte, 0);
  }

  sized(): Uint8Array {
    return this.bytes(this.number(2));
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw bad('something trails');
  }
}

function bad(why: string): CodedError {
  return new CodedError('BadTpmQuote', `not a TPM's quote: ${why}`);
}

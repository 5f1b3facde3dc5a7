/**
 * Recovery shares: the key that wraps the ledger secret, split among members so that a threshold of
 * them gets it back (Shamir 1979; governance.md §7, ledger-format.md §11).
 *
 * The field is the integers modulo 2^31 − 1; ten limbs are shared side by side. A share is its x
 * and ten y, 32 bits each, little-endian; the share at x = 0 is the whole secret.
 */
import { hkdfSync } from 'node:crypto';
import { bufferOf } from '../base/bytes.ts';
import type { Random } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import {
  type AeadKey,
  aeadKeyOf,
  GCM_IV_BYTES,
  GCM_KEY_BYTES,
  GCM_TAG_BYTES,
  openWhole,
  sealWhole,
} from './aead.ts';

const PRIME = 0x7fff_ffff;
const LIMBS = 10;
const WORD = 4;
export const SHARE_BYTES = (1 + LIMBS) * WORD;
/** More members than this never hold shares of one secret. */
export const SHARES_MAX = 10_000;

export interface WrappingKeyShares {
  readonly wrappingKey: Buffer;
  /** The share at x = 0: everything by itself, for owners. */
  readonly fullShare: Buffer;
  /** The shares at x = 1, 2, …: as many as were asked for. */
  readonly shares: readonly Buffer[];
}

/** Makes a wrapping key and splits it: any `threshold` of the `count` shares give it back. */
export function splitWrappingKey(
  threshold: number,
  count: number,
  random: Random,
): WrappingKeyShares {
  if (!Number.isInteger(threshold) || threshold < 1 || threshold > count) {
    const why = `a threshold lies between 1 and the number of shares (${count}), not ${threshold}`;
    throw new CodedError('BadThreshold', why, { threshold, count });
  }
  if (count > SHARES_MAX) {
    throw new CodedError('BadThreshold', `at most ${SHARES_MAX} shares, not ${count}`, {
      count,
    });
  }
  const coefficients = Array.from({ length: threshold }, () =>
    Array.from({ length: LIMBS }, () => randomElement(random)),
  );
  const shares = Array.from({ length: count }, (_, i) => shareAt(coefficients, i + 1));
  const fullShare = shareAt(coefficients, 0);
  return { wrappingKey: wrappingKeyOf(fullShare), fullShare, shares };
}

/**
 * A uniform element of the field: 31 bits, drawn again in the one case in 2^31 that is the prime.
 */
function randomElement(random: Random): number {
  for (;;) {
    const value = bufferOf(random.bytes(WORD)).readUInt32LE(0) & PRIME;
    if (value !== PRIME) return value;
  }
}

/** The polynomials' values at x, coefficient of the lowest power first. */
function shareAt(coefficients: readonly (readonly number[])[], x: number): Buffer {
  const share = Buffer.alloc(SHARE_BYTES);
  share.writeUInt32LE(x, 0);
  for (let limb = 0; limb < LIMBS; limb += 1) {
    let value = 0;
    for (let power = coefficients.length - 1; power >= 0; power -= 1) {
      value = (multiply(value, x) + (coefficients[power]?.[limb] ?? 0)) % PRIME;
    }
    share.writeUInt32LE(value, (1 + limb) * WORD);
  }
  return share;
}

/**
 * The share at x = 0, from any `threshold` shares or from itself. With fewer shares than the
 * threshold the result is another, equally plausible one: only unwrapping tells.
 */
export function combineShares(shares: readonly Uint8Array[]): Buffer {
  const points = shares.map(parseShare);
  const whole = points.find((point) => point.x === 0);
  if (whole !== undefined) return whole.bytes;
  if (points.length === 0) throw badShare('there is none', undefined);
  if (new Set(points.map((point) => point.x)).size !== points.length) {
    throw badShare('two shares have the same x', undefined);
  }
  const full = Buffer.alloc(SHARE_BYTES);
  for (let limb = 0; limb < LIMBS; limb += 1) {
    let sum = 0;
    for (const point of points) {
      const y = point.bytes.readUInt32LE((1 + limb) * WORD);
      sum = (sum + multiply(y, weightAtZero(point.x, points))) % PRIME;
    }
    full.writeUInt32LE(sum, (1 + limb) * WORD);
  }
  return full;
}

/** Lagrange's basis polynomial of one point, at 0. */
function weightAtZero(x: number, points: readonly { readonly x: number }[]): number {
  let weight = 1;
  for (const other of points) {
    if (other.x === x) continue;
    const difference = (other.x - x + PRIME) % PRIME;
    weight = multiply(weight, multiply(other.x, inverse(difference)));
  }
  return weight;
}

function multiply(left: number, right: number): number {
  return Number((BigInt(left) * BigInt(right)) % BigInt(PRIME));
}

/** By Fermat: a^(p−2). */
function inverse(value: number): number {
  let result = 1;
  let power = value;
  for (let exponent = PRIME - 2; exponent > 0; exponent = Math.floor(exponent / 2)) {
    if (exponent % 2 === 1) result = multiply(result, power);
    power = multiply(power, power);
  }
  return result;
}

/** Where a share lies on the polynomials: 0 for the whole key. Throws `BadShare`. */
export function placeOfShare(share: Uint8Array): number {
  return parseShare(share).x;
}

function parseShare(source: Uint8Array): { readonly x: number; readonly bytes: Buffer } {
  const bytes = bufferOf(source);
  if (bytes.length !== SHARE_BYTES) {
    throw badShare(`it has ${bytes.length} bytes, not ${SHARE_BYTES}`, bytes.length);
  }
  for (let at = 0; at < SHARE_BYTES; at += WORD) {
    const value = bytes.readUInt32LE(at);
    if (value >= PRIME)
      throw badShare(`word ${at / WORD} is ${value}, beyond the field`, value);
  }
  return { x: bytes.readUInt32LE(0), bytes };
}

function badShare(why: string, value: unknown): CodedError {
  return new CodedError('BadShare', `recovery shares do not combine: ${why}`, { value });
}

/**
 * The wrapping key of a full share: HKDF-SHA-256 without salt, whose info is the key material once
 * more (CCF declares a label and then does not use it; governance.md §7).
 */
export function wrappingKeyOf(fullShare: Uint8Array): Buffer {
  const limbs = parseShare(fullShare).bytes.subarray(WORD);
  return Buffer.from(hkdfSync('sha256', limbs, NO_SALT, limbs, GCM_KEY_BYTES));
}

const NO_SALT = Buffer.alloc(0);
/** The wrapping key is made anew each time, so the nonce may be constant. */
const ZERO_IV = Buffer.alloc(GCM_IV_BYTES);
/** Tag, nonce, secret. */
export const WRAPPED_SECRET_BYTES = GCM_TAG_BYTES + GCM_IV_BYTES + GCM_KEY_BYTES;

/** The latest ledger secret under a wrapping key: tag ‖ nonce ‖ ciphertext. */
export function wrapLedgerSecret(wrappingKey: Uint8Array, secret: Uint8Array): Buffer {
  return wrapUnder(aeadKeyOf(wrappingKey), secret, ZERO_IV);
}

/** Opens what `wrapLedgerSecret` made; throws `SealBroken`. */
export function unwrapLedgerSecret(wrappingKey: Uint8Array, wrapped: Uint8Array): Buffer {
  return unwrapUnder(aeadKeyOf(wrappingKey), wrapped);
}

/**
 * A secret under another one, as the chain of former ledger secrets keeps it; the nonce is random.
 */
export function wrapUnder(key: AeadKey, secret: Uint8Array, iv: Uint8Array): Buffer {
  return sealWhole(key, iv, NO_SALT, secret);
}

/** Opens what `wrapUnder` made; throws `SealBroken`. */
export function unwrapUnder(key: AeadKey, wrapped: Uint8Array): Buffer {
  if (wrapped.length !== WRAPPED_SECRET_BYTES) {
    throw new CodedError(
      'SealBroken',
      `a wrapped ledger secret has ${WRAPPED_SECRET_BYTES} bytes, not ${wrapped.length}`,
      { bytes: wrapped.length },
    );
  }
  return openWhole(key, NO_SALT, wrapped);
}

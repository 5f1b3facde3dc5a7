/**
 * What an entry holds, in a form for people and programs (`concordat ledger show`).
 */
import { bytesOfBinaryText, hexOf } from '../base/bytes.ts';
import type { MapWrites } from '../ledger/entry.ts';
import type { AuditedEntry } from './ledger.ts';

/** Bytes as text where they are text, else in hexadecimal after `0x`. */
export type Shown = string;

export interface ShownMap {
  readonly name: string;
  readonly writes: readonly { readonly key: Shown; readonly value: unknown }[];
  readonly removes: readonly Shown[];
}

export interface ShownEntry {
  readonly txId: string;
  readonly file: string;
  readonly offset: number;
  readonly bytes: number;
  readonly flags: number;
  readonly type: number;
  readonly isSignature: boolean;
  readonly claimsDigest?: string;
  readonly privateBytes: number;
  readonly publicMaps: readonly ShownMap[];
  /** Absent without the ledger secret. */
  readonly privateMaps?: readonly ShownMap[];
}

export function shownEntry(audited: AuditedEntry): ShownEntry {
  const { entry, publicMaps, privateMaps } = audited;
  const claims = entry.claimsDigest;
  const claimed = claims?.some((byte) => byte !== 0) === true;
  return {
    txId: `${entry.view}.${entry.seqno}`,
    file: audited.file,
    offset: audited.offset,
    bytes: entry.bytes.length,
    flags: entry.flags,
    type: entry.type,
    isSignature: entry.isSignature(),
    ...(claimed && claims !== undefined ? { claimsDigest: hexOf(claims) } : {}),
    privateBytes: entry.ciphertext.length,
    publicMaps: publicMaps.map(shownMap),
    ...(privateMaps === undefined ? {} : { privateMaps: privateMaps.map(shownMap) }),
  };
}

function shownMap({ name, writes, removes }: MapWrites): ShownMap {
  return {
    name,
    writes: [...writes].map(([key, value]) => ({
      key: shownBytes(bytesOfBinaryText(key)),
      value: shownValue(value),
    })),
    removes: [...removes].map((key) => shownBytes(bytesOfBinaryText(key))),
  };
}

/** JSON as what it says; other text as text; the rest in hexadecimal. */
function shownValue(value: Uint8Array): unknown {
  const text = shownBytes(value);
  if (!/^[[{"]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it rules out.
const UNPRINTABLE = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]/;

function shownBytes(bytes: Uint8Array): Shown {
  const text = Buffer.from(bytes).toString('utf8');
  return UNPRINTABLE.test(text) ? `0x${hexOf(bytes)}` : text;
}

/**
 * Base64 as Tessera reads it, where its two decoders differ from each other and from ours
 * (transaction-manager.md §B). Keys and hashes go through Java's strict decoder, whose sentences
 * are what a client sees; byte fields of JSON bodies go through JAXB's lenient one.
 */

export type Decoded =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly sentence: string };

const ALPHABET = /^[A-Za-z0-9+/]$/;

/** Reads a key or a hash: standard alphabet, padding may be left out but not be wrong. */
export function decodeStrict(text: string): Decoded {
  const padded = text.indexOf('=');
  const digits = padded < 0 ? text : text.slice(0, padded);
  if (!/^[A-Za-z0-9+/]*$/.test(digits)) {
    const bad = [...digits].find((char) => !ALPHABET.test(char)) ?? '';
    return refused(`Illegal base64 character ${(bad.codePointAt(0) ?? 0).toString(16)}`);
  }
  const left = digits.length % 4;
  if (left === 1) return refused('Last unit does not have enough valid bits');
  if (padded >= 0) {
    const padding = text.slice(padded);
    const wanted = left === 0 ? '' : '='.repeat(4 - left);
    if (padding !== wanted) {
      return refused(
        padding.startsWith(wanted) && wanted !== ''
          ? `Input byte array has incorrect ending byte at ${padded + wanted.length}`
          : 'Input byte array has wrong 4-byte ending unit',
      );
    }
  }
  return { ok: true, bytes: Buffer.from(digits, 'base64') };
}

/**
 * Reads a byte field of a JSON body: blanks are passed over, padding may be left out, and anything
 * else that is not base64 leaves nothing at all, so that no part of a payload is ever taken for the
 * whole.
 */
export function decodeLenient(text: string): Buffer {
  // Encoding again is forty times as fast as looking at each digit of some megabytes.
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') === text) return bytes;
  const digits = text.replace(/[\t\n\r ]+/g, '').replace(/={1,2}$/, '');
  if (!/^[A-Za-z0-9+/]*$/.test(digits) || digits.length % 4 === 1) return Buffer.alloc(0);
  return Buffer.from(digits, 'base64');
}

function refused(sentence: string): Decoded {
  return { ok: false, sentence };
}

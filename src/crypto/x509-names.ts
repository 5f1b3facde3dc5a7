/**
 * Names in certificates as text (RFC 5280 §4.1.2.4, appendix A). Only the kinds of text that
 * certificates use today are read. Runs in a browser.
 */
import { CodedError } from '../base/errors.ts';
import { DER_OID, type DerItem, DerReader, oidText } from './der.ts';

const DER_SET = 0x31;
const DER_UTF8_STRING = 0x0c;
const DER_PRINTABLE_STRING = 0x13;
const DER_T61_STRING = 0x14;
export const DER_IA5_STRING = 0x16;
const DER_BMP_STRING = 0x1e;

export const OID_COMMON_NAME = '2.5.4.3';

export interface NameAttribute {
  readonly oid: string;
  readonly text: string;
}

/** The attributes of a name in DER, in its order. Throws `BadDer`. */
export function readName(der: Uint8Array): readonly NameAttribute[] {
  const outer = new DerReader(der);
  const sets = outer.enter();
  outer.end();
  const attributes: NameAttribute[] = [];
  while (!sets.done) {
    const set = sets.enter(DER_SET);
    while (!set.done) {
      const pair = set.enter();
      const oid = oidText(pair.expect(DER_OID).content);
      attributes.push({ oid, text: textOfString(pair.next()) });
      pair.end();
    }
  }
  return attributes;
}

/** The one common name of a name, or undefined if it has none or several. */
export function commonName(der: Uint8Array): string | undefined {
  const found = readName(der).filter(({ oid }) => oid === OID_COMMON_NAME);
  return found.length === 1 ? found[0]?.text : undefined;
}

/** The text of a string. Throws `BadDer` for bytes that are none. */
export function textOfString({ tag, content }: DerItem): string {
  switch (tag) {
    case DER_UTF8_STRING:
      return decoded('utf-8', content);
    case DER_PRINTABLE_STRING:
    case DER_IA5_STRING:
    case DER_T61_STRING:
      if (content.some((byte) => byte >= 0x80)) throw bad('a text has bytes beyond ASCII');
      return decoded('utf-8', content);
    case DER_BMP_STRING:
      if (content.length % 2 !== 0)
        throw bad('a text of two-byte characters has an odd length');
      return decoded('utf-16be', content);
    default:
      throw bad(`a text has the unknown type ${tag}`);
  }
}

function decoded(encoding: 'utf-8' | 'utf-16be', content: Uint8Array): string {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(content);
  } catch {
    throw bad(`a text is not ${encoding}`);
  }
}

function bad(why: string): CodedError {
  return new CodedError('BadDer', `not a name as expected: ${why}`);
}

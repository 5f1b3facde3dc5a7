/**
 * Certificate revocation lists (RFC 5280 §5): whole ones only. A list that says by a critical
 * extension that it is a part of something is refused. Runs in a browser.
 */
import { CodedError, messageOf } from '../base/errors.ts';
import { sameBytes, toHex } from '../base/portable-bytes.ts';
import {
  bitStringBytes,
  DER_BIT_STRING,
  DER_GENERALIZED_TIME,
  DER_INTEGER,
  DER_SEQUENCE,
  DER_UTC_TIME,
  DerReader,
} from './der.ts';
import { readAlgorithm, readExtensions, timeOf } from './x509.ts';
import type { Signed } from './x509-signature.ts';

export interface RevocationList extends Signed {
  readonly der: Uint8Array;
  /** Name in DER. */
  readonly issuer: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Serial numbers as certificates have them: lowercase hexadecimal of their encoding. */
  readonly revoked: ReadonlySet<string>;
}

const EXTENSIONS_TAG = 0xa0;

/** Reads a revocation list in DER; throws `BadRevocationList`. */
export function parseRevocationList(der: Uint8Array): RevocationList {
  try {
    return read(der);
  } catch (thrown) {
    throw new CodedError(
      'BadRevocationList',
      `this revocation list cannot be read: ${messageOf(thrown)}`,
      {},
      { cause: thrown },
    );
  }
}

function read(der: Uint8Array): RevocationList {
  const outer = new DerReader(der);
  const parts = outer.enter();
  outer.end();
  const signed = parts.expect(DER_SEQUENCE);
  const algorithm = parts.expect(DER_SEQUENCE);
  const signature = bitStringBytes(parts.expect(DER_BIT_STRING).content);
  parts.end();

  const fields = new DerReader(signed.content);
  if (fields.peek() === DER_INTEGER) fields.next();
  if (!sameBytes(fields.next().whole, algorithm.whole)) {
    throw new CodedError('BadDer', 'its two signature algorithms differ');
  }
  const issuer = fields.expect(DER_SEQUENCE).whole;
  const thisUpdateMs = timeOf(fields.next());
  // Optional in the standard; a list that never ends cannot be told from an old one.
  if (!isTime(fields.peek())) throw new CodedError('BadDer', 'it does not say until when');
  const nextUpdateMs = timeOf(fields.next());
  const revoked = new Set<string>();
  if (fields.peek() === DER_SEQUENCE) {
    const entries = fields.enter();
    while (!entries.done) revoked.add(revokedSerial(entries.enter()));
  }
  if (fields.peek() === EXTENSIONS_TAG) refuseCritical(fields.next().content);
  fields.end();
  return {
    der,
    signedPart: signed.whole,
    ...readAlgorithm(algorithm),
    signature,
    issuer,
    thisUpdateMs,
    nextUpdateMs,
    revoked,
  };
}

function revokedSerial(entry: DerReader): string {
  const serial = toHex(entry.expect(DER_INTEGER).content);
  timeOf(entry.next());
  if (!entry.done) refuseCritical(entry.expect(DER_SEQUENCE).whole);
  entry.end();
  return serial;
}

function isTime(tag: number | undefined): boolean {
  return tag === DER_UTC_TIME || tag === DER_GENERALIZED_TIME;
}

function refuseCritical(extensions: Uint8Array): void {
  const critical = readExtensions(extensions).find((extension) => extension.critical);
  if (critical !== undefined) {
    throw new CodedError('BadDer', `it has the critical extension ${critical.oid}`);
  }
}

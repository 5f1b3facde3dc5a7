/**
 * PEM (RFC 7468 §2): bytes as a text with a label. What stands around the one item is refused.
 */
import { base64Of, bytesOfBase64 } from '../base/bytes.ts';

/** The text of some bytes, in lines of 64 characters. */
export function pemOf(label: string, der: Uint8Array): string {
  const lines = base64Of(der).replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

const ITEM =
  /^\s*-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]+)-----END ([A-Z0-9 ]{1,64})-----[\s\0]*$/;

/** The bytes of the one item of this label that a text holds; undefined if it holds another. */
export function bytesOfPem(label: string, pem: string): Uint8Array | undefined {
  const [, begin, body = '', end] = ITEM.exec(pem) ?? [];
  if (begin !== label || end !== label) return undefined;
  return bytesOfBase64(body.replace(/\s/g, ''));
}

/**
 * `Range` (RFC 9110 §14): one range of bytes, as http-api.md §10 has it. What cannot be served is
 * refused with 400, where the RFC would ignore it or answer 416.
 */

/** The bytes from `from` up to, but not including, `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** The range that a header asks for of a file of `size` bytes, or the sentence that refuses it. */
export function byteRangeOf(header: string, size: number): ByteRange | string {
  const equals = header.indexOf('=');
  if (equals === -1) return `Range header '${header}' is malformed: it must be bytes=<range>`;
  const unit = header.slice(0, equals).trim();
  if (unit !== 'bytes') return `Only 'bytes' is supported as a Range unit, not '${unit}'`;
  const text = header.slice(equals + 1).trim();
  if (text.includes(',')) return 'Multiple ranges are not supported';
  const match = /^(\d{0,15})-(\d{0,15})$/.exec(text);
  const [, first = '', last = ''] = match ?? [];
  if (match === null || first + last === '') {
    return `Range '${text}' is malformed: it must be <start>-<end>, <start>- or -<length>`;
  }
  if (first === '') return suffixOf(Number(last), size);
  const from = Number(first);
  if (from >= size) return `Start of range ${from} is larger than total file size ${size}`;
  const end = last === '' ? size - 1 : Number(last);
  if (end < from) return `End of range ${end} is before its start ${from}`;
  return { from, to: Math.min(end + 1, size) };
}

function suffixOf(length: number, size: number): ByteRange | string {
  if (length === 0) return 'Range -0 holds no bytes';
  return { from: Math.max(0, size - length), to: size };
}

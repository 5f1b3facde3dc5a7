/**
 * Several certificates in one text of PEM (RFC 7468 §5). Unlike `pem.ts` this runs in a browser.
 * Only white space, and the zero bytes some firmware pads with at the end, may stand around them.
 */
import { CodedError } from '../base/errors.ts';
import { fromBase64, toBase64 } from '../base/portable-bytes.ts';

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
/** Chains of three take about 6,000 characters; what is beyond this is none. */
const CHARACTERS_MAX = 65_536;

/** The certificates of a text in their order, in DER. Throws `BadPem`. */
export function certificatesOfPem(pem: string): readonly Uint8Array[] {
  if (pem.length > CHARACTERS_MAX) throw bad(`it is longer than ${CHARACTERS_MAX} characters`);
  const certificates: Uint8Array[] = [];
  let rest = withoutZeros(pem).trim();
  while (rest !== '') {
    const end = rest.indexOf(END);
    if (!rest.startsWith(BEGIN) || end < 0) {
      throw bad(
        `it has something else than certificates: ${JSON.stringify(rest.slice(0, 32))}`,
      );
    }
    const der = fromBase64(rest.slice(BEGIN.length, end).replace(/\s/g, ''));
    if (der === undefined || der.length === 0) {
      throw bad(`certificate ${certificates.length + 1} is not base64`);
    }
    certificates.push(der);
    rest = rest.slice(end + END.length).trimStart();
  }
  return certificates;
}

/** Without the zeros at its end; an expression would take the square of their number. */
function withoutZeros(text: string): string {
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === 0) end -= 1;
  return text.slice(0, end);
}

/** One certificate as PEM, in lines of 64 characters. */
export function certificatePem(der: Uint8Array): string {
  const lines = toBase64(der).replace(/.{64}(?=.)/g, '$&\n');
  return `${BEGIN}\n${lines}\n${END}\n`;
}

function bad(why: string): CodedError {
  return new CodedError('BadPem', `this text is not a chain of certificates: ${why}`);
}

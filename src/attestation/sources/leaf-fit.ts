/**
 * Whether a VCEK or VLEK is that of a report: its extensions name the chip and the TCB that its key
 * was derived for (attestation-snp.md §3). Firmware updates change that TCB, and hosts, caches and
 * services learn of it at different times, so the wrong certificate is an everyday thing.
 */
import { hexOf } from '../../base/bytes.ts';
import { isCoded, messageOf } from '../../base/errors.ts';
import {
  DER_BOOLEAN,
  DER_INTEGER,
  DER_OCTET_STRING,
  DER_OID,
  DerReader,
  oidText,
} from '../../crypto/der.ts';
import { parseCertificate, validAt } from '../../crypto/x509.ts';
import { type EndorsementNeed, securityVersions } from './report-lookup.ts';

const AMD = '1.3.6.1.4.1.3704.1';
const HARDWARE_ID = `${AMD}.4`;
const SPL: Readonly<Record<string, string>> = {
  blSPL: `${AMD}.3.1`,
  teeSPL: `${AMD}.3.2`,
  snpSPL: `${AMD}.3.3`,
  ucodeSPL: `${AMD}.3.8`,
  fmcSPL: `${AMD}.3.9`,
};
const EXTENSIONS_TAG = 0xa3;

/** Why a certificate (DER) is not the one that a report needs now, or undefined if it is. */
export function leafMisfit(
  der: Uint8Array,
  need: EndorsementNeed,
  nowMs: number,
): string | undefined {
  try {
    const certificate = parseCertificate(der);
    if (!validAt(certificate, nowMs)) return 'it has expired, or is not valid yet';
    const extensions = extensionsOf(certificate.signedPart);
    for (const [name, wanted] of securityVersions(need)) {
      const given = numberIn(extensions.get(SPL[name] ?? ''));
      if (given !== wanted) {
        const its = given ?? 'missing';
        return `it is for another TCB: its ${name} is ${its}, the report's ${wanted}`;
      }
    }
    if (need.signer === 'VLEK') return undefined;
    const chip = hexOf(extensions.get(HARDWARE_ID) ?? new Uint8Array(0));
    return chip === need.chipId ? undefined : `it is for another chip: ${chip}`;
  } catch (thrown) {
    if (isCoded(thrown)) return messageOf(thrown);
    throw thrown;
  }
}

/** Contents of a certificate's extensions by object identifier. */
function extensionsOf(signedPart: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const fields = new DerReader(signedPart).enter();
  while (!fields.done) {
    const item = fields.next();
    if (item.tag !== EXTENSIONS_TAG) continue;
    const list = new DerReader(item.content).enter();
    while (!list.done) {
      const extension = list.enter();
      const oid = oidText(extension.expect(DER_OID).content);
      if (extension.peek() === DER_BOOLEAN) extension.next();
      found.set(oid, extension.expect(DER_OCTET_STRING).content);
    }
  }
  return found;
}

function numberIn(der: Uint8Array | undefined): number | undefined {
  if (der === undefined) return undefined;
  const { content } = new DerReader(der).expect(DER_INTEGER);
  return content.reduce((value, byte) => value * 256 + byte, 0);
}

/**
 * Judges a report by the certificate of the key that signed it (attestation-snp.md §4): signature,
 * kind of key, product, TCB and chip. For a fake to pass, its maker must hold a key that AMD
 * endorsed for exactly this chip and firmware.
 */
import { isCoded } from '../base/errors.ts';
import { sameBytes, toHex } from '../base/portable-bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { Certificate } from '../crypto/x509.ts';
import type { CheckList } from './check-list.ts';
import { refusal } from './refusals.ts';
import type { ChainNames } from './snp-certificates.ts';
import { type LeafFacts, readLeaf } from './snp-leaf.ts';
import { namesProduct } from './snp-product.ts';
import type { SnpReport } from './snp-report.ts';
import { parseTcb, sameTcb, tcbText } from './snp-tcb.ts';

/** Where a report comes from, as far as its chain says; judged elsewhere. */
export interface ReportOrigin {
  readonly leaf: Certificate;
  readonly names?: ChainNames;
}

const SIGNATURE = 'report signature';
const SIGNING_KEY = 'signing key';
const EXTENSIONS = 'certificate extensions';
const PRODUCT = 'certificate product';
const TCB_FORM = 'TCB form';
const CERTIFICATE_TCB = 'certificate TCB';
const CHIP_ID = 'chip id';

export const LEAF_CHECKS = [
  SIGNATURE,
  SIGNING_KEY,
  EXTENSIONS,
  PRODUCT,
  TCB_FORM,
  CERTIFICATE_TCB,
  CHIP_ID,
] as const;

/** Answers what the certificate says, if it says anything. */
export async function judgeReportByLeaf(
  list: CheckList,
  report: SnpReport,
  origin: ReportOrigin | undefined,
  verifier: Verifier,
): Promise<LeafFacts | undefined> {
  if (origin === undefined) list.skip(SIGNATURE, 'there is no chain to look at');
  else await judgeSignature(list, report, origin.leaf, verifier);
  judgeSigningKey(list, report, origin?.names);
  const { names, leaf } = origin ?? {};
  if (names === undefined || leaf === undefined) {
    const rest = [EXTENSIONS, PRODUCT, TCB_FORM, CERTIFICATE_TCB, CHIP_ID];
    for (const name of rest) list.skip(name, "the chain is not one of AMD's");
    return undefined;
  }
  const reading = "AMD's extensions of the certificate can be read";
  const facts = list.read(EXTENSIONS, reading, () => readLeaf(leaf, names.kind));
  judgeProduct(list, report, facts, names);
  judgeTcb(list, report, facts, names);
  judgeChipId(list, report, facts, names);
  return facts;
}

async function judgeSignature(
  list: CheckList,
  report: SnpReport,
  leaf: Certificate,
  verifier: Verifier,
): Promise<void> {
  const good = await signedBy(report, leaf.publicKeyDer, verifier);
  list.expect(
    SIGNATURE,
    good,
    'the key of the certificate signed the report',
    refusal('ReportSignature'),
  );
}

async function signedBy(
  { signature, signedPart }: SnpReport,
  publicKeyDer: Uint8Array,
  verifier: Verifier,
): Promise<boolean> {
  try {
    return await verifier.ecdsa({
      publicKeyDer,
      signature,
      encoding: 'raw',
      hash: 'SHA-384',
      message: signedPart,
    });
  } catch (thrown) {
    if (isCoded(thrown, 'BadKey')) return false;
    throw thrown;
  }
}

function judgeSigningKey(
  list: CheckList,
  { signingKey }: SnpReport,
  names: ChainNames | undefined,
): void {
  if (signingKey !== 'none' && names === undefined) {
    list.skip(SIGNING_KEY, "the chain is not one of AMD's");
    return;
  }
  list.expect(
    SIGNING_KEY,
    signingKey === names?.kind,
    'the report names the kind of key that its certificate is for',
    refusal(signingKey === 'none' ? 'SigningKeyNone' : 'SigningKeyMismatch'),
    { report: signingKey, certificate: names?.kind ?? 'unknown' },
  );
}

function judgeProduct(
  list: CheckList,
  report: SnpReport,
  facts: LeafFacts | undefined,
  names: ChainNames,
): void {
  if (facts === undefined) {
    list.skip(PRODUCT, 'the certificate does not say');
    return;
  }
  const product = report.processor?.product ?? names.product;
  const form = product === 'Turin' ? 1 : 0;
  list.expect(
    PRODUCT,
    product === names.product &&
      namesProduct(facts.productName, product) &&
      facts.structVersion === form,
    "the certificate is for the report's product",
    refusal('ProductNameMismatch'),
    {
      report: product,
      issuer: names.product,
      certificate: facts.productName,
      form: String(facts.structVersion),
    },
  );
}

function judgeTcb(
  list: CheckList,
  report: SnpReport,
  facts: LeafFacts | undefined,
  names: ChainNames,
): void {
  const product = report.processor?.product ?? names.product;
  const reported = list.read(TCB_FORM, `the TCBs are of ${product}'s form`, () => {
    for (const raw of [report.currentTcb, report.committedTcb, report.launchTcb]) {
      parseTcb(raw, product);
    }
    return parseTcb(report.reportedTcb, product);
  });
  if (reported === undefined || facts === undefined) {
    list.skip(CERTIFICATE_TCB, 'there are no two TCBs to compare');
    return;
  }
  list.expect(
    CERTIFICATE_TCB,
    sameTcb(reported, facts.tcb),
    'the certificate is for the TCB that the report says',
    refusal('TcbMismatch'),
    { report: tcbText(reported), certificate: tcbText(facts.tcb) },
  );
}

/** Of a chip's key only: a cloud's key is of all its chips, and its reports may hide the id. */
function judgeChipId(
  list: CheckList,
  { chipId }: SnpReport,
  facts: LeafFacts | undefined,
  names: ChainNames,
): void {
  if (names.kind === 'VLEK') {
    list.skip(CHIP_ID, "a cloud's key is of no single chip");
    return;
  }
  const values = { report: toHex(chipId), certificate: toHex(facts?.chipId ?? NOTHING) };
  if (chipId.every((byte) => byte === 0)) {
    list.fail(CHIP_ID, refusal('ChipIdMissing'), values);
    return;
  }
  if (facts?.chipId === undefined) {
    list.skip(CHIP_ID, 'the certificate does not say', values);
    return;
  }
  // Turin's ids have eight bytes, and zeros behind them in the report.
  const size = names.product === 'Turin' ? 8 : 64;
  const padded = new Uint8Array(64);
  padded.set(facts.chipId.subarray(0, size));
  list.expect(
    CHIP_ID,
    facts.chipId.length === size && sameBytes(chipId, padded),
    'the certificate is for the chip that the report says',
    refusal('ChipIdMismatch'),
    values,
  );
}

const NOTHING = new Uint8Array(0);

// Thousands of spoilt inputs for each decoder, from seeds: every one is read or refused by a coded
// error, at once; and no evidence is accepted that differs in a byte somebody signed.

import { expect, test } from 'vitest';
import { issuerFault } from '../../src/attestation/did-x509.ts';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { readChain } from '../../src/attestation/snp-certificates.ts';
import { readLeaf } from '../../src/attestation/snp-leaf.ts';
import { parseReport } from '../../src/attestation/snp-report.ts';
import { readUvmEndorsement } from '../../src/attestation/uvm-endorsements.ts';
import { readVirtualEvidence } from '../../src/attestation/virtual.ts';
import { isCoded } from '../../src/base/errors.ts';
import { toBase64, toUtf8 } from '../../src/base/portable-bytes.ts';
import { decodeSign1 } from '../../src/crypto/cose.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { parseCertificate } from '../../src/crypto/x509.ts';
import { parseRevocationList } from '../../src/crypto/x509-crl.ts';
import { extendedKeyUsages, mayBeUsedFor } from '../../src/crypto/x509-extensions.ts';
import { commonName } from '../../src/crypto/x509-names.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { pemOf } from './fake-certificates.ts';
import { MEASUREMENT, signedReport, snpEvidence } from './fake-pki.ts';
import { uvmAuthorities, uvmEndorsement } from './fake-uvm.ts';
import { CAREFUL, judged } from './judged.ts';
import { mutated } from './mutations.ts';
import { CHIP, MILAN } from './refusal-case.ts';
import { accepting } from './uvm-refusals.ts';

const CASES = 2000;
const WHOLE_CASES = 250;
const SLOWEST_MS = 1000;

const report = signedReport(CHIP);
const reportV5 = signedReport(CHIP, { version: 5 });
const uvm = uvmEndorsement({ measurement: MEASUREMENT });
const statement = uvmEndorsement({ measurement: MEASUREMENT, form: 'statement' });
const { did, chain: uvmChain } = uvmAuthorities();
const [uvmLeaf = new Uint8Array(0)] = uvmChain;
const virtual = '{"host_data":"00","measurement":"m","report_data":"AA=="}';

/** Everything that is asked of a certificate before it is trusted. */
function readAll(der: Uint8Array): void {
  const certificate = parseCertificate(der);
  mayBeUsedFor(certificate, 'keyCertSign');
  commonName(certificate.subject);
  extendedKeyUsages(certificate);
  readLeaf(certificate, 'VCEK');
}

const text = (bytes: Uint8Array): string => new TextDecoder('latin1').decode(bytes);
const virtualOf = (bytes: Uint8Array): Evidence => ({
  format: 'Insecure_Virtual',
  quote: toBase64(bytes),
  endorsements: '',
});

const DECODERS: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => unknown])[] = [
  ['report of version 3', report, parseReport],
  ['report of version 5', reportV5, parseReport],
  ["chip's certificate", CHIP.certificate, readAll],
  ["root's certificate", MILAN.ark.certificate, readAll],
  ["certificate of the utility VM's maker", uvmLeaf, readAll],
  ['revocation list', MILAN.crl({ revoked: [1, 2, 3] }), parseRevocationList],
  ['chain in PEM', toUtf8(CHIP.chain), (bytes) => readChain(text(bytes))],
  ['endorsements in JSON', uvm, readUvmEndorsement],
  ['transparent statement', statement, readUvmEndorsement],
  ['virtual statement', toUtf8(virtual), (bytes) => readVirtualEvidence(virtualOf(bytes))],
];

test.each(DECODERS)('decoder of a %s', (name, good, decode) => {
  const random = new SeededRandom(name.length);
  for (let i = 0; i < CASES; i += 1) {
    const bytes = mutated(good, random);
    const from = performance.now();
    try {
      decode(bytes);
    } catch (thrown) {
      expect(isCoded(thrown), `case ${i} of seed ${random.seed}: ${String(thrown)}`).toBe(true);
    }
    expect(performance.now() - from, `case ${i} of seed ${random.seed}`).toBeLessThan(
      SLOWEST_MS,
    );
  }
});

test('the name of an issuer names nobody else when it is spoilt', async () => {
  const random = new SeededRandom(509);
  const chain = uvmChain.map(parseCertificate);
  const [head = ''] = did.split('::');
  for (let i = 0; i < CASES; i += 1) {
    const name = text(mutated(toUtf8(did), random));
    const fault = await issuerFault(name, chain, nodeVerifier);
    // What comes behind the fingerprint may be said twice, as in `…::eku:1.2::eku:1.2`.
    expect(fault !== undefined || name.startsWith(`${head}::`), name).toBe(true);
  }
});

/** Evidence with one part spoilt, and whether a signature would have to notice. */
type Spoil = (random: SeededRandom) => {
  readonly evidence: Evidence;
  readonly signed: boolean;
};

const certificates = [CHIP.certificate, MILAN.ask.certificate, MILAN.ark.certificate];

const SPOILS: readonly (readonly [string, Spoil])[] = [
  [
    'a signed byte of the report',
    (random) => {
      const spoilt = report.slice();
      const at = random.below(0x2a0);
      spoilt[at] = (spoilt[at] ?? 0) ^ (1 + random.below(255));
      return { evidence: snpEvidence(spoilt, CHIP.chain, { uvm }), signed: true };
    },
  ],
  [
    'the report anywhere',
    (random) => {
      const spoilt = mutated(report, random);
      return { evidence: snpEvidence(spoilt, CHIP.chain, { uvm }), signed: true };
    },
  ],
  [
    'a certificate of the chain',
    (random) => {
      const which = random.below(3);
      const spoilt = certificates.map((der, at) => (at === which ? mutated(der, random) : der));
      return { evidence: snpEvidence(report, pemOf(...spoilt), { uvm }), signed: true };
    },
  ],
  ...[uvm, statement].map((good, at): readonly [string, Spoil] => [
    at === 0 ? 'endorsements in JSON' : 'a transparent statement',
    (random) => {
      const spoilt = mutated(good, random);
      const evidence = snpEvidence(report, CHIP.chain, { uvm: spoilt });
      return { evidence, signed: signedPart(spoilt) !== signedPart(good) };
    },
  ]),
];

/** What a COSE signature covers, and itself; the rest of a message is anybody's. */
function signedPart(bytes: Uint8Array): string {
  try {
    const { protectedBytes, payload, signature } = decodeSign1(bytes, { moments: true });
    return [protectedBytes, payload ?? [], signature].map(String).join();
  } catch {
    return 'unreadable';
  }
}

test.each(SPOILS)('whole evidence with %s spoilt', async (name, spoil) => {
  const judging = { ...accepting(did), crls: [MILAN.crl()] };
  const good = await judged(snpEvidence(report, CHIP.chain, { uvm }), judging);
  expect(good.accepted).toBe(true);
  const random = new SeededRandom(name.length);
  for (let i = 0; i < WHOLE_CASES; i += 1) {
    const { evidence, signed } = spoil(random);
    const verdict = await judged(evidence, judging);
    expect(verdict.accepted && signed, `case ${i} of seed ${random.seed}`).toBe(false);
    if (!verdict.accepted) expect(verdict.refusal?.code).toMatch(/^[A-Z][A-Za-z]+$/);
  }
});

test('evidence of any shape is refused, not tripped over', async () => {
  const values: readonly unknown[] = [null, 7, '', 'AA', [], {}, 'x'.repeat(99_999), undefined];
  const formats = ['AMD_SEV_SNP_v1', 'Concordat_Azure_CVM_v1', 'Insecure_Virtual', 'other', 7];
  const names = ['quote', 'endorsements', 'uvm_endorsements', 'endorsed_tcb'];
  const whole = {
    platforms: { snp: CAREFUL, 'azure-cvm': { report: CAREFUL }, virtual: {} },
  };
  const good = snpEvidence(report, CHIP.chain, { uvm });
  for (const format of formats) {
    for (const name of names) {
      for (const value of values) {
        if (value === undefined && name !== 'quote' && name !== 'endorsements') continue;
        const shape = { ...good, format, [name]: value };
        const verdict = await judged(shape as Evidence, { whole });
        expect(verdict.accepted, `${String(format)} ${name} ${String(value)}`).toBe(false);
      }
    }
  }
  for (const value of values) {
    expect((await judged(value as Evidence, { whole })).accepted).toBe(false);
  }
});

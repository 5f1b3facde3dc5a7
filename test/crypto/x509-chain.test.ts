// Certificates and revocation lists of others, read beside Node's own reader of them.

import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { certificatePem, certificatesOfPem } from '../../src/crypto/pem-certificates.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import { parseCertificate } from '../../src/crypto/x509.ts';
import { parseRevocationList } from '../../src/crypto/x509-crl.ts';
import {
  extendedKeyUsages,
  mayBeUsedFor,
  pathLengthMax,
  unknownCritical,
} from '../../src/crypto/x509-extensions.ts';
import { commonName, readName } from '../../src/crypto/x509-names.ts';
import { isSignedBy, signatureAlgorithmOf } from '../../src/crypto/x509-signature.ts';
import * as der from '../attestation/der-writer.ts';
import {
  AT_MS,
  type ExtensionSpec,
  ecKeys,
  makeCertificate,
  makeRevocationList,
  rsaKeys,
  type SigningScheme,
  spkiOf,
  UNTIL_MS,
} from '../attestation/fake-certificates.ts';

const rsa = rsaKeys();
const ec = ecKeys();
const other = { rsa: rsaKeys(), ec: ecKeys() };

const certificateBy = (
  scheme: SigningScheme,
  extensions: readonly ExtensionSpec[] = [],
): Uint8Array => {
  const { privateKey, publicKey } = scheme.scheme === 'ecdsa' ? ec : rsa;
  return makeCertificate({
    subject: 'subject',
    issuer: 'issuer',
    signer: privateKey,
    publicKey,
    serial: 0x0100ff,
    scheme,
    extensions,
  });
};

const SCHEMES: readonly SigningScheme[] = ([256, 384, 512] as const).flatMap((hash) => [
  { scheme: 'pkcs1', hash },
  { scheme: 'ecdsa', hash },
  { scheme: 'pss', hash, salt: hash / 8 },
  { scheme: 'pss', hash, salt: 20 },
]);

describe.each(SCHEMES)('a certificate signed by %o', (scheme) => {
  const bytes = certificateBy(scheme);
  const certificate = parseCertificate(bytes);
  const judge = new X509Certificate(bytes);
  const [own, foreign] =
    scheme.scheme === 'ecdsa' ? [ec, other.ec] : ([rsa, other.rsa] as const);

  test('names its algorithm', () => {
    const { scheme: name, hash } = signatureAlgorithmOf(certificate) ?? {};
    const expected = scheme.scheme === 'ecdsa' ? 'ecdsa' : `rsa-${scheme.scheme}`;
    expect([name, hash]).toEqual([expected, `SHA-${scheme.hash}`]);
  });

  test.each([
    ['Node', nodeVerifier],
    ['a browser', webVerifier],
  ])('is by one key and no other, says %s', async (_name, verifier) => {
    expect(judge.verify(own.publicKey)).toBe(true);
    expect(await isSignedBy(certificate, spkiOf(own.publicKey), verifier)).toBe(true);
    expect(judge.verify(foreign.publicKey)).toBe(false);
    expect(await isSignedBy(certificate, spkiOf(foreign.publicKey), verifier)).toBe(false);
  });

  test('is not by a key of another kind, nor by what is no key', async () => {
    const wrong = scheme.scheme === 'ecdsa' ? rsa : ec;
    expect(await isSignedBy(certificate, spkiOf(wrong.publicKey), nodeVerifier)).toBe(false);
    expect(await isSignedBy(certificate, Uint8Array.of(1), nodeVerifier)).toBe(false);
  });

  test('reads as Node reads it', () => {
    expect(BigInt(`0x${certificate.serial}`)).toBe(BigInt(`0x${judge.serialNumber}`));
    expect(judge.subject.split('\n')).toContain(`CN=${commonName(certificate.subject)}`);
    expect(judge.validToDate.getTime()).toBe(certificate.notAfterMs);
  });
});

describe('parameters of RSASSA-PSS that are not AMD-like', () => {
  const with_ = (...parts: readonly Uint8Array[]) => ({
    ...parseCertificate(certificateBy({ scheme: 'pss', hash: 384, salt: 48 })),
    signatureParameters: der.sequence(...parts),
  });
  const sha = (n: number): Uint8Array => der.sequence(der.oid(`2.16.840.1.101.3.4.2.${n}`));
  const mgf = (id: string, n: number): Uint8Array =>
    der.explicit(1, der.sequence(der.oid(id), sha(n)));
  const MGF1 = '1.2.840.113549.1.1.8';
  const good = [der.explicit(0, sha(2)), mgf(MGF1, 2), der.explicit(2, der.integer(48))];

  test('the usual ones are read, with the default trailer written out too', () => {
    const expected = { scheme: 'rsa-pss', hash: 'SHA-384', saltLength: 48 };
    expect(signatureAlgorithmOf(with_(...good))).toEqual(expected);
    expect(signatureAlgorithmOf(with_(...good, der.explicit(3, der.integer(1))))).toEqual(
      expected,
    );
  });

  test.each([
    ['none: SHA-1 by default', []],
    ['another hash in the mask', [good[0], mgf(MGF1, 1), good[2]]],
    ['another mask', [good[0], mgf('1.2.3', 2), good[2]]],
    ['an unknown hash', [der.explicit(0, sha(9)), mgf(MGF1, 9), good[2]]],
    ['another trailer', [...good, der.explicit(3, der.integer(2))]],
    ['something behind them', [...good, der.nothing]],
    ['no salt', [good[0], good[1]]],
  ])('%s', (_how, parts) => {
    const present = parts.filter((part) => part !== undefined);
    expect(signatureAlgorithmOf(with_(...present))).toBeUndefined();
  });

  test('RSA of the older kind without its NULL, and ECDSA with one', () => {
    const { signatureParameters: _none, ...rsaOne } = parseCertificate(
      certificateBy({ scheme: 'pkcs1', hash: 256 }),
    );
    expect(signatureAlgorithmOf(rsaOne)).toBeUndefined();
    const ecOne = parseCertificate(certificateBy({ scheme: 'ecdsa', hash: 256 }));
    const withNull = { ...ecOne, signatureParameters: der.nothing };
    expect(signatureAlgorithmOf(withNull)).toBeUndefined();
  });
});

describe('extensions', () => {
  const having = (...extensions: readonly ExtensionSpec[]) =>
    parseCertificate(certificateBy({ scheme: 'ecdsa', hash: 256 }, extensions));
  const usage = (...bytes: readonly number[]): ExtensionSpec => ({
    oid: '2.5.29.15',
    critical: true,
    value: Uint8Array.from(bytes),
  });

  test('key usage: absent allows all, a list what it lists, nonsense nothing', () => {
    expect(mayBeUsedFor(having(), 'crlSign')).toBe(true);
    const both = having(usage(3, 2, 1, 0b0000_0110));
    expect(mayBeUsedFor(both, 'keyCertSign')).toBe(true);
    expect(mayBeUsedFor(both, 'crlSign')).toBe(true);
    expect(mayBeUsedFor(both, 'digitalSignature')).toBe(false);
    expect(mayBeUsedFor(having(usage(9)), 'keyCertSign')).toBe(false);
  });

  test('basic constraints, extended usages, critical ones', () => {
    const certificate = having(
      { oid: '2.5.29.19', critical: true, value: der.sequence(der.truth, der.integer(3)) },
      {
        oid: '2.5.29.37',
        value: der.sequence(der.oid('1.2.3'), der.oid('1.3.6.1.4.1.311.76')),
      },
      { oid: '1.2.3.4', critical: true, value: der.nothing },
    );
    expect(certificate.isAuthority).toBe(true);
    expect(pathLengthMax(certificate)).toBe(3);
    expect(extendedKeyUsages(certificate)).toEqual(['1.2.3', '1.3.6.1.4.1.311.76']);
    expect(unknownCritical(certificate, ['2.5.29.19'])).toEqual(['1.2.3.4']);
  });
});

describe('revocation lists', () => {
  const list = makeRevocationList({
    issuer: 'issuer',
    signer: rsa.privateKey,
    revoked: [1, 0x80, 0x0100ff],
    thisUpdateMs: AT_MS,
  });

  test('are read, and name serial numbers as certificates do', async () => {
    const read = parseRevocationList(list);
    expect(read).toMatchObject({ thisUpdateMs: AT_MS, nextUpdateMs: UNTIL_MS });
    expect([...read.revoked]).toEqual(['01', '0080', '0100ff']);
    const { serial } = parseCertificate(certificateBy({ scheme: 'pkcs1', hash: 256 }));
    expect(read.revoked.has(serial)).toBe(true);
    expect(await isSignedBy(read, spkiOf(rsa.publicKey), nodeVerifier)).toBe(true);
    expect(await isSignedBy(read, spkiOf(other.rsa.publicKey), nodeVerifier)).toBe(false);
  });

  test('that revoke nothing are read too', () => {
    const empty = makeRevocationList({ issuer: 'issuer', signer: rsa.privateKey });
    expect(parseRevocationList(empty).revoked.size).toBe(0);
  });

  test('a certificate is none', () => {
    const certificate = certificateBy({ scheme: 'pkcs1', hash: 256 });
    expect(() => parseRevocationList(certificate)).toThrow(/revocation list cannot be read/);
  });
});

describe('names', () => {
  const named = (...texts: readonly Uint8Array[]): Uint8Array =>
    der.sequence(...texts.map((text) => der.set(der.sequence(der.oid('2.5.4.3'), text))));

  test.each([
    ['UTF-8', der.utf8String('Zoë'), 'Zoë'],
    ['printable', der.item(0x13, Uint8Array.of(0x41)), 'A'],
    ['two bytes each', der.item(0x1e, Uint8Array.of(0, 0x41, 0x20, 0xac)), 'A€'],
  ])('%s', (_kind, text, expected) => {
    expect(commonName(named(text))).toBe(expected);
  });

  test.each([
    ['bytes beyond ASCII in a printable text', der.item(0x13, Uint8Array.of(0xe9))],
    ['half a character', der.item(0x1e, Uint8Array.of(0))],
    ['bytes that are no UTF-8', der.item(0x0c, Uint8Array.of(0xff))],
    ['a number', der.integer(1)],
  ])('%s is no name', (_how, text) => {
    expect(() => readName(named(text))).toThrow(/not a name/);
  });

  test('two common names are none: nobody could say which is meant', () => {
    expect(commonName(named(der.utf8String('a'), der.utf8String('b')))).toBeUndefined();
  });
});

describe('chains in PEM', () => {
  const one = certificateBy({ scheme: 'ecdsa', hash: 256 });

  test('are taken apart as they were put together, whatever white space is between', () => {
    const windows = certificatePem(one).replaceAll('\n', '\r\n');
    const pem = ` \r\n${certificatePem(one)}\n\n${windows}\0\0`;
    expect(certificatesOfPem(pem)).toEqual([one, one]);
    expect(certificatesOfPem('')).toEqual([]);
  });

  test.each([
    ['a private key', certificatePem(one).replaceAll('CERTIFICATE', 'PRIVATE KEY')],
    ['words before', `words ${certificatePem(one)}`],
    ['an end without a beginning', '-----END CERTIFICATE-----'],
    ['nothing inside', '-----BEGIN CERTIFICATE----------END CERTIFICATE-----'],
    ['zeros between', `${certificatePem(one)}\0${certificatePem(one)}`],
    ['too much', 'x'.repeat(70_000)],
  ])('%s is refused', (_how, pem) => {
    expect(() => certificatesOfPem(pem)).toThrow(/not a chain of certificates/);
  });

  test('many zeros that are not at the end take no time', () => {
    const from = performance.now();
    expect(() => certificatesOfPem(`${'\0'.repeat(65_000)}x`)).toThrow();
    expect(performance.now() - from).toBeLessThan(500);
  });
});

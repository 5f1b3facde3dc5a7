// Stand-in keys look real to every parser of the product, and are the same from the same seed.

import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import {
  certificateExpiryMs,
  certificatePublicKeyDer,
  publicKeyPemOf,
} from '../../src/crypto/certificates.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import { certificateOfPem, endorsementFault, validAt } from '../../src/crypto/x509.ts';
import { Chance } from './chance.ts';
import { realKeys } from './real-keys.ts';
import { standInKeys } from './stand-in-keys.ts';

const FROM_MS = Date.UTC(2040, 0, 1);
const VALIDITY = { fromMs: FROM_MS, days: 10 };

const standIns = (seed = 1): KeySource => standInKeys({ random: new Chance(seed) });
const SOURCES = [
  ['stand-in', standIns()],
  ['real', realKeys((work) => work)],
] as const;

test.each(SOURCES)('%s keys endorse a node as the product reads it', async (_name, keys) => {
  const service = keys.generateSigningKey('P-384');
  const node = keys.generateSigningKey('P-256');
  const servicePem = await keys.serviceCertificate(service, 'CN=Service', VALIDITY);
  const issuer = { key: service, certificatePem: servicePem };
  const hosts = ['127.0.0.1', 'localhost'];
  const nodePem = await keys.endorsedCertificate(
    node.publicKeyDer,
    'CN=Node',
    hosts,
    VALIDITY,
    issuer,
  );
  const [authority, endorsed] = [certificateOfPem(servicePem), certificateOfPem(nodePem)];

  expect(Buffer.from(certificatePublicKeyDer(nodePem))).toEqual(Buffer.from(node.publicKeyDer));
  expect(publicKeyPemOf(node.publicKeyDer)).toContain('PUBLIC KEY');
  expect(certificateExpiryMs(nodePem)).toBeGreaterThan(FROM_MS + 9 * 86_400_000);
  expect(validAt(endorsed, FROM_MS + 1)).toBe(true);
  expect(validAt(endorsed, FROM_MS - 1)).toBe(false);
  expect(new X509Certificate(nodePem).subjectAltName).toContain('localhost');
  expect(new x509.X509Certificate(nodePem).subject).toBe('CN=Node');
  expect(await endorsementFault(endorsed, authority, keys.verifier)).toBeUndefined();
  expect(await endorsementFault(endorsed, endorsed, keys.verifier)).toMatch('issuer');
  const request = await keys.certificateRequest(node, 'CN=Node', hosts);
  expect(new x509.Pkcs10CertificateRequest(request).subject).toBe('CN=Node');
});

test.each(SOURCES)('%s keys sign what they are given and nothing else', async (_name, keys) => {
  for (const curve of ['P-256', 'P-384'] as const) {
    const key = keys.openSigningKey(keys.generateSigningKey(curve).pkcs8());
    const { publicKeyDer } = key;
    const hash = curve === 'P-256' ? 'SHA-256' : 'SHA-384';
    const signature = await key.sign(utf8('said'));
    const check = { publicKeyDer, signature, encoding: 'raw', hash } as const;
    expect(await keys.verifier.ecdsa({ ...check, message: utf8('said') })).toBe(true);
    expect(await keys.verifier.ecdsa({ ...check, message: utf8('unsaid') })).toBe(false);
    const root = key.signSha256Der(utf8('children'));
    const over = { publicKeyDer, signature: root, encoding: 'der' } as const;
    const good = { ...over, digest: sha256(utf8('children')) };
    expect(await keys.verifier.ecdsaDigest(good)).toBe(true);
    expect(await keys.verifier.ecdsaDigest({ ...good, digest: sha256(utf8('others')) })).toBe(
      false,
    );
  }
});

test.each(SOURCES)('%s keys unwrap what was wrapped to them', (_name, keys) => {
  const key = keys.openUnwrappingKey(keys.generateUnwrappingKey().pkcs8());
  const other = keys.generateUnwrappingKey();
  const wrapped = keys.wrapTo(key.publicKeyPem, utf8('a secret'));
  expect(Buffer.from(key.unwrap(wrapped)).toString()).toBe('a secret');
  expect(() => other.unwrap(wrapped)).toThrow();
});

test('stand-ins are the same from the same seed, and others from another', async () => {
  const made = async (seed: number): Promise<string> => {
    const keys = standIns(seed);
    const key = keys.generateSigningKey('P-256');
    return await keys.selfSignedCertificate(key, 'CN=Node', VALIDITY);
  };
  expect(await made(1)).toBe(await made(1));
  expect(await made(2)).not.toBe(await made(1));
});

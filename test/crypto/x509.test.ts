// The certificate reader agrees with Node's own on real certificates, and refuses liberties.

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import {
  certificateOfPem,
  endorsementFault,
  parseCertificate,
  validAt,
} from '../../src/crypto/x509.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import { REFERENCE_SECRETS, toHex } from '../support/ledger-vectors.ts';

const service = certificateOfPem(REFERENCE_SECRETS.service_certificate);
const node = certificateOfPem(REFERENCE_SECRETS.node_certificate);

function agreesWithNode(pem: string): void {
  const ours = certificateOfPem(pem);
  const theirs = new X509Certificate(pem);
  const key = theirs.publicKey.export({ type: 'spki', format: 'der' });
  expect(toHex(ours.publicKeyDer)).toBe(toHex(key));
  expect(ours.notBeforeMs).toBe(theirs.validFromDate.getTime());
  expect(ours.notAfterMs).toBe(theirs.validToDate.getTime());
  expect(ours.isAuthority).toBe(theirs.ca);
  expect(toHex(ours.der)).toBe(toHex(theirs.raw));
}

test('fields are those that Node reads', () => {
  agreesWithNode(REFERENCE_SECRETS.service_certificate);
  agreesWithNode(REFERENCE_SECRETS.node_certificate);
});

testWithVectors('fields of real certificates are those that Node reads', () => {
  const folder = join(vectorsFolder() ?? '', 'ccf');
  for (const name of ['service_cert', 'member0_cert', 'user0_cert']) {
    agreesWithNode(readFileSync(join(folder, `${name}.pem`), 'utf8'));
  }
});

test('the service endorsed its node and itself; the node endorsed nobody', async () => {
  expect(await endorsementFault(node, service, nodeVerifier)).toBeUndefined();
  expect(await endorsementFault(service, service, nodeVerifier)).toBeUndefined();
  expect(await endorsementFault(service, node, nodeVerifier)).toMatch(/issuer/);
  const self = { ...node, issuer: node.subject };
  expect(await endorsementFault(self, node, nodeVerifier)).toMatch(/no certificate authority/);
});

test('an endorsement breaks with any byte of what was signed', async () => {
  const changed = Uint8Array.from(node.signedPart);
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
  const fault = await endorsementFault({ ...node, signedPart: changed }, service, nodeVerifier);
  expect(fault).toMatch(/signature is not by the key/);
  const weak = { ...node, signatureAlgorithm: '1.2.840.10045.4.1' };
  expect(await endorsementFault(weak, service, nodeVerifier)).toMatch(/not ECDSA with SHA-2/);
});

test('validity includes both ends and nothing beyond', () => {
  expect(validAt(node, node.notBeforeMs)).toBe(true);
  expect(validAt(node, node.notAfterMs)).toBe(true);
  expect(validAt(node, node.notBeforeMs - 1)).toBe(false);
  expect(validAt(node, node.notAfterMs + 1)).toBe(false);
});

test('a certificate cut at any byte, or followed by one, is refused', () => {
  for (let length = 0; length < node.der.length; length += 1) {
    expect(() => parseCertificate(node.der.subarray(0, length))).toThrow(/cannot be read/);
  }
  expect(() => parseCertificate(Buffer.concat([node.der, Buffer.of(0)]))).toThrow(/trails/);
});

test.each([
  ['empty', ''],
  ['two certificates', REFERENCE_SECRETS.node_certificate.repeat(2)],
  ['a key', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n'],
  ['not base64', REFERENCE_SECRETS.node_certificate.replace('MII', 'M*I')],
])('PEM text that is %s is refused', (_, pem) => {
  expect(() => certificateOfPem(pem)).toThrow(/cannot be read/);
});

// Paravisor reports: real ones are read field by field, and each field that is off is refused.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readHclReport } from '../../../src/attestation/hcl-report.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { pemOf } from '../../../src/crypto/pem.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { Paravisor } from './paravisor.ts';

const REAL: readonly (readonly [name: string, version: number])[] = [
  ['azcvm-genoa-v3-trustee', 2],
  ['azcvm-milan-v2-trustee', 1],
  ['azcvm-milan-v3-cleanroom-sign', 1],
  ['azcvm-milan-v3-trustee-e0', 1],
];

for (const [name, version] of REAL) {
  testWithVectors(`the real report ${name} reads as others read it`, () => {
    const file = (part: string): Buffer =>
      readFileSync(`${vectorsFolder()}/snp/${name}/${part}`);
    const hcl = readHclReport(file('hcl-report.bin'));
    expect(hcl.version).toBe(version);
    expect(Buffer.compare(hcl.report, file('report.bin'))).toBe(0);
    expect(Buffer.compare(hcl.runtimeData, file('runtime-data.json'))).toBe(0);
    expect(pemOf('PUBLIC KEY', hcl.attestationKey).trim()).toBe(
      file('hcl-akpub.pem').toString().trim(),
    );
    const digest = createHash('sha256').update(hcl.runtimeData).digest('hex');
    expect(Buffer.from(hcl.report.subarray(0x50, 0x70)).toString('hex')).toBe(digest);
    expect(hcl.vmConfiguration['secure-boot']).toBe(true);
  });
}

const paravisor = new Paravisor();
const SNP_REPORT = Buffer.alloc(1184, 7);
const key = { kid: 'HCLAkPub', kty: 'RSA', n: 'AQAB', e: 'AQAB' };

test('a report of either version gives back what was put into it', () => {
  const userData = Buffer.alloc(64, 0xab);
  for (const version of [1, 2]) {
    const hcl = readHclReport(paravisor.hclReport(SNP_REPORT, { version, userData }));
    expect(hcl.version).toBe(version);
    expect(Buffer.from(hcl.report)).toEqual(SNP_REPORT);
    expect(Buffer.from(hcl.attestationKey)).toEqual(paravisor.publicKeyDer());
    expect(Buffer.from(hcl.userData ?? [])).toEqual(userData);
  }
});

const at = (offset: number, value: number) => (): Buffer => {
  const report = paravisor.hclReport(SNP_REPORT);
  report.writeUInt32LE(value, offset);
  return report;
};
const runtime = (members: Readonly<Record<string, unknown>>) => (): Buffer =>
  paravisor.hclReport(SNP_REPORT, { runtime: members });

const WRONG: readonly (readonly [what: string, make: () => Uint8Array, says: RegExp])[] = [
  ['nothing', () => Buffer.alloc(0), /cut off after 0/],
  [
    'a report cut off',
    () => paravisor.hclReport(SNP_REPORT).subarray(0, 1300),
    /beyond its end/,
  ],
  ['far too much', () => Buffer.alloc(40_000), /40000 bytes/],
  ['another magic', at(0, 0), /HCLA/],
  ['version 3', at(4, 3), /version is 3/],
  ['another size', at(8, 4000), /size of the report is 4000/],
  ['another request', at(0x0c, 1), /request type is 1/],
  ['a status', at(0x10, 9), /status is 9/],
  ['a reserved bit', at(0x14, 1), /reserved/],
  ['another size of the data', at(0x4c0, 5), /size of the data is 5/],
  ['another version of the data', at(0x4c4, 2), /version of the data is 2/],
  ['a report of Intel TDX', at(0x4c8, 4), /type of the hardware report is 4/],
  ['an unknown hash', at(0x4cc, 9), /type of hash is 9/],
  ['something behind the data', at(2590, 1), /follows/],
  ['no keys', runtime({ keys: undefined }), /names no keys/],
  ['another key', runtime({ keys: [{ ...key, kid: 'other' }] }), /0 keys named HCLAkPub/],
  ['two keys of one name', runtime({ keys: [key, key] }), /2 keys named HCLAkPub/],
  ['a key of another kind', runtime({ keys: [{ ...key, kty: 'EC' }] }), /not an RSA key/],
  ['a key far too small', runtime({ keys: [key] }), /bits/],
  ['no configuration', runtime({ 'vm-configuration': 1 }), /vm-configuration/],
  ['short user data', runtime({ 'user-data': 'AB' }), /user-data/],
  ['lowercase user data', runtime({ 'user-data': 'ab'.repeat(64) }), /user-data/],
];

test.each(WRONG)('%s is refused by name', (_, make, says) => {
  expect(() => readHclReport(make())).toThrow(
    expect.objectContaining({ code: 'BadHclReport', message: expect.stringMatching(says) }),
  );
});

test('no mutation of a report does anything else than read or be refused by code', () => {
  const random = new SeededRandom(5);
  const report = paravisor.hclReport(SNP_REPORT);
  let refused = 0;
  for (let round = 0; round < 5_000; round += 1) {
    const mutated = Buffer.from(
      report.subarray(0, random.oneIn(9) ? random.below(2600) : 2600),
    );
    for (let flips = 1 + random.below(4); flips > 0 && mutated.length > 0; flips -= 1) {
      const offset = random.oneIn(2) ? random.below(mutated.length) : random.below(0x4e0);
      if (offset < mutated.length) mutated[offset] = random.below(256);
    }
    try {
      readHclReport(mutated);
    } catch (thrown) {
      expect(isCoded(thrown, 'BadHclReport'), `seed ${random.seed}: ${thrown}`).toBe(true);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(500);
});

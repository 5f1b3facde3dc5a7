// Policy files: what they may say, and what is said back when they say anything else.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readPolicyFile } from '../../src/attestation/policy-file.ts';
import { isCoded } from '../../src/base/errors.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const DOCS = readFileSync(resolve(import.meta.dirname, '../../docs/attestation.md'), 'utf8');

test('the example in the documentation is one', () => {
  const examples = [...DOCS.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  expect(examples).toHaveLength(1);
  const { platforms, tokens } = readPolicyFile(examples[0] ?? '');
  expect(platforms.snp).toMatchObject({
    tcbMin: { '00a00f11': { bootLoader: 4, tee: 0, snp: 24, microcode: 219 } },
  });
  expect(platforms['azure-cvm']?.pcrs).toBeDefined();
  expect(tokens?.issuers).toHaveLength(1);
});

test('the same name in two objects, or as a value, is none given twice', () => {
  const text = '{"version":1,"comment":"\\"a\\": version","platforms":{"snp":{"vmpl":[0]},';
  const policy = readPolicyFile(`${text}"azure-cvm":{"report":{"vmpl":[0]}}}}`);
  expect(Object.keys(policy.platforms)).toEqual(['snp', 'azure-cvm']);
});

test('a TCB may be written as the Azure cache does, and capital digits become small', () => {
  const { platforms } = readPolicyFile(
    JSON.stringify({
      version: 1,
      platforms: {
        snp: {
          tcbMin: { '00b00f21': '4700000002000100', '00a10f11': '541700000000000a' },
          hostData: ['AB'.repeat(32)],
        },
      },
    }),
  );
  expect(platforms.snp).toEqual({
    tcbMin: {
      '00b00f21': { fmc: 0, bootLoader: 1, tee: 0, snp: 2, microcode: 71 },
      '00a10f11': { bootLoader: 10, tee: 0, snp: 23, microcode: 84 },
    },
    hostData: ['ab'.repeat(32)],
  });
});

describe('what is not understood is an error that names the place', () => {
  const snp = (entry: object): object => ({ version: 1, platforms: { snp: entry } });
  test.each<readonly [object | string, RegExp]>([
    ['{', /it is not JSON/],
    ['{"version":1,"platforms":{"snp":{"vmpl":[0],"\\u0076mpl" : [3]}}}', /vmpl" stands twice/],
    ['{"version":1,"version":1,"platforms":{}}', /"version" stands twice in one object/],
    [[], /\[\] is not an object/],
    [{ platforms: {} }, /version is missing/],
    [{ version: 2, platforms: {} }, /version: 2 is none of 1/],
    [{ version: 1 }, /platforms is missing/],
    [
      { version: 1, platforms: {}, platform: {} },
      /"platform" is not known; did you mean platfor/,
    ],
    [{ version: 1, platforms: { sev: {} } }, /platforms: "sev" is not known/],
    [snp({ hostdata: [] }), /platforms\.snp: "hostdata" is not known; did you mean hostData\?/],
    [snp({ measurments: [] }), /did you mean measurements\?/],
    [snp({ hostData: 'ab' }), /platforms\.snp\.hostData: "ab" is not a list/],
    [snp({ hostData: ['ab'] }), /hostData\[0\]: "ab" is not 64 hexadecimal digits/],
    [snp({ measurements: ['g'.repeat(96)] }), /measurements\[0\]: .* is not 96 hexadecimal/],
    [snp({ committedTcb: 'yes' }), /committedTcb: "yes" is neither true nor false/],
    [snp({ vmpl: [4] }), /vmpl\[0\]: 4 is not a whole number of 0 to 3/],
    [snp({ reportVersionMin: 4 }), /reportVersionMin: 4 is none of 2, 3, 5/],
    [snp({ signingKeys: ['vcek'] }), /"vcek" is none of VCEK, VLEK/],
    [snp({ revocation: 'never' }), /"never" is none of if-given, required/],
    [snp({ tcbMin: { milan: {} } }), /"milan" is not a processor/],
    [snp({ tcbMin: { '00000000': {} } }), /no processor of Milan, Genoa or Turin/],
    [snp({ tcbMin: { '00a00f11': { tee: 0 } } }), /00a00f11: bootLoader is missing/],
    [snp({ tcbMin: { '00a00f11': 'db18ff0000000004' } }), /is no TCB of Milan/],
    [
      snp({ tcbMin: { '00b00f21': { bootLoader: 1, tee: 0, snp: 2, microcode: 1 } } }),
      /fmc is/,
    ],
    [snp({ uvmEndorsements: { issuer: {} } }), /"issuer" is not an issuer: did:x509/],
    [snp({ uvmEndorsements: { 'did:x509:0': { f: '1' } } }), /"1" is not a whole number/],
    [snp({ __proto__x: 1 }), /is not known/],
    [{ version: 1, platforms: { 'azure-cvm': {} } }, /report is missing/],
    [
      { version: 1, platforms: { 'azure-cvm': { report: { hostData: [] } } } },
      /azure-cvm\.report: "hostData" is not known/,
    ],
    [
      { version: 1, platforms: { 'azure-cvm': { report: {}, pcrs: { 24: [] } } } },
      /"24" is not a register/,
    ],
    [
      { version: 1, platforms: {}, tokens: { issuers: ['http://a.example'] } },
      /is not https:\/\/ and a host/,
    ],
  ])('%j', (policy, message) => {
    const text = typeof policy === 'string' ? policy : JSON.stringify(policy);
    expect(() => readPolicyFile(text)).toThrow(message);
    expect(() => readPolicyFile(text)).toThrow(expect.objectContaining({ code: 'BadPolicy' }));
  });

  test('and members that only JavaScript knows are not known either', () => {
    expect(() => readPolicyFile('{"version":1,"platforms":{"constructor":{}}}')).toThrow(
      /"constructor" is not known/,
    );
    expect(() => readPolicyFile('{"version":1,"platforms":{"__proto__":{}}}')).toThrow(
      /"__proto__" is not known/,
    );
  });
});

test('no text makes it fail in another way', () => {
  const random = new SeededRandom(5);
  const good = JSON.stringify({ version: 1, platforms: { snp: { vmpl: [0], hostData: [] } } });
  let refused = 0;
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.from(good);
    for (let flips = 0; flips <= random.below(3); flips += 1) {
      bytes[random.below(bytes.length)] = random.below(128);
    }
    try {
      readPolicyFile(bytes.toString());
    } catch (thrown) {
      expect(isCoded(thrown, 'BadPolicy'), String(thrown)).toBe(true);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(2000);
});

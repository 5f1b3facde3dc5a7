// Release policies: written from demands, read strictly, and evaluated as Key Vault does.

import { expect, test } from 'vitest';
import {
  foretellRelease,
  type ReleaseCondition,
  type ReleaseDemands,
  readReleasePolicy,
  releasePolicyFor,
  releasePolicyText,
} from '../../../src/attestation/release-policy.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { CONTAINER_POLICY, containerClaims, ISSUER, MEASURED, vmClaims } from './maa-signer.ts';

const DEMANDS: ReleaseDemands = {
  platform: 'snp',
  issuers: [ISSUER],
  hostData: [CONTAINER_POLICY],
};

test('the policy for a container is the flat one that the service documents', () => {
  expect(releasePolicyFor(DEMANDS)).toEqual({
    version: '1.0.0',
    anyOf: [
      {
        authority: ISSUER,
        allOf: [
          { claim: 'x-ms-attestation-type', equals: 'sevsnpvm' },
          { claim: 'x-ms-compliance-status', equals: 'azure-compliant-uvm' },
          { claim: 'x-ms-sevsnpvm-is-debuggable', equals: false },
          { claim: 'x-ms-sevsnpvm-hostdata', equals: CONTAINER_POLICY },
        ],
      },
    ],
  });
});

test('alternatives become authorities of their own, so that conditions stay flat', () => {
  const policy = releasePolicyFor({
    ...DEMANDS,
    issuers: [ISSUER, 'https://b.example'],
    hostData: [CONTAINER_POLICY, '01'.repeat(32)],
    measurements: [MEASURED, '02'.repeat(48)],
  });
  expect(policy.anyOf).toHaveLength(8);
  expect(foretellRelease(policy, containerClaims()).released).toBe(true);
  const other = containerClaims({ iss: 'https://b.example' });
  expect(foretellRelease(policy, other).released).toBe(true);
  const neither = containerClaims({ 'x-ms-sevsnpvm-hostdata': '03'.repeat(32) });
  expect(foretellRelease(policy, neither).released).toBe(false);
});

test('the policy for a VM looks where its token has the claims', () => {
  const policy = releasePolicyFor({
    platform: 'azure-cvm',
    issuers: [ISSUER],
    measurements: [MEASURED],
    claims: { secureboot: true, 'x-ms-azurevm-vmid': 'A' },
  });
  const claims = vmClaims({ 'x-ms-azurevm-vmid': 'A' });
  expect(foretellRelease(policy, claims).released).toBe(true);
  expect(foretellRelease(policy, { ...claims, secureboot: false }).authorities).toEqual([
    { authority: ISSUER, missing: ['secureboot is false, not true'] },
  ]);
  expect(foretellRelease(policy, containerClaims()).released).toBe(false);
});

test('a policy reads back from its own text', () => {
  const policy = releasePolicyFor(DEMANDS);
  expect(readReleasePolicy(releasePolicyText(policy))).toEqual(policy);
});

test.each([
  ['no issuer', { ...DEMANDS, issuers: [] }, /without an issuer/],
  ['any container', { platform: 'snp', issuers: [ISSUER] }, /any container would be given/],
  ['no container', { ...DEMANDS, hostData: [] }, /any container would be given/],
  ["a VM's host data", { ...DEMANDS, platform: 'azure-cvm' }, /a confidential VM has none/],
  ['capitals', { ...DEMANDS, hostData: ['BB'.repeat(32)] }, /64 lowercase hexadecimal digits/],
  ['no measurement', { ...DEMANDS, measurements: [] }, /list of at least one/],
  ['an issuer with a slash', { ...DEMANDS, issuers: [`${ISSUER}/`] }, /https:\/\/ and a host/],
] as const satisfies readonly (readonly [string, ReleaseDemands, RegExp])[])(
  '%s is no demand',
  (_, demands, says) => {
    expect(() => releasePolicyFor(demands)).toThrow(says);
  },
);

const one = '{"claim":"a","equals":1}';
const policyWith = (inner: string): string =>
  `{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[${inner}]}]}`;
test.each([
  ['no JSON', '{', /not JSON/],
  ['a list', '[]', /not an object/],
  ['another version', '{"version":"0.2","anyOf":[]}', /"0.2" is not "1.0.0"/],
  ['nobody', '{"version":"1.0.0","anyOf":[]}', /anyOf: it is not a list of at least one/],
  ['allOf at the top', '{"version":"1.0.0","allOf":[]}', /"allOf" is not known/],
  ['no conditions', '{"version":"1.0.0","anyOf":[{"authority":"https://a"}]}', /either allOf/],
  [
    'both',
    `{"version":"1.0.0","anyOf":[{"authority":"https://a","allOf":[${one}],"anyOf":[${one}]}]}`,
    /not both/,
  ],
  ['http', '{"version":"1.0.0","anyOf":[{"authority":"http://a","allOf":[]}]}', /https/],
  ['an empty list', policyWith(''), /at least one/],
  ['greater', policyWith('{"claim":"a","greater":1}'), /"greater" is not known/],
  ['no claim', policyWith('{"equals":1}'), /not the name of a claim/],
  ['an empty name', policyWith('{"claim":"a..b","equals":1}'), /not the name of a claim/],
  ['no value', policyWith('{"claim":"a"}'), /not a text/],
  ['null', policyWith('{"claim":"a","equals":null}'), /not a text/],
  ['a list of values', policyWith('{"claim":"a","equals":[1]}'), /not a text/],
  ['two things', policyWith(`{"claim":"a","equals":1,"allOf":[${one}]}`), /at once/],
  ['depth', policyWith('{"allOf":['.repeat(20) + one + ']}'.repeat(20)), /too deeply/],
  ['great depth', policyWith('{"allOf":['.repeat(500) + one + ']}'.repeat(500)), /not JSON/],
  ['length', ' '.repeat(70_000), /70000 characters/],
])('%s is refused, with its place', (_, text, says) => {
  expect(() => readReleasePolicy(text)).toThrow(
    expect.objectContaining({ code: 'BadReleasePolicy', message: expect.stringMatching(says) }),
  );
});

const released = (condition: ReleaseCondition, claims: Readonly<Record<string, unknown>>) =>
  foretellRelease(
    { version: '1.0.0', anyOf: [{ authority: 'https://a', allOf: [condition] }] },
    { iss: 'https://a', ...claims },
  ).released;

test.each([
  ['equal texts', { a: 'x' }, 'a', 'x', true],
  ['a number for a text', { a: 1 }, 'a', '1', false],
  ['a text for a number', { a: '1' }, 'a', 1, false],
  ['a text for true', { a: 'true' }, 'a', true, false],
  ['a missing claim', {}, 'a', false, false],
  ['a path', { a: { b: { c: 0 } } }, 'a.b.c', 0, true],
  ['a path into a list', { a: [{ b: 1 }] }, 'a.0.b', 1, false],
  ['a path into a text', { a: 'b' }, 'a.length', 1, false],
  ['what every object inherits', { a: {} }, 'a.constructor.name', 'Object', false],
])('%s', (_, claims, claim, equals, expected) => {
  expect(released({ claim, equals }, claims)).toBe(expected);
});

test('conditions may be nested: any of them, all of them', () => {
  const yes: ReleaseCondition = { claim: 'a', equals: 1 };
  const no: ReleaseCondition = { claim: 'a', equals: 2 };
  expect(released({ anyOf: [no, yes] }, { a: 1 })).toBe(true);
  expect(released({ anyOf: [no, no] }, { a: 1 })).toBe(false);
  expect(released({ allOf: [yes, { anyOf: [no, { allOf: [yes] }] }] }, { a: 1 })).toBe(true);
  expect(released({ allOf: [yes, no] }, { a: 1 })).toBe(false);
});

test('no mutation of a policy does anything else than read or be refused by code', () => {
  const random = new SeededRandom(9);
  const text = releasePolicyText(releasePolicyFor(DEMANDS));
  let read = 0;
  for (let round = 0; round < 10_000; round += 1) {
    const at = random.below(text.length);
    const put = random.pick(['', '"', '{', '}', '[', ']', ',', ':', 'x', '1', 'null', '"a":']);
    try {
      foretellRelease(readReleasePolicy(text.slice(0, at) + put + text.slice(at + 1)), {});
      read += 1;
    } catch (thrown) {
      expect(isCoded(thrown, 'BadReleasePolicy'), `seed ${random.seed}: ${thrown}`).toBe(true);
    }
  }
  expect(read).toBeGreaterThan(100);
});

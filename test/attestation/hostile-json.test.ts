// JSON that parses, and yet makes a program stumble that prints or walks it: nested without end, or
// with a `toString` that is no function. Whoever judges refuses it by its name.

import { expect, test } from 'vitest';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { readPolicyFile } from '../../src/attestation/policy-file.ts';
import { readUvmEndorsement } from '../../src/attestation/uvm-endorsements.ts';
import { readVirtualEvidence } from '../../src/attestation/virtual.ts';
import { toBase64, toUtf8 } from '../../src/base/portable-bytes.ts';
import { MEASUREMENT } from './fake-pki.ts';
import { uvmEndorsement } from './fake-uvm.ts';
import { judged } from './judged.ts';

const DEEP = 100_000;
const nested = (levels: number): string => `${'['.repeat(levels)}${']'.repeat(levels)}`;
const statement = (more: string): Uint8Array =>
  toUtf8(`{"measurement":"m","host_data":"${'0'.repeat(64)}","report_data":"",${more}}`);
const virtualOf = (bytes: Uint8Array): Evidence => ({
  format: 'Insecure_Virtual',
  quote: toBase64(bytes),
  endorsements: '',
});

test.each<readonly [string, string]>([
  ['an object', '{"format":{"toString":1}}'],
  ['an object', '{"format":{"toString":{"toString":1}}}'],
  ['an object', `{"format":${nested(DEEP)}}`],
  ['an object', '{"format":[]}'],
  ['null', '{"format":null}'],
  ['7', '{"format":7}'],
  ['', '{"format":""}'],
  ['x'.repeat(64), `{"format":"${'x'.repeat(999)}"}`],
  ['missing', '{"toString":1}'],
  ['missing', '[]'],
  ['null', 'null'],
  ['AMD_SEV_SNP_v1', '"AMD_SEV_SNP_v1"'],
])('evidence is refused, its format shown as %j', async (format, text) => {
  const verdict = await judged(JSON.parse(text));
  expect(verdict).toMatchObject({
    accepted: false,
    refusal: { code: 'EvidenceUnreadable' },
    checks: [{ values: { format } }],
  });
});

test('a virtual statement nests so far and no further', async () => {
  const read = (levels: number) => () =>
    readVirtualEvidence(virtualOf(statement(`"more":${nested(levels)}`)));
  expect(read(63)).toThrow(/report_data is not 32 bytes/);
  expect(read(64)).toThrow(/its quote is not JSON/);
  const verdict = await judged(virtualOf(statement(`"more":${nested(DEEP)}`)), {
    whole: { platforms: { virtual: {} } },
  });
  expect(verdict.refusal?.code).toBe('BadEvidence');
});

test('a virtual statement of a format that nothing prints is refused as well', () => {
  const evidence: Evidence = JSON.parse(
    '{"format":{"toString":1},"quote":"","endorsements":""}',
  );
  expect(() => readVirtualEvidence(evidence)).toThrow(/its format is \{"toString":1\}/);
});

test('the endorsement of a utility VM nests so far and no further', () => {
  const read = (levels: number) => () =>
    readUvmEndorsement(
      uvmEndorsement({
        measurement: MEASUREMENT,
        payload: `{"x-ms-sevsnpvm-launchmeasurement":"00","more":${nested(levels)}}`,
      }),
    );
  expect(read(63)).toThrow(/measurement/);
  for (const levels of [64, 10_000]) expect(read(levels)).toThrow(/not an object in JSON/);
});

test('a policy file nests so far and no further', () => {
  const read = (levels: number) => () =>
    readPolicyFile(`{"version":1,"comment":${nested(levels)},"platforms":{}}`);
  expect(read(63)).toThrow(/comment/);
  for (const levels of [64, DEEP]) expect(read(levels)).toThrow(/it is not JSON/);
});

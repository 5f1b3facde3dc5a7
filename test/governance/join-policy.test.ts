// Evidence is judged by the tables, each rule with a reason of its own.

import { expect, test } from 'vitest';
import type { Evidence } from '../../src/attestation/evidence.ts';
import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import {
  readVirtualEvidence,
  VIRTUAL_HOST_DATA,
  VIRTUAL_MEASUREMENT,
} from '../../src/attestation/virtual.ts';
import { base64Of, utf8 } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import {
  type JoinVerdict,
  joinPolicy,
  joinVerdict,
  samePolicy,
} from '../../src/governance/join-policy.ts';
import {
  VIRTUAL_HOST_DATA as HOSTS,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import type { ReadView } from '../../src/kv/tables.ts';
import { nodeJudge } from '../../src/node/own-evidence.ts';
import { NOW_MS, SmallService } from './small-service.ts';

const { publicKeyDer } = SigningKey.generate('P-256');
const GOOD = {
  host_data: VIRTUAL_HOST_DATA,
  measurement: VIRTUAL_MEASUREMENT,
  report_data: base64Of(sha256(publicKeyDer)),
};

function stated(statement: unknown): Evidence {
  const quote = base64Of(utf8(JSON.stringify(statement)));
  return { format: 'Insecure_Virtual', quote, endorsements: '' };
}

const judge = nodeJudge({ clock: { nowMs: () => NOW_MS } });

/** What a service with these tables makes of evidence. */
async function judged(evidence: Evidence, view: ReadView): Promise<JoinVerdict> {
  return joinVerdict(await judge(evidence, joinPolicy(view, publicKeyDer)));
}

test('what a node says of itself is admitted', async () => {
  const { current } = (await SmallService.create()).store;
  const evidence = virtualEvidence(publicKeyDer, VIRTUAL_HOST_DATA);
  expect(await judged(evidence, current)).toEqual({
    admitted: true,
    codeDigest: Buffer.from(VIRTUAL_MEASUREMENT).toString('hex'),
  });
  expect(await judged(stated(GOOD), current)).toMatchObject({
    admitted: true,
  });
});

const OTHER = base64Of(sha256(utf8('another key')));

test.each<[string, Evidence, string, RegExp]>([
  ['no base64', { ...stated(GOOD), quote: '*' }, 'QuoteUnverifiable', /not base64/],
  ['no JSON', { ...stated(GOOD), quote: base64Of(utf8('{')) }, 'QuoteUnverifiable', /not JSON/],
  ['no object', stated('statement'), 'QuoteUnverifiable', /not an object/],
  ['no measurement', stated({ ...GOOD, measurement: 1 }), 'QuoteUnverifiable', /measurement/],
  ['odd host data', stated({ ...GOOD, host_data: 'AB' }), 'QuoteUnverifiable', /host_data/],
  [
    'short report data',
    stated({ ...GOOD, report_data: 'AAAA' }),
    'QuoteUnverifiable',
    /32 bytes/,
  ],
  [
    'a platform that the service has no rows for',
    { ...stated(GOOD), format: 'AMD_SEV_SNP_v1' },
    'QuoteUnverifiable',
    /PlatformNotAccepted/,
  ],
  [
    "another node's key",
    stated({ ...GOOD, report_data: OTHER, measurement: 'other' }),
    'ReportDataMismatch',
    /public key hash/,
  ],
  [
    'other code',
    stated({ ...GOOD, measurement: 'other', host_data: '00'.repeat(32) }),
    'UnknownMeasurement',
    /known enclave measurement: MeasurementNotAccepted: .*other/,
  ],
  [
    'another host',
    stated({ ...GOOD, host_data: '00'.repeat(32) }),
    'UntrustedHostData',
    /host data is not authorised: HostDataNotAccepted: .*0000/,
  ],
])('refused: %s', async (_title, evidence, fault, message) => {
  const { current } = (await SmallService.create()).store;
  const verdict = await judged(evidence, current);
  expect(verdict).toMatchObject({ admitted: false, fault });
  expect('message' in verdict && verdict.message).toMatch(message);
});

test('a virtual statement under the name of another platform is none', () => {
  const disguised: Evidence = { ...stated(GOOD), format: 'AMD_SEV_SNP_v1' };
  expect(() => readVirtualEvidence(disguised)).toThrow('its format is AMD_SEV_SNP_v1');
});

test('code that is taken off the list is admitted no more', async () => {
  const service = await SmallService.create();
  service.run((tx) => tx.table(VIRTUAL_MEASUREMENTS).remove(utf8(VIRTUAL_MEASUREMENT)));
  const verdict = await judged(stated(GOOD), service.store.current);
  expect(verdict).toMatchObject({ fault: 'UnknownMeasurement' });
});

test('a service without any row admits nobody', async () => {
  const service = await SmallService.create();
  service.run((tx) => {
    tx.table(VIRTUAL_MEASUREMENTS).remove(utf8(VIRTUAL_MEASUREMENT));
    tx.table(HOSTS).remove(utf8(VIRTUAL_HOST_DATA));
  });
  const verdict = await judged(stated(GOOD), service.store.current);
  expect(verdict).toMatchObject({ fault: 'QuoteUnverifiable', reason: 'PlatformNotAccepted' });
});

test('a policy is the same until a row of it, or the key, is another', async () => {
  const service = await SmallService.create();
  const before = joinPolicy(service.store.current, publicKeyDer);
  expect(samePolicy(before, joinPolicy(service.store.current, publicKeyDer))).toBe(true);
  expect(samePolicy(before, joinPolicy(service.store.current, utf8('another')))).toBe(false);
  service.run((tx) => tx.table(HOSTS).put(utf8('ab'.repeat(32)), utf8('')));
  expect(samePolicy(before, joinPolicy(service.store.current, publicKeyDer))).toBe(false);
});

// Snapshots: the reference ones and a real one are good; every kind of change to one is refused.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Reason } from '../../src/audit/fault.ts';
import { verifySnapshot } from '../../src/audit/snapshot.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { parseSnapshot, parseSnapshotName } from '../../src/ledger/snapshot.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import {
  fromHex,
  REFERENCE,
  REFERENCE_SECRETS,
  toHex,
  VECTORS,
} from '../support/ledger-vectors.ts';

const NAME = 'snapshot_10_11.committed';
const WITH_JSON = readFileSync(join(REFERENCE, 'snapshots', NAME));
const WITH_COSE = readFileSync(join(REFERENCE, 'snapshots_cose', NAME));
const ENTRY = parseSnapshot(WITH_JSON).entry.bytes.length;
const secrets = [{ from: 1, bytes: fromHex(REFERENCE_SECRETS.ledger_secret) }];
const serviceCertificate = REFERENCE_SECRETS.service_certificate;

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'snapshots-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

async function verdictOf(
  bytes: Uint8Array,
  options: Parameters<typeof verifySnapshot>[1] = {},
  name = NAME,
): Promise<Reason | 'good'> {
  const path = join(scratch, name);
  writeFileSync(path, bytes);
  const { ok, fault } = await verifySnapshot(path, options);
  if (ok) return 'good';
  return fault?.reason ?? 'good';
}

test('the reference snapshots are good, with either receipt, by either word', async () => {
  for (const bytes of [WITH_JSON, WITH_COSE]) {
    expect(await verdictOf(bytes)).toBe('good');
    expect(await verdictOf(bytes, { serviceCertificate, secrets })).toBe('good');
  }
});

testWithVectors('a snapshot of a real CCF service is good', async () => {
  const path = join(vectorsFolder() ?? '', 'ccf/snapshots/snapshot_92_103.committed');
  const verdict = await verifySnapshot(path);
  expect(verdict).toMatchObject({
    ok: true,
    seqno: 92,
    trust: 'itself',
    receipt: { txId: '2.103' },
  });
});

test("the vector's snapshot holds what it was made of", () => {
  const snapshot = parseSnapshot(fromHex(VECTORS.snapshot_entry_seqno8));
  expect(toHex(snapshot.digest)).toBe(VECTORS.snapshot_digest);
  expect(snapshot.viewHistory).toEqual([0, 1]);
  const [map] = snapshot.publicMaps;
  expect([map?.name, map?.version, map?.rows.length]).toEqual(['public:s', 6, 2]);
  const texts = map?.rows.map(({ key, value, version }) => [
    Buffer.from(key).toString('latin1'),
    Buffer.from(value).toString(),
    version,
  ]);
  expect(texts).toEqual([
    ['abc', 'hello', 5],
    ['\0'.repeat(8), '12345678', 6],
  ]);
});

const flipped = (at: number): Buffer => {
  const bytes = Buffer.from(WITH_JSON);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
};
const otherReceipt = (change: (receipt: Record<string, unknown>) => void): Buffer => {
  const receipt = JSON.parse(WITH_JSON.subarray(ENTRY).toString());
  change(receipt);
  const text = Buffer.from(JSON.stringify(receipt));
  return Buffer.concat([WITH_JSON.subarray(0, ENTRY), text]);
};
const otherSignature = otherReceipt((receipt) => {
  const signature = Buffer.from(String(receipt.signature), 'base64');
  signature[20] = (signature[20] ?? 0) ^ 1;
  receipt.signature = signature.toString('base64');
});
const otherClaims = otherReceipt((receipt) => {
  Object.assign(receipt.leaf_components ?? {}, { claims_digest: 'ab'.repeat(32) });
});

test.each<[string, Buffer, Reason]>([
  ['an unknown version', flipped(0), 'SnapshotEntry'],
  ['a nonce that says a transaction', flipped(35), 'SnapshotEntry'],
  ['a byte of a row changed', flipped(ENTRY - 40), 'SnapshotClaims'],
  ['a length beyond the end', flipped(44 + 17 + 3), 'SnapshotContent'],
  ['no receipt', WITH_JSON.subarray(0, ENTRY), 'SnapshotReceipt'],
  ['half a receipt', WITH_JSON.subarray(0, -10), 'SnapshotReceipt'],
  ['another signature', otherSignature, 'SnapshotReceipt'],
  ['other claims', otherClaims, 'SnapshotClaims'],
  ['nothing', Buffer.alloc(0), 'SnapshotEntry'],
])('a snapshot with %s is refused', async (_, bytes, reason) => {
  expect(await verdictOf(bytes)).toBe(reason);
});

test.each<[string, Reason]>([
  ['snapshot_10_11', 'SnapshotName'],
  ['snapshot_9_11.committed', 'SnapshotName'],
  ['snapshot_10_12.committed', 'SnapshotName'],
  ['snapshot.committed', 'SnapshotName'],
])('under the name %s it is refused', async (name, reason) => {
  expect(await verdictOf(WITH_JSON, {}, name)).toBe(reason);
});

test('it must be of the service that is trusted, and of the ledger that names it', async () => {
  const node = { serviceCertificate: REFERENCE_SECRETS.node_certificate };
  expect(await verdictOf(WITH_JSON, node)).toBe('SnapshotReceipt');
  const evidenceDigest = sha256Text('another snapshot');
  expect(await verdictOf(WITH_JSON, { evidenceDigest })).toBe('SnapshotEvidenceRow');
  const wrong = [{ from: 1, bytes: sha256Text('wrong') }];
  expect(await verdictOf(WITH_JSON, { secrets: wrong })).toBe('Seal');
  const late = secrets.map(({ bytes }) => ({ from: 11, bytes }));
  expect(await verdictOf(WITH_JSON, { secrets: late })).toBe('SecretMissing');
});

test('names of snapshots are read strictly', () => {
  expect(parseSnapshotName(NAME)).toEqual({ seqno: 10, evidenceSeqno: 11, committed: true });
  expect(parseSnapshotName('snapshot_10_11')?.committed).toBe(false);
  for (const name of ['snapshot_10', 'snapshot_11_10.committed', 'snapshot_010_11', 'x']) {
    expect(parseSnapshotName(name)).toBeUndefined();
  }
});

// Receipts: real ones are good in both forms and with both verifiers; each change to one is found
// by the check it concerns; nothing beneath needs Node.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import {
  payloadClaimsDigest,
  type ReceiptVerdict,
  verifyReceipt,
} from '../../src/ledger/receipt.ts';
import { parseJsonReceipt, receiptJsonOf } from '../../src/ledger/receipt-json.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import { fromHex, REFERENCE, REFERENCE_SECRETS, toHex } from '../support/ledger-vectors.ts';

const JSON_RECEIPT = readFileSync(join(REFERENCE, 'receipt.json'));
const COSE_RECEIPT = readFileSync(join(REFERENCE, 'receipt.cose'));
const serviceCertificate = REFERENCE_SECRETS.service_certificate;
const CLAIMS = '061a6f2844cc769bc94f319002c447ac946b3318195303055cb918fdbb4af7fe';

/** The verdict of both verifiers, which must be the same. */
async function verdictOf(
  receipt: Uint8Array,
  trust: { serviceCertificate: string; claimsDigest?: Uint8Array } = { serviceCertificate },
  atMs?: number,
): Promise<ReceiptVerdict> {
  const onNode = await verifyReceipt(receipt, trust, nodeVerifier, atMs);
  expect(await verifyReceipt(receipt, trust, webVerifier, atMs)).toEqual(onNode);
  return onNode;
}

const failed = (verdict: ReceiptVerdict): string[] =>
  verdict.checks.filter((check) => !check.ok).map((check) => check.name);

test('the reference receipts are good, and say what they are about', async () => {
  for (const receipt of [JSON_RECEIPT, COSE_RECEIPT]) {
    const claimsDigest = fromHex(CLAIMS);
    const verdict = await verdictOf(receipt, { serviceCertificate, claimsDigest });
    expect(verdict).toMatchObject({ ok: true, txId: '2.11', claimsDigest: CLAIMS });
    expect(failed(verdict)).toEqual([]);
  }
});

test('a JSON receipt is written as it was read', () => {
  const json = JSON.parse(JSON_RECEIPT.toString());
  expect(receiptJsonOf(parseJsonReceipt(JSON_RECEIPT))).toEqual(json);
});

testWithVectors('receipts of a real CCF service are good', async () => {
  const folder = join(vectorsFolder() ?? '', 'ccf');
  const trust = { serviceCertificate: readFileSync(join(folder, 'service_cert.pem'), 'utf8') };
  const names = readdirSync(join(folder, 'receipts')).filter((name) =>
    /^\d+-receipt.*json$|^cose_receipt.*cbor$/.test(name),
  );
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) {
    const verdict = await verdictOf(readFileSync(join(folder, 'receipts', name)), trust);
    expect([name, failed(verdict)]).toEqual([name, []]);
  }
  // This one has its claims digest taken out: whoever is shown the claim computes it.
  const shown = JSON.parse(
    readFileSync(join(folder, 'receipts/060-historical-receipt-public-claim.json'), 'utf8'),
  );
  const receipt = Buffer.from(JSON.stringify(shown.receipt));
  expect(failed(await verdictOf(receipt, trust))).toEqual(['claims']);
  const claimsDigest = await nodeVerifier.hash('SHA-256', Buffer.from(shown.msg));
  expect(failed(await verdictOf(receipt, { ...trust, claimsDigest }))).toEqual([]);
});

type Json = Record<string, unknown>;
const changed = (change: (json: Json, leaf: Json) => unknown): Buffer => {
  const json = JSON.parse(JSON_RECEIPT.toString());
  change(json, json.leaf_components);
  return Buffer.from(JSON.stringify(json));
};
const other = '11'.repeat(32);

test.each<[string, Buffer, string[]]>([
  [
    'another write set',
    changed((_, leaf) => Object.assign(leaf, { write_set_digest: other })),
    ['signature'],
  ],
  [
    'other claims',
    changed((_, leaf) => Object.assign(leaf, { claims_digest: other })),
    ['signature'],
  ],
  [
    'evidence of another transaction',
    changed((_, leaf) => Object.assign(leaf, { commit_evidence: `ce:2.12:${other}` })),
    ['signature'],
  ],
  [
    'evidence without a transaction',
    changed((_, leaf) => Object.assign(leaf, { commit_evidence: 'ce' })),
    ['evidence', 'signature'],
  ],
  ['a step turned over', changed((json) => turnFirstStep(json)), ['signature']],
  ['a step less', changed((json) => (json.proof as unknown[]).pop()), ['signature']],
  ['another node', changed((json) => Object.assign(json, { node_id: other })), ['node']],
  [
    "the service's certificate as the node's",
    changed((json) => Object.assign(json, { cert: serviceCertificate })),
    ['signature', 'node'],
  ],
  ['no leaf', changed((json) => delete json.leaf_components), ['format']],
  ['both kinds of leaf', changed((json) => Object.assign(json, { leaf: other })), ['format']],
  [
    'a digest too short',
    changed((_, leaf) => Object.assign(leaf, { claims_digest: 'ab' })),
    ['format'],
  ],
  [
    'a certificate that is none',
    changed((json) => Object.assign(json, { cert: 'x' })),
    ['format'],
  ],
  [
    'a needless endorsement',
    changed((json) => Object.assign(json, { service_endorsements: [json.cert] })),
    ['endorsement'],
  ],
  ['bytes that are neither form', Buffer.from('<html>'), ['format']],
])('a JSON receipt with %s is not good', async (_, receipt, checks) => {
  const verdict = await verdictOf(receipt);
  expect(verdict.ok).toBe(false);
  expect(failed(verdict)).toEqual(checks);
});

function turnFirstStep(json: Json): void {
  const [first, ...rest] = json.proof as { left: string }[];
  json.proof = [{ right: first?.left }, ...rest];
}

test('a COSE receipt is not good with any one byte changed', async () => {
  for (let at = 0; at < COSE_RECEIPT.length; at += 1) {
    const receipt = Buffer.from(COSE_RECEIPT);
    receipt[at] = (receipt[at] ?? 0) ^ 0x01;
    const verdict = await verifyReceipt(receipt, { serviceCertificate }, nodeVerifier);
    expect(verdict.ok, `byte ${at}`).toBe(false);
    expect(failed(verdict), `byte ${at}`).not.toEqual([]);
  }
});

test('another service, another claim and another time are refused, each by its check', async () => {
  const node = { serviceCertificate: REFERENCE_SECRETS.node_certificate };
  expect(failed(await verdictOf(JSON_RECEIPT, node))).toEqual(['endorsement']);
  expect(failed(await verdictOf(COSE_RECEIPT, node))).toEqual(['key', 'key']);
  expect(failed(await verdictOf(JSON_RECEIPT, { serviceCertificate: 'x' }))).toEqual(['trust']);
  const claimsDigest = fromHex(other);
  for (const receipt of [JSON_RECEIPT, COSE_RECEIPT]) {
    const verdict = await verdictOf(receipt, { serviceCertificate, claimsDigest });
    expect(failed(verdict)).toEqual(['claims']);
    expect(failed(await verdictOf(receipt, { serviceCertificate }, 0))).toContain('validity');
    const within = await verdictOf(receipt, { serviceCertificate }, Date.UTC(2026, 11, 24));
    expect(within.ok).toBe(true);
  }
});

test("a payload's claims need payload, key and salt alike", async () => {
  const opening = {
    payload: Buffer.from('p'),
    key: Buffer.alloc(64, 1),
    salt: Buffer.alloc(32, 2),
  };
  const digest = toHex(await payloadClaimsDigest(opening, nodeVerifier));
  const payloadDigest = await nodeVerifier.hash('SHA-256', opening.payload);
  const message = Buffer.concat([
    Buffer.from('concordat.payload.v1'),
    opening.key,
    opening.salt,
    payloadDigest,
  ]);
  expect(digest).toBe(toHex(await nodeVerifier.hash('SHA-256', message)));
  for (const change of [
    { payload: Buffer.from('q') },
    { key: Buffer.alloc(64, 3) },
    { salt: Buffer.alloc(32, 3) },
  ]) {
    const digestOfChanged = await payloadClaimsDigest({ ...opening, ...change }, webVerifier);
    expect(toHex(digestOfChanged)).not.toBe(digest);
  }
  const short = { ...opening, salt: Buffer.alloc(31) };
  await expect(payloadClaimsDigest(short, nodeVerifier)).rejects.toThrow(/32 bytes/);
});

test('receipts are judged without Buffer, process or any module of Node', () => {
  // What a browser has not is taken away before anything is loaded; only then the receipt is
  // judged.
  const source = resolve(import.meta.dirname, '../../src');
  const program = `
    import { registerHooks } from 'node:module';
    registerHooks({ resolve(name, context, next) {
      if (name.startsWith('node:')) throw new Error('imports ' + name);
      return next(name, context);
    } });
    const [receipt, certificate, print] = [process.argv[1], process.argv[2], console.log];
    const bytes = Uint8Array.from(atob(receipt), (unit) => unit.charCodeAt(0));
    delete globalThis.Buffer;
    delete globalThis.process;
    const { verifyReceipt } = await import('file://${source}/ledger/receipt.ts');
    const { webVerifier } = await import('file://${source}/crypto/verifier-web.ts');
    const trust = { serviceCertificate: certificate };
    print(JSON.stringify(await verifyReceipt(bytes, trust, webVerifier)));
  `;
  for (const receipt of [JSON_RECEIPT, COSE_RECEIPT]) {
    const output = execFileSync(
      process.execPath,
      ['--input-type=module', '-e', program, receipt.toString('base64'), serviceCertificate],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(output)).toMatchObject({ ok: true, txId: '2.11' });
  }
});

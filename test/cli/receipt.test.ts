// `concordat receipt verify`: receipts of both forms, payloads with their openings, exit codes.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { payloadClaimsDigest } from '../../src/ledger/receipt.ts';
import { receiptJsonOf } from '../../src/ledger/receipt-json.ts';
import { ledgerSecretOf } from '../../src/ledger/secret.ts';
import { REFERENCE, REFERENCE_SECRETS } from '../support/ledger-vectors.ts';
import { LedgerWriter, makeService, table } from '../support/ledger-writer.ts';

let scratch = '';
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'receipts-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const MAIN = join(import.meta.dirname, '../../src/main.ts');

function run(...args: string[]): { readonly code: number; readonly out: string } {
  try {
    const out = execFileSync(process.execPath, [MAIN, 'receipt', ...args], { stdio: 'pipe' });
    return { code: 0, out: out.toString() };
  } catch (failed) {
    const { status, stdout, stderr } = failed as {
      status: number;
      stdout: Buffer;
      stderr: Buffer;
    };
    return { code: status, out: `${stdout}${stderr}` };
  }
}

function file(name: string, content: string | Uint8Array): string {
  const path = join(scratch, name);
  writeFileSync(path, content);
  return path;
}

test('the reference receipts are judged, at a time and against a claim', () => {
  const trust = ['--service-certificate', file('s.pem', REFERENCE_SECRETS.service_certificate)];
  const claims = '061a6f2844cc769bc94f319002c447ac946b3318195303055cb918fdbb4af7fe';
  for (const name of ['receipt.json', 'receipt.cose']) {
    const receipt = join(REFERENCE, name);
    const at = ['--at', '2026-12-24T18:00:00Z'];
    const good = run('verify', receipt, ...trust, ...at, '--claims', claims);
    expect(good).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^GOOD: transaction 2\.11/),
    });
    const late = run('verify', receipt, ...trust, '--at', '2036-01-01', '--json');
    expect(late.code).toBe(1);
    expect(JSON.parse(late.out)).toMatchObject({ ok: false, txId: '2.11' });
    const other = run('verify', receipt, ...trust, '--any-time', '--claims', 'ab'.repeat(32));
    expect(other).toMatchObject({ code: 1, out: expect.stringMatching(/BAD claims/) });
  }
});

test('what is not understood or cannot be read says so', () => {
  const receipt = join(REFERENCE, 'receipt.json');
  const trust = ['--service-certificate', file('s.pem', REFERENCE_SECRETS.service_certificate)];
  expect(run('verify', receipt).code).toBe(2);
  expect(run('judge', receipt, ...trust).code).toBe(2);
  expect(run('verify', ...trust).code).toBe(2);
  expect(run('verify', receipt, ...trust, '--at', 'soon').code).toBe(2);
  expect(run('verify', receipt, ...trust, '--claims', 'ab').code).toBe(2);
  expect(run('verify', receipt, ...trust, '--opening', receipt).code).toBe(2);
  expect(run('verify', join(scratch, 'none'), ...trust).code).toBe(3);
  expect(run('verify', receipt, ...trust, '--payload', receipt)).toMatchObject({
    code: 3,
    out: expect.stringMatching(/opening/),
  });
});

test('a payload is shown by its opening, in a file of its own or beside the receipt', async () => {
  const keys = await makeService();
  const payload = Buffer.from('a private payload');
  const opening = { key: Buffer.alloc(64, 1), salt: Buffer.alloc(32, 2) };
  const claimsDigest = await payloadClaimsDigest({ payload, ...opening }, nodeVerifier);
  const writer = await new LedgerWriter(keys).open();
  writer.transaction([], { claimsDigest, privateMaps: [table('payloads', { k: payload })] });
  await writer.sign({ kind: 'raw' });

  const entries = writer.chunks.flatMap((chunk) =>
    chunk.entries.map((bytes) => parseEntry(bytes)),
  );
  const tree = new MerkleTree();
  for (const entry of entries.slice(0, 5)) tree.append(entry.leaf());
  const signature = entries[5]?.publicMaps.find(({ name }) => name.endsWith('.signatures'));
  const row = JSON.parse(
    Buffer.from([...(signature?.writes.values() ?? [])][0] ?? '').toString(),
  );
  const receipt = receiptJsonOf({
    signature: Buffer.from(row.sig, 'base64'),
    proof: tree.path(5),
    nodeId: keys.nodeId,
    cert: keys.nodeCert,
    leaf: {
      kind: 'components',
      writeSetDigest: await nodeVerifier.hash('SHA-256', entries[4]?.bytes ?? Buffer.alloc(0)),
      commitEvidence: ledgerSecretOf(writer.secretBytes).evidence.textOf(2, 5),
      claimsDigest,
    },
    serviceEndorsements: [],
  });
  const inBase64 = {
    key: opening.key.toString('base64'),
    salt: opening.salt.toString('base64'),
  };
  const trust = ['--service-certificate', file('own.pem', keys.serviceCert)];
  const bare = file('receipt.json', JSON.stringify(receipt));
  const whole = file('answer.json', JSON.stringify({ receipt, opening: inBase64 }));
  const openingFile = file('opening.json', JSON.stringify(inBase64));
  const wrongOpening = file(
    'wrong.json',
    JSON.stringify({ ...inBase64, salt: Buffer.alloc(32, 3).toString('base64') }),
  );
  const payloadFile = file('payload', payload);
  const otherPayload = file('other', 'another payload');

  expect(run('verify', bare, ...trust).code).toBe(0);
  expect(run('verify', whole, ...trust, '--payload', payloadFile).out).toMatch(/GOOD.*2\.5/);
  const shown = ['--payload', payloadFile, '--opening'];
  expect(run('verify', bare, ...trust, ...shown, openingFile).code).toBe(0);
  expect(run('verify', bare, ...trust, ...shown, wrongOpening).code).toBe(1);
  expect(run('verify', whole, ...trust, '--payload', otherPayload).code).toBe(1);
  expect(readFileSync(payloadFile).equals(payload)).toBe(true);
});

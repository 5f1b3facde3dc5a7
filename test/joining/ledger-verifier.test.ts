// A joiner's verifier against the ledgers that an audit is tested with: every single change to a
// closed chunk is refused, and so is what somebody with the keys wrote wrong, unless only the
// ledger secret, which a joiner does not have yet, could show it.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isCoded } from '../../src/base/errors.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { certificateOfPem } from '../../src/crypto/x509.ts';
import { parseChunkName } from '../../src/ledger/chunk.ts';
import { LedgerVerifier } from '../../src/node/joining/ledger-verifier.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import { LedgerFiles } from '../support/ledger-files.ts';
import { type Landmarks, MUTATIONS } from '../support/ledger-mutations.ts';
import { keys, REWRITES } from '../support/ledger-rewrites.ts';
import { REFERENCE, REFERENCE_SECRETS } from '../support/ledger-vectors.ts';
import { LedgerWriter, makeService } from '../support/ledger-writer.ts';
import { closedChunks, type Files, writeLedger } from './fake-service.ts';

const OURS = join(REFERENCE, 'ledger');

const IN_OURS: Landmarks = {
  first: 'ledger_1-4.committed',
  middle: 'ledger_5-10.committed',
  last: 'ledger_11',
  plain: 6,
  sealed: 7,
  inner: 2,
  dual: 10,
  evidence: 11,
  opening: 3,
};

/** What a joiner says of these files, one after the other: a reason, or how far they are good. */
async function verdict(files: Files, certificatePem: string): Promise<string> {
  const verifier = new LedgerVerifier(
    certificateOfPem(certificatePem).publicKeyDer,
    nodeVerifier,
  );
  const names = [...files.keys()].filter((name) => name.endsWith('.committed'));
  const start = (name: string): number => parseChunkName(name)?.start ?? 0;
  for (const name of names.toSorted((left, right) => start(left) - start(right))) {
    try {
      const judged = await verifier.judge(name, files.get(name) ?? Buffer.alloc(0));
      judged.accept();
      if (!judged.isTrusted) return 'ServiceTrust';
    } catch (thrown) {
      if (!isCoded(thrown, 'ChunkRefused')) throw thrown;
      return String(thrown.fields.reason);
    }
  }
  return `good up to ${verifier.next - 1}`;
}

const NOTHING = Buffer.alloc(0);
const CERTIFICATE = REFERENCE_SECRETS.service_certificate;

test('the reference ledger is good, chunk by chunk', async () => {
  expect(await verdict(LedgerFiles.read(OURS).files, CERTIFICATE)).toBe('good up to 10');
});

test('of another service than the one that is trusted it proves nothing', async () => {
  const { serviceCert } = await makeService();
  expect(await verdict(LedgerFiles.read(OURS).files, serviceCert)).toBe('ServiceTrust');
});

testWithVectors('the closed chunks of a real CCF service are good', async () => {
  const folder = join(vectorsFolder() ?? '', 'ccf');
  const { files } = LedgerFiles.read(join(folder, 'ledger'));
  const certificate = readFileSync(join(folder, 'service_cert.pem'), 'utf8');
  expect(await verdict(files, certificate)).toBe('good up to 92');
});

describe('single changes to a closed chunk', () => {
  const original = LedgerFiles.read(OURS);
  const isClosed = (name: string): boolean => name.endsWith('.committed');
  const changes = MUTATIONS.filter(({ change }) => {
    const files = original.copy();
    change(files, IN_OURS);
    const names = [...files.files.keys()].filter(isClosed);
    const before = [...original.files.keys()].filter(isClosed);
    // A file that is gone, or open, is not offered at all.
    return (
      names.length === before.length &&
      names.some((name) => !files.files.get(name)?.equals(original.files.get(name) ?? NOTHING))
    );
  });

  test('most changes are to closed chunks', () => {
    expect(changes.length).toBeGreaterThanOrEqual(50);
  });

  test.each(changes)('$name', async ({ change }) => {
    const files = original.copy();
    change(files, IN_OURS);
    expect(await verdict(files.files, CERTIFICATE)).not.toMatch(/^good/);
  });
});

/** What only the ledger secret could show, and a joiner does not have it yet. */
const NEEDS_SECRET = ['SecretMissing', 'CommitEvidence', 'Seal', 'PrivateWriteSet'];
NEEDS_SECRET.push('PrivateMapOrder', 'PrivateKeyOrder', 'PrivateMapDomain');
/** What a joiner says that is not what an audit says, and why. */
const OTHERWISE: Readonly<Record<string, string>> = {
  'a private reserved name': 'good: only the ledger secret could show it',
  'a signature by a node of another service':
    'good: the last signature covers the same entries',
  'a signature by another service': 'good: the last signature covers the same entries',
};

test.each(REWRITES)('$name', async ({ name, write, reason, deprecated }) => {
  const writer = await new LedgerWriter({ ...keys }).open();
  await write(writer);
  await writer.sign({ flags: 1 });
  const found = await verdict(closedChunks(writer), keys.serviceCert);
  const known = OTHERWISE[name];
  // Entries of former releases' types are taken from nobody.
  if (deprecated) expect(found).toBe('EntryType');
  else if (name.startsWith('a recovery by another service') && reason === 'good') {
    expect(found).toBe('ServiceTrust');
  } else if (reason === 'good' || known?.startsWith('good') || NEEDS_SECRET.includes(reason)) {
    expect(found).toMatch(/^good/);
  } else expect(found).not.toMatch(/^good/);
});

test('a refused chunk leaves no trace: the good one is taken in its place', async () => {
  const service = await makeService();
  const files = closedChunks(await writeLedger(service, 3));
  const verifier = new LedgerVerifier(service.serviceKey.publicKeyDer, nodeVerifier);
  for (const [name, bytes] of files) {
    const before = verifier.next;
    for (const at of [9, 60, bytes.length >> 1, bytes.length - 200]) {
      const bad = Buffer.from(bytes);
      bad[at] = (bad[at] ?? 0) ^ 0x10;
      const refused = await verifier.judge(name, bad).catch((thrown: unknown) => thrown);
      expect(isCoded(refused, 'ChunkRefused'), `byte ${at} of ${name}`).toBe(true);
      expect(verifier.next).toBe(before);
    }
    // Judged, but not accepted: nothing has changed either.
    await verifier.judge(name, bytes);
    expect(verifier.next).toBe(before);
    (await verifier.judge(name, bytes)).accept();
  }
  expect(verifier.next).toBe(15);
});

// Receipts of a running node, of every kind of entry and under every kind of signature: judged by
// our own verifier and by PyPI ccf.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Receipt } from '../../src/apps/interface.ts';
import { type Seqno, seqnoOf } from '../../src/base/ids.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { verifyReceipt } from '../../src/ledger/receipt.ts';
import { SIGNATURE_DEFAULTS } from '../../src/node/node-options.ts';
import type { SignatureKind } from '../../src/node/root-signing.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { runCcf, testWithCcf } from '../support/judges.ts';
import { afterCrash, newWorld, start, type World, writeRow } from '../support/node-rig.ts';

const CLAIMS = Buffer.alloc(32, 7);

interface Served {
  readonly node: RunningNode;
  readonly world: World;
  /** Seqnos of a private, a public-only and a claiming transaction, over several signatures. */
  readonly seqnos: readonly Seqno[];
}

async function serve(kind: SignatureKind, world = newWorld()): Promise<Served> {
  const options = { chunkBytes: 12_000, signatures: { ...SIGNATURE_DEFAULTS, kind } };
  const { node } = await start(world, options);
  const seqnos: Seqno[] = [];
  for (let round = 0; round < 6; round += 1) {
    const txIds = await Promise.all([
      writeRow(node, round * 3),
      node.commitService((tx) =>
        tx.table('public:only').put(Buffer.from('k'), Buffer.from('v')),
      ),
      node.commitService((tx) => {
        tx.table('claiming').put(Buffer.from('k'), Buffer.from(`${round}`));
        tx.setClaimsDigest(CLAIMS);
      }),
    ]);
    seqnos.push(...txIds.map(({ seqno }) => seqno));
  }
  return { node, world, seqnos };
}

/** A receipt's bytes as they are served. */
function bytesOf(receipt: Receipt): Uint8Array {
  return receipt.form === 'cose' ? receipt.bytes : Buffer.from(JSON.stringify(receipt.json));
}

async function existing(
  { node }: Served,
  seqno: Seqno,
  form: 'json' | 'cose',
): Promise<Receipt> {
  const receipt = await node.receipt(seqno, form);
  if (typeof receipt === 'string') throw new Error(`the receipt of ${seqno} is ${receipt}`);
  return receipt;
}

/** The claims of the transactions that `serve` writes: every third makes some. */
function claimsOf({ seqnos }: Served, seqno: Seqno): Buffer {
  return seqnos.indexOf(seqno) % 3 === 2 ? CLAIMS : Buffer.alloc(32);
}

async function judgeAll(served: Served, form: 'json' | 'cose'): Promise<void> {
  for (const seqno of served.seqnos) {
    const receipt = await existing(served, seqno, form);
    expect(receipt.txId.seqno).toBe(seqno);
    const trust = {
      serviceCertificate: served.node.serviceCertificatePem,
      claimsDigest: claimsOf(served, seqno),
    };
    const verdict = await verifyReceipt(bytesOf(receipt), trust, nodeVerifier, Date.now());
    expect(
      verdict.checks.filter(({ ok }) => !ok),
      `${form} receipt of ${seqno}`,
    ).toEqual([]);
    expect(verdict.txId).toBe(`${receipt.txId.view}.${seqno}`);
  }
}

describe('under signatures of which most are the node’s alone', () => {
  let served: Served;
  beforeAll(async () => {
    served = await serve('mixed');
  });

  test('a JSON receipt is there at once, a COSE receipt with the next dual signature', async () => {
    const [last] = served.seqnos.slice(-1);
    if (last === undefined) throw new Error('there are transactions');
    await existing(served, last, 'json');
    expect(await served.node.receipt(last, 'cose')).toBe('pending');
    await served.world.time.advance(1_000);
    await writeRow(served.node, 98);
    await existing(served, last, 'cose');
  });

  test('JSON receipts verify', async () => {
    await judgeAll(served, 'json');
  });

  test('COSE receipts verify, although their signature comes later', async () => {
    await judgeAll(served, 'cose');
  });

  test('a signature has a JSON receipt of its own and none in COSE', async () => {
    const { node } = served;
    const signatures = node.node().lastSignedSeqno;
    const receipt = await existing(served, signatures, 'json');
    if (receipt.form !== 'json') throw new Error('it is in JSON');
    expect(receipt.json.proof).toEqual([]);
    expect(receipt.json.leaf_components).toBeUndefined();
    const trust = { serviceCertificate: node.serviceCertificatePem };
    const verdict = await verifyReceipt(bytesOf(receipt), trust, nodeVerifier, Date.now());
    expect(verdict.checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(await node.receipt(signatures, 'cose')).toBe('unavailable');
  });

  test('what is not committed has none yet', async () => {
    const beyond = seqnoOf(served.node.committed().seqno + 1);
    expect(await served.node.receipt(beyond, 'json')).toBe('pending');
    expect(await served.node.receipt(beyond, 'cose')).toBe('pending');
  });

  test('after a kill and a restart the same entries have receipts that verify', async () => {
    const again = await serve('mixed', afterCrash(served.world, 'lost'));
    await again.world.time.advance(1_000);
    await writeRow(again.node, 99);
    const both = { ...again, seqnos: [...served.seqnos, ...again.seqnos] };
    await judgeAll(both, 'json');
    await judgeAll(both, 'cose');
  });

  test('a receipt does not verify for another service or other claims', async () => {
    const other = await serve('mixed');
    const [seqno] = served.seqnos;
    if (seqno === undefined) throw new Error('there are transactions');
    for (const form of ['json', 'cose'] as const) {
      const bytes = bytesOf(await existing(served, seqno, form));
      for (const trust of [
        { serviceCertificate: other.node.serviceCertificatePem },
        { serviceCertificate: served.node.serviceCertificatePem, claimsDigest: CLAIMS },
      ]) {
        expect((await verifyReceipt(bytes, trust, nodeVerifier, Date.now())).ok).toBe(false);
      }
    }
  });
});

describe('under signatures of one kind', () => {
  test.each([
    ['dual', true, true],
    ['cose', false, true],
    ['raw', true, false],
  ] as const)('%s: JSON %s, COSE %s', async (kind, json, cose) => {
    const served = await serve(kind);
    for (const [form, there] of [
      ['json', json],
      ['cose', cose],
    ] as const) {
      if (there) await judgeAll(served, form);
      else {
        const [seqno] = served.seqnos;
        expect(await served.node.receipt(seqno ?? seqnoOf(1), form)).toBe('unavailable');
      }
    }
    await served.node.stop();
  });

  test('a ledger that changed its kind answers what each entry’s signatures allow', async () => {
    const before = await serve('cose');
    await before.node.stop();
    const after = await serve('mixed', afterCrash(before.world, 'kept'));
    const [old] = before.seqnos;
    if (old === undefined) throw new Error('there are transactions');
    expect(await after.node.receipt(old, 'json')).toBe('unavailable');
    await judgeAll({ ...after, seqnos: before.seqnos }, 'cose');
    await judgeAll(after, 'json');
  });
});

const PROGRAM = `
import base64, json, sys
from cryptography.x509 import load_pem_x509_certificate
import ccf.receipt, ccf.cose
service = load_pem_x509_certificate(sys.argv[1].encode())
count = 0
for item in json.load(open(sys.argv[2])):
    claims = bytes.fromhex(item["claims"])
    r = item["json"]
    node = load_pem_x509_certificate(r["cert"].encode())
    ccf.receipt.check_endorsement(node, service)
    if item["kind"] == "signature":
        ccf.receipt.verify(r["leaf"], r["signature"], node)
        count += 1
        continue
    parts = r["leaf_components"]
    from hashlib import sha256
    assert parts["claims_digest"] == item["claims"]
    leaf = sha256(bytes.fromhex(parts["write_set_digest"])
        + sha256(parts["commit_evidence"].encode()).digest() + claims).hexdigest()
    ccf.receipt.verify(ccf.receipt.root(leaf, r["proof"]), r["signature"], node)
    ccf.receipt.verify_cose(base64.b64decode(item["cose"]), service.public_key(), claims)
    count += 2
print(count)
`;

testWithCcf('PyPI ccf verifies them all', async () => {
  const served = await serve('mixed');
  await served.world.time.advance(1_000);
  await writeRow(served.node, 97);
  const items: unknown[] = [];
  for (const seqno of served.seqnos) {
    const json = await existing(served, seqno, 'json');
    const cose = Buffer.from(bytesOf(await existing(served, seqno, 'cose'))).toString('base64');
    if (json.form !== 'json') throw new Error('it is in JSON');
    const claims = claimsOf(served, seqno).toString('hex');
    items.push({ kind: 'transaction', claims, json: json.json, cose });
  }
  const own = await existing(served, served.node.node().lastSignedSeqno, 'json');
  items.push({
    kind: 'signature',
    claims: '',
    json: own.form === 'json' ? own.json : undefined,
  });
  const folder = await mkdtemp(join(tmpdir(), 'concordat-receipts-'));
  try {
    const path = join(folder, 'receipts.json');
    await writeFile(path, JSON.stringify(items));
    const outcome = await runCcf(['-c', PROGRAM, served.node.serviceCertificatePem, path]);
    expect(outcome.stderr).toBe('');
    expect(Number(outcome.stdout)).toBe(2 * served.seqnos.length + 1);
  } finally {
    await rm(folder, { recursive: true });
  }
});

// What others say of our snapshots: PyPI `ccf`, which reads them and the ledger beside them,
// and our own auditor, who is given the service's certificate and the secrets.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { verifySnapshot } from '../../src/audit/snapshot.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import { SIGNATURE_DEFAULTS } from '../../src/node/node-options.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { runCcf, testWithCcf } from '../support/judges.ts';
import { startDriver, writeMixed } from '../support/ledger-driver.ts';
import { readLedger } from '../support/node-rig.ts';

const READ = `
import sys, os, ccf.ledger
folder = sys.argv[1]
for name in sorted(os.listdir(folder)):
    with ccf.ledger.Snapshot(os.path.join(folder, name)) as snapshot:
        domain = snapshot.get_public_domain()
        tables = domain.get_tables()
        info = tables["public:ccf.gov.service.info"]
        print(name, domain.get_seqno(), len(tables), len(info), snapshot.is_committed())
`;

let folder: string;
let certificate: string;

const KINDS = ['mixed', 'cose'] as const;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'concordat-snapshots-'));
  for (const kind of KINDS) {
    const options = {
      snapshotEntries: 100,
      signatures: { ...SIGNATURE_DEFAULTS, kind },
    };
    for (const life of [0, 1]) {
      const node = await startDriver(join(folder, kind), options);
      const numbers = Array.from({ length: 400 }, (_, number) => 400 * life + number);
      await Promise.all(numbers.map((number) => writeMixed(node, number)));
      for (let number = 0; number < 30; number += 1) await writeMixed(node, number);
      await node.snapshotsIdle();
      if (kind === 'mixed') certificate = node.serviceCertificatePem;
      await node.stop();
    }
  }
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

testWithCcf('PyPI ccf reads the snapshots, and the ledger at FULL', async () => {
  for (const kind of KINDS) {
    const snapshots = join(folder, kind, 'node', 'snapshots');
    const names = await readdir(snapshots);
    expect(names.length).toBeGreaterThanOrEqual(2);
    const ledger = join(folder, kind, 'node', 'ledger');
    const { stdout, stderr, code } = await runCcf(['-c', READ, snapshots]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const lines = stdout.trim().split('\n');
    for (const name of names.sort()) {
      const seqno = /^snapshot_(\d+)_/.exec(name)?.[1];
      expect(lines).toContainEqual(
        expect.stringMatching(new RegExp(`^${name} ${seqno} \\d+ 1 True$`)),
      );
    }
    const [full] = await judgeLedgers([ledger]);
    expect(full, kind).toMatchObject({ ok: true });
    expect(full?.transactions).toBeGreaterThan(860);
    // A judge that accepts anything is none.
    const [first = ''] = names;
    const damaged = join(folder, `${kind}-damaged`);
    await mkdir(damaged);
    await writeFile(join(damaged, first), await changed(join(snapshots, first)));
    const bad = await runCcf(['-c', READ, damaged]);
    expect(bad.code).not.toBe(0);
    expect(bad.stderr).toMatch(/Snapshot|claim/);
  }
});

async function changed(path: string): Promise<Uint8Array> {
  const bytes = await readFile(path);
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  return bytes;
}

test('our own auditor verifies them, opens them, and finds the evidence', async () => {
  const node = join(folder, 'mixed', 'node');
  const { secrets } = await readLedger(durableDisk, node);
  const names = await readdir(join(node, 'snapshots'));
  for (const name of names) {
    const verdict = await verifySnapshot(join(node, 'snapshots', name), {
      serviceCertificate: certificate,
      secrets: [secrets.datedAt(seqnoOf(1)), secrets.latest].filter(
        (each) => each !== undefined,
      ),
    });
    expect(verdict.fault, name).toBeUndefined();
    expect(verdict.ok).toBe(true);
    expect(verdict.trust).toBe('given');
  }
});

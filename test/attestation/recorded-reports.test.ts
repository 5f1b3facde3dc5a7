// Real reports of Azure, AWS, Google and bare metal, judged at their own time by AMD's own roots.
// They are not ours to copy: without the folder of vectors these tests are skipped aloud.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect } from 'vitest';
import { AMD_CERTIFICATES } from '../../src/attestation/amd-certificates.ts';
import { AMD_ROOTS } from '../../src/attestation/amd-roots.ts';
import { CheckList } from '../../src/attestation/check-list.ts';
import type { SnpPolicy } from '../../src/attestation/policy.ts';
import { parseReport } from '../../src/attestation/snp-report.ts';
import { SNP_SHARED_POLICY } from '../../src/attestation/snp-verdict.ts';
import { judgeUvmOrigin, readUvmEndorsement } from '../../src/attestation/uvm-endorsements.ts';
import type { Verdict } from '../../src/attestation/verdict.ts';
import { toHex } from '../../src/base/portable-bytes.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';
import { sha256Hex, snpEvidence } from './fake-pki.ts';
import { type Judging, judged, refusals } from './judged.ts';

interface RecordedReport {
  readonly version: number;
  readonly measurement: string;
  readonly host_data: string;
  readonly report_data: string;
  readonly chip_id: string;
  readonly vmpl: number;
  readonly policy: string;
  readonly platform_info: string;
  readonly signing_key: string;
  readonly guest_svn: number;
  readonly current: string;
  readonly committed: string;
  readonly id_key_digest: string;
  readonly report_id: string;
  readonly reported_tcb: { readonly hex_le: string };
  readonly committed_tcb: { readonly hex_le: string };
  readonly product: string | null;
}

interface Meta {
  readonly expected_verdict: string;
  readonly report: RecordedReport;
  readonly endorsement_key: null | { readonly not_before: string; readonly not_after: string };
}

/** A day of which every recorded certificate but the clouds' is valid. */
const NOW_MS = Date.UTC(2026, 10, 21);
const DAY_MS = 86_400_000;
const DID =
  'did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2';

/** Without the vectors one empty name stands for all, so that the skipping is seen. */
function folders(): readonly string[] {
  const all = vectorsFolder();
  if (all === undefined) return ['(no vectors)'];
  const snp = resolve(all, 'snp');
  return readdirSync(snp).filter((name) => existsSync(resolve(snp, name, 'report.bin')));
}

const pathOf = (...names: readonly string[]): string =>
  resolve(vectorsFolder() ?? '', 'snp', ...names);
const bytesOf = (...names: readonly string[]): Uint8Array =>
  new Uint8Array(readFileSync(pathOf(...names)));
const metaOf = (name: string): Meta =>
  JSON.parse(readFileSync(pathOf(name, 'meta.json'), 'utf8'));

/** When a report's own chain is valid: now, or shortly before its certificate ran out. */
function timeOf(meta: Meta): number {
  const { endorsement_key: key } = meta;
  if (key === null) return NOW_MS;
  return Math.min(NOW_MS, Date.parse(key.not_after.replace(' ', 'T')) - DAY_MS);
}

async function verdictOn(name: string, judging: Judging = {}): Promise<Verdict> {
  const meta = metaOf(name);
  const uvm = pathOf(name, 'uvm_endorsements.cose');
  const chain = pathOf(name, 'chain.pem');
  const evidence = snpEvidence(
    bytesOf(name, 'report.bin'),
    existsSync(chain) ? readFileSync(chain, 'utf8') : '',
    existsSync(uvm) ? { uvm: bytesOf(name, 'uvm_endorsements.cose') } : {},
  );
  const whole = { platforms: { snp: judging.policy ?? SNP_SHARED_POLICY } };
  return await judged(evidence, { roots: AMD_ROOTS, whole, atMs: timeOf(meta), ...judging });
}

/** What a note's words come to. */
function expectedCodes(words: string): readonly string[] {
  if (words.startsWith('ACCEPT')) return [];
  if (words.startsWith('UNVERIFIABLE')) return ['EndorsementCount'];
  if (words.includes('DEBUG')) return ['DebugAllowed'];
  throw new Error(`no idea what is expected: ${words}`);
}

describe.each(folders())('%s', (name) => {
  testWithVectors('is judged as its note expects, by Node and by a browser', async () => {
    const meta = metaOf(name);
    const verdict = await verdictOn(name);
    expect(refusals(verdict)).toEqual(expectedCodes(meta.expected_verdict));
    expect(verdict.accepted).toBe(meta.expected_verdict.startsWith('ACCEPT'));
    expect(await verdictOn(name, { verifier: webVerifier })).toEqual(verdict);
  });

  testWithVectors('is read as its note says', () => {
    const { report: noted } = metaOf(name);
    const report = parseReport(bytesOf(name, 'report.bin'));
    expect({
      version: report.version,
      measurement: toHex(report.measurement),
      host_data: toHex(report.hostData),
      report_data: toHex(report.reportData),
      chip_id: toHex(report.chipId),
      vmpl: report.vmpl,
      policy: `0x${report.policy.bits.toString(16)}`,
      platform_info: `0x${report.platformInfo.toString(16)}`,
      signing_key: report.signingKey,
      guest_svn: report.guestSvn,
      current: report.currentFirmware,
      committed: report.committedFirmware,
      id_key_digest: toHex(report.idKeyDigest),
      report_id: toHex(report.reportId),
      reported_tcb: toHex(report.reportedTcb),
      committed_tcb: toHex(report.committedTcb),
    }).toEqual({
      ...picked(noted),
      reported_tcb: noted.reported_tcb.hex_le,
      committed_tcb: noted.committed_tcb.hex_le,
    });
    if (report.version !== 2) expect(report.processor?.product).toBe(noted.product);
  });

  testWithVectors('proves nothing with one bit changed anywhere in it', async () => {
    const good = bytesOf(name, 'report.bin');
    if (!existsSync(pathOf(name, 'chain.pem'))) return;
    const chain = readFileSync(pathOf(name, 'chain.pem'), 'utf8');
    const judging = { whole: { platforms: { snp: SNP_SHARED_POLICY } }, roots: AMD_ROOTS };
    const atMs = timeOf(metaOf(name));
    for (let at = 0; at < 0x2a0; at += 7) {
      const changed = good.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const verdict = await judged(snpEvidence(changed, chain), { ...judging, atMs });
      expect(verdict.accepted, `byte ${at}`).toBe(false);
      expect(['malformed', 'unproven'], `byte ${at}`).toContain(verdict.refusal?.kind);
    }
  });
});

function picked(noted: RecordedReport): Partial<RecordedReport> {
  const names = [
    'version',
    'measurement',
    'host_data',
    'report_data',
    'chip_id',
    'vmpl',
    'policy',
    'platform_info',
    'signing_key',
    'guest_svn',
    'current',
    'committed',
    'id_key_digest',
    'report_id',
  ] as const;
  return Object.fromEntries(names.map((name) => [name, noted[name]]));
}

testWithVectors("a cloud's key lives for a year: judged today it has expired", async () => {
  const verdict = await verdictOn('aws-milan-v3-vlek-trustee', { atMs: NOW_MS });
  expect(refusals(verdict)).toEqual(['LeafExpired']);
  expect(verdict.refusal?.kind).toBe('time');
});

testWithVectors('the report without a chain is not that of any other chip', async () => {
  const chain = readFileSync(pathOf('aci-milan-v2-maa-sample', 'chain.pem'), 'utf8');
  const evidence = snpEvidence(bytesOf('aci-milan-v2-ccf-nocert', 'report.bin'), chain);
  const whole = { platforms: { snp: SNP_SHARED_POLICY } };
  const verdict = await judged(evidence, { whole, roots: AMD_ROOTS, atMs: NOW_MS });
  expect(refusals(verdict)).toEqual(['ReportSignature', 'ChipIdMismatch']);
});

describe("containers on Azure, by Microsoft's own endorsements", () => {
  const policy: SnpPolicy = {
    uvmEndorsements: { [DID]: { 'ContainerPlat-AMD-UVM': 100 } },
    tcbMin: { '00a00f11': { bootLoader: 4, tee: 0, snp: 24, microcode: 219 } },
    committedTcb: true,
  };

  testWithVectors('are accepted, with the container policy that was hashed', async () => {
    const name = 'aci-milan-v3-cleanroom-enc';
    const hostData = [sha256Hex(bytesOf(name, 'cce-policy.rego'))];
    const verdict = await verdictOn(name, {
      whole: { platforms: { snp: { ...policy, hostData } } },
    });
    expect(refusals(verdict)).toEqual([]);
    expect(verdict.claims?.details).toMatchObject({ uvmSvn: '103' });
  });

  testWithVectors('by an endorsement whose version is too low', async () => {
    const whole = {
      platforms: {
        snp: { reportVersionMin: 2, uvmEndorsements: policy.uvmEndorsements ?? {} },
      },
    };
    // Version 22, signed in February 2023.
    const verdict = await verdictOn('aci-milan-v2-sidecar', { whole });
    expect(refusals(verdict)).toEqual(['UvmVersionLow']);
  });

  testWithVectors("CCF's own quote as it stands in its files", async () => {
    const quote = JSON.parse(
      readFileSync(pathOf('aci-milan-v3-ccf-npm', 'ccf-quote.json'), 'utf8'),
    );
    const whole = { platforms: { snp: policy } };
    const verdict = await judged(quote, { whole, roots: AMD_ROOTS, atMs: NOW_MS });
    expect(refusals(verdict)).toEqual([]);
    expect(verdict.accepted).toBe(true);
  });
});

testWithVectors(
  "CCF's endorsements are read and vouched for, in each form they have had",
  async () => {
    const found: string[] = [];
    for (const name of [
      'rsa_test1',
      'ecdsa_test1',
      'int_svn',
      'uvm_0.2.9',
      'uvm_0.2.10.transparent',
    ]) {
      const endorsement = readUvmEndorsement(bytesOf('uvm-endorsements-ccf', `${name}.cose`));
      const list = new CheckList();
      await judgeUvmOrigin(list, endorsement, nodeVerifier);
      const failed = list.checks.filter(({ outcome }) => outcome !== 'passed');
      expect(failed, name).toEqual([]);
      found.push(
        `${endorsement.feed} ${endorsement.svn} ${endorsement.measurement.slice(0, 8)}`,
      );
    }
    expect(found).toEqual([
      'ContainerPlat-AMD-UVM 100 02c3b0d5',
      'ConfAKS-AMD-UVM 1 1b66347c',
      'ContainerPlat-AMD-UVM 102 d0c9e2be',
      'ContainerPlat-AMD-UVM 103 d0c9e2be',
      'ContainerPlat-AMD-UVM 104 4904167a',
    ]);
  },
);

testWithVectors("AMD's certificates are those that many others have, byte by byte", () => {
  const index = JSON.parse(readFileSync(pathOf('amd-roots', 'index.json'), 'utf8'));
  for (const product of ['Milan', 'Genoa', 'Turin'] as const) {
    for (const name of ['ark', 'ask', 'asvk'] as const) {
      const der = bytesOf('amd-roots', `${product.toLowerCase()}-${name}.der`);
      expect(AMD_CERTIFICATES[product][name]).toBe(Buffer.from(der).toString('base64'));
      expect(sha256Hex(der)).toBe(index[`${product.toLowerCase()}-${name}`].sha256_der);
    }
    expect(AMD_ROOTS[product]).toEqual([index[`${product.toLowerCase()}-ark`].sha256_der]);
  }
});

// What finds endorsements knows which certificate is whose on real machines of every kind, and the
// files of ACI are read as a real host left them.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Evidence } from '../../../src/attestation/evidence.ts';
import { judgeEvidence } from '../../../src/attestation/judge.ts';
import { SNP_SHARED_POLICY } from '../../../src/attestation/snp-verdict.ts';
import { aciSource } from '../../../src/attestation/sources/aci.ts';
import { thimTextOrigin } from '../../../src/attestation/sources/endorsement-origins.ts';
import { endorsementFinder } from '../../../src/attestation/sources/endorsements.ts';
import { leafMisfit } from '../../../src/attestation/sources/leaf-fit.ts';
import { certificatesIn } from '../../../src/attestation/sources/pem-bundle.ts';
import { needOf } from '../../../src/attestation/sources/report-lookup.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { parseCertificate } from '../../../src/crypto/x509.ts';
import { testWithVectors, vectorsFolder } from '../../support/judges.ts';

const snp = (): string => join(vectorsFolder() ?? '', 'snp');

interface Machine {
  readonly name: string;
  readonly report: Uint8Array;
  readonly leaf: Uint8Array;
}

function machines(): readonly Machine[] {
  return readdirSync(snp()).flatMap((name) => {
    const folder = join(snp(), name);
    const [leaf] = ['vcek.der', 'vlek.der']
      .map((file) => join(folder, file))
      .filter((file) => existsSync(file));
    if (leaf === undefined) return [];
    return [
      { name, report: readFileSync(join(folder, 'report.bin')), leaf: readFileSync(leaf) },
    ];
  });
}

testWithVectors('each real certificate is that of its own report, and of no other', () => {
  const all = machines();
  expect(all.length).toBeGreaterThan(10);
  for (const { name, leaf, report } of all) {
    const need = needOf(report);
    const { notBeforeMs, notAfterMs } = parseCertificate(leaf);
    expect(leafMisfit(leaf, need, notBeforeMs), name).toBeUndefined();
    expect(leafMisfit(leaf, need, notAfterMs + 1), name).toMatch(/expired/);
    const others = all.filter((other) => needOf(other.report).chipId !== need.chipId);
    for (const other of others) {
      const misfit = leafMisfit(leaf, needOf(other.report), notBeforeMs);
      expect(misfit, `${name} for ${other.name}`).toBeDefined();
    }
  }
});

testWithVectors('a Turin is asked for by sixteen digits', () => {
  const need = needOf(readFileSync(join(snp(), 'turin-v5-oak/report.bin')));
  expect(need).toMatchObject({ product: 'Turin', signer: 'VCEK' });
  expect(need.chipId).toMatch(/^[0-9a-f]{16}$/);
});

testWithVectors(
  "a real host's file was of another chip, and THIM had the right one",
  async () => {
    const report = readFileSync(join(snp(), 'aci-milan-v2-sidecar/report.bin'));
    const atMs = Date.UTC(2025, 0, 1);
    const thim = join(snp(), 'aci-milan-v2-sidecar/thim.json');
    const origin = thimTextOrigin('thim', async () => readFileSync(thim, 'utf8'));
    const source = aciSource(join(snp(), 'aci-security-context-dir'), {
      report: async () => report,
      endorsements: endorsementFinder([origin], {
        cache: { get: async () => undefined, put: async () => undefined },
        clock: { nowMs: () => atMs },
        log: { warn: () => undefined },
      }),
    });
    const evidence = await source.evidenceFor(report.subarray(0x50, 0x90));
    expect(await source.hostPolicy?.()).toMatch(/^package policy/);
    const policy = { platforms: { snp: SNP_SHARED_POLICY } };
    const judged = async (shown: Evidence): Promise<readonly unknown[]> => {
      const verdict = await judgeEvidence(shown, policy, { verifier: nodeVerifier }, atMs);
      const failed = verdict.checks.filter(({ outcome }) => outcome === 'failed');
      return [verdict.accepted, ...failed.map(({ code }) => code)];
    };
    // The sample folder is of another machine than the report; that is all there is against it.
    expect(await judged(evidence)).toEqual([false, 'UvmMeasurementMismatch']);
    const own = readFileSync(join(snp(), 'aci-milan-v2-sidecar/uvm_endorsements.cose'));
    const whole = { ...evidence, uvm_endorsements: own.toString('base64') };
    expect(await judged(whole)).toEqual([true]);
  },
);

testWithVectors('no changed byte of a certificate or report does more than misfit', () => {
  const [machine] = machines();
  const { leaf, report } = machine ?? { leaf: Buffer.alloc(0), report: Buffer.alloc(0) };
  const need = needOf(report);
  const { notBeforeMs } = parseCertificate(leaf);
  for (let at = 0; at < leaf.length; at += 1) {
    for (const value of [0x00, 0x30, 0x80, 0xff]) {
      const changed = Buffer.from(leaf);
      changed[at] = value;
      const misfit = leafMisfit(changed, need, notBeforeMs);
      expect(misfit === undefined || typeof misfit === 'string').toBe(true);
      leafMisfit(changed.subarray(0, at), need, notBeforeMs);
    }
  }
  for (let at = 0; at < report.length; at += 1) {
    const changed = Buffer.from(report);
    changed[at] = 0xff;
    try {
      needOf(changed);
    } catch (error) {
      expect(error).toMatchObject({ code: 'BadReport' });
    }
  }
  const bundle = readFileSync(join(snp(), machine?.name ?? '', 'chain.pem'), 'utf8');
  expect(certificatesIn(bundle)).toHaveLength(3);
  for (let at = 0; at < bundle.length; at += 7) {
    for (const text of [
      bundle.slice(0, at),
      `${bundle.slice(0, at)}*${bundle.slice(at + 1)}`,
    ]) {
      try {
        certificatesIn(text);
      } catch (error) {
        expect(error).toMatchObject({ code: 'BadPem' });
      }
    }
  }
});

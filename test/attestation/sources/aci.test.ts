// A confidential container: the folder that the host fills, and a report through the sidecar or the
// program.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  aciSource,
  programReport,
  type ReportMaker,
  sidecarReport,
} from '../../../src/attestation/sources/aci.ts';
import { endorsementFinder } from '../../../src/attestation/sources/endorsements.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { programRunner } from '../../../src/attestation/sources/programs.ts';
import type { EvidenceSource } from '../../../src/attestation/sources/source.ts';
import { hexOf } from '../../../src/base/bytes.ts';
import { sha256, sha256Text } from '../../../src/crypto/hash.ts';
import { AT_MS, pemOf } from '../fake-certificates.ts';
import { fakePki, signedReport } from '../fake-pki.ts';
import { type LocalAnswer, type LocalService, localService } from './local-service.ts';

const milan = fakePki('Milan');
const chip = milan.chip();
const KEY_DER = Buffer.from('a public key in DER');
const POLICY = 'package policy\n\nallow_all := false\n';
const UVM = Buffer.from('COSE of the utility VM');

let folder: string;
const started: LocalService[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-aci-'));
  const thim = {
    vcekCert: pemOf(chip.certificate),
    tcbm: 'DB18000000000004',
    certificateChain: pemOf(milan.ask.certificate, milan.ark.certificate),
  };
  put('security-policy-base64', POLICY);
  put('reference-info-base64', UVM);
  put('host-amd-cert-base64', JSON.stringify(thim));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.close()));
  rmSync(folder, { recursive: true });
});

function put(name: string, content: string | Uint8Array): void {
  writeFileSync(join(folder, name), `${Buffer.from(content).toString('base64')}\n`);
}

function sourceWith(report: ReportMaker): EvidenceSource {
  const endorsements = endorsementFinder([], {
    cache: { get: async () => undefined, put: async () => undefined },
    clock: { nowMs: () => AT_MS },
    log: { warn: () => undefined },
  });
  return aciSource(folder, { report, endorsements });
}

/** The sidecar, as its documentation has it: it hashes what it is given. */
async function sidecar(
  spoil: (answer: LocalAnswer) => LocalAnswer | undefined = (answer) => answer,
): Promise<ReportMaker> {
  const service = await localService((asked, body) => {
    if (asked !== 'POST /attest/raw') return { status: 404 };
    const { runtime_data } = JSON.parse(body) as { runtime_data: string };
    const reportData = new Uint8Array(64);
    reportData.set(sha256(Buffer.from(runtime_data, 'base64')));
    const report = hexOf(signedReport(chip, { reportData }));
    return spoil({ body: JSON.stringify({ report }) });
  });
  started.push(service);
  return sidecarReport(service.url, httpAsker(500));
}

/** A program in a file of its own. */
function program(script: string): ReportMaker {
  const path = join(folder, 'get-snp-report');
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return programReport(path, programRunner(500));
}

const FIELD = Buffer.concat([sha256(KEY_DER), Buffer.alloc(32)]);
const REPORT = signedReport(chip, { reportData: FIELD });

test('evidence through the sidecar carries what the host said of the utility VM', async () => {
  const source = sourceWith(await sidecar());
  const evidence = await source.evidenceFor(sha256(KEY_DER), KEY_DER);
  expect(evidence).toMatchObject({
    format: 'AMD_SEV_SNP_v1',
    endorsements: Buffer.from(chip.chain).toString('base64'),
    uvm_endorsements: UVM.toString('base64'),
    endorsed_tcb: 'db18000000000004',
  });
  expect(Buffer.from(evidence.quote, 'base64').subarray(0x50, 0x90)).toEqual(FIELD);
  expect(await source.hostPolicy?.()).toBe(POLICY);
});

test.each<[string, string]>([
  ['in hexadecimal', `printf '%s\\n' ${hexOf(REPORT)}`],
  ['as it is', 'cat "$(dirname "$0")/report"'],
])('the program gives a report %s, for the data in its argument', async (_how, script) => {
  writeFileSync(join(folder, 'report'), REPORT);
  const asked = join(folder, 'asked');
  const source = sourceWith(program(`printf '%s' "$1" > ${asked}; ${script}`));
  const { quote } = await source.evidenceFor(sha256(KEY_DER));
  expect(quote).toBe(Buffer.from(REPORT).toString('base64'));
  expect(readFileSync(asked, 'utf8')).toBe(hexOf(FIELD));
});

test('the sidecar must be told what the data are the hash of', async () => {
  const source = sourceWith(await sidecar());
  await expect(source.evidenceFor(sha256(KEY_DER))).rejects.toThrow(/was not given/);
  await expect(source.evidenceFor(sha256Text('other'), KEY_DER)).rejects.toThrow(/SHA-256/);
});

test.each<[string, (answer: LocalAnswer) => LocalAnswer | undefined, string, RegExp]>([
  ['says no', () => ({ status: 403, body: '{"error":"no device"}' }), 'failed', /no device/],
  ['gives no JSON', () => ({ body: 'x' }), 'malformed', /not JSON/],
  ['gives no report', () => ({ body: '{}' }), 'malformed', /gave nothing/],
  ['gives half of it', () => ({ body: '{"report":"00ff"}' }), 'malformed', /"00ff"/],
  ['is silent', () => undefined, 'missing', /no answer within 500 ms/],
  [
    'gives that of another key',
    () => ({ body: JSON.stringify({ report: hexOf(signedReport(chip)) }) }),
    'malformed',
    /about other data/,
  ],
])('the sidecar %s', async (_what, spoil, reason, message) => {
  const asked = sourceWith(await sidecar(spoil)).evidenceFor(sha256(KEY_DER), KEY_DER);
  await expect(asked).rejects.toMatchObject({
    code: 'EvidenceUnavailable',
    fields: { reason },
  });
  await expect(asked).rejects.toThrow(message);
});

test('there is no sidecar', async () => {
  const service = await localService(() => ({}));
  await service.close();
  const source = sourceWith(sidecarReport(service.url, httpAsker()));
  await expect(source.evidenceFor(sha256(KEY_DER), KEY_DER)).rejects.toThrow(/ECONNREFUSED/);
});

test.each<[string, string, string, RegExp]>([
  ['fails', 'echo no device >&2; exit 3', 'failed', /ended with 3: no device/],
  ['hangs', 'sleep 20', 'late', /longer than 500 ms/],
  ['prints something else', 'echo report', 'malformed', /"report"/],
  ['prints too much', 'head -c 2000000 /dev/zero', 'failed', /get-snp-report/],
])('the program %s', async (_what, script, reason, message) => {
  const asked = sourceWith(program(script)).evidenceFor(sha256(KEY_DER));
  await expect(asked).rejects.toMatchObject({ fields: { reason } });
  await expect(asked).rejects.toThrow(message);
});

test('there is no program, or none that may be run', async () => {
  const missing = programReport(join(folder, 'none'), programRunner());
  await expect(sourceWith(missing).evidenceFor(FIELD)).rejects.toMatchObject({
    fields: { reason: 'missing' },
  });
  const forbidden = programReport(join(folder, 'reference-info-base64'), programRunner());
  await expect(sourceWith(forbidden).evidenceFor(FIELD)).rejects.toThrow(/EACCES/);
});

test.each([
  ['reference-info-base64', undefined, /UVM_SECURITY_CONTEXT_DIR/],
  ['reference-info-base64', '*', /not base64/],
  ['host-amd-cert-base64', undefined, /host: no evidence from ACI: .*cannot be read/],
] as const)('%s that is %s', async (file, content, message) => {
  const path = join(folder, file);
  if (content === undefined) rmSync(path);
  else writeFileSync(path, content);
  const source = sourceWith(await sidecar());
  await expect(source.evidenceFor(sha256(KEY_DER), KEY_DER)).rejects.toThrow(message);
});

test('the certificate of the host may be of the time before an update', async () => {
  put('host-amd-cert-base64', JSON.stringify({ tcbm: '7308000000000003' }));
  const asked = sourceWith(await sidecar()).evidenceFor(sha256(KEY_DER), KEY_DER);
  await expect(asked).rejects.toThrow(/host: it endorses the TCB 7308000000000003/);
});

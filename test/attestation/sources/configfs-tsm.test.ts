// A report through the kernel: what is written is one write of 64 bytes, and what is read is known
// to be the answer to it.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  configfsTsmSource,
  kernelTsmFiles,
  type TsmOptions,
} from '../../../src/attestation/sources/configfs-tsm.ts';
import { endorsementFinder } from '../../../src/attestation/sources/endorsements.ts';
import type { EvidenceSource } from '../../../src/attestation/sources/source.ts';
import { sha256Text } from '../../../src/crypto/hash.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { AT_MS } from '../fake-certificates.ts';
import { fakePki, type ReportFields, signedReport } from '../fake-pki.ts';
import { certTable } from './cert-tables.ts';
import { FakeTsm, type FakeTsmOptions, systemError } from './fake-tsm.ts';

const milan = fakePki('Milan');
const chip = milan.chip();
const KEY = sha256Text('a public key');
const FOLDER = '/sys/kernel/config/tsm/report';
const TABLE = certTable({
  VCEK: chip.certificate,
  ASK: milan.ask.certificate,
  ARK: milan.ark.certificate,
});

function rig(
  options: Partial<FakeTsmOptions> = {},
  fields: ReportFields = {},
  tsm: Partial<TsmOptions> = {},
): { readonly kernel: FakeTsm; readonly source: EvidenceSource; readonly pauses: number[] } {
  const report = (reportData: Uint8Array): Uint8Array =>
    signedReport(chip, { reportData, ...fields });
  const kernel = new FakeTsm({ report, table: TABLE, ...options });
  const pauses: number[] = [];
  const source = configfsTsmSource(
    { folder: FOLDER, ...tsm },
    {
      files: kernel,
      random: systemRandom,
      pause: async (ms) => {
        pauses.push(ms);
      },
      endorsements: endorsementFinder([], {
        cache: { get: async () => undefined, put: async () => undefined },
        clock: { nowMs: () => AT_MS },
        log: { warn: () => undefined },
      }),
    },
  );
  return { kernel, source, pauses };
}

test('the report is about what was asked, with the certificates that came along', async () => {
  const { kernel, source } = rig();
  const evidence = await source.evidenceFor(KEY);
  const report = Buffer.from(evidence.quote, 'base64');
  expect(report).toHaveLength(1184);
  expect(report.subarray(0x50, 0x90)).toEqual(Buffer.concat([KEY, Buffer.alloc(32)]));
  expect(evidence).toMatchObject({
    format: 'AMD_SEV_SNP_v1',
    endorsements: Buffer.from(chip.chain).toString('base64'),
    endorsed_tcb: 'db18000000000004',
  });
  expect(kernel.writes).toEqual(['inblob 64']);
  // Nothing is left behind.
  expect(kernel.requests.size).toBe(0);
});

test('a privilege level is a write of its own', async () => {
  const { kernel, source } = rig({}, {}, { privilegeLevel: 2 });
  await source.evidenceFor(KEY);
  expect(kernel.writes).toEqual(['privlevel 1', 'inblob 64']);
});

test('when another process got in between, it is asked again under another name', async () => {
  const { kernel, source, pauses } = rig();
  let races = 2;
  kernel.disturb = (operation, request) => {
    if (operation === 'read outblob' && races > 0 && request !== undefined) {
      races -= 1;
      request.generation += 1;
    }
    return undefined;
  };
  await source.evidenceFor(KEY);
  expect(new Set(kernel.made).size).toBe(3);
  expect(pauses).toHaveLength(2);
  expect(kernel.requests.size).toBe(0);
});

test.each(['EWOULDBLOCK', 'EINTR', 'EBUSY'])('%s is asked again too', async (code) => {
  const { kernel, source, pauses } = rig();
  let once = true;
  kernel.disturb = (operation) => {
    if (operation !== 'read outblob' || !once) return undefined;
    once = false;
    throw systemError(code);
  };
  await source.evidenceFor(KEY);
  expect(pauses).toHaveLength(1);
});

test('a race that never ends is given up', async () => {
  const { kernel, source, pauses } = rig();
  kernel.disturb = (operation) => {
    if (operation === 'read outblob') throw systemError('EAGAIN');
    return undefined;
  };
  await expect(source.evidenceFor(KEY)).rejects.toMatchObject({
    code: 'EvidenceUnavailable',
    fields: { reason: 'busy' },
  });
  expect(pauses).toHaveLength(20);
  expect(kernel.requests.size).toBe(0);
});

test.each<[string, string, string, RegExp]>([
  ['make', 'ENOENT', 'missing', /Linux 6.7 or later/],
  ['make', 'EACCES', 'missing', /only root/],
  ['write inblob', 'ENXIO', 'missing', /no SEV-SNP guest/],
  ['read outblob', 'ENXIO', 'missing', /no SEV-SNP guest/],
  ['write inblob', 'EFBIG', 'failed', /EFBIG/],
  ['read outblob', 'EIO', 'failed', /EIO/],
])('%s that ends in %s: %s', async (what, code, reason, message) => {
  const { kernel, source } = rig();
  kernel.disturb = (operation) => {
    if (operation === what) throw systemError(code);
    return undefined;
  };
  const asked = source.evidenceFor(KEY);
  await expect(asked).rejects.toMatchObject({ fields: { reason } });
  await expect(asked).rejects.toThrow(message);
  expect(kernel.requests.size).toBe(0);
});

test('what the kernel took in part is no request', async () => {
  const { kernel, source } = rig();
  kernel.disturb = (operation) => (operation === 'write inblob' ? 32 : undefined);
  await expect(source.evidenceFor(KEY)).rejects.toThrow(/took 32 of 64 bytes of inblob/);
});

test.each<[string, Partial<FakeTsmOptions>, ReportFields, RegExp]>([
  ['TDX', { provider: 'tdx_guest' }, {}, /its provider is "tdx_guest"/],
  ['a short report', { report: () => new Uint8Array(1000) }, {}, /1000 bytes/],
  ['a report of something else', {}, { reportData: new Uint8Array(64) }, /other report data/],
])('refused: %s', async (_what, options, fields, message) => {
  const { source } = rig(options, fields);
  await expect(source.evidenceFor(KEY)).rejects.toThrow(message);
});

test('without certificates of the host, and nobody else to ask, there is no evidence', async () => {
  const none = rig({ table: new Uint8Array(0) });
  await expect(none.source.evidenceFor(KEY)).rejects.toThrow(/no place to ask is configured/);
  const spoiled = rig({ table: TABLE.subarray(0, 80) });
  await expect(spoiled.source.evidenceFor(KEY)).rejects.toThrow(/beyond its end/);
});

test('more than 64 bytes cannot be bound', async () => {
  const { source } = rig();
  await expect(source.evidenceFor(new Uint8Array(65))).rejects.toMatchObject({
    code: 'ReportDataTooLong',
  });
});

test("files are the kernel's: written over, never made or cut", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-tsm-'));
  try {
    const request = join(folder, 'request');
    await kernelTsmFiles.make(request);
    const inblob = join(request, 'inblob');
    await expect(kernelTsmFiles.write(inblob, KEY)).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(inblob, Buffer.alloc(64, 7));
    expect(await kernelTsmFiles.write(inblob, KEY)).toBe(32);
    expect(readFileSync(inblob)).toEqual(Buffer.concat([KEY, Buffer.alloc(32, 7)]));
    expect(await kernelTsmFiles.read(inblob)).toEqual(readFileSync(inblob));
    rmSync(inblob);
    await kernelTsmFiles.remove(request);
    mkdirSync(request);
    await expect(kernelTsmFiles.make(request)).rejects.toMatchObject({ code: 'EEXIST' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// The certificates of a report are found wherever somebody has the right ones, and nowhere else.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { endorsementFolder } from '../../../src/attestation/sources/endorsement-folder.ts';
import {
  amdOrigin,
  azureCacheOrigin,
  tableOrigin,
  thimOrigin,
} from '../../../src/attestation/sources/endorsement-origins.ts';
import {
  type EndorsementFinder,
  type EndorsementOrigin,
  endorsementFinder,
} from '../../../src/attestation/sources/endorsements.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { hexOf } from '../../../src/base/bytes.ts';
import { AT_MS, pemOf, UNTIL_MS } from '../fake-certificates.ts';
import { type FakeChip, fakePki, signedReport, TCBS, tcbBytes } from '../fake-pki.ts';
import { certTable } from './cert-tables.ts';
import { type LocalAnswer, type LocalService, localService } from './local-service.ts';

const milan = fakePki('Milan');
const chip = milan.chip();
const report = signedReport(chip);
const { ask, ark, asvk } = milan;
const UPDATED = { ...TCBS.Milan, microcode: 220 };
const updated = milan.chip({ tcb: UPDATED, keys: chip.keys });

const textOfTcb = ({ tcb, product }: FakeChip): string =>
  hexOf(tcbBytes(tcb, product).toReversed());

let folder: string;
let services: LocalService[];
let pauses: number[];
let warnings: string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-endorsements-'));
  services = [];
  pauses = [];
  warnings = [];
});
afterEach(async () => {
  await Promise.all(services.map((service) => service.close()));
  rmSync(folder, { recursive: true });
});

const parts = (timeoutMs?: number) => ({
  ask: httpAsker(timeoutMs),
  pause: async (ms: number) => {
    pauses.push(ms);
  },
});

function finder(origins: readonly EndorsementOrigin[], nowMs = AT_MS): EndorsementFinder {
  return endorsementFinder(origins, {
    cache: endorsementFolder(folder),
    clock: { nowMs: () => nowMs },
    log: { warn: (text) => warnings.push(text) },
  });
}

async function service(
  answer: (asked: string) => LocalAnswer | undefined,
): Promise<LocalService> {
  const started = await localService(answer);
  services.push(started);
  return started;
}

function thimOf(of: FakeChip, tcbm = textOfTcb(of)): LocalAnswer {
  const answer = {
    vcekCert: pemOf(of.certificate),
    tcbm,
    certificateChain: pemOf(ask.certificate, ark.certificate),
    cacheControl: '86400',
  };
  return { body: JSON.stringify(answer) };
}

test("AMD's service is asked for the chip and each version in its order", async () => {
  const amd = await service((asked) =>
    asked.endsWith('/cert_chain')
      ? { body: pemOf(ask.certificate, ark.certificate) }
      : { body: chip.certificate },
  );
  const found = await finder([amdOrigin(amd.url, parts())])(report);
  expect(found).toEqual({ chainPem: chip.chain, tcbText: 'db18000000000004', from: 'amd' });
  expect(amd.asked).toEqual([
    `GET /vcek/v1/Milan/${hexOf(chip.chipId)}?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219`,
    'GET /vcek/v1/Milan/cert_chain',
  ]);
});

test('a Turin is asked for by eight bytes of its id, and by its first firmware', async () => {
  const turin = fakePki('Turin');
  const its = turin.chip();
  const chain = pemOf(turin.ask.certificate, turin.ark.certificate);
  const amd = await service((asked) =>
    asked.endsWith('/cert_chain') ? { body: chain } : { body: its.certificate },
  );
  const found = await finder([amdOrigin(amd.url, parts())])(signedReport(its));
  expect(found.chainPem).toBe(its.chain);
  const id = hexOf(its.chipId.subarray(0, 8));
  expect(amd.asked[0]).toBe(
    `GET /vcek/v1/Turin/${id}?fmcSPL=1&blSPL=1&teeSPL=1&snpSPL=2&ucodeSPL=71`,
  );
});

test("a VLEK comes from the host, and AMD's service completes its chain", async () => {
  const vlek = milan.chip({ kind: 'VLEK' });
  const amd = await service(() => ({ body: pemOf(asvk.certificate, ark.certificate) }));
  const first = [tableOrigin(certTable({ VLEK: vlek.certificate }))];
  const found = await finder([amdOrigin(amd.url, parts())])(signedReport(vlek), first);
  expect(found).toMatchObject({ chainPem: vlek.chain, from: 'host' });
  expect(amd.asked).toEqual(['GET /vlek/v1/Milan/cert_chain']);
});

test('what the host gives whole is asked of nobody else', async () => {
  const amd = await service(() => ({ status: 500 }));
  const whole = { VCEK: chip.certificate, ASK: ask.certificate, ARK: ark.certificate };
  const find = finder([amdOrigin(amd.url, parts())]);
  const found = await find(report, [tableOrigin(certTable(whole))]);
  expect(found).toMatchObject({ chainPem: chip.chain, from: 'host' });
  expect(amd.asked).toEqual([]);
});

test('a machine whose firmware was updated is not endorsed by what THIM knew before', async () => {
  const thim = await service(() => thimOf(chip));
  const cache = await service(() => ({ body: updated.chain }));
  const find = finder([
    thimOrigin(`${thim.url}/metadata/THIM/amd/certification`, parts()),
    azureCacheOrigin(cache.url, 'us', parts()),
  ]);
  expect(await find(report)).toMatchObject({ from: 'thim', tcbText: textOfTcb(chip) });
  expect(thim.headers[0]?.metadata).toBe('true');
  // Kept, and good for the same machine from now on.
  expect(await find(report)).toMatchObject({ from: 'cache', chainPem: chip.chain });
  expect(thim.asked).toHaveLength(1);

  const later = await find(signedReport(updated));
  expect(later).toMatchObject({ from: 'azure-cache', chainPem: updated.chain });
  expect(thim.asked).toHaveLength(2);
  expect(cache.asked).toEqual([
    `GET /SevSnpVM/certificates/${hexOf(chip.chipId)}/dc18000000000004` +
      '?api-version=2020-10-15-preview&clientId=us',
  ]);
  expect(readdirSync(folder)).toHaveLength(2);
});

test('a certificate of another report is passed over, whatever THIM says', async () => {
  const thim = await service(() => thimOf(chip, textOfTcb(updated)));
  const find = finder([thimOrigin(thim.url, parts())]);
  await expect(find(signedReport(updated))).rejects.toMatchObject({
    code: 'NoEndorsements',
    message: expect.stringMatching(/thim gave a VCEK, but it is for another TCB: its ucodeSPL/),
  });
  const other = milan.chip({ chipId: new Uint8Array(64).fill(9), keys: chip.keys });
  await expect(
    finder([{ name: 'x', find: async () => ({ leaf: other.certificate }) }])(report),
  ).rejects.toThrow(/another chip/);
});

test('an expired certificate in the cache is fetched again', async () => {
  const thim = await service(() => thimOf(chip));
  await finder([thimOrigin(thim.url, parts())])(report);
  const late = finder([thimOrigin(thim.url, parts())], UNTIL_MS + 1);
  await expect(late(report)).rejects.toThrow(/it has expired/);
  expect(thim.asked).toHaveLength(2);
});

test('a spoiled cache costs a question and a warning, no more', async () => {
  const thim = await service(() => thimOf(chip));
  const find = finder([thimOrigin(thim.url, parts())]);
  await find(report);
  const [file = ''] = readdirSync(folder);
  writeFileSync(join(folder, file), Uint8Array.of(0xff, 0xfe));
  expect(await find(report)).toMatchObject({ from: 'thim' });
  writeFileSync(join(folder, file), updated.chain);
  expect(await find(report)).toMatchObject({ from: 'thim' });
  expect(warnings).toHaveLength(1);
});

test('a service with too many questions is asked again when it said, or ever later', async () => {
  const answers: LocalAnswer[] = [
    { status: 429 },
    { status: 429, headers: { 'retry-after': '7' } },
    { status: 429 },
    { status: 429, headers: { 'retry-after': '86400' } },
    { body: chip.chain },
  ];
  const cache = await service(() => answers.shift());
  const found = await finder([azureCacheOrigin(cache.url, undefined, parts())])(report);
  expect(found.from).toBe('azure-cache');
  expect(pauses).toEqual([1_000, 7_000, 4_000, 30_000]);
});

test('when nobody has them, the error says what each one answered', async () => {
  const throttled = await service(() => ({ status: 429 }));
  const silent = await service(() => undefined);
  const broken = await service(() => ({ body: '<html>' }));
  const gone = await service(() => ({}));
  await gone.close();
  const find = finder([
    thimOrigin(`${broken.url}/thim`, parts()),
    azureCacheOrigin(silent.url, undefined, parts(50)),
    azureCacheOrigin(gone.url, undefined, parts()),
    amdOrigin(throttled.url, parts()),
  ]);
  const error = await find(report).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'NoEndorsements' });
  const { message } = error as Error;
  expect(message).toContain('no VCEK for this machine (Milan, TCB db18000000000004');
  expect(message).toMatch(/host has no VCEK|thim: its answer is not JSON/);
  expect(message).toMatch(/azure-cache: .*no answer within 50 ms/);
  expect(message).toMatch(/azure-cache: .*ECONNREFUSED/);
  expect(message).toMatch(/amd: .*429 Too Many Requests 5 times/);
  expect(throttled.asked).toHaveLength(5);
});

test.each<[string, string, RegExp]>([
  ['no certificate', JSON.stringify({ tcbm: textOfTcb(chip) }), /no vcekCert/],
  ['no object', '7', /no vcekCert/],
  ['no PEM', JSON.stringify({ vcekCert: 'x' }), /holds no certificate/],
  [
    'a leaf only',
    JSON.stringify({ vcekCert: pemOf(chip.certificate) }),
    /0 certificates of auth/,
  ],
])('THIM gives nothing that helps: %s', async (_what, body, why) => {
  const thim = await service(() => ({ body }));
  await expect(finder([thimOrigin(thim.url, parts())])(report)).rejects.toThrow(why);
});

test('a report of version 2 names no processor: AMD cannot be asked, but others can', async () => {
  const old = signedReport(chip, { version: 2 });
  const thim = await service(() => thimOf(chip));
  const amd = await service(() => ({}));
  const asked = amdOrigin(amd.url, parts());
  await expect(finder([asked])(old)).rejects.toThrow(/does not name its processor/);
  expect(await finder([asked, thimOrigin(thim.url, parts())])(old)).toMatchObject({
    from: 'thim',
  });
  expect(amd.asked).toEqual([]);
});

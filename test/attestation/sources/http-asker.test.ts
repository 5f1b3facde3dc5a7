// Questions over HTTP end: with an answer that fits, or with a word about why there is none.

import { afterEach, expect, test } from 'vitest';
import { thimOrigin } from '../../../src/attestation/sources/endorsement-origins.ts';
import { httpAsker } from '../../../src/attestation/sources/http-asker.ts';
import { needOf } from '../../../src/attestation/sources/report-lookup.ts';
import { fakePki, signedReport } from '../fake-pki.ts';
import { type LocalService, localService } from './local-service.ts';

const started: LocalService[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((service) => service.close()));
});

async function serviceWith(...given: Parameters<typeof localService>): Promise<LocalService> {
  const service = await localService(...given);
  started.push(service);
  return service;
}

test('an answer comes back with its status, its bytes and when to ask again', async () => {
  const body = Uint8Array.of(0x30, 0x82, 0xff);
  const service = await serviceWith(() => ({
    status: 503,
    headers: { 'retry-after': '12' },
    body,
  }));
  const question = { url: `${service.url}/a?b=c`, method: 'POST', body: 'what?' } as const;
  expect(await httpAsker()(question)).toEqual({
    status: 503,
    body: Buffer.from(body),
    retryAfterSeconds: 12,
  });
  expect([service.asked, service.bodies]).toEqual([['POST /a?b=c'], ['what?']]);
});

test.each([
  ['no address', 'kdsintf.amd.com', /this is no address/],
  ['no HTTP', 'file:///etc/passwd', /neither http nor https/],
])('%s', async (_what, url, why) => {
  await expect(httpAsker()({ url })).rejects.toMatchObject({ code: 'NoAnswer' });
  await expect(httpAsker()({ url })).rejects.toThrow(why);
});

test('an answer without end is cut off', async () => {
  const service = await serviceWith(() => ({ body: new Uint8Array(5_000) }));
  const asked = httpAsker(5_000, 4_000)({ url: service.url });
  await expect(asked).rejects.toThrow(/longer than 4000 bytes/);
});

test('a service that takes the question and says nothing is given up', async () => {
  const service = await serviceWith(() => undefined);
  const asked = httpAsker(40)({ url: service.url });
  await expect(asked).rejects.toThrow(/no answer within 40 ms/);
});

test("a host's metadata service may be told which chip and which TCB", async () => {
  const service = await serviceWith(() => ({ status: 404 }));
  const need = needOf(signedReport(fakePki('Milan').chip()));
  const url = `${service.url}/certification?platformId={chip}&tcbVersion={tcb}`;
  const thim = thimOrigin(url, { ask: httpAsker(), pause: async () => undefined });
  await expect(thim.find(need)).rejects.toThrow(/answered 404/);
  expect(service.asked).toEqual([
    `GET /certification?platformId=${need.chipId}&tcbVersion=db18000000000004`,
  ]);
});

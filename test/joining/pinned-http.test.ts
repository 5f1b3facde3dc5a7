// Requests go to nodes that the service has endorsed, in sessions that prove the joiner's key.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { JOIN_ANSWER_BYTES_MAX } from '../../src/base/limits.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { type PinnedHttp, pinnedHttp } from '../../src/node/joining/pinned-http.ts';
import { newJoiner } from '../governance/small-service.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { makeService } from '../support/ledger-writer.ts';
import { startTlsService, type TlsService } from '../support/tls-service.ts';

let service: TlsService;
let http: PinnedHttp;
const joiner = await newJoiner();

beforeEach(async () => {
  service = await startTlsService((seen, reply) =>
    reply.head(200).end(`${seen.url} ${seen.body}`),
  );
  http = pinnedHttp({ ...joiner, serviceCertificatePem: service.certificate }, 1000);
});
afterEach(async () => {
  http.close();
  await service.stop();
});

const address = (): string => `127.0.0.1:${service.port}`;

test('a question is answered, and the session shows who asks', async () => {
  const body = utf8('the body');
  const answer = await http.ask(address(), { method: 'POST', target: '/node/join', body });
  expect(answer.status).toBe(200);
  expect(Buffer.from(answer.body).toString()).toBe('/node/join the body');
  await http.ask(address(), { method: 'GET', target: '/again' });
  expect(service.seen.map(({ clientId }) => clientId)).toEqual(
    Array.from({ length: 2 }, () => certificateIdOf(joiner.certificatePem)),
  );
});

test('a node that another service has endorsed is not asked', async () => {
  const { serviceCert } = await makeService();
  const other = pinnedHttp({ ...joiner, serviceCertificatePem: serviceCert }, 1000);
  const asked = other.ask(address(), { method: 'GET', target: '/' });
  expect(await asked.catch(codeOf)).toBe('SourceUnreachable');
  expect(service.seen).toEqual([]);
  other.close();
});

test.each<[string, () => void, RegExp]>([
  ['says nothing', () => service.answerWith(() => undefined), /no answer within 1000 ms/],
  ['hangs up', () => service.answerWith((_seen, reply) => reply.hangUp()), /hang up/],
  [
    'answers without an end',
    () =>
      service.answerWith((_seen, reply) =>
        reply.head(200).end(Buffer.alloc(JOIN_ANSWER_BYTES_MAX + 1)),
      ),
    /answers with over/,
  ],
])('a node that %s is not waited for', async (_title, turn, why) => {
  turn();
  const asked = http.ask(address(), { method: 'GET', target: '/' });
  const refused = await asked.catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('SourceUnreachable');
  expect(String(refused)).toMatch(why);
});

test('what is no address, and where nobody listens', async () => {
  const ask = (place: string): Promise<unknown> =>
    http.ask(place, { method: 'GET', target: '/' }).catch((thrown: unknown) => thrown);
  expect(String(await ask('nowhere'))).toContain('which is host:port');
  expect(codeOf(await ask('127.0.0.1:1'))).toBe('SourceUnreachable');
});

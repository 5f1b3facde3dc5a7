/** What holds for all endpoints, and errors that arise beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { payloadKeyOf } from '../../src/crypto/payload.ts';
import { jsonIn, plainKeys, QuorumClient, textIn } from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';

const application = createQuorumApplication({ random: { bytes: (n) => new Uint8Array(n) } });

describe('all endpoints', () => {
  test('see committed state and answer after commit; only those without state ask nobody', () => {
    for (const endpoint of application.endpoints) {
      expect([endpoint.reads, endpoint.answers]).toEqual(['committed', 'committed']);
      const policies = endpoint.effect === 'none' ? ['no_auth'] : ['user_cert'];
      expect(endpoint.authentication).toEqual(policies);
    }
  });

  test('that are read with GET are read with HEAD too', () => {
    const paths = (verb: string): readonly string[] =>
      application.endpoints.filter((one) => one.verb === verb).map((one) => one.path);
    expect(paths('HEAD')).toEqual(paths('GET'));
  });

  test('are described by /api', () => {
    const client = new QuorumClient(quorumInMemory(plainKeys(1), 1), 1);
    const { paths } = jsonIn(client.get('/api', 'application/json'));
    expect(Object.keys(paths as object)).toContain('/transaction/{hash}/participants');
  });

  test('tell the version of the package', () => {
    const client = new QuorumClient(quorumInMemory(plainKeys(1), 1), 1);
    const manifest = readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    expect(textIn(client.get('/version', 'text/plain'))).toBe(version);
  });
});

describe('who asks', () => {
  test('a user that is no organisation is refused', () => {
    const response = quorumInMemory(plainKeys(1), 1).request({
      verb: 'GET',
      target: '/app/quorum/q2t/transaction/AAAA',
      caller: { policy: 'user_cert', id: 'ab', certificatePem: '' },
    });
    expect([response.status, textIn(response)]).toEqual([
      403,
      'the client certificate ab belongs to no organisation',
    ]);
  });
});

describe('errors beside the endpoints', () => {
  test.each([
    [404, 'ResourceNotFound', 404, 'HTTP 404 Not Found'],
    [405, 'UnsupportedHttpVerb', 405, 'HTTP 405 Method Not Allowed'],
    [413, 'RequestBodyTooLarge', 413, 'HTTP 413 Request Entity Too Large'],
    [401, 'InvalidAuthenticationInfo', 401, 'why'],
    [503, 'TooManyPendingTransactions', 503, 'why'],
    // 404 would say "you are no party" and fork the private state of the node that asked.
    [404, 'FrontendNotOpen', 503, 'the service is not open yet, ask again'],
  ])('%d %s is said as %d', (status, code, shown, sentence) => {
    const headers = { allow: 'GET' };
    const response = application.renderError?.({ status, code, message: 'why', headers });
    expect(response?.status).toBe(shown);
    expect(response?.body).toBe(sentence);
    expect(response?.headers?.['content-type']).toBe('text/plain');
    // By which the connector tells what may be sent again from what may not.
    expect(response?.headers?.['x-concordat-error']).toBe(code);
  });
});

describe('against the real thing', () => {
  test('a ciphertext of Tessera has the key that Tessera gave it', () => {
    const key = payloadKeyOf(Buffer.from('1B+lDVsfpLJO7V+h4eoP1nLRusV4LnTifCGN', 'base64'));
    expect(key.toString('base64')).toBe(
      'iPc1zUivjKt1xfhsW+O6EguhsYL/eu/IIp95adu2FGFs1sjaV+kzzVJ85TyPcN/3KVxiX3TGuyd+hxjrGgfPpg==',
    );
  });
});

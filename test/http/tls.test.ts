// TLS as the contract has it (http-api.md §9): what is spoken, what is refused, and that no client
// certificate is ever a reason to refuse a handshake.

import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testIdentity } from './certificates.ts';
import { askOnce, jsonOf, RawClient } from './client.ts';
import { type House, openHouse } from './house.ts';

let house: House;

beforeAll(async () => {
  house = await openHouse();
});

afterAll(() => house.close());

function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  const { host, port } = house;
  const socket = connect({ host, port, rejectUnauthorized: false, ...options });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('secureConnect', () => resolve(socket));
  });
}

const V12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;
const V13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
/** OpenSSL of the client would refuse these by itself. */
const OLD = '@SECLEVEL=0';

describe('is spoken', () => {
  test.each([
    ['TLS 1.3', V13],
    ['TLS 1.2', V12],
    ['AES-256-GCM under 1.2', { ...V12, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' }],
    ['AES-128-GCM under 1.2', { ...V12, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }],
    ['AES-128-GCM under 1.3', { ...V13, ciphers: 'TLS_AES_128_GCM_SHA256' }],
    ['P-256', { ecdhCurve: 'P-256' }],
    ['P-384', { ecdhCurve: 'P-384' }],
    ['P-521', { ecdhCurve: 'P-521' }],
    ['http/1.1 by ALPN', { ALPNProtocols: ['h2', 'http/1.1'] }],
  ] as const)('%s', async (_what, options) => {
    const socket = await handshake({ ...options } as ConnectionOptions);
    expect(socket.getCipher().name).toMatch(/AES(_|-)?(128|256)(_|-)GCM/);
    if ('ALPNProtocols' in options) expect(socket.alpnProtocol).toBe('http/1.1');
    socket.destroy();
  });
});

describe('is refused', () => {
  test.each([
    ['TLS 1.1', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: `DEFAULT:${OLD}` }],
    ['ChaCha20 under 1.3', { ...V13, ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }],
    ['ChaCha20 under 1.2', { ...V12, ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' }],
    ['CBC', { ...V12, ciphers: `ECDHE-ECDSA-AES256-SHA384:${OLD}` }],
    ['CCM', { ...V12, ciphers: `ECDHE-ECDSA-AES256-CCM:${OLD}` }],
    ['X25519', { ecdhCurve: 'X25519' }],
    ['secp256k1', { ...V12, ecdhCurve: 'secp256k1' }],
    ['h2 only', { ALPNProtocols: ['h2'] }],
  ] as const)('%s', async (_what, options) => {
    await expect(handshake({ ...options } as ConnectionOptions)).rejects.toThrow(
      /alert|handshake|disconnected|protocol|hang up|ECONNRESET/i,
    );
  });
});

describe('a client certificate', () => {
  const DAY_MS = 24 * 3600 * 1000;

  test.each([
    ['expired', -10 * DAY_MS, -DAY_MS, /is after certificate's Not After validity period \d+$/],
    [
      'not yet valid',
      DAY_MS,
      2 * DAY_MS,
      /is before certificate's Not Before validity period \d+$/,
    ],
  ])(
    'that is %s gets its session, and a 401 that says so',
    async (_what, from, to, sentence) => {
      const now = Date.now();
      const late = await testIdentity('late', now + from, now + to);
      const own = await openHouse({ service: { userCertificates: [late.cert] } });
      expect((await askOnce(own, late, 'GET', '/app/commit')).status).toBe(200);
      const reply = await askOnce(own, late, 'GET', '/app/log/private/count');
      expect(reply.status).toBe(401);
      expect(jsonOf(reply)).toMatchObject({
        error: {
          details: [
            { auth_policy: 'jwt', message: 'Missing authorization header' },
            { auth_policy: 'user_cert', message: expect.stringMatching(sentence) },
          ],
        },
      });
      await own.close();
    },
  );

  test('of a member is good whatever its dates: CCF does not check them', async () => {
    const now = Date.now();
    const late = await testIdentity('late member', now - 10 * DAY_MS, now - DAY_MS);
    const own = await openHouse({
      service: { memberCertificates: [late.cert] },
      applications: [
        {
          name: 'members',
          archivedTables: [],
          endpoints: [
            {
              verb: 'GET',
              path: '/members/only',
              authentication: ['user_cert', 'member_cert'],
              effect: 'none',
              reads: 'current',
              answers: 'local',
              summary: 'for members',
              handle: ({ caller }) => ({
                kind: 'answer',
                response: { status: 200, body: JSON.stringify(caller) },
              }),
            },
          ],
        },
      ],
    });
    const reply = await askOnce(own, late, 'GET', '/members/only');
    expect(jsonOf(reply)).toMatchObject({
      policy: 'member_cert',
      certificatePem: expect.any(String),
    });
    await own.close();
  });

  test.each([
    ['TLS 1.2', V12],
    ['TLS 1.3', V13],
  ])('is still known when a session is resumed under %s', async (_what, version) => {
    const { cert, key } = house.user;
    const first = await handshake({ ...version, cert, key });
    // Under 1.3 the ticket comes after the handshake, with the first answer at the latest.
    first.write('GET /app/commit HTTP/1.1\r\n\r\n');
    await new Promise((resolve) => first.once('data', resolve));
    const ticket = first.getSession();
    first.destroy();
    if (ticket === undefined) throw new Error('the server gave no ticket');
    const again = await handshake({ ...version, cert, key, session: ticket });
    expect(again.isSessionReused()).toBe(true);
    again.write('GET /app/log/private/count HTTP/1.1\r\nconnection: close\r\n\r\n');
    const chunks: Buffer[] = [];
    for await (const chunk of again) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('may be left out', async () => {
    const client = await RawClient.connect(house);
    expect((await client.ask('GET', '/app/commit')).status).toBe(200);
    client.close();
  });
});

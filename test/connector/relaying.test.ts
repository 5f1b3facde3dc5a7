/** What the connector passes on, what it keeps to itself, and what it does when nobody answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PAYLOAD_BODY_BYTES_MAX, SESSION_IDLE_MS_MAX } from '../../src/base/limits.ts';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import {
  type Connector,
  type ConnectorOptions,
  startConnector,
} from '../../src/connector/connector.ts';
import { type Answering, startTlsService, type TlsService } from '../support/tls-service.ts';

const PLAIN: Answering = (_, reply) => {
  const headers = { 'content-type': 'text/plain', 'x-ms-ccf-transaction-id': '2.7' };
  reply.head(200, headers).end('yes');
};

let service: TlsService;
let folder: string;
let connector: Connector;

async function serve(options: Partial<ConnectorOptions> = {}): Promise<Connector> {
  const { certificate, key } = service.client;
  return await startConnector(
    {
      service: {
        nodeUrls: [service.url],
        serviceCertificate: service.certificate,
        certificate,
        key,
      },
      socket: { path: join(folder, 'q', 'tm.ipc') },
      http: { port: 0 },
      thirdParty: { port: 0 },
      ...options,
    },
    { log: () => undefined, judge: UNJUDGED },
  );
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'connector-'));
  service = await startTlsService(PLAIN);
  connector = await serve();
});

afterEach(async () => {
  await connector.close();
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('what goes through', () => {
  test('path and query as they are, under the prefix of the surface', async () => {
    const path = '/transaction/a%2Fb+c==?isRaw=true&to=%2B';
    await ask(connector.url, path);
    await ask(connector.thirdPartyUrl, '/keys');
    await ask(connector.socketPath, '/upcheck/');
    expect(service.seen.map(({ url }) => url)).toEqual([
      `/app/quorum/q2t${path}`,
      '/app/quorum/3p/keys',
      '/app/quorum/q2t/upcheck',
    ]);
  });

  test('method, body, headers, and the certificate of the organisation', async () => {
    await ask(connector.url, '/send', {
      method: 'POST',
      headers: { 'Content-Type': 'application/x', 'c11n-to': 'a,b', Accept: 'application/y' },
      body: Buffer.from([0, 1, 255]),
    });
    const [seen] = service.seen;
    expect(seen).toMatchObject({ method: 'POST', clientId: service.clientId });
    expect(seen?.body).toEqual(Buffer.from([0, 1, 255]));
    expect(seen?.headers).toMatchObject({
      'content-type': 'application/x',
      'c11n-to': 'a,b',
      accept: 'application/y',
      host: `127.0.0.1:${service.port}`,
      'content-length': '3',
    });
  });

  test('a chunked body, and an answer of some megabytes', async () => {
    const large = Buffer.alloc(3_000_000, 'x');
    service.answerWith((seen, reply) => reply.end(seen.body));
    const answer = await ask(connector.url, '/send', {
      method: 'POST',
      headers: { 'Transfer-Encoding': 'chunked' },
      body: large,
    });
    expect(answer.body.equals(large)).toBe(true);
    expect(service.seen[0]?.headers['transfer-encoding']).toBeUndefined();
  });

  test('status and headers of the answer, without those of the connection', async () => {
    service.answerWith((_, reply) => {
      const own = { te: 'x', 'x-concordat-error': 'UnsupportedHttpVerb' };
      reply.head(405, { allow: 'GET', 'content-type': 'text/plain', ...own }).end('no');
    });
    const answer = await ask(connector.url, '/send');
    expect([answer.status, answer.body.toString()]).toEqual([405, 'no']);
    expect(answer.headers).toMatchObject({ allow: 'GET', 'content-length': '2' });
    expect(Object.keys(answer.headers)).not.toContain('te');
    expect(Object.keys(answer.headers)).not.toContain('x-concordat-error');
    expect(Object.keys(answer.headers)).not.toContain('keep-alive');
  });

  test.each([
    ['a path', '/transaction/x%2B', 'http://HOST/transaction/x%2B'],
    ['a whole address', 'https://elsewhere/x', 'https://elsewhere/x'],
  ])('Location: %s', async (_, location, expected) => {
    service.answerWith((_seen, reply) => reply.head(201, { location }).end());
    const overPort = await ask(connector.url, '/send', { method: 'POST' });
    const host = new URL(String(connector.url)).host;
    expect(overPort.headers.location).toBe(expected.replace('HOST', host));
    const overSocket = await ask(connector.socketPath, '/send', { method: 'POST' });
    expect(overSocket.headers.location).toBe(expected.replace('HOST', 'c'));
  });

  test('HEAD, with the length of what GET would give', async () => {
    const answer = await ask(connector.url, '/upcheck', { method: 'HEAD' });
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    expect((await ask(connector.url, '/upcheck')).status).toBe(200);
  });

  test("an unknown path, in Tessera's words instead of CCF's", async () => {
    service.answerWith((_, reply) => {
      const error = '{"error":{"code":"ResourceNotFound","message":"Unknown path"}}';
      reply.head(404, { 'content-type': 'application/json' }).end(error);
    });
    const answer = await ask(connector.url, '/nonsense');
    expect([answer.status, answer.body.toString()]).toEqual([404, 'HTTP 404 Not Found']);
    expect(answer.headers['content-type']).toBe('text/plain');
  });
});

describe('what does not go through', () => {
  test.each([
    ['a claim to be somebody', { 'x-client-cert': 'me', authorization: 'Bearer x' }],
    ['headers that are ours', { 'x-concordat-wait': 'commit', 'X-Concordat-Caller': 'x' }],
    ['a request id of its own', { 'x-concordat-request-id': `0.${'a'.repeat(32)}` }],
    ['headers of the connection', { connection: 'keep-alive, x-hop', 'x-hop': '1', te: 'x' }],
  ])('%s', async (_, headers: Record<string, string>) => {
    await ask(connector.url, '/upcheck', { headers });
    const names = Object.keys(service.seen[0]?.headers ?? {});
    for (const name of Object.keys(headers)) {
      if (name !== 'connection') expect(names).not.toContain(name.toLowerCase());
    }
  });

  test.each([
    ['localhost:1', 200],
    ['127.0.0.1', 200],
    ['127.8.9.10:80', 200],
    ['[::1]:80', 200],
    ['NODE.example:80', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.evil.example', 403],
  ])('over a port, Host "%s" is %d', async (host, status) => {
    const named = await serve({
      socket: { path: join(folder, 'other.ipc') },
      allowedHosts: ['node.example'],
    });
    const answer = await ask(named.url, '/upcheck', { headers: { host } });
    expect(answer.status).toBe(status);
    await named.close();
  });

  test('over a port, a request that names no host', async () => {
    const port = Number(new URL(String(connector.url)).port);
    const text = 'GET /upcheck HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n';
    expect(await rawExchange(port, text)).toMatch(/^HTTP\/1\.1 403 /);
    expect(await rawExchange(port, 'GET /upcheck HTTP/1.0\r\n\r\n')).toMatch(/ 403 /);
  });

  test('a page of another origin, on every surface', async () => {
    const headers = { origin: 'http://evil.example' };
    for (const target of [connector.url, connector.thirdPartyUrl, connector.socketPath]) {
      expect((await ask(target, '/keys', { headers })).status).toBe(403);
    }
    expect(service.seen).toEqual([]);
  });

  test('unless the third-party server allows the origin; then it says so', async () => {
    const origin = 'http://good.example';
    const open = await serve({
      socket: { path: join(folder, 'other.ipc') },
      allowedOrigins: [origin],
    });
    const answer = await ask(open.thirdPartyUrl, '/keys', { headers: { origin } });
    expect(answer.headers['access-control-allow-origin']).toBe(origin);
    const preflight = await ask(open.thirdPartyUrl, '/storeraw', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST' },
    });
    expect(preflight.status).toBe(204);
    expect((await ask(open.url, '/keys', { headers: { origin } })).status).toBe(403);
    await open.close();
  });

  test('a path with an empty segment', async () => {
    expect((await ask(connector.url, '//upcheck')).status).toBe(400);
  });

  test('a body that is too large', async () => {
    const body = Buffer.alloc(PAYLOAD_BODY_BYTES_MAX + 1);
    const answer = await ask(connector.url, '/send', { method: 'POST', body });
    expect(answer.status).toBe(413);
    const chunked = await ask(connector.url, '/send', {
      method: 'POST',
      headers: { 'Transfer-Encoding': 'chunked' },
      body,
    });
    expect(chunked.status).toBe(413);
    expect(service.seen).toEqual([]);
  });
});

describe('sessions with the service', () => {
  test('are warm and used again', async () => {
    for (let times = 0; times < 20; times += 1) await ask(connector.url, '/upcheck');
    // Two are kept warm and one is for its own questions; a busy machine may need some more.
    expect(service.sessions()).toBeLessThan(10);
  });

  test('grow with what is asked at once', async () => {
    const held: (() => void)[] = [];
    service.answerWith((_, reply) => {
      held.push(() => reply.end('together'));
      if (held.length === 30) for (const answer of held) answer();
    });
    const asked = Array.from({ length: 30 }, () => ask(connector.url, '/upcheck'));
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(service.sessions()).toBeGreaterThanOrEqual(30);
  });

  test('carry the newest transaction that an answer has shown', async () => {
    const shown = ['2.7', '2.6', '3.9'];
    service.answerWith((_, reply) => {
      reply.head(200, { 'x-ms-ccf-transaction-id': shown.shift() ?? '3.9' }).end();
    });
    for (let times = 0; times < 4; times += 1) await ask(connector.url, '/upcheck');
    expect(service.seen.map(({ headers }) => headers['x-concordat-min-txid'])).toEqual([
      undefined,
      '2.7',
      '2.7',
      '3.9',
    ]);
  });

  test('are refused when another authority has signed the node', async () => {
    const other = await startTlsService(PLAIN);
    const misled = await serve({
      socket: { path: join(folder, 'other.ipc') },
      service: { nodeUrls: [other.url], serviceCertificate: service.certificate },
    });
    expect((await ask(misled.url, '/send', { method: 'POST' })).status).toBe(503);
    expect(other.seen).toEqual([]);
    await misled.close();
    await other.stop();
  });

  test('go to the next node when the first is not there', async () => {
    const gone = await startTlsService(PLAIN);
    await gone.stop();
    const { certificate, key } = service.client;
    const nodeUrls = [gone.url, service.url];
    const two = await serve({
      socket: { path: join(folder, 'other.ipc') },
      service: { nodeUrls, serviceCertificate: service.certificate, certificate, key },
    });
    expect((await ask(two.url, '/upcheck')).status).toBe(200);
    await two.close();
  });
});

describe('when the service is not there', () => {
  test('a request waits for it to come back', async () => {
    await ask(connector.url, '/upcheck');
    await service.stop();
    const asked = ask(connector.url, '/transaction/x');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await service.start();
    expect((await asked).status).toBe(200);
  });

  test('a request is answered 503 after 4 s, never 404', async () => {
    await service.stop();
    const startedMs = Date.now();
    const answer = await ask(connector.url, '/transaction/x');
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '1']);
    expect(Date.now() - startedMs).toBeGreaterThan(3_500);
    expect(Date.now() - startedMs).toBeLessThan(4_800);
  });

  test('a node that hangs is given up before GoQuorum gives up', async () => {
    service.answerWith(() => undefined);
    const startedMs = Date.now();
    expect((await ask(connector.url, '/transaction/x')).status).toBe(503);
    expect(Date.now() - startedMs).toBeLessThan(5_000);
  });

  test('what may have been done is asked again under the same id', async () => {
    let asked = 0;
    service.answerWith((_, reply) => {
      asked += 1;
      if (asked % 2 === 1) reply.hangUp();
      else reply.end('done');
    });
    const post = { method: 'POST', body: Buffer.from('{}') };
    expect((await ask(connector.url, '/send', post)).status).toBe(200);
    expect((await ask(connector.url, '/delete', post)).status).toBe(200);
    const ids = service.seen.map(({ headers }) => headers['x-concordat-request-id']);
    expect([ids[0], ids[2]]).toEqual([ids[1], ids[3]]);
    expect(ids[0]).toMatch(/^1000\.[0-9a-f]{32}$/);
    expect(ids[2]).not.toBe(ids[0]);
  });
});

describe('the connector itself', () => {
  test('keeps connections for longer than GoQuorum does, which lets go after 10 s', async () => {
    expect(SESSION_IDLE_MS_MAX).toBeGreaterThan(30_000);
    // Node's own bound would be 5 s.
    const agent = new Agent({ keepAlive: true });
    await ask(connector.url, '/upcheck', { agent });
    const sockets = Object.values(agent.freeSockets).flat().length;
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    await ask(connector.url, '/upcheck', { agent });
    expect([sockets, Object.values(agent.freeSockets).flat().length]).toEqual([1, 1]);
    agent.destroy();
  });

  test("shows figures under Tessera's names", async () => {
    await ask(connector.url, '/send', { method: 'POST' });
    await ask(connector.url, '/made-up-by-a-client');
    const text = (await ask(connector.url, '/metrics')).body.toString();
    expect(text).toContain('tessera_Q2T_POST_send_RequestCount 1\n');
    expect(text).toContain('tessera_Q2T_GET_other_RequestCount 1\n');
    expect(text).not.toContain('made-up');
    expect(text).toContain(
      'concordat_connector_nodes 1\nconcordat_connector_nodes_healthy 1\n',
    );
    expect(text).toContain('concordat_connector_service_refused 0\n');
  });

  test('ends with its last answers', async () => {
    service.answerWith((_, reply) => {
      setTimeout(() => reply.end('late'), 200);
    });
    const asked = ask(connector.url, '/upcheck', { agent: new Agent({ keepAlive: true }) });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const startedMs = Date.now();
    await connector.close();
    expect((await asked).body.toString()).toBe('late');
    expect(Date.now() - startedMs).toBeLessThan(2_000);
  });

  test('answers a request that contradicts itself with 400', async () => {
    const port = Number(new URL(String(connector.url)).port);
    const answer = await rawExchange(
      port,
      'POST /send HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n{}',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(service.seen).toEqual([]);
  });

  test.each([
    ['no place to listen', { socket: undefined, http: undefined }, 'needs a socket or a port'],
    ['a public address', { http: { host: '0.0.0.0', port: 0 } }, 'no loopback address'],
  ])('does not start with %s', async (_, options, sentence) => {
    await expect(serve(options as Partial<ConnectorOptions>)).rejects.toThrow(sentence);
  });
});

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly agent?: Agent;
}

interface Told {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Asks a connector over a port (`http://…`) or a socket (its path). */
function ask(target: string | undefined, path: string, asked: Asked = {}): Promise<Told> {
  const { method = 'GET', headers = {}, body, agent } = asked;
  if (target === undefined) throw new Error('the connector does not serve this');
  const overPort = target.startsWith('http:');
  const place = overPort
    ? { hostname: new URL(target).hostname, port: new URL(target).port }
    : { socketPath: target };
  const host = overPort ? {} : { host: 'c' };
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { ...place, method, path, headers: { ...host, ...headers }, agent: agent ?? false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          resolve({ status, headers: response.headers, body: Buffer.concat(chunks) });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function rawExchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(answer));
    socket.on('error', reject);
  });
}

/**
 * To show: a port that speaks TLS as GoQuorum's `--ptm.tls.mode strict` expects lets in who shows
 * a certificate of the named authorities and nobody else; only such a port may leave this machine.
 */
import { createServer } from 'node:http';
import { type RequestOptions, request } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import { systemTimers } from '../../src/client/system-timers.ts';
import {
  type Connector,
  type ConnectorOptions,
  startConnector,
} from '../../src/connector/connector.ts';
import { examine } from '../../src/connector/doctor.ts';
import type { Finding } from '../../src/connector/doctor-finding.ts';
import type { PortTls } from '../../src/connector/port-tls.ts';
import { endorsedCertificate, serviceCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { realClock } from '../../src/node/real-time.ts';
import { startTlsService, type TlsService } from '../support/tls-service.ts';

const VALIDITY = { fromMs: Date.now() - 60_000, days: 1 };

interface Authority {
  readonly pem: string;
  issue(hosts: readonly string[]): Promise<{ readonly cert: string; readonly key: string }>;
}

async function authority(name: string): Promise<Authority> {
  const own = SigningKey.generate('P-384');
  const pem = await serviceCertificate(own, name, VALIDITY);
  const issuer = { key: own, certificatePem: pem };
  return {
    pem,
    issue: async (hosts) => {
      const key = SigningKey.generate('P-256');
      const cert = await endorsedCertificate(
        key.publicKeyDer,
        'CN=Somebody',
        hosts,
        VALIDITY,
        issuer,
      );
      return { cert, key: key.privateKeyPem() };
    },
  };
}

let service: TlsService;
let quorum: Authority;
let stranger: Authority;
let tls: PortTls;
let client: { readonly cert: string; readonly key: string };
const log: string[] = [];

beforeAll(async () => {
  service = await startTlsService((_, reply) =>
    reply.head(201, { location: '/transaction/abc' }).end("I'm up!"),
  );
  [quorum, stranger] = [await authority('CN=Quorum'), await authority('CN=Stranger')];
  const own = await quorum.issue(['127.0.0.1', 'tm.example']);
  tls = { certificate: own.cert, key: own.key, clientAuthorities: quorum.pem };
  client = await quorum.issue(['geth']);
});

afterAll(() => service.stop());

async function serving(options: Partial<ConnectorOptions>): Promise<Connector> {
  const { certificate, key } = service.client;
  return await startConnector(
    {
      service: {
        nodeUrls: [service.url],
        serviceCertificate: service.certificate,
        certificate,
        key,
      },
      http: { port: 0 },
      ...options,
    },
    { log: (line) => log.push(line), judge: UNJUDGED },
  );
}

interface Answered {
  readonly status: number | undefined;
  readonly location: string | undefined;
}

function ask(url: string | undefined, options: RequestOptions): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/upcheck`, { ca: quorum.pem, agent: false, ...options });
    asked.once('error', reject);
    asked.once('response', (response) => {
      response.resume();
      const { location } = response.headers;
      response.once('end', () => resolve({ status: response.statusCode, location }));
    });
    asked.end();
  });
}

describe('a port with TLS', () => {
  test('lets in who has a certificate of the authorities, and says https', async () => {
    const open = await serving({ tls, thirdParty: { port: 0 } });
    for (const url of [open.url, open.thirdPartyUrl]) {
      expect(url).toMatch(/^https:/);
      const { status, location } = await ask(url, client);
      expect(status).toBe(201);
      expect(location).toBe(`${url}/transaction/abc`);
    }
    await open.close();
  });

  test('refuses anybody else before anything is asked, and says so in its log', async () => {
    const open = await serving({ tls });
    const asked = service.seen.length;
    await expect(ask(open.url, {})).rejects.toThrow();
    await expect(ask(open.url, await stranger.issue(['geth']))).rejects.toThrow();
    expect(service.seen).toHaveLength(asked);
    const why = 'refused 127.0.0.1 (q2t): a TLS session: peer did not return a certificate';
    expect(log).toContain(why);
    await open.close();
  });

  test('is known to the doctor as its own, though it answers him nothing', async () => {
    const open = await serving({ tls });
    const { certificate, key } = service.client;
    const of = async (portTls: PortTls): Promise<Finding | undefined> => {
      const findings = await examine(
        {
          service: {
            nodeUrls: [service.url],
            serviceCertificate: service.certificate,
            certificate,
            key,
          },
          http: { port: Number(new URL(open.url ?? '').port) },
          tls: portTls,
        },
        {
          policy: { platforms: { virtual: {} } },
          verifier: nodeVerifier,
          clock: realClock,
          timers: systemTimers,
        },
        () => undefined,
      );
      return findings.find(({ step }) => step === 'port');
    };
    expect(await of(tls)).toMatchObject({
      outcome: 'note',
      message: 'a connector serves it now',
    });
    const other = await quorum.issue(['127.0.0.1']);
    const another = await of({ ...tls, certificate: other.cert, key: other.key });
    expect(another).toMatchObject({ outcome: 'bad', message: 'another program has it' });
    await open.close();
  });

  test('may be addressed by the names of its certificate, and by no others', async () => {
    const open = await serving({ tls });
    const by = async (host: string): Promise<number | undefined> =>
      (await ask(open.url, { ...client, servername: 'tm.example', headers: { host } })).status;
    expect(await by('tm.example:9101')).toBe(201);
    expect(await by('evil.example')).toBe(403);
    expect(log.join('\n')).toContain(
      'refused 127.0.0.1 (q2t): GET /upcheck: the Host evil.example is neither',
    );
    await open.close();
  });

  test('may leave this machine only if it asks for certificates', async () => {
    const { clientAuthorities: _, ...open } = tls;
    const everywhere = { http: { host: '0.0.0.0', port: 0 } };
    await expect(serving({ ...everywhere, tls: open })).rejects.toThrow('--tls-client-ca');
    const strict = await serving({ ...everywhere, tls });
    const url = strict.url?.replace('0.0.0.0', '127.0.0.1');
    expect((await ask(url, client)).status).toBe(201);
    await strict.close();
  });

  test('needs files that belong together', async () => {
    const { key } = await quorum.issue(['127.0.0.1']);
    await expect(serving({ tls: { ...tls, key } })).rejects.toThrow(/not that of the certif/);
    await expect(serving({ tls: { ...tls, certificate: 'x' } })).rejects.toThrow(/TLS cannot/);
  });
});

describe('the port for machines that watch', () => {
  test('answers upcheck and metrics, GET and HEAD, and does nothing else', async () => {
    const open = await serving({ health: { host: '0.0.0.0', port: 0 } });
    const at = open.healthUrl?.replace('0.0.0.0', '127.0.0.1');
    service.answerWith((_, reply) => reply.end("I'm up!"));
    const up = await fetch(`${at}/upcheck`);
    expect([up.status, await up.text()]).toEqual([200, "I'm up!"]);
    const head = await fetch(`${at}/upcheck`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    expect(await (await fetch(`${at}/metrics`)).text()).toContain(
      'concordat_connector_nodes 1',
    );
    expect((await fetch(`${at}/metrics`, { method: 'HEAD' })).status).toBe(200);
    expect((await fetch(`${at}/send`, { method: 'POST', body: '{}' })).status).toBe(405);
    const asked = service.seen.length;
    for (const path of ['/keys', '/transaction/abc', '/upcheck/', '/']) {
      expect((await fetch(at + path)).status).toBe(404);
    }
    expect(service.seen).toHaveLength(asked);
    await open.close();
  });

  test('says 503 while no node answers', async () => {
    const gone = createServer();
    await new Promise<void>((done) => gone.listen(0, '127.0.0.1', done));
    const address = gone.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    gone.close();
    const { certificate, key } = service.client;
    const nodeUrls = [`https://127.0.0.1:${port}`];
    const open = await serving({
      service: { nodeUrls, serviceCertificate: service.certificate, certificate, key },
      health: { port: 0 },
    });
    expect((await fetch(`${open.healthUrl}/upcheck`)).status).toBe(503);
    await open.close();
  });
});

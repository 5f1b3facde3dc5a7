/** `concordat connector`: flags, configuration file, what it says, and its refusals. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CommandIo } from '../../src/cli/command.ts';
import { command } from '../../src/cli/connector.ts';
import { startTlsService, type TlsService } from '../support/tls-service.ts';

let service: TlsService;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'command-'));
  service = await startTlsService((_, reply) => reply.end("I'm up!"));
  writeFileSync(join(folder, 'service.pem'), service.certificate);
  writeFileSync(join(folder, 'organisation.pem'), service.client.certificate);
  writeFileSync(join(folder, 'organisation.key'), service.client.key);
});

afterAll(async () => {
  await service.stop();
  rmSync(folder, { recursive: true, force: true });
});

function settings(more: Readonly<Record<string, unknown>> = {}): string {
  const path = join(folder, 'connector.json');
  const required = {
    service: [service.url],
    serviceCertificate: 'service.pem',
    certificate: 'organisation.pem',
    key: 'organisation.key',
    allowInsecureVirtual: true,
  };
  writeFileSync(path, JSON.stringify({ ...required, ...more }));
  return path;
}

interface Spoken {
  readonly lines: string[];
  readonly stop: () => void;
  readonly io: CommandIo;
}

function listener(whenReady: (line: string) => void = () => undefined): Spoken {
  const lines: string[] = [];
  const stopping = new AbortController();
  const io: CommandIo = {
    out: (line) => {
      lines.push(line);
      whenReady(line);
    },
    err: (line) => lines.push(line),
    progress: () => undefined,
    isTty: false,
    signal: stopping.signal,
  };
  return { lines, io, stop: () => stopping.abort() };
}

describe('concordat connector', () => {
  test('serves what its configuration says, until it is told to stop', async () => {
    const config = settings({
      socket: 's/tm.ipc',
      socketMode: '660',
      port: 0,
      thirdPartyPort: 0,
    });
    const ready = Promise.withResolvers<string>();
    const spoken = listener(ready.resolve);
    const running = command.run(['--config', config, '--json'], spoken.io);
    const said = JSON.parse(await ready.promise) as {
      transactionManager: { url: string; socket: string };
      thirdParty: { url: string };
    };
    expect(said.transactionManager.socket).toBe(join(folder, 's/tm.ipc'));
    for (const { url } of [said.transactionManager, said.thirdParty]) {
      expect(await (await fetch(`${url}/upcheck`)).text()).toBe("I'm up!");
    }
    spoken.stop();
    expect(await running).toBe(0);
    await expect(fetch(`${said.thirdParty.url}/upcheck`)).rejects.toThrow();
  });

  test('takes flags, which win over the file', async () => {
    const ready = Promise.withResolvers<string>();
    const spoken = listener(ready.resolve);
    const args = ['--config', settings({ port: 1 }), '--port', '0', '--allow-host', 'a'];
    const running = command.run(args, spoken.io);
    expect(await ready.promise).toMatch(/^transaction manager {2}http:\/\/127\.0\.0\.1:\d+$/);
    spoken.stop();
    expect(await running).toBe(0);
  });

  test.each([
    [['--port', '0'], '--service is missing'],
    [['--service', 'https://x:1', '--port', '0'], '--service-certificate is missing'],
    [['--nonsense'], '--nonsense'],
    [['CONFIG'], 'needs a socket or a port'],
    [['CONFIG', '--port', '70000'], '"70000" is no port'],
    [['CONFIG', '--socket', '/x', '--socket-mode', '9'], '"9" is no file mode'],
    [['CONFIG', '--port', '0', '--host', '0.0.0.0'], 'no loopback address'],
    [['CONFIG', '--port', '0', '--service', 'http://x'], 'is no address of a node'],
    [['CONFIG', '--port', '0', '--key', '/nowhere/x.pem'], 'cannot be read'],
    [['CONFIG', '--port', '0', '--tls-key', '/x'], '--tls-certificate is missing'],
    [['CONFIG', '--port', '0', '--tls-client-ca', '/x'], 'needs --tls-certificate'],
    [['CONFIG', '--port', '0', '--health-port', 'x'], '"x" is no port'],
    [['CONFIG', '--port', '0', '--certificate', 'CONFIG'], 'holds no PEM'],
    [['--config', '/nowhere/connector.json'], 'cannot be read'],
  ])('%j: %s', async (args, sentence) => {
    const config = settings();
    const given = args.flatMap((arg, index) => {
      if (arg !== 'CONFIG') return [arg];
      return index === 0 ? ['--config', config] : [config];
    });
    await expect(command.run(given, listener().io)).rejects.toThrow(sentence);
  });

  test('--doctor says what it finds, and by its exit code how it stands', async () => {
    const asked = async (more: object, ...flags: readonly string[]) => {
      const spoken = listener();
      const args = ['--config', settings({ socket: 's/tm.ipc', ...more }), '--doctor'];
      return { code: await command.run([...args, ...flags], spoken.io), lines: spoken.lines };
    };
    // The stand-in answers nothing that is JSON, so of the service it is not known if it is open.
    service.answerWith((_, reply) => reply.end('{"keys":[{"key":"k"}]}'));
    const incomplete = await asked({}, '--json');
    const { healthy, findings } = JSON.parse(incomplete.lines.join('')) as {
      healthy: boolean;
      findings: readonly { step: string; outcome: string }[];
    };
    expect([incomplete.code, healthy]).toEqual([3, false]);
    expect(findings.filter(({ outcome }) => outcome === 'skipped')).toMatchObject([
      { step: 'service' },
    ]);
    service.answerWith((_, reply) => reply.head(401).end('no'));
    const wrong = await asked({});
    expect(wrong.code).toBe(1);
    const text = wrong.lines.join('\n');
    expect(text).toContain(`\n${service.url}\n`);
    expect(text).toMatch(
      /BAD {3}organisation: the service does not accept .*\n {8}→ give cert/,
    );
    expect(text).toMatch(/\n1 wrong, 1 not looked at, \d to know of$/);
    service.answerWith((_, reply) => reply.end("I'm up!"));
  });

  test('nodes that prove nothing are refused unless that is asked for in words', async () => {
    const policy = join(folder, 'policy.json');
    for (const [platforms, more, sentence] of [
      [{ virtual: {} }, {}, 'accepts virtual nodes, which prove nothing'],
      [{ snp: { hostDatum: [] } }, {}, 'hostDatum'],
    ] as const) {
      writeFileSync(policy, JSON.stringify({ version: 1, platforms }));
      const config = settings({
        attestationPolicy: 'policy.json',
        allowInsecureVirtual: false,
        port: 0,
        ...more,
      });
      await expect(command.run(['--config', config], listener().io)).rejects.toThrow(sentence);
    }
    const config = settings({ allowInsecureVirtual: false, port: 0 });
    await expect(command.run(['--config', config], listener().io)).rejects.toThrow(
      '--attestation-policy FILE',
    );
  });

  test('a policy for real hardware refuses a virtual node, and says why', async () => {
    writeFileSync(
      join(folder, 'policy.json'),
      JSON.stringify({ version: 1, platforms: { snp: {} } }),
    );
    const config = settings({
      attestationPolicy: 'policy.json',
      allowInsecureVirtual: false,
      port: 0,
    });
    const ready = Promise.withResolvers<string>();
    const spoken = listener(ready.resolve);
    const running = command.run(['--config', config, '--json'], spoken.io);
    const { transactionManager } = JSON.parse(await ready.promise);
    const asked = service.seen.length;
    const answer = await fetch(`${transactionManager.url}/upcheck`);
    expect(answer.status).toBe(503);
    expect(service.seen).toHaveLength(asked);
    expect(spoken.lines.join()).toContain('PlatformNotAccepted');
    spoken.stop();
    expect(await running).toBe(0);
  });

  test('a setting that is none is named, with those there are', async () => {
    const config = settings({ sokcet: 'x' });
    const running = command.run(['--config', config], listener().io);
    await expect(running).rejects.toThrow(/"sokcet" is no setting .* socket,/);
  });
});

// Peers: how they are found and named, and that none of them outlives the harness.

import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { treeCpuMs, treeOf } from '../../bench/machine.ts';
import { ccfOf, tesseraOf } from '../../bench/systems/by-address.ts';
import { figuresOf } from '../../bench/systems/concordat.ts';
import { freePorts } from '../../bench/systems/free-ports.ts';
import { KeptProcess } from '../../bench/systems/kept-process.ts';
import {
  perSecondOf,
  postgresqlFolder,
  readLatencies,
} from '../../bench/systems/postgresql.ts';
import { findProgram, unprivilegedUser, versionFolders } from '../../bench/systems/programs.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-bench-peers-'));
  folders.push(folder);
  return folder;
}

function program(folder: string, name: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, '');
  chmodSync(path, 0o755);
  return path;
}

describe('a program', () => {
  test('is the first one in the folders that can be run', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'etcd'), 'no program');
    const path = program(join(folder, 'bin'), 'etcd');
    expect(findProgram('etcd', [folder, join(folder, 'bin')], undefined)).toBe(path);
    expect(findProgram('etcd', [folder], undefined)).toBeUndefined();
  });

  test('that is named is that one or none', () => {
    const folder = temporaryFolder();
    program(folder, 'etcd');
    const other = program(folder, 'other');
    expect(findProgram('etcd', [folder], other)).toBe(other);
    expect(findProgram('etcd', [folder], join(folder, 'nowhere'))).toBeUndefined();
    expect(findProgram('etcd', [folder], '')).toBe(join(folder, 'etcd'));
  });

  test('of several versions is the newest', () => {
    const folder = temporaryFolder();
    for (const name of ['9', '15', '13', 'common']) mkdirSync(join(folder, name));
    expect(versionFolders(folder)).toEqual(['15', '13', '9'].map((each) => join(folder, each)));
    expect(versionFolders(join(folder, 'nowhere'))).toEqual([]);
  });

  test('of PostgreSQL counts only where all four are', () => {
    const folder = temporaryFolder();
    const [client, server] = [join(folder, 'client'), join(folder, 'server')];
    for (const name of ['psql', 'pgbench', 'initdb']) program(client, name);
    for (const name of ['psql', 'pgbench', 'initdb', 'postgres']) program(server, name);
    expect(postgresqlFolder({ PATH: `${client}:${server}` })).toBe(server);
    expect(postgresqlFolder({ CONCORDAT_POSTGRESQL: client })).toBeUndefined();
  });
});

test("a node's figures are read by name, those without labels", () => {
  const text =
    '# HELP a b\n# TYPE a gauge\nconcordat_a 12.5\nconcordat_b{q="1"} 3\nconcordat_c 0\n';
  expect(figuresOf(text)).toEqual({ concordat_a: 12.5, concordat_c: 0 });
});

test('who is not root: postgres, or else nobody', () => {
  const root = 'root:x:0:0:root:/root:/bin/bash\n';
  const nobody = 'nobody:x:65534:65533::/:/bin/false\n';
  expect(unprivilegedUser(`${root}${nobody}`)).toEqual({ uid: 65534, gid: 65533 });
  const postgres = `${root}${nobody}postgres:x:101:104::/:/bin/sh\n`;
  expect(unprivilegedUser(postgres)).toEqual({ uid: 101, gid: 104 });
  expect(() => unprivilegedUser(root)).toThrow('neither postgres nor nobody');
});

describe('a peer by address', () => {
  const KEY = 'BULeR8JyUWhiuuCMU/HLA0Q5pzkYT+cHII3ZKBey3Bo=';
  test('is not there when nobody names it', () => {
    expect(tesseraOf({})).toBeUndefined();
    expect(ccfOf({ CONCORDAT_CCF: '' })).toBeUndefined();
  });

  test('Tessera: two servers and the key of the second', () => {
    const tessera = tesseraOf({
      CONCORDAT_TESSERA: `http://127.0.0.1:9101,http://127.0.0.1:9102,${KEY}`,
      CONCORDAT_TESSERA_PIDS: '12,13',
    });
    expect(tessera?.system.transactionManagerOf(1).port).toBe('9101');
    expect(tessera?.system.transactionManagerOf(2).port).toBe('9102');
    expect(tessera?.system.partyKeyOf(1)).toBeUndefined();
    expect(tessera?.system.partyKeyOf(2)).toBe(KEY);
    expect(tessera?.pids).toEqual([12, 13]);
  });

  test('CCF: an address and three files', async () => {
    const folder = temporaryFolder();
    const file = (name: string): string => {
      writeFileSync(join(folder, name), `this is ${name}`);
      return join(folder, name);
    };
    const env = {
      CONCORDAT_CCF: 'https://127.0.0.1:8000',
      CONCORDAT_CCF_CA: file('ca'),
      CONCORDAT_CCF_CERT: file('cert'),
      CONCORDAT_CCF_KEY: file('key'),
    };
    const ccf = ccfOf(env);
    expect(ccf?.system.credentials()).toEqual({
      ca: 'this is ca',
      cert: 'this is cert',
      key: 'this is key',
    });
    expect((await ccf?.system.primaryUrl())?.port).toBe('8000');
    const { CONCORDAT_CCF_KEY: _, ...without } = env;
    expect(() => ccfOf(without)).toThrow('CONCORDAT_CCF_KEY is not set');
    expect(() => ccfOf({ ...env, CONCORDAT_CCF_CA: join(folder, 'none') })).toThrow(
      'cannot be read',
    );
  });

  test.each([
    [{ CONCORDAT_TESSERA: 'http://127.0.0.1:1' }, "B's public key"],
    [{ CONCORDAT_TESSERA: `here,there,${KEY}` }, '"here"'],
    [{ CONCORDAT_TESSERA: `http://a:1,https://b:2,${KEY}` }, '"https://b:2"'],
  ])('%j is refused with a reason', (env, reason) => {
    expect(() => tesseraOf(env)).toThrow(reason);
  });

  test('is refused with words for process ids', () => {
    const env = {
      CONCORDAT_TESSERA: `http://a:1,http://b:2,${KEY}`,
      CONCORDAT_TESSERA_PIDS: 'all',
    };
    expect(() => tesseraOf(env)).toThrow('CONCORDAT_TESSERA_PIDS is "all"');
  });
});

describe('pgbench', () => {
  const said = (failed: number): string =>
    `number of transactions actually processed: 9\nnumber of failed transactions: ${failed} ` +
    '(0.000%)\ninitial connection time = 85.3 ms\ntps = 6234.125 (without initial connection)\n';
  test('says how many a second, and is not believed when some failed', () => {
    expect(perSecondOf(said(0))).toBe(6234.125);
    expect(() => perSecondOf(said(3))).toThrow('failed transactions: 3');
    expect(() => perSecondOf('FATAL')).toThrow('FATAL');
  });

  test('says each latency, in a file for each of its threads', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'log.77'), '0 1 1500 0 1700000000 1\n1 1 2500 0 1700000000 2\n');
    writeFileSync(join(folder, 'log.77.1'), '2 1 9000 0 1700000000 3\n');
    writeFileSync(join(folder, 'other'), 'not a log');
    const latency = readLatencies(folder, 'log');
    expect(latency.total).toBe(3);
    expect(latency.percentile(0.5)).toBeCloseTo(2.5, 1);
    expect(latency.percentile(1)).toBeCloseTo(9, 1);
    expect(readLatencies(folder, 'log').total).toBe(0);
  });
});

describe('what the harness keeps', () => {
  const NODE = process.execPath;
  const isAlive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };

  test('counts as its own, with what it started, and ends when it is stopped', async () => {
    const program = 'require("node:child_process").spawnSync("sleep", ["60"])';
    const kept = await KeptProcess.start({ command: NODE, args: ['-e', program] });
    expect(treeOf(process.pid)).toContain(kept.pid);
    expect(treeCpuMs(process.pid)).toBeGreaterThan(0);
    expect(isAlive(kept.pid)).toBe(true);
    await kept.stop('SIGKILL');
    expect(isAlive(kept.pid)).toBe(false);
  });

  test('ends when the harness is killed without warning', async () => {
    const module = new URL('../../bench/systems/kept-process.ts', import.meta.url).href;
    const script = join(temporaryFolder(), 'harness.mjs');
    writeFileSync(
      script,
      `import { KeptProcess } from ${JSON.stringify(module)};
       const kept = await KeptProcess.start({ command: ${JSON.stringify(NODE)},
         args: ['-e', 'setInterval(() => undefined, 1000)'] });
       console.log(kept.pid);
       setInterval(() => undefined, 1000);`,
    );
    const harness = spawn(NODE, [script]);
    const said = await new Promise<string>((resolve) => {
      harness.stdout.once('data', (bytes: Buffer) => resolve(bytes.toString()));
      harness.once('exit', () => resolve('it ended'));
    });
    expect(isAlive(Number(said))).toBe(true);
    harness.kill('SIGKILL');
    await expect.poll(() => isAlive(Number(said)), { timeout: 20_000 }).toBe(false);
  });

  test('says why it ended', async () => {
    const program = 'console.error("no room"); process.exitCode = 3;';
    const kept = await KeptProcess.start({ command: NODE, args: ['-e', program] });
    await expect
      .poll(() => {
        try {
          kept.mustRun('the peer');
          return 'it runs';
        } catch (error) {
          return String(error);
        }
      })
      .toContain('the peer: it ended (3): no room');
    await kept.stop();
  });

  test('says what cannot be started', async () => {
    const nowhere = join(temporaryFolder(), 'nowhere');
    await expect(KeptProcess.start({ command: nowhere, args: [] })).rejects.toThrow('ENOENT');
  });

  test('asks for ports that are all different', async () => {
    const ports = await freePorts(6);
    expect(new Set(ports).size).toBe(6);
  });
});

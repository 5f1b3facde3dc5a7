// The real thing: a fresh copy of the project with no node_modules, and the packed package in an
// empty folder, with the real npm and the real registry. Runs under `npm run test:long` only.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { startTlsService } from '../support/tls-service.ts';
import { projectFiles, projectRoot } from '../tidy/source-files.ts';
import { outerNode } from './mini-tree.ts';

const run = promisify(execFile);
const isLong = process.env.CONCORDAT_LONG === '1';
const TIMEOUT_MS = 600_000;

/** As a person's shell has it: neither this run's npm nor its settings show through. */
function cleanEnvironment(): Record<string, string | undefined> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(?:npm_(?!config_registry)|CONCORDAT_|VITEST|NODE_ENV$)/i.test(name),
  );
  const path = [dirname(outerNode), process.env.PATH].join(':');
  return { ...Object.fromEntries(entries), PATH: path };
}

function copyProject(to: string): void {
  for (const { path } of projectFiles()) {
    fs.mkdirSync(dirname(join(to, path)), { recursive: true });
    fs.copyFileSync(join(projectRoot, path), join(to, path));
  }
}

async function inTemporaryFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'concordat-fresh-')));
  try {
    await work(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

describe.skipIf(!isLong)('with the real npm (npm run test:long)', () => {
  test(
    'two npm test at once in a fresh copy install once, and both pass',
    async () => {
      await inTemporaryFolder(async (folder) => {
        copyProject(folder);
        // A version of `npm test` that does not come back here: one quick file is enough.
        const args = ['test', '--', 'test/runtime-rules.test.ts'];
        const options = { cwd: folder, env: cleanEnvironment() };
        const outcomes = await Promise.all([
          run('npm', args, options),
          run('npm', args, options),
        ]);
        for (const { stdout } of outcomes) expect(stdout).toMatch(/\d+ passed, 0 failed/);
        const installs = outcomes.filter(({ stderr }) => stderr.includes('installed in'));
        expect(installs).toHaveLength(1);
      });
    },
    TIMEOUT_MS,
  );

  test(
    'the packed package runs in an empty folder, compiled, on the pinned Node',
    async () => {
      await inTemporaryFolder(async (folder) => {
        const copy = join(folder, 'copy');
        copyProject(copy);
        // A program of one line: what is shown here is the packing, not the service.
        for (const name of fs.readdirSync(join(copy, 'src'))) {
          if (!/^(?:launch\.mjs|tsconfig\.build\.json)$/.test(name)) {
            fs.rmSync(join(copy, 'src', name), { recursive: true });
          }
        }
        fs.mkdirSync(join(copy, 'src/cli'));
        fs.writeFileSync(
          join(copy, 'src/main.ts'),
          `import { told } from './cli/told.ts';
         console.log(told(process.argv.slice(2)), process.versions.node);\n`,
        );
        fs.writeFileSync(
          join(copy, 'src/cli/told.ts'),
          `export const told = (args: readonly string[]): string => args.join('+');\n`,
        );
        const env = cleanEnvironment();
        await run('npm', ['pack', '--pack-destination', folder], { cwd: copy, env });
        const tarball = fs.readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
        const empty = join(folder, 'empty');
        fs.mkdirSync(empty);
        fs.writeFileSync(join(empty, 'package.json'), '{"private":true}');
        await run('npm', ['install', '--no-audit', join(folder, tarball)], { cwd: empty, env });
        const inside = fs.readdirSync(join(empty, 'node_modules/concordat'));
        expect(inside.sort()).toEqual([
          'CHANGELOG.md',
          'LICENSE',
          'README.md',
          'SECURITY.md',
          'dist',
          'package.json',
          'src',
        ]);
        const ran = await run('npx', ['concordat', 'a', '--b'], { cwd: empty, env });
        expect(ran.stdout).toMatch(/^a\+--b 26\.\d+\.\d+\n$/);
      });
    },
    TIMEOUT_MS,
  );

  test(
    'a connector is installed from the packed package alone, and serves',
    async () => {
      const service = await startTlsService((_, reply) => reply.end("I'm up!"));
      await inTemporaryFolder(async (folder) => {
        const copy = join(folder, 'copy');
        copyProject(copy);
        const env = cleanEnvironment();
        await run('npm', ['pack', '--pack-destination', folder], { cwd: copy, env });
        const tarball = fs.readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
        const empty = join(folder, 'empty');
        fs.mkdirSync(empty);
        fs.writeFileSync(join(empty, 'package.json'), '{"private":true}');
        await run('npm', ['install', '--no-audit', join(folder, tarball)], { cwd: empty, env });
        fs.writeFileSync(join(empty, 'service.pem'), service.certificate);
        fs.writeFileSync(join(empty, 'organisation.pem'), service.client.certificate);
        fs.writeFileSync(join(empty, 'organisation.key'), service.client.key);
        const config = {
          service: [service.url],
          serviceCertificate: 'service.pem',
          certificate: 'organisation.pem',
          key: 'organisation.key',
          socket: 'q/tm.ipc',
          allowInsecureVirtual: true,
        };
        fs.writeFileSync(join(empty, 'connector.json'), JSON.stringify(config));
        const command = ['concordat', 'connector', '--config', 'connector.json', '--json'];
        const child = spawn('npx', command, {
          ...{ cwd: empty, env, detached: true },
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        try {
          const [line] = (await once(child.stdout, 'data')) as [Buffer];
          const socketPath = join(empty, 'q/tm.ipc');
          expect(JSON.parse(line.toString())).toMatchObject({
            ready: true,
            transactionManager: { socket: socketPath },
          });
          expect(await upcheckOver(socketPath)).toBe("I'm up!");
          // The stand-in does not say that the service is open; nothing else is missing.
          const doctor = run('npx', [...command, '--doctor'], { cwd: empty, env });
          const { stdout } = (await doctor.catch((error: unknown) => error)) as {
            stdout: string;
          };
          const { findings } = JSON.parse(stdout) as { findings: { outcome: string }[] };
          expect(findings.filter(({ outcome }) => outcome === 'bad')).toMatchObject([
            { step: 'organisation' },
          ]);
        } finally {
          const ended = once(child, 'exit');
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
          await ended;
        }
      });
      await service.stop();
    },
    TIMEOUT_MS,
  );
});

function upcheckOver(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: '/upcheck' }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.once('end', () => resolve(text));
    });
    asked.once('error', reject).end();
  });
}

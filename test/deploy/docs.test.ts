/**
 * The pages for each reader: their commands, run in order in a folder where a sandbox runs; the
 * flags of commands that are only shown; their links. What the README says is tested apart.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningProgram, runProgram, startSandboxProgram } from '../support/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCS = join(ROOT, 'docs');
const PAGES = [
  'quorum-operator.md',
  'node-operator.md',
  'member.md',
  'auditor.md',
  'application-developer.md',
];
const read = (name: string): string => readFileSync(join(DOCS, name), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'concordat-docs-'));
let sandbox: RunningProgram;

beforeAll(async () => {
  sandbox = await startSandboxProgram(['--data', join(folder, '.concordat')]);
  mkdirSync(join(folder, 'bin'));
  symlinkSync(join(ROOT, 'src/launch.mjs'), join(folder, 'bin/concordat'));
}, 120_000);

afterAll(async () => {
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function shell(command: string): Promise<{ code: number | null; output: string }> {
  const line = command
    .replace(/^npx /, '')
    .replaceAll('https://127.0.0.1:8000', sandbox.ready.service.url);
  const path = [join(folder, 'bin'), dirname(process.execPath), process.env.PATH];
  const child = spawn('bash', ['-c', line.replace(/\bcurl /, 'curl --fail-with-body ')], {
    cwd: folder,
    env: { ...process.env, PATH: path.join(delimiter) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  await once(child, 'close');
  return { code: child.exitCode, output };
}

describe.each(PAGES)('%s', (page) => {
  const text = read(page);
  const commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, body = '']) =>
    body.trim().split('\n'),
  );

  test('has commands to run', () => {
    expect(commands.length).toBeGreaterThan(0);
  });

  for (const command of commands) {
    test(command, async () => {
      const { code, output } = await shell(command);
      expect(code, output).toBe(0);
    }, 120_000);
  }

  test('shows no flag that a command has not', async () => {
    const shown = text.replaceAll(/\\\n\s*/g, '').matchAll(/\bconcordat ([a-z]+)([^`\n]*)/g);
    for (const [whole, command = '', rest = ''] of shown) {
      const flags = rest.match(/--[a-z-]+/g) ?? [];
      if (flags.length === 0) continue;
      const words = rest.trim().split(/\s+/);
      const action = words.find((word) => /^[a-z]+$/.test(word)) ?? '';
      const asked = ['node', 'gov', 'quorum', 'verify', 'ledger', 'receipt'].includes(command);
      const args = asked ? [command, action, '--help'] : [command, '--help'];
      const { stdout } = await runProgram(args);
      for (const flag of flags) expect(stdout, whole).toContain(flag);
    }
  }, 120_000);
});

describe('the index', () => {
  test('leads to every page, and every link of the pages leads somewhere', () => {
    const names = readdirSync(DOCS).filter((name) => name.endsWith('.md'));
    const index = read('README.md');
    for (const name of names.filter((one) => one !== 'README.md')) {
      expect(index, `the index says nothing of ${name}`).toContain(`(${name})`);
    }
    for (const page of ['README.md', 'runbook.md', ...PAGES]) {
      for (const [, link = ''] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
        if (!link.startsWith('http')) expect(existsSync(join(DOCS, link)), link).toBe(true);
      }
    }
  });

  test('pages name only files of the project', () => {
    for (const page of PAGES) {
      for (const [, path = ''] of read(page).matchAll(
        /((?:deploy|enclave-policy)\/[\w./-]*\w)/g,
      )) {
        expect(existsSync(join(ROOT, path)), `${page}: ${path}`).toBe(true);
      }
    }
  });
});

/**
 * The README's commands, run as a newcomer would type them: each line of each `sh` block, in order,
 * in a fresh folder where the checkout's npm scripts are at hand.
 *
 * What follows `sh` says what a block needs: `until=ready` runs until it is told to stop,
 * `with=sandbox` needs one that runs, `with=data` needs what one has left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const folder = mkdtempSync(join(tmpdir(), 'concordat-readme-'));

interface Block {
  readonly needs: string;
  readonly commands: readonly string[];
}

const blocks = blocksOf(readFileSync(join(ROOT, 'README.md'), 'utf8'));
let sandbox: ChildProcess | undefined;
let ports: Readonly<Record<string, string>> = {};

beforeAll(() => {
  // What `npm` and `npx` need of the checkout; the data lands in this folder, not in the checkout.
  for (const name of [
    'package.json',
    'package-lock.json',
    'node_modules',
    'src',
    'bench',
    'test',
  ]) {
    if (existsSync(join(ROOT, name))) symlinkSync(join(ROOT, name), join(folder, name));
  }
  mkdirSync(join(folder, 'bin'));
  symlinkSync(join(ROOT, 'src/launch.mjs'), join(folder, 'bin/concordat'));
});

afterAll(async () => {
  await stopSandbox();
  rmSync(folder, { recursive: true, force: true });
});

describe('the commands of the README', () => {
  it('are there, in blocks whose needs are known', () => {
    expect(blocks.map((block) => block.needs)).toEqual([
      '',
      'until=ready',
      ...Array.from({ length: 4 }, () => 'with=sandbox'),
      'with=data',
    ]);
  });

  for (const [index, block] of blocks.entries()) {
    for (const command of block.commands) {
      it(`${command} (block ${index + 1})`, async () => {
        if (block.needs === 'until=ready') {
          await startSandbox(command);
          return;
        }
        if (block.needs === 'with=data') await stopSandbox();
        const { code, output } = await run(command);
        expect(code, output).toBe(0);
        expect(output).not.toMatch(/\berror\b/i);
      }, 180_000);
    }
  }

  it('names every command that the program has', async () => {
    const { output } = await run('npx concordat --help');
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const names = [...output.matchAll(/^ {2}([a-z]+) {2,}/gm)].map(([, name]) => name);
    expect(names).toContain('ledger');
    for (const name of names) {
      expect(readme, `README says nothing of ${name}`).toMatch(
        new RegExp(name === 'start' ? 'npm start' : `npx concordat ${name}`),
      );
    }
  });
});

function blocksOf(text: string): readonly Block[] {
  return [...text.matchAll(/^```sh *(\S*)\n([\s\S]*?)^```$/gm)].map(
    ([, needs = '', body = '']) => ({
      needs,
      commands: body.trim().split('\n'),
    }),
  );
}

async function startSandbox(command: string): Promise<void> {
  const child = spawnShell(command);
  sandbox = child;
  let said = '';
  await new Promise<void>((resolve, reject) => {
    const listen = (chunk: Buffer): void => {
      said += chunk.toString();
      if (said.includes('Ctrl-C stops it')) resolve();
    };
    child.stdout?.on('data', listen);
    child.stderr?.on('data', listen);
    child.once('exit', () => reject(new Error(`npm start ended: ${said}`)));
  });
  // Somebody else may have the ports that the README names; then others were taken, and printed.
  ports = { '8000': portIn(said, /service +https:\/\/127\.0\.0\.1:(\d+)/) };
}

function portIn(text: string, pattern: RegExp): string {
  const [, port] = pattern.exec(text) ?? [];
  if (port === undefined) throw new Error(`no port in: ${text}`);
  return port;
}

async function stopSandbox(): Promise<void> {
  const child = sandbox;
  sandbox = undefined;
  if (child?.pid === undefined || child.exitCode !== null) return;
  const ended = once(child, 'exit');
  // As Ctrl-C does: to everything that the command started.
  process.kill(-child.pid, 'SIGINT');
  await ended;
}

async function run(command: string): Promise<{ code: number | null; output: string }> {
  const named = command.replace(/127\.0\.0\.1:(\d+)/, (whole, port: string) => {
    const taken = ports[port];
    return taken === undefined ? whole : `127.0.0.1:${taken}`;
  });
  const child = spawnShell(named);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  await once(child, 'close');
  return { code: child.exitCode, output };
}

function spawnShell(command: string): ChildProcess {
  // `npx concordat` finds the program by its name in PATH, as it does where it is installed.
  const path = [join(folder, 'bin'), dirname(process.execPath), process.env.PATH];
  return spawn('bash', ['-c', command.replace(/^npx /, '')], {
    cwd: folder,
    env: { ...process.env, PATH: path.join(delimiter) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
}

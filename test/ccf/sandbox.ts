// A sandbox of one organisation, as a separate process: a CCF user and a CCF member to ask it.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestIdentity } from '../http/certificates.ts';

export interface CcfSandbox {
  readonly host: string;
  readonly port: number;
  readonly user: TestIdentity;
  readonly member: TestIdentity;
  stop(): Promise<void>;
}

interface Files {
  readonly certificate: string;
  readonly key: string;
}

interface ReadyLine {
  readonly service: { readonly url: string };
  readonly organisations: readonly Files[];
  readonly members: readonly Files[];
}

const MAIN = join(import.meta.dirname, '../../src/main.ts');
/** As the launcher runs the program. */
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

export async function startCcfSandbox(): Promise<CcfSandbox> {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-ccf-'));
  const args = ['sandbox', '--data', join(folder, 'data'), '--nodes', '1', '--json'];
  args.push('--organisations', '1');
  const child = spawn(process.execPath, [...HARDENING, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  const ready = await readyLine(child.stdout, () => said);
  const { hostname, port } = new URL(ready.service.url);
  return {
    host: hostname,
    port: Number(port),
    user: identityOf(ready.organisations[0]),
    member: identityOf(ready.members[0]),
    stop: async () => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function readyLine(
  output: NodeJS.ReadableStream,
  said: () => string,
): Promise<ReadyLine> {
  for await (const line of createInterface({ input: output })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as ReadyLine;
  }
  throw new Error(`the sandbox ended before it was ready: ${said()}`);
}

function identityOf(files: Files | undefined): TestIdentity {
  if (files === undefined) throw new Error('the sandbox names no such certificate');
  return {
    cert: readFileSync(files.certificate, 'utf8'),
    key: readFileSync(files.key, 'utf8'),
  };
}

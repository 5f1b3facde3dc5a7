/** A sandbox as a separate process, started with the program itself, as harnesses do. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { PartyKeyPair, Residents } from './quorum-network.ts';

export interface SandboxOrganisation {
  readonly partyKeys: readonly string[];
  readonly transactionManager: { readonly url: string; readonly socket: string };
  readonly thirdParty: { readonly url: string };
  readonly certificate: string;
  readonly key: string;
}

export interface QuorumSandbox {
  readonly data: string;
  readonly service: { readonly url: string; readonly certificate: string };
  readonly organisations: readonly SandboxOrganisation[];
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

const MAIN = join(import.meta.dirname, '../../src/main.ts');
// As the launcher runs the program.
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];

/** Starts a sandbox of three organisations; ready when this resolves. */
export async function startQuorumSandbox(
  keys: readonly PartyKeyPair[],
  residents?: Residents,
): Promise<QuorumSandbox> {
  const folder = mkdtempSync(join(tmpdir(), 'concordat-quorum-'));
  const keysFile = join(folder, 'keys.json');
  writeFileSync(keysFile, JSON.stringify(keys));
  const args = ['--data', join(folder, 'data'), '--nodes', '1', '--json'];
  args.push('--organisations', '3');
  args.push('--party-keys', keysFile);
  if (residents !== undefined) {
    const residentsFile = join(folder, 'residents.json');
    writeFileSync(residentsFile, JSON.stringify(residents));
    args.push('--residents', residentsFile);
  }
  const child = spawn(process.execPath, [...HARDENING, MAIN, 'sandbox', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  const ready = await readyLine(child, () => said);
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    ...ready,
    process: child,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

async function readyLine(
  child: ChildProcess,
  said: () => string,
): Promise<Pick<QuorumSandbox, 'data' | 'service' | 'organisations'>> {
  if (child.stdout === null) throw new Error('the sandbox has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{"ready":true')) continue;
    return JSON.parse(line) as Pick<QuorumSandbox, 'data' | 'service' | 'organisations'>;
  }
  throw new Error(`the sandbox ended before it was ready: ${said()}`);
}

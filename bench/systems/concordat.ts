/**
 * The service under test: a sandbox of three organisations, its nodes in processes of their own,
 * started as the launcher starts it, with the flags this process runs under (design decision 16).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import type { Credentials, LogService, TransactionManagers } from './asked.ts';

export const CONCORDAT = 'Concordat';

export interface ConcordatOptions {
  readonly folder: string;
  readonly durability: 'fsync' | 'os';
  /** One when absent. */
  readonly nodes?: number;
  /** A file of party keys, as the sandbox takes it. */
  readonly partyKeys?: string;
  /** A file of settings for its nodes. */
  readonly nodeSettings?: string;
  /** A folder for a processor profile of the whole run. */
  readonly profile?: string;
}

const READY_MS_MAX = 60_000;
const STOP_MS_MAX = 20_000;
/** The ledger stands still when it has not grown for so many looks. */
const STILL_POLLS = 3;
const POLL_MS = 15;
const ENTRY = new URL('../../src/main.ts', import.meta.url).pathname;

export class Concordat implements LogService, TransactionManagers {
  readonly ready: ReadyLine;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, ready: ReadyLine) {
    this.#process = process;
    this.ready = ready;
  }

  static async start(options: ConcordatOptions): Promise<Concordat> {
    const { folder, durability, profile, nodes = 1, nodeSettings } = options;
    const size = ['--nodes', String(nodes), '--organisations', '3'];
    const settings = nodeSettings === undefined ? [] : ['--node-settings', nodeSettings];
    const keys = options.partyKeys === undefined ? [] : ['--party-keys', options.partyKeys];
    const sandbox = ['sandbox', '--data', folder, ...size, ...settings, ...keys, '--json'];
    const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
    const child = spawn(
      process.execPath,
      [...process.execArgv, ...profiling, ENTRY, ...sandbox, '--durability', durability],
      {
        // The fourth is the lifeline: when the harness is killed, the service ends too.
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
        env: { ...process.env, CONCORDAT_LIFELINE: `${process.pid} 3` },
      },
    );
    let said = '';
    child.stderr?.on('data', (bytes: Buffer) => {
      said = `${said}${bytes.toString()}`.slice(-4000);
    });
    const cancel = killAfter(child, READY_MS_MAX);
    try {
      const line = await firstLine(child);
      if (line === undefined)
        throw new Error(`the sandbox ended before it was ready:\n${said}`);
      return new Concordat(child, JSON.parse(line) as ReadyLine);
    } finally {
      cancel();
    }
  }

  /** The sandbox with its transaction managers, and each node. */
  get pids(): readonly number[] {
    return [this.#process.pid ?? 0, ...this.ready.nodes.map(({ pid }) => pid)];
  }

  /** Where the node listens that executes writes. */
  async primaryUrl(): Promise<URL> {
    const url = new URL('/node/network', this.ready.service.url);
    const network = await jsonOf(url, this.credentials());
    const primary = this.ready.nodes.find(({ nodeId }) => nodeId === network.primary_id);
    return new URL(primary?.url ?? this.ready.service.url);
  }

  /** Those of the first organisation. */
  credentials(): Credentials {
    const { certificate, key } = this.#organisation(1);
    return {
      ca: readFileSync(this.ready.service.certificate, 'utf8'),
      cert: readFileSync(certificate, 'utf8'),
      key: readFileSync(key, 'utf8'),
    };
  }

  partyKeyOf(organisation: number): string {
    return this.#organisation(organisation).partyKeys[0] ?? '';
  }

  partyKeysOf(organisation: number): readonly string[] {
    return this.#organisation(organisation).partyKeys;
  }

  /** The first node's figures without labels, by name. */
  async figures(): Promise<Readonly<Record<string, number>>> {
    const url = new URL('/metrics', this.ready.nodes[0]?.operator.url);
    return figuresOf(await (await fetch(url)).text());
  }

  transactionManagerOf(organisation: number): URL {
    return new URL(this.#organisation(organisation).transactionManager.url);
  }

  /** Bytes of all chunk files, once what was answered before commit has reached them. */
  async settledLedgerBytes(): Promise<number> {
    let bytes = this.#ledgerBytes();
    for (let still = 0; still < STILL_POLLS; ) {
      await setTimeout(POLL_MS);
      const now = this.#ledgerBytes();
      still = now === bytes ? still + 1 : 0;
      bytes = now;
    }
    return bytes;
  }

  #ledgerBytes(): number {
    const folder = this.ready.nodes[0]?.ledger ?? '';
    let bytes = 0;
    for (const name of readdirSync(folder)) {
      // A chunk may get its final name between the listing and this.
      bytes += statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0;
    }
    return bytes;
  }

  async stop(): Promise<void> {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const cancel = killAfter(child, STOP_MS_MAX);
    await ended;
    cancel();
  }

  #organisation(number: number): ReadyLine['organisations'][number] {
    const organisation = this.ready.organisations[number - 1];
    if (organisation === undefined)
      throw new Error(`the sandbox has no organisation ${number}`);
    return organisation;
  }
}

/** Prometheus' text, as far as it has no labels. */
export function figuresOf(text: string): Readonly<Record<string, number>> {
  const lines = text.split('\n').map((line) => /^([a-z_]+) (\S+)$/.exec(line));
  return Object.fromEntries(
    lines.flatMap((line) => (line === null ? [] : [[line[1] ?? '', Number(line[2])]])),
  );
}

function jsonOf(url: URL, credentials: Credentials): Promise<{ readonly primary_id?: string }> {
  return new Promise((resolve, reject) => {
    const asking = request(url, credentials, (response) => {
      let text = '';
      response.on('data', (bytes: Buffer) => {
        text += bytes.toString();
      });
      response.on('error', reject);
      response.on('end', () => resolve(JSON.parse(text) as { primary_id?: string }));
    });
    asking.on('error', reject);
    asking.end();
  });
}

function killAfter(child: ChildProcess, milliseconds: number): () => void {
  const controller = new AbortController();
  setTimeout(milliseconds, undefined, { signal: controller.signal }).then(
    () => child.kill('SIGKILL'),
    () => undefined,
  );
  return () => controller.abort();
}

/** The first line of standard output; undefined when the process ends without one. */
function firstLine(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const { stdout } = child;
    if (stdout === null) return reject(new Error('the sandbox has no standard output'));
    child.once('error', reject);
    child.once('exit', () => resolve(undefined));
    createInterface({ input: stdout }).once('line', resolve);
  });
}

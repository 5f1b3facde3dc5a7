// Nodes of one service as processes of their own, each of one build or another: what an operator
// starts by `concordat node`, from a configuration of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { firstNodeFiles, freePort } from '../cli/node-files.ts';
import { generateIdentity } from '../support/gov-identity.ts';

/** The tree that this test is part of. */
export const THIS_BUILD = resolve(import.meta.dirname, '../..');
/** As the launcher runs the program. */
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];
const WAITING = /waiting to be trusted as node ([0-9a-f]{64})/;

/** A node's process; it may be started again on what it left. */
export class BuiltNode {
  readonly name: string;
  readonly config: string;
  readonly #root: string;
  readonly #action: 'start' | 'join';
  #child: ChildProcess | undefined;
  #said = '';
  #ready: Promise<NodeReadyLine> | undefined;

  constructor(name: string, config: string, root: string, action: 'start' | 'join') {
    this.name = name;
    this.config = config;
    this.#root = root;
    this.#action = action;
  }

  start(): this {
    const main = join(this.#root, 'src/main.ts');
    const args = ['node', this.#action, '--config', this.config, '--json'];
    const child = spawn(process.execPath, [...HARDENING, main, ...args], {
      cwd: this.#root,
      // The last is a lifeline: no node outlives this process, however that ends.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, CONCORDAT_LIFELINE: `${process.pid} 3` },
    });
    this.#child = child;
    this.#said = '';
    child.stderr?.on('data', (piece: Buffer) => {
      this.#said += piece.toString();
    });
    this.#ready = readyLine(child, () => this.said());
    // Whoever waits is told; nobody may be waiting yet.
    this.#ready.catch(() => undefined);
    return this;
  }

  said(): string {
    return this.#said;
  }

  async ready(): Promise<NodeReadyLine> {
    if (this.#ready === undefined) throw new Error(`${this.name} was never started`);
    return await this.#ready;
  }

  /** The id under which it asks to be trusted. */
  async asking(): Promise<string> {
    for (;;) {
      const id = WAITING.exec(this.#said)?.[1];
      if (id !== undefined) return id;
      if (this.#child?.exitCode !== null) throw new Error(`${this.name} ended: ${this.said()}`);
      await new Promise((done) => setTimeout(done, 20));
    }
  }

  /** Resolves with its exit code, once it has ended. */
  async ended(): Promise<number | null> {
    const child = this.#child;
    if (child === undefined) return null;
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child.exitCode;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal);
    await this.ended();
  }
}

/** What a service of such nodes begins with: one member, one user, and whoever they let in. */
export class BuiltService {
  readonly member: { readonly certificate: string; readonly key: string };
  readonly user: { readonly cert: string; readonly key: string };
  readonly nodes: BuiltNode[] = [];
  readonly #folder: string;

  private constructor(folder: string, user: { readonly cert: string; readonly key: string }) {
    this.#folder = folder;
    this.user = user;
    this.member = {
      certificate: join(folder, 'first/members/1/certificate.pem'),
      key: join(folder, 'first/members/1/key.pem'),
    };
  }

  get certificate(): string {
    return join(this.#folder, 'first/service_cert.pem');
  }

  /** A service whose first node is of a build, with more in its configuration. */
  static async found(folder: string, root: string, more: object = {}): Promise<BuiltService> {
    const user = await generateIdentity('CN=User');
    const service = new BuiltService(folder, {
      cert: user.certificatePem,
      key: user.privateKeyPem,
    });
    const home = join(folder, 'first');
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, 'user.pem'), user.certificatePem);
    const { path, config } = await firstNodeFiles(home);
    const opens = { organisations: [{ name: 'Bank', certificate_file: 'user.pem' }] };
    const command = config.command as { readonly start: object };
    const start = { ...command.start, opens };
    writeFileSync(path, JSON.stringify({ ...config, command: { ...command, start }, ...more }));
    service.#add(new BuiltNode('first', path, root, 'start'));
    return service;
  }

  /** A node of a build that asks whoever is at `target` to be let in. */
  async joiner(name: string, root: string, target: NodeReadyLine): Promise<BuiltNode> {
    const home = join(this.#folder, name);
    mkdirSync(home);
    const at = async (): Promise<{ readonly bind_address: string }> => ({
      bind_address: `127.0.0.1:${await freePort()}`,
    });
    const path = join(home, 'config.json');
    const settings = {
      folder: 'node',
      durability: 'os',
      network: {
        node_to_node_interface: await at(),
        rpc_interfaces: { primary_rpc_interface: await at() },
      },
      command: {
        type: 'Join',
        service_certificate_file: this.certificate,
        join: {
          target_rpc_address: target.url.replace('https://', ''),
          retry_timeout: '50ms',
        },
      },
    };
    writeFileSync(path, JSON.stringify(settings));
    return this.#add(new BuiltNode(name, path, root, 'join'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
  }

  #add(node: BuiltNode): BuiltNode {
    this.nodes.push(node);
    return node.start();
  }
}

async function readyLine(child: ChildProcess, said: () => string): Promise<NodeReadyLine> {
  if (child.stdout === null) throw new Error('the node has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as NodeReadyLine;
  }
  // Its last words may come after its output has ended.
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  throw new Error(`the node ended before it was ready: ${said()}`);
}

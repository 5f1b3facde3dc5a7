// A service of several nodes as real processes: the sandbox as its users start it, with a
// switchboard between its nodes, a proxy between clients and each node, and a hand on each process.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import { PORT_OFFSET } from '../support/program.ts';
import { exchange } from './exchange.ts';
import type { HistoryLine } from './history.ts';
import { LinkProxy, type LinkState, PASS } from './link-proxy.ts';
import { nodeOfProcess, nodeProcesses } from './node-processes.ts';
import { newSwitchboard } from './switchboard.ts';
import type { Service } from './workload.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** As the launcher runs the program. */
const HARDENING = ['--disallow-code-generation-from-strings', '--disable-proto=delete'];
const SAID_MAX = 20_000;
const POLL_MS = 100;
const ASK_MS_MAX = 1_000;

/** The end of links that clients dial. */
export const CLIENTS = 'clients';

export interface ClusterOptions {
  readonly nodes: number;
  readonly data: string;
  /** The tree whose program runs; this one when absent. */
  readonly root?: string;
}

/** What one node says of the service. */
export interface Sight {
  readonly node: string;
  readonly view: number;
  readonly primary: string | undefined;
  readonly committed: string;
  readonly views: readonly string[];
}

export class Cluster implements AsyncDisposable {
  readonly names: readonly string[];
  readonly ready: ReadyLine;
  /** For clients: nodes are reached by way of proxies. */
  readonly service: Service;
  readonly #child: ChildProcess;
  readonly #switchboard: LinkProxy;
  readonly #doors: readonly LinkProxy[];
  readonly #agent: Agent;
  readonly #data: string;
  readonly #said: () => string;

  private constructor(
    ready: ReadyLine,
    doors: readonly (readonly [LinkProxy, number])[],
    rest: {
      readonly child: ChildProcess;
      readonly switchboard: LinkProxy;
      readonly data: string;
      readonly said: () => string;
    },
  ) {
    this.ready = ready;
    this.names = ready.nodes.map((_, index) => `${index + 1}`);
    this.#doors = doors.map(([door]) => door);
    const urls = doors.map(([, port]) => `https://127.0.0.1:${port}`);
    this.service = {
      nodes: new Map(this.names.map((name, index) => [name, urls[index] ?? ''])),
      certificate: ready.service.certificate,
      organisations: ready.organisations,
    };
    this.#child = rest.child;
    this.#switchboard = rest.switchboard;
    this.#data = rest.data;
    this.#said = rest.said;
    this.#agent = new Agent({ ca: readFileSync(ready.service.certificate), keepAlive: false });
  }

  static async start({ nodes, data, root = ROOT }: ClusterOptions): Promise<Cluster> {
    const switchboard = newSwitchboard(async (pid) => await nodeOfProcess(pid, data));
    const port = await switchboard.listen();
    const hook = pathToFileURL(join(import.meta.dirname, 'redirected-dials.ts'));
    const main = join(root, 'src/main.ts');
    const ports = ['--port-offset', `${PORT_OFFSET}`];
    const args = ['sandbox', '--json', '--nodes', `${nodes}`, '--data', data, ...ports];
    const child = spawn(process.execPath, [...HARDENING, main, ...args], {
      cwd: root,
      // The last is a lifeline: the sandbox does not outlive this process, however that ends.
      stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
      env: {
        ...process.env,
        CONCORDAT_LIFELINE: `${process.pid} 3`,
        NODE_OPTIONS: `--import ${hook}`,
        CONCORDAT_TEST_SWITCHBOARD: `${port}`,
      },
    });
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-SAID_MAX);
    });
    try {
      const ready = await readyLine(child, () => said);
      const doors = await Promise.all(
        ready.nodes.map(({ url }, index) => door(url, index + 1)),
      );
      return new Cluster(ready, doors, { child, switchboard, data, said: () => said });
    } catch (error) {
      child.kill('SIGKILL');
      await switchboard.close();
      throw error;
    }
  }

  /** What the sandbox and its nodes have said for people, the newest of it. */
  said(): string {
    return this.#said();
  }

  /** What becomes of what one node dials to another, or `CLIENTS` to a node. */
  set(from: string, to: string, state: LinkState): void {
    if (from === CLIENTS) this.#doors[Number(to) - 1]?.set(CLIENTS, to, state);
    else this.#switchboard.set(from, this.#peerPortOf(to), state);
  }

  /** All links pass again. */
  heal(): void {
    for (const to of this.names) {
      this.set(CLIENTS, to, PASS);
      for (const from of this.names) if (from !== to) this.set(from, to, PASS);
    }
  }

  /** Links between nodes that have no connection now, as `from>to`. */
  missingLinks(): readonly string[] {
    const connected = new Set(this.#switchboard.connected());
    return this.names.flatMap((from) =>
      this.names
        .filter((to) => to !== from && !connected.has(`${from}>${this.#peerPortOf(to)}`))
        .map((to) => `${from}>${to}`),
    );
  }

  #peerPortOf(node: string): string {
    return this.ready.nodes[Number(node) - 1]?.peer.split(':').at(-1) ?? '';
  }

  /** Sends a signal to a node's process; gives back its id, or undefined if it has none now. */
  async signal(node: string, signal: NodeJS.Signals): Promise<number | undefined> {
    const pid = await this.processOf(node);
    if (pid === undefined) return undefined;
    try {
      process.kill(pid, signal);
      return pid;
    } catch {
      return undefined;
    }
  }

  async processOf(node: string): Promise<number | undefined> {
    const { pid } = this.#child;
    if (pid === undefined) return undefined;
    return (await nodeProcesses(pid, this.#data)).get(node);
  }

  /** What a node says, asked past all proxies; undefined if it does not answer. */
  async sightOf(node: string): Promise<Sight | undefined> {
    const { url } = this.ready.nodes[Number(node) - 1] ?? { url: '' };
    const ask = async (path: string): Promise<Record<string, unknown> | undefined> => {
      const asked = { method: 'GET', path } as const;
      const done = await exchange({ url, agent: this.#agent }, asked, ASK_MS_MAX);
      if (done.kind === 'silence' || done.status !== 200) return undefined;
      return JSON.parse(done.body) as Record<string, unknown>;
    };
    const network = await ask('/node/network');
    const commit = await ask('/node/commit?view_history=true');
    if (network === undefined || commit === undefined) return undefined;
    const at = this.ready.nodes.findIndex(({ nodeId }) => nodeId === network.primary_id);
    return {
      node,
      view: Number(network.current_view),
      primary: this.names[at],
      committed: String(commit.transaction_id),
      views: commit.view_history as string[],
    };
  }

  async sights(): Promise<readonly Sight[]> {
    const sights = await Promise.all(this.names.map((name) => this.sightOf(name)));
    return sights.filter((sight) => sight !== undefined);
  }

  /** The primary of the newest view that anybody knows of. */
  async primary(): Promise<string | undefined> {
    const sights = [...(await this.sights())].sort((left, right) => right.view - left.view);
    return sights.find(({ primary }) => primary !== undefined)?.primary;
  }

  /**
   * Resolves once all nodes answer, have all their links by way of the switchboard, agree on a
   * primary and on what is committed, and stay so; rejects with what they say instead.
   */
  async settled(msMax: number): Promise<Sight> {
    const until = performance.now() + msMax;
    let before = '';
    for (;;) {
      const sights = await this.sights();
      const [first] = sights;
      const same = new Set(
        sights.map(({ view, primary, committed, views }) =>
          JSON.stringify([view, primary ?? 'none', committed, views]),
        ),
      );
      const missing = this.missingLinks();
      const now = `${[...same].join(' / ')}; missing links: ${missing.join(' ') || 'none'}`;
      const answer = sights.length === this.names.length && missing.length === 0;
      const agree = answer && same.size === 1;
      if (agree && first?.primary !== undefined && now === before) return first;
      if (performance.now() > until) {
        throw new Error(`the nodes do not settle: ${now}\n${this.said().slice(-3000)}`);
      }
      before = now;
      await sleep(5 * POLL_MS);
    }
  }

  /** How the service's history ended, for the judge. */
  static endOf({ views, committed }: Sight): HistoryLine {
    return { type: 'ledger', views, committed };
  }

  /** Stops all; gives back the sandbox's exit code. */
  async stop(): Promise<number | null> {
    this.heal();
    for (const name of this.names) await this.signal(name, 'SIGCONT');
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await ended;
    }
    this.#agent.destroy();
    await Promise.all([this.#switchboard, ...this.#doors].map((proxy) => proxy.close()));
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/** The proxy by way of which clients reach a node, and its port. */
async function door(url: string, number: number): Promise<readonly [LinkProxy, number]> {
  const { hostname: host, port } = new URL(url);
  const target = { host, port: Number(port) };
  const proxy = new LinkProxy({
    introduce: async () => ({ from: CLIENTS, to: `${number}`, target }),
  });
  return [proxy, await proxy.listen()];
}

async function readyLine(child: ChildProcess, said: () => string): Promise<ReadyLine> {
  if (child.stdout === null) throw new Error('the sandbox has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{"ready":true')) return JSON.parse(line) as ReadyLine;
  }
  throw new Error(`the sandbox ended before it was ready: ${said()}`);
}

/**
 * etcd, of one node or of three, asked through its HTTP gateway (`/v3/kv/put`) at the leader. It
 * flushes its log before it answers, and there is no switch for that in all its versions.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Target } from '../generator/job.ts';
import { requestBytes } from '../requests.ts';
import type { SystemStatement } from '../result.ts';
import { freePorts, LOOPBACK } from './free-ports.ts';
import { KeptProcess } from './kept-process.ts';
import type { Insert } from './peer.ts';
import { findProgram, pathFolders } from './programs.ts';

export const ETCD = 'etcd';

const READY_MS_MAX = 30_000;
const POLL_MS = 100;
/** Distinct requests. */
const REQUESTS = 256;

/** Its program's path, or undefined. */
export function etcdProgram(env: NodeJS.ProcessEnv): string | undefined {
  return findProgram('etcd', pathFolders(env.PATH), env.CONCORDAT_ETCD);
}

export class Etcd {
  readonly #members: readonly KeptProcess[];
  readonly #program: string;
  readonly #leader: URL;

  private constructor(program: string, members: readonly KeptProcess[], leader: URL) {
    this.#program = program;
    this.#members = members;
    this.#leader = leader;
  }

  static async start(program: string, folder: string, nodes: number): Promise<Etcd> {
    const ports = await freePorts(2 * nodes);
    const named = Array.from({ length: nodes }, (_, number) => ({
      name: `member${number}`,
      client: `http://${LOOPBACK}:${ports[2 * number]}`,
      peer: `http://${LOOPBACK}:${ports[2 * number + 1]}`,
    }));
    const cluster = named.map(({ name, peer }) => `${name}=${peer}`).join(',');
    const members: KeptProcess[] = [];
    try {
      for (const { name, client, peer } of named) {
        const args = [
          ...['--name', name, '--data-dir', join(folder, name), '--log-level', 'error'],
          ...['--listen-client-urls', client, '--advertise-client-urls', client],
          ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
          ...['--initial-cluster', cluster, '--initial-cluster-state', 'new'],
        ];
        members.push(await KeptProcess.start({ command: program, args }));
      }
      const clients = named.map(({ client }) => new URL(client));
      return new Etcd(program, members, await leaderOf(clients, members));
    } catch (error) {
      for (const member of members) await member.stop();
      throw error;
    }
  }

  get pids(): readonly number[] {
    return this.#members.map(({ pid }) => pid);
  }

  /** Puts of so many bytes under few keys, as the log's own writes use few numbers. */
  insert({ connections, bytes }: Insert): Target {
    const { hostname: host, port, host: name } = this.#leader;
    const requests = Array.from({ length: REQUESTS }, (_, number) =>
      requestBytes({
        method: 'POST',
        path: '/v3/kv/put',
        host: name,
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({
          key: Buffer.from(`record/${number}`).toString('base64'),
          value: randomBytes(bytes).toString('base64'),
        }),
      }),
    );
    return { host, port: Number(port), connections, requests, expectedStatus: 200 };
  }

  get name(): string {
    const { length } = this.#members;
    return length === 1 ? ETCD : `${ETCD}, ${length} nodes`;
  }

  get statement(): SystemStatement {
    return {
      name: this.name,
      version: versionOf(this.#program),
      durability: 'flushes its log before it answers, whatever --durability says',
      load: 'POST /v3/kv/put at the leader, over HTTP without TLS',
    };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.stop()));
  }
}

function versionOf(program: string): string {
  const text = execFileSync(program, ['--version'], { encoding: 'utf8' });
  return /etcd Version: (\S+)/.exec(text)?.[1] ?? 'unknown';
}

interface Status {
  readonly header?: { readonly member_id?: string };
  readonly leader?: string;
}

/** The member that says it leads, once all of them answer. */
async function leaderOf(
  clients: readonly URL[],
  members: readonly KeptProcess[],
): Promise<URL> {
  const deadlineMs = performance.now() + READY_MS_MAX;
  while (performance.now() < deadlineMs) {
    for (const member of members) member.mustRun(ETCD);
    const all = await Promise.all(clients.map(statusOf));
    const at = all.findIndex(
      (status) => status?.leader !== undefined && status.leader === status.header?.member_id,
    );
    const leader = clients[at];
    if (leader !== undefined && all.every((status) => status !== undefined)) return leader;
    await sleep(POLL_MS);
  }
  throw new Error(`etcd: no leader within ${READY_MS_MAX / 1000} s`);
}

async function statusOf(client: URL): Promise<Status | undefined> {
  try {
    const url = new URL('/v3/maintenance/status', client);
    const answer = await fetch(url, { method: 'POST', body: '{}' });
    return answer.ok ? ((await answer.json()) as Status) : undefined;
  } catch {
    return undefined;
  }
}

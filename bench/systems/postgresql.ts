/**
 * PostgreSQL with its own settings, and pgbench, its own client: single-row inserts over TCP, each
 * a transaction of its own. It refuses to run as root, so another user runs it then.
 */
import { execFile, execFileSync } from 'node:child_process';
import {
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Contender, Slice } from '../contender.ts';
import { Histogram } from '../histogram.ts';
import { treeCpuMs } from '../machine.ts';
import type { SystemStatement } from '../result.ts';
import { freePorts, LOOPBACK } from './free-ports.ts';
import { KeptProcess } from './kept-process.ts';
import type { Insert } from './peer.ts';
import {
  findProgram,
  pathFolders,
  type User,
  unprivilegedUser,
  versionFolders,
} from './programs.ts';

export const POSTGRESQL = 'PostgreSQL';

const DEBIAN = '/usr/lib/postgresql';
const PROGRAMS = ['initdb', 'postgres', 'psql', 'pgbench'];
const READY_MS_MAX = 30_000;
const POLL_MS = 100;
/** The superuser that initdb makes. */
const ROLE = 'bench';
const run = promisify(execFile);

/** The folder of its programs, or undefined. */
export function postgresqlFolder(env: NodeJS.ProcessEnv): string | undefined {
  const named = env.CONCORDAT_POSTGRESQL;
  const debian = versionFolders(DEBIAN).map((folder) => join(folder, 'bin'));
  const folders = named ? [named] : [...pathFolders(env.PATH), ...debian];
  // PATH may lead to some of them only: to a client's, or to a link.
  return folders.find((folder) =>
    PROGRAMS.every((name) => findProgram(name, [folder], undefined) !== undefined),
  );
}

export interface PostgresqlOptions {
  /** Of its programs. */
  readonly programs: string;
  /** Where its data lies; it is made. */
  readonly folder: string;
  readonly durability: 'fsync' | 'os';
}

export class Postgresql {
  readonly #options: PostgresqlOptions;
  readonly #server: KeptProcess;
  readonly #port: number;

  private constructor(options: PostgresqlOptions, server: KeptProcess, port: number) {
    this.#options = options;
    this.#server = server;
    this.#port = port;
  }

  static async start(options: PostgresqlOptions): Promise<Postgresql> {
    const { programs, folder, durability } = options;
    const user = process.getuid?.() === 0 ? unprivilegedUser() : undefined;
    // Another user must get through to it.
    mkdirSync(dirname(folder), { recursive: true, mode: 0o711 });
    mkdirSync(folder, { mode: 0o700 });
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
    const data = join(folder, 'data');
    await initialise(programs, data, user);
    const [port = 0] = await freePorts(1);
    const server = await KeptProcess.start({
      command: join(programs, 'postgres'),
      args: [
        ...['-D', data, '-p', String(port), '-h', LOOPBACK, '-k', ''],
        ...['-c', `fsync=${durability === 'fsync' ? 'on' : 'off'}`],
        ...['-c', 'max_connections=1100', '-c', 'log_min_messages=fatal'],
      ],
      cwd: folder,
      ...(user === undefined ? {} : { user }),
    });
    const postgresql = new Postgresql(options, server, port);
    try {
      await postgresql.#untilReady();
    } catch (error) {
      await postgresql.stop();
      throw error;
    }
    return postgresql;
  }

  get pids(): readonly number[] {
    return [this.#server.pid];
  }

  get statement(): SystemStatement {
    const { programs, durability } = this.#options;
    const text = execFileSync(join(programs, 'postgres'), ['--version'], { encoding: 'utf8' });
    return {
      name: POSTGRESQL,
      version: /\d[\d.]*/.exec(text)?.[0] ?? 'unknown',
      durability:
        durability === 'fsync'
          ? 'fsync and synchronous_commit on: answers come after its log is flushed'
          : 'fsync off',
      load: 'pgbench over TCP without TLS, prepared single-row inserts, each its own transaction',
    };
  }

  /** Inserts of so many characters by so many clients, into a table of its own. */
  async insert({ connections, bytes }: Insert): Promise<Contender> {
    await this.#ask('CREATE TABLE IF NOT EXISTS record (id bigint, body text NOT NULL)');
    const script = join(this.#options.folder, 'insert.sql');
    writeFileSync(
      script,
      '\\set id random(1, 1000000000)\n' +
        `INSERT INTO record VALUES (:id, '${'x'.repeat(bytes)}');\n`,
      { mode: 0o644 },
    );
    return {
      name: POSTGRESQL,
      slice: (milliseconds) => this.#slice(script, connections, milliseconds),
    };
  }

  async #slice(script: string, clients: number, milliseconds: number): Promise<Slice> {
    const logs = join(this.#options.folder, 'log-of-pgbench');
    // pgbench counts in whole seconds.
    const seconds = Math.max(1, Math.round(milliseconds / 1000));
    const before = treeCpuMs(this.#server.pid);
    const { stdout } = await run(join(this.#options.programs, 'pgbench'), [
      ...this.#address,
      ...['-n', '-M', 'prepared', '-f', script, '-T', String(seconds)],
      ...['-c', String(clients), '-j', String(Math.min(2, clients))],
      ...['--log', `--log-prefix=${logs}`],
      'postgres',
    ]);
    const after = treeCpuMs(this.#server.pid);
    const latency = readLatencies(this.#options.folder, 'log-of-pgbench');
    const perSecond = perSecondOf(stdout);
    return {
      requests: latency.total,
      // What pgbench itself counts as its time: without connecting.
      elapsedMs: (latency.total / perSecond) * 1000,
      latency,
      systemCpuMs: before === undefined || after === undefined ? undefined : after - before,
      generatorCpuMs: undefined,
    };
  }

  get #address(): readonly string[] {
    return ['-h', LOOPBACK, '-p', String(this.#port), '-U', ROLE];
  }

  async #ask(statement: string): Promise<void> {
    const psql = join(this.#options.programs, 'psql');
    await run(psql, [
      ...this.#address,
      '-q',
      '-v',
      'ON_ERROR_STOP=1',
      '-c',
      statement,
      'postgres',
    ]);
  }

  async #untilReady(): Promise<void> {
    const deadlineMs = performance.now() + READY_MS_MAX;
    for (;;) {
      this.#server.mustRun(POSTGRESQL);
      try {
        return await this.#ask('SELECT 1');
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        await sleep(POLL_MS);
      }
    }
  }

  /** At once, without a checkpoint: its data is thrown away. */
  async stop(): Promise<void> {
    await this.#server.stop('SIGQUIT');
    rmSync(this.#options.folder, { recursive: true, force: true });
  }
}

async function initialise(
  programs: string,
  data: string,
  user: User | undefined,
): Promise<void> {
  await run(
    join(programs, 'initdb'),
    ['-D', data, '-U', ROLE, '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-instructions'],
    { cwd: dirname(data), ...(user ?? {}) },
  );
}

/** The figure that leaves the time of connecting out. Exported for its test. */
export function perSecondOf(text: string): number {
  const said = /^tps = ([\d.]+)/m.exec(text)?.[1];
  const failed = /number of failed transactions: (\d+)/.exec(text)?.[1] ?? '0';
  if (said === undefined || failed !== '0') throw new Error(`pgbench: ${text.trim()}`);
  return Number(said);
}

/** A file for each thread of pgbench; the third word of a line is the time, in microseconds. */
export function readLatencies(folder: string, prefix: string): Histogram {
  const latency = new Histogram();
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(`${prefix}.`)) continue;
    const path = join(folder, name);
    for (const line of readFileSync(path, 'latin1').split('\n')) {
      if (line !== '') latency.record(Number(line.split(' ', 3)[2]) / 1000);
    }
    rmSync(path);
  }
  return latency;
}

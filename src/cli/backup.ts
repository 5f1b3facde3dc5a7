/**
 * `concordat backup`: keeps a verified copy of a service's ledger and snapshots, as they are
 * committed, for `concordat node recover`.
 */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Gauge, Registry } from 'prom-client';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { type TxId, txIdOfText } from '../base/ids.ts';
import { systemKeys } from '../crypto/key-source.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import { Backup, type BackupState } from '../node/backing-up/backup.ts';
import { HttpStore } from '../node/backing-up/store.ts';
import { durableDisk } from '../node/durable-disk.ts';
import { httpSources } from '../node/joining/http-join-source.ts';
import { pause } from '../node/joining/pause.ts';
import { type PinnedHttp, pinnedHttp } from '../node/joining/pinned-http.ts';
import { realTimers } from '../node/real-time.ts';
import type { Command, CommandIo } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { nodeLog } from './node-log.ts';

const USAGE = `Usage: concordat backup --to DIR --url URL... --service-certificate PEM [OPTIONS]

Keeps a copy of a service's committed chunks and snapshots in DIR, from any of its nodes, as they
are committed; each is verified before it counts. It runs until it is told to stop, and goes on
where it was. concordat node recover --ledger DIR recovers a service from it, with the members'
shares: the backup holds no key.

  --to DIR                    the folder; an empty one, or the same as before
  --url URL                   where a node serves clients, https://HOST:PORT; the others are heard
                              of from it
  --service-certificate PEM   the service's certificate: only nodes that it endorsed are believed
  --store URL                 send each file to an object store as well, by HTTP PUT to URL/NAME;
                              what follows a ? (a shared access signature, say) is kept
  --every SECONDS             how often to look for more (default: 5)
  --once                      end when all that is committed in closed chunks is there
  --metrics HOST:PORT         serve figures for Prometheus at http://HOST:PORT/metrics
  --json                      a line of JSON for each look that brought something`;

const OPTIONS = {
  to: { type: 'string' },
  url: { type: 'string', multiple: true },
  'service-certificate': { type: 'string' },
  store: { type: 'string' },
  every: { type: 'string' },
  once: { type: 'boolean' },
  metrics: { type: 'string' },
  json: { type: 'boolean' },
} as const;

const RETRY_MS = 1_000;
const EVERY_SECONDS_DEFAULT = 5;

export const command: Command = {
  name: 'backup',
  summary: "keep a verified copy of a service's ledger as it is committed",
  usage: USAGE,
  run: async (args, io) => {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: OPTIONS,
    });
    const { to, url, store } = values;
    const pemFile = values['service-certificate'];
    if (to === undefined) throw new CodedError('Usage', '--to DIR is missing');
    if (url === undefined) throw new CodedError('Usage', '--url URL is missing');
    if (pemFile === undefined) {
      throw new CodedError('Usage', '--service-certificate PEM is missing');
    }
    const everyMs = secondsOf(values.every) * 1_000;
    const serviceCertificatePem = readFileSync(pemFile, 'utf8');
    certificateOfPem(serviceCertificatePem);
    const targets = url.map(addressOf);
    const http = await connection(serviceCertificatePem);
    const backup = new Backup(
      { folder: resolve(to), targets, serviceCertificatePem, retryMs: RETRY_MS },
      {
        disk: durableDisk,
        timers: realTimers,
        log: nodeLog(io),
        verifier: nodeVerifier,
        sources: httpSources(http),
        committed: () => committedAt(http, targets),
        signal: io.signal,
        ...(store === undefined ? {} : { store: new HttpStore(store) }),
      },
    );
    let server: Server | undefined;
    try {
      if (values.metrics !== undefined) server = await serveMetrics(values.metrics, backup);
      await backup.begin();
      const { once = false, json = false } = values;
      return await keepUp(backup, { once, json, everyMs }, io);
    } finally {
      server?.close();
      http.close();
    }
  },
};

/** What it shows to the nodes: a key of the moment, for anybody may download. */
async function connection(serviceCertificatePem: string): Promise<PinnedHttp> {
  const key = systemKeys.generateSigningKey('P-256');
  const validity = { fromMs: Date.now() - 3_600_000, days: 3650 };
  const certificatePem = await systemKeys.selfSignedCertificate(key, 'CN=Backup', validity);
  return pinnedHttp({ certificatePem, key, serviceCertificatePem });
}

async function keepUp(
  backup: Backup,
  { once, json, everyMs }: { once: boolean; json: boolean; everyMs: number },
  io: CommandIo,
): Promise<number> {
  let shown = '';
  for (;;) {
    try {
      const state = await backup.round();
      const text = json
        ? JSON.stringify({ ready: true, ok: true, ...state })
        : stateText(state);
      if (text !== shown) io.out(text);
      shown = text;
      if (once) return EXIT.good;
    } catch (error) {
      if (isCoded(error, 'JoinStopped')) return EXIT.good;
      // An object store may be away for a while: the folder has it all.
      if (once || !isCoded(error, 'StoreRefused')) throw error;
      io.err(error.message);
    }
    try {
      await pause(realTimers, everyMs, io.signal);
    } catch {
      return EXIT.good;
    }
  }
}

function stateText(state: BackupState): string {
  const { recoveryPoint, committed, recoveryPointSeqno, committedSeqno, chunks } = state;
  if (recoveryPoint === undefined) return 'nothing is committed in a closed chunk yet';
  const behind = Math.max(0, committedSeqno - recoveryPointSeqno);
  const snapshot = state.snapshotSeqno === 0 ? '' : `, snapshot at ${state.snapshotSeqno}`;
  return (
    `recovery point ${recoveryPoint} (${chunks} chunks${snapshot}); the service committed ` +
    `${committed ?? 'nothing'}, ${behind} entries more`
  );
}

async function committedAt(
  http: PinnedHttp,
  targets: readonly string[],
): Promise<TxId | undefined> {
  for (const target of targets) {
    try {
      const question = { method: 'GET', target: '/node/commit' } as const;
      const { status, body } = await http.ask(target, question);
      const row: { transaction_id?: unknown } = JSON.parse(Buffer.from(body).toString());
      if (status === 200 && typeof row.transaction_id === 'string') {
        return txIdOfText(row.transaction_id);
      }
    } catch {
      // Another one may answer; it is only for the figures.
    }
  }
  return undefined;
}

/** Figures for Prometheus, at `HOST:PORT`. */
async function serveMetrics(place: string, backup: Backup): Promise<Server> {
  const match = /^(.+):(\d{1,5})$/.exec(place);
  if (match === null) throw new CodedError('Usage', `--metrics is ${place}, not HOST:PORT`);
  const registry = new Registry();
  const gauge = (name: string, help: string, read: (state: BackupState) => number): void => {
    new Gauge({
      name: `concordat_backup_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read(backup.state));
      },
    });
  };
  gauge('recovery_point_seqno', 'Last entry that could be recovered', (each) => {
    return each.recoveryPointSeqno;
  });
  gauge('service_committed_seqno', 'Last entry the service said it committed', (each) => {
    return each.committedSeqno;
  });
  gauge('entries_behind', 'Entries committed beyond the recovery point', (each) => {
    return Math.max(0, each.committedSeqno - each.recoveryPointSeqno);
  });
  gauge('snapshot_seqno', 'Newest snapshot that is kept', (each) => each.snapshotSeqno);
  gauge('chunks', 'Chunks that are kept', (each) => each.chunks);
  gauge('stored_files', 'Files that the object store has', (each) => each.stored);
  const server = createServer((request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      (error: unknown) => response.writeHead(500).end(messageOf(error)),
    );
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(Number(match[2]), match[1], listening);
  });
  return server;
}

function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && url.pathname === '/')
    return `${url.hostname}:${portOf(url)}`;
  throw new CodedError('Usage', `--url is ${JSON.stringify(text)}; it is https://HOST:PORT`);
}

function portOf({ port }: URL): string {
  return port === '' ? '443' : port;
}

function secondsOf(text: string | undefined): number {
  if (text === undefined) return EVERY_SECONDS_DEFAULT;
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds > 0 && seconds <= 86_400) return seconds;
  throw new CodedError('Usage', `--every is ${text}, not a number of seconds`);
}

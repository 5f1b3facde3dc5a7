/**
 * `concordat ledger verify` and `concordat ledger show`: a ledger folder, judged and read offline.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  LEVELS,
  type LedgerTotals,
  type LedgerVerdict,
  type Level,
  type VerifyOptions,
  verifyLedger,
} from '../audit/ledger.ts';
import { recoverSecrets } from '../audit/recover-secrets.ts';
import type { DatedSecret } from '../audit/sealed.ts';
import { snapshotEvidence } from '../audit/secret-rules.ts';
import { parseSecrets } from '../audit/secrets-file.ts';
import { type ShownEntry, type ShownMap, shownEntry } from '../audit/show.ts';
import { type SnapshotVerdict, verifySnapshot } from '../audit/snapshot.ts';
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import type { Command, CommandIo } from './command.ts';
import { EXIT } from './exit-codes.ts';

const USAGE = `Usage:
  concordat ledger verify DIR [OPTIONS]   judge every entry; exit 0 good, 1 bad
  concordat ledger show DIR [OPTIONS]     print entries

Options of both:
  --secrets FILE              open private tables and judge seals and commit evidence with these
                              ledger secrets: [{"seqno": 1, "secret": "<hex or base64>"}, …]
  --member-key PEM            the same with the secrets recovered from the ledger itself, by the
                              RSA key of a member whose share suffices
  --committed-only            read only chunks whose names say committed
  --recovery                  read chunks of a recovery in progress too
  --json                      print JSON (show: one entry per line)

Options of verify:
  --level LEVEL               ${LEVELS.join(', ')} (default full)
  --service-certificate PEM   the ledger must be of this service
  --snapshots DIR             judge the snapshots in this folder too
  --deprecated                accept entry types of former releases

Options of show:
  --seqno N                   this entry only
  --from N, --to N            these only`;

const OPTIONS = {
  secrets: { type: 'string' },
  'member-key': { type: 'string' },
  'committed-only': { type: 'boolean' },
  recovery: { type: 'boolean' },
  json: { type: 'boolean' },
  level: { type: 'string' },
  'service-certificate': { type: 'string' },
  snapshots: { type: 'string' },
  deprecated: { type: 'boolean' },
  seqno: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
} as const;

const ONLY_VERIFY = ['level', 'service-certificate', 'snapshots', 'deprecated'] as const;
const ONLY_SHOW = ['seqno', 'from', 'to'] as const;

type Values = ReturnType<typeof parsed>['values'];

function parsed(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
}

export const command: Command = {
  name: 'ledger',
  summary: 'verify or show a ledger folder, offline',
  usage: USAGE,
  run: async (args, io) => {
    const { values, positionals } = parsed(args);
    const [action, folder, ...rest] = positionals;
    if (action !== 'verify' && action !== 'show') throw usage('say what to do: verify or show');
    if (folder === undefined) throw usage(`say which folder to ${action}`);
    if (rest.length > 0) throw usage(`one folder at a time, not also ${rest.join(' ')}`);
    for (const name of action === 'verify' ? ONLY_SHOW : ONLY_VERIFY) {
      if (values[name] !== undefined) throw usage(`--${name} is not an option of ${action}`);
    }
    try {
      return action === 'verify'
        ? await verify(folder, values, io)
        : await show(folder, values, io);
    } catch (thrown) {
      if (!io.signal.aborted) throw thrown;
      io.err(`stopped before the ${action === 'verify' ? 'verdict' : 'end'}`);
      return EXIT.unable;
    }
  },
};

function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}

function sharedOptions(values: Values, io: CommandIo): VerifyOptions {
  return {
    signal: io.signal,
    ...(values.recovery === undefined ? {} : { recovery: values.recovery }),
    ...(values['committed-only'] === undefined
      ? {}
      : { committedOnly: values['committed-only'] }),
  };
}

/** Small ledgers are judged before anybody wonders. */
const PROGRESS_AFTER_MS = 1_000;

async function verify(folder: string, values: Values, io: CommandIo): Promise<number> {
  const level = levelOf(values.level);
  const pem = values['service-certificate'];
  const serviceCertificate = pem === undefined ? undefined : await text(pem);
  const evidence = new Map<number, Uint8Array>();
  const base: VerifyOptions = {
    ...sharedOptions(values, io),
    level,
    ...(serviceCertificate === undefined ? {} : { serviceCertificate }),
    ...(values.deprecated === undefined ? {} : { deprecated: values.deprecated }),
  };
  const secrets = await secretsFor(folder, values, base);
  const startMs = performance.now();
  const verdict = await verifyLedger(folder, {
    ...base,
    ...(secrets === undefined ? {} : { secrets }),
    onProgress: (totals) => {
      if (performance.now() - startMs > PROGRESS_AFTER_MS) io.progress(progressLine(totals));
    },
    onEntry: ({ entry, publicMaps }) => {
      if (values.snapshots === undefined) return;
      const found = snapshotEvidence(publicMaps, entry);
      if (found !== undefined) evidence.set(found.seqno, found.digest);
    },
  });
  const seconds = (performance.now() - startMs) / 1000;
  const snapshots = await snapshotsIn(values.snapshots, verdict, secrets, evidence);
  const ok = verdict.ok && snapshots.every((snapshot) => snapshot.ok);
  if (values.json === true) {
    const found = values.snapshots === undefined ? {} : { snapshots };
    io.out(JSON.stringify({ ...verdict, ok, seconds, ...found }));
  } else {
    for (const line of verdictLines(verdict, seconds)) io.out(line);
    for (const snapshot of snapshots) io.out(snapshotLine(snapshot));
  }
  return ok ? EXIT.good : EXIT.bad;
}

function levelOf(name: string | undefined): Level {
  const level = LEVELS.find((each) => each === (name ?? 'full'));
  if (level === undefined) throw usage(`--level is ${LEVELS.join(', ')}, not ${name}`);
  return level;
}

async function secretsFor(
  folder: string,
  values: Values,
  options: VerifyOptions,
): Promise<DatedSecret[] | undefined> {
  const key = values['member-key'];
  if (values.secrets !== undefined && key !== undefined) {
    throw usage('either --secrets or --member-key, not both');
  }
  if (values.secrets !== undefined) return parseSecrets(await text(values.secrets));
  if (key === undefined) return undefined;
  try {
    return await recoverSecrets(folder, await text(key), options);
  } catch (thrown) {
    // A ledger that is not sound is judged so; that its secrets cannot be had comes after.
    if (!isCoded(thrown, 'SecretsUnavailable')) throw thrown;
    const { ok } = await verifyLedger(folder, options);
    if (ok) throw thrown;
    return undefined;
  }
}

async function snapshotsIn(
  folder: string | undefined,
  ledger: LedgerVerdict,
  secrets: readonly DatedSecret[] | undefined,
  evidence: ReadonlyMap<number, Uint8Array>,
): Promise<SnapshotVerdict[]> {
  if (folder === undefined) return [];
  let names: string[];
  try {
    names = (await readdir(folder)).filter((name) => name.endsWith('.committed')).sort();
  } catch (cause) {
    const message = `the snapshots in ${folder} cannot be listed: ${messageOf(cause)}`;
    throw new CodedError('LedgerUnreadable', message, { folder }, { cause });
  }
  const serviceCertificate = ledger.service?.certificates.at(-1);
  const verdicts: SnapshotVerdict[] = [];
  for (const name of names) {
    const evidenceDigest = evidence.get(Number(name.split('_')[1]));
    const path = join(folder, name);
    verdicts.push(
      await verifySnapshot(path, {
        ...(serviceCertificate === undefined ? {} : { serviceCertificate }),
        ...(secrets === undefined ? {} : { secrets }),
        ...(evidenceDigest === undefined ? {} : { evidenceDigest }),
      }),
    );
  }
  return verdicts;
}

function progressLine({ transactions, signatures, bytes }: LedgerTotals): string {
  return `${transactions} transactions, ${signatures} signatures, ${megabytes(bytes)}`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

function verdictLines(verdict: LedgerVerdict, seconds: number): string[] {
  const { fault, totals, torn, service } = verdict;
  const lines = [
    fault === undefined
      ? `GOOD at level ${verdict.level}: ${verdict.folder}`
      : `BAD: ${fault.reason}: ${fault.message}`,
  ];
  if (fault !== undefined) lines.push(`  where       ${placeOf(fault)}`);
  lines.push(`  verified    up to ${verdict.lastVerified ?? 'nothing'}`);
  lines.push(
    `  read        ${totals.transactions} transactions, ${totals.signatures} signatures ` +
      `(${totals.nodeSignatures} by nodes, ${totals.serviceSignatures} by the service), ` +
      `${totals.chunks} chunks, ${megabytes(totals.bytes)} in ${seconds.toFixed(2)} s`,
  );
  if (totals.opened > 0) lines.push(`  opened      ${totals.opened} private domains`);
  if (service !== undefined) {
    const recovered = service.recoveries > 0 ? `, recovered ${service.recoveries} times` : '';
    lines.push(`  service     ${service.status}${recovered}`);
  }
  if (verdict.uncovered > 0 && verdict.level !== 'headers' && verdict.level !== 'offsets') {
    lines.push(
      `  unsigned    the last ${verdict.uncovered} transactions: nobody vouches for them`,
    );
  }
  if (torn !== undefined) {
    lines.push(
      `  torn        ${torn.file}: ${torn.bytes} bytes from ${torn.offset} are no entry`,
    );
  }
  return lines;
}

function placeOf(fault: NonNullable<LedgerVerdict['fault']>): string {
  const { view, seqno, file, offset } = fault;
  const entry = seqno === undefined ? '' : ` transaction ${view ?? '?'}.${seqno}`;
  return `${file ?? 'the folder'}${offset === undefined ? '' : ` byte ${offset}`}${entry}`;
}

function snapshotLine({
  ok,
  file,
  fault,
  seqno,
  rows,
  tables,
  trust,
}: SnapshotVerdict): string {
  if (fault !== undefined) return `BAD snapshot ${file}: ${fault.reason}: ${fault.message}`;
  const whose = trust === 'given' ? '' : ', judged by the service it names itself';
  const holds = `seqno ${seqno}, ${tables} public tables, ${rows} rows`;
  return `${ok ? 'GOOD' : 'BAD'} snapshot ${file}: ${holds}${whose}`;
}

async function show(folder: string, values: Values, io: CommandIo): Promise<number> {
  const only = seqnoOf('seqno', values.seqno);
  const from = only ?? seqnoOf('from', values.from) ?? 1;
  const to = only ?? seqnoOf('to', values.to) ?? Number.POSITIVE_INFINITY;
  if (from > to) throw usage(`--from ${from} lies after --to ${to}`);
  const base = sharedOptions(values, io);
  const secrets = await secretsFor(folder, values, base);
  let shown = 0;
  const verdict = await verifyLedger(folder, {
    ...base,
    level: 'headers',
    ...(secrets === undefined ? {} : { secrets }),
    onEntry: (audited) => {
      if (audited.entry.seqno < from || audited.entry.seqno > to) return;
      shown += 1;
      const entry = shownEntry(audited);
      io.out(values.json === true ? JSON.stringify(entry) : entryText(entry));
    },
  });
  const { fault } = verdict;
  if (fault !== undefined) {
    io.err(`${fault.reason}: ${fault.message} (${placeOf(fault)})`);
    return EXIT.bad;
  }
  if (shown === 0) {
    io.err(`there is no such entry: the ledger ends with ${verdict.last ?? 'nothing'}`);
    return EXIT.unable;
  }
  return EXIT.good;
}

function seqnoOf(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const seqno = Number(value);
  if (/^\d+$/.test(value) && Number.isSafeInteger(seqno) && seqno > 0) return seqno;
  throw usage(`--${option} takes a seqno from 1 up, not ${value}`);
}

function entryText(entry: ShownEntry): string {
  const marks = [
    entry.isSignature ? 'signature' : '',
    entry.flags === 0 ? '' : `flags ${entry.flags}`,
    entry.claimsDigest === undefined ? '' : `claims ${entry.claimsDigest}`,
  ].filter((mark) => mark !== '');
  const head = `${entry.txId}  ${entry.bytes} bytes at ${entry.file}:${entry.offset}`;
  const lines = [[head, ...marks].join('  ')];
  lines.push(...entry.publicMaps.flatMap(mapLines));
  if (entry.privateMaps !== undefined) lines.push(...entry.privateMaps.flatMap(mapLines));
  else if (entry.privateBytes > 0) lines.push(`  (${entry.privateBytes} bytes sealed)`);
  return lines.join('\n');
}

const SHOWN_CHARACTERS_MAX = 160;

function mapLines({ name, writes, removes }: ShownMap): string[] {
  return [
    `  ${name}`,
    ...writes.map(({ key, value }) => `    ${key} = ${shortened(value)}`),
    ...removes.map((key) => `    ${key} removed`),
  ];
}

function shortened(value: unknown): string {
  const whole = (typeof value === 'string' ? value : JSON.stringify(value)).replace(
    /\n/g,
    '\\n',
  );
  if (whole.length <= SHOWN_CHARACTERS_MAX) return whole;
  const start = whole.slice(0, SHOWN_CHARACTERS_MAX);
  return `${start}… (${whole.length} characters; --json shows all)`;
}

async function text(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CodedError(
      'Unreadable',
      `${path} cannot be read: ${messageOf(cause)}`,
      {},
      { cause },
    );
  }
}

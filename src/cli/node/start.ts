/**
 * `concordat node start` and `concordat node join`: a node from its configuration file, until it is
 * told to stop.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CodedError, isCoded } from '../../base/errors.ts';
import { type NodeConfig, nodeConfigOf, readNodeConfig } from '../../config/node-config.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { whenStopped } from '../command-io.ts';
import { EXIT } from '../exit-codes.ts';
import { nodeLog } from '../node-log.ts';
import { type RecoveryOrder, startNodeProcess } from './node-process.ts';
import type { NodeReadyLine } from './node-ready.ts';
import { readSealingFiles } from './sealing-settings.ts';
import { readMembers, readOpening } from './service-opening.ts';
import { readAuthorities } from './vault-release.ts';

const OPTIONS = `\
  --config FILE         the configuration, JSON; - reads it from standard input.
                        concordat node settings lists what it can say
  --check               judge the configuration and the files it names, and end
  --json                one JSON line when ready instead of a table`;

export const START: Action = {
  name: 'start',
  usage: `Usage: concordat node start --config FILE [--check] [--json]

Runs the first node of a new service; where its folder holds a ledger, goes on with that. It runs
until it is told to stop (Ctrl-C, SIGTERM), and ends with whoever started it.

${OPTIONS}`,
  run: (args, io) => run('start', args, io),
};

export const JOIN: Action = {
  name: 'join',
  usage: `Usage: concordat node join --config FILE [--check] [--json]

Runs a node that joins a service: it asks to be trusted, fetches what it lacks of the ledger, and
then takes part. Where its folder holds a ledger, it goes on with that. While it waits to be
trusted, it says under which id (concordat node trust ID).

${OPTIONS}`,
  run: (args, io) => run('join', args, io),
};

export const RUN: Action = {
  name: 'run',
  usage: `Usage: concordat node run --config FILE [--check] [--json]

Runs a node as its configuration says: as \`node start\` where command.type is "Start", as
\`node join\` where it is "Join". For supervisors and containers that run all nodes of a service
with one command; a recovery is ordered by a person, with concordat node recover.

${OPTIONS}`,
  run: (args, io) => run('start or join', args, io),
};

type Begins = NodeConfig['command']['kind'] | 'start or join';

async function run(kind: Begins, args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      config: { type: 'string' },
      check: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  });
  if (values.config === undefined) {
    throw new CodedError('Usage', '--config FILE says what the node is; it is missing');
  }
  const json = values.json === true;
  if (values.check === true) return await check(kind, values.config, json, io);
  const config = await configFrom(values.config);
  mustBe(kind, config, values.config);
  return await runNode(config, json, io);
}

/** Runs a node until it is told to stop. */
export async function runNode(
  config: NodeConfig,
  json: boolean,
  io: CommandIo,
  recovery?: RecoveryOrder,
): Promise<number> {
  const retired = new AbortController();
  const signal = AbortSignal.any([io.signal, retired.signal]);
  const node = await startNodeProcess(config, {
    log: nodeLog(io),
    signal,
    ...(recovery === undefined ? {} : { recovery }),
    onFatal: (error) => {
      // What is in memory can no longer be trusted to match the disk: end at once.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      io.err(`fatal: ${text}`);
      process.exit(EXIT.unable);
    },
    onRetired: () => {
      io.err('this node has left the service for good: it stops, and will not start again');
      retired.abort();
    },
  });
  if (node === 'stopped') return EXIT.good;
  io.out(json ? JSON.stringify(node.ready) : readyTable(node.ready));
  await whenStopped(signal);
  io.progress('stopping …');
  await node.stop();
  if (!json) io.err('stopped; everything acknowledged is in the ledger');
  return EXIT.good;
}

/** Judges a configuration and the files it names. */
export async function check(
  kind: Begins,
  file: string,
  json: boolean,
  io: CommandIo,
): Promise<number> {
  try {
    const config = await configFrom(file);
    mustBe(kind, config, file);
    if (config.command.kind === 'start') {
      const { start } = config.command;
      readMembers(start);
      if (start.opens !== undefined) readOpening(start.opens);
    }
    if (config.command.kind === 'recover') {
      const { previous_service_identity_file, key_release } = config.command.recover;
      certificateOfPem(readFileSync(previous_service_identity_file, 'utf8'));
      if (key_release !== undefined) readAuthorities(key_release.authorities_file);
    }
    readSealingFiles(config.sealing);
  } catch (error) {
    const isMissing = error instanceof Error && 'syscall' in error;
    if (!isCoded(error) && !isMissing) throw error;
    const faults = isCoded(error, 'BadConfiguration') ? error.fields.faults : [error.message];
    if (json) io.out(JSON.stringify({ ok: false, faults }));
    else io.err(error.message);
    return EXIT.bad;
  }
  io.out(json ? JSON.stringify({ ok: true }) : `${file} is good`);
  return EXIT.good;
}

/** Reads a configuration; `-` stands for standard input. */
export async function configFrom(file: string): Promise<NodeConfig> {
  if (file !== '-') return readNodeConfig(file);
  let text = '';
  for await (const piece of process.stdin.setEncoding('utf8')) text += piece;
  let given: unknown;
  try {
    given = JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CodedError('BadConfiguration', 'standard input holds no JSON', {}, { cause });
  }
  return nodeConfigOf(given, `${process.cwd()}/standard input`);
}

/** Refuses a configuration that is for another command. */
export function mustBe(kind: Begins, { command }: NodeConfig, file: string): void {
  if (command.kind === kind) return;
  if (kind === 'start or join' && command.kind !== 'recover') return;
  throw new CodedError(
    'BadConfiguration',
    `${file}: its command.type is for concordat node ${command.kind}, not ${kind}`,
    { faults: [`command.type is for concordat node ${command.kind}`] },
  );
}

/** How far a recovery got, and what it waits for. */
function recoveryRows({ recovery }: NodeReadyLine): readonly (readonly [string, string])[] {
  if (recovery?.isUnderWay !== true) return [];
  const { ledger, end, isComplete, provenTo } = recovery;
  const proven =
    isComplete === true ? 'nothing committed is missing' : 'completeness not proven';
  const beyond = isComplete === true ? '' : ` beyond ${provenTo ?? 'its beginning'}`;
  return [
    ['recovered from', `${ledger} up to ${end}: ${proven}${beyond}`],
    ['waits for', 'a vote for transition_service_to_open, then for recovery shares'],
  ];
}

function readyTable(ready: NodeReadyLine): string {
  const rows: readonly (readonly [string, string])[] = [
    ['node', ready.nodeId],
    ['clients', ready.url],
    ['nodes', ready.peer],
    ['operator', ready.operator.url],
    ['ledger', ready.ledger],
    ['service certificate', ready.service.certificate],
    ...recoveryRows(ready),
  ];
  const lines = rows.map(([label, value]) => `  ${label.padEnd(19)}  ${value}`);
  return [`The node is ready. ${modeOf(ready)}`, ...lines].join('\n');
}

function modeOf({ platform, sealing }: NodeReadyLine): string {
  if (platform === 'virtual') return 'INSECURE: virtual mode.';
  const insecure = sealing === 'virtual' ? 'INSECURE: its keys are not protected. ' : '';
  return `${insecure}${platform}, sealed by ${sealing}`;
}

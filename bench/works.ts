/**
 * The works that are measured: what is asked of the service, and what must be there before.
 */
import { randomBytes } from 'node:crypto';
import type { Generator } from './generator/generator.ts';
import type { Target } from './generator/job.ts';
import { goPathEscape, requestBytes } from './requests.ts';
import type { Concordat } from './systems/concordat.ts';

export interface WorkContext {
  readonly service: Concordat;
  readonly generator: Generator;
  readonly connections: number;
  readonly payloadBytes: number;
}

export interface Work {
  readonly name: string;
  readonly summary: string;
  /** Each request stores something, so that ledger bytes can be told for each. */
  readonly writes: boolean;
  /** The answer comes after commit, so that the disk sets a limit. */
  readonly waitsForCommit: boolean;
  /** Sizes of the services that do it, compared with each other; one node when absent. */
  readonly nodes?: readonly number[];
  /** Stores what the work reads, and gives back its requests. */
  prepare(context: WorkContext): Promise<Target>;
}

/** Distinct requests of a work that writes; more would only fill the generator's memory. */
const REQUESTS = 256;
/** Payloads and messages there are to read: more than any cache line, all in the page cache. */
const STORED = 1024;
/** GoQuorum's media types (transaction-manager.md §A.3). */
const SEND_TYPE = 'application/vnd.tessera-4.0+json';
const READ_TYPE = 'application/vnd.tessera-2.1+json';
const SENDER = 1;
const RECIPIENT = 2;

const COMMITTED = { 'x-concordat-wait': 'commit' };

export const WORKS: readonly Work[] = [
  {
    name: 'send',
    summary:
      "a private payload through organisation 1's transaction manager, for organisation 2",
    writes: true,
    waitsForCommit: true,
    prepare: async (context) => sendTarget(context),
  },
  {
    name: 'receive',
    summary: "a private payload by its hash, through organisation 2's transaction manager",
    writes: false,
    waitsForCommit: false,
    prepare: receiveTarget,
  },
  {
    name: 'log write',
    summary: 'a private log message over mTLS, answered before commit as CCF does',
    writes: true,
    waitsForCommit: false,
    prepare: (context) => logWriteTarget(context, {}),
  },
  {
    name: 'log write committed',
    summary: 'the same, answered after commit (x-concordat-wait: commit)',
    writes: true,
    waitsForCommit: true,
    prepare: (context) => logWriteTarget(context, COMMITTED),
  },
  {
    name: 'replicated write',
    summary: 'the same on services of 1, 3 and 5 nodes, at their primaries',
    writes: true,
    waitsForCommit: true,
    nodes: [1, 3, 5],
    prepare: (context) => logWriteTarget(context, COMMITTED),
  },
  {
    name: 'log read',
    summary: 'a private log message by its number, over mTLS',
    writes: false,
    waitsForCommit: false,
    prepare: logReadTarget,
  },
];

export function sendTarget(context: WorkContext): Target {
  const { service, payloadBytes } = context;
  const url = service.transactionManagerOf(SENDER);
  const requests = times(REQUESTS, () =>
    requestBytes({
      method: 'POST',
      path: '/send',
      host: url.host,
      headers: { 'Content-Type': SEND_TYPE, Accept: SEND_TYPE },
      body: JSON.stringify({
        payload: randomBytes(payloadBytes).toString('base64'),
        from: service.partyKeyOf(SENDER),
        to: [service.partyKeyOf(RECIPIENT)],
        affectedContractTransactions: [],
        privacyFlag: 0,
        mandatoryRecipients: null,
      }),
    }),
  );
  return { ...plainTarget(url, context), requests, expectedStatus: 201 };
}

async function receiveTarget(context: WorkContext): Promise<Target> {
  const answers = await oneRun(context, sendTarget(context), STORED);
  const url = context.service.transactionManagerOf(RECIPIENT);
  const requests = answers.map((answer) => {
    const { key } = JSON.parse(answer) as { readonly key: string };
    const path = `/transaction/${goPathEscape(key)}?isRaw=false`;
    const headers = { 'Content-Type': READ_TYPE, Accept: READ_TYPE };
    return requestBytes({ method: 'GET', path, host: url.host, headers });
  });
  return { ...plainTarget(url, context), requests, expectedStatus: 200 };
}

async function logWriteTarget(
  context: WorkContext,
  extra: Readonly<Record<string, string>>,
  count: number = REQUESTS,
): Promise<Target> {
  const url = await context.service.primaryUrl();
  const requests = times(count, (id) =>
    requestBytes({
      method: 'POST',
      path: '/app/log/private',
      host: url.host,
      headers: { 'Content-Type': 'application/json', ...extra },
      body: JSON.stringify({ id, msg: `Unique message: ${randomBytes(16).toString('hex')}` }),
    }),
  );
  return { ...secureTarget(url, context), requests, expectedStatus: 200 };
}

async function logReadTarget(context: WorkContext): Promise<Target> {
  const write = await logWriteTarget(context, {}, STORED);
  // Several connections are not equally fast and would leave gaps: one goes through every number.
  await oneRun(context, { ...write, connections: 1 }, STORED);
  const url = new URL(context.service.ready.service.url);
  const requests = times(STORED, (id) =>
    requestBytes({ method: 'GET', path: `/app/log/private?id=${id}`, host: url.host }),
  );
  return { ...secureTarget(url, context), requests, expectedStatus: 200 };
}

/** Sends so many requests once, and gives back the answers' bodies. */
async function oneRun(
  { generator }: WorkContext,
  target: Target,
  requests: number,
): Promise<readonly string[]> {
  const name = 'preparation';
  await generator.open(name, target);
  try {
    return (await generator.run(name, { requests, keepBodies: true })).bodies;
  } finally {
    await generator.close(name);
  }
}

function plainTarget(
  url: URL,
  { connections }: WorkContext,
): Pick<Target, 'host' | 'port' | 'connections'> {
  return { host: url.hostname, port: Number(url.port), connections };
}

function secureTarget(
  url: URL,
  context: WorkContext,
): Pick<Target, 'host' | 'port' | 'connections' | 'tls'> {
  return { ...plainTarget(url, context), tls: context.service.credentialsOf(SENDER) };
}

function times<Made>(count: number, make: (number: number) => Made): readonly Made[] {
  return Array.from({ length: count }, (_, number) => make(number));
}

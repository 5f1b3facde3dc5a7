// Members who mean harm, at a service of real processes under load (governance.md §3.1): whatever
// their ballots and constitutions do, clients are served by every node meanwhile, and whoever sent
// one by way of a backup is told what came of it, however long that took.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SigningMember } from '../../src/cli/gov/place.ts';
import { ServiceAsker } from '../../src/cli/node/service-asker.ts';
import { sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { type RunningProgram, startSandboxProgram } from '../support/program.ts';
import { History } from './history.ts';
import { LogClient } from './log-client.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const MEMBERS = 3;
/** Writes that each node acknowledges at least while one script of some seconds runs. */
const SERVED_MIN = 5;

const folder = mkdtempSync(join(tmpdir(), 'concordat-hostile-'));
const data = join(folder, 'service');
let sandbox: RunningProgram;
let backup: string;
let load: Load;

/** Clients at every node, each writing as fast as it is answered. */
class Load {
  readonly faults: string[] = [];
  readonly #served = new Map<string, number>();
  readonly #clients: readonly LogClient[];
  readonly #running: readonly Promise<void>[];
  #stopping = false;

  constructor(nodes: ReadonlyMap<string, string>, identity: Identity) {
    const history = new History(join(folder, 'history.jsonl'));
    const names = [...nodes.keys()];
    this.#clients = names.map(
      (_, client) => new LogClient({ client, nodes, identity, history }),
    );
    this.#running = this.#clients.map((client, at) => this.#use(client, names[at] ?? ''));
  }

  /** What each node acknowledged while something was done. */
  async during<Result>(
    act: () => Promise<Result>,
  ): Promise<{ readonly result: Result; readonly served: readonly number[] }> {
    const before = new Map(this.#served);
    const result = await act();
    const served = [...this.#served].map(([node, count]) => count - (before.get(node) ?? 0));
    return { result, served };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
    for (const client of this.#clients) client.close();
  }

  async #use(client: LogClient, node: string): Promise<void> {
    this.#served.set(node, 0);
    for (let turn = 0; !this.#stopping; turn += 1) {
      const { outcome, note } = await client.write(node, `private/${node}`, `${turn}`);
      if (outcome !== 'ok') this.faults.push(`${node}: ${note}`);
      this.#served.set(node, (this.#served.get(node) ?? 0) + 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

interface Identity {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** A member that sends what it signs to a backup. */
function member(number: number): SigningMember {
  const { certificate, key } = sandboxFolder(data).member(number);
  return SigningMember.of({
    url: [backup],
    'service-certificate': sandbox.ready.service.certificate,
    'member-certificate': certificate,
    'member-key': key,
  });
}

interface Proposal {
  readonly proposalId: string;
  readonly proposalState: string;
  readonly voteFailures?: Readonly<Record<string, { readonly reason: string }>>;
  readonly failure?: { readonly reason: string };
}

async function propose(name: string, args: unknown = null): Promise<Proposal> {
  const body = JSON.stringify({ actions: [{ name, args }] });
  const answer = await member(1).send('proposal', '/members/proposals:create', body);
  return JSON.parse(answer.body) as Proposal;
}

async function vote(number: number, id: string, ballot: string): Promise<Proposal> {
  const voter = member(number);
  const path = `/members/proposals/${id}/ballots/${voter.id}:submit`;
  const { body } = await voter.send('ballot', path, JSON.stringify({ ballot }), id);
  return JSON.parse(body) as Proposal;
}

const YES = 'export function vote () { return true }';

beforeAll(async () => {
  sandbox = await startSandboxProgram([
    ...['--data', data, '--organisations', '1', '--nodes', '3', '--members', `${MEMBERS}`],
  ]);
  const { nodes, organisations, service } = sandbox.ready;
  const ca = readFileSync(service.certificate, 'utf8');
  const asker = new ServiceAsker(
    nodes.map(({ url }) => url),
    ca,
  );
  const { body } = await asker.get('/node/network');
  const { primary_id } = JSON.parse(body) as { readonly primary_id: string };
  backup = nodes.find(({ nodeId }) => nodeId !== primary_id)?.url ?? '';
  const [organisation] = organisations;
  if (organisation === undefined) throw new Error('there is an organisation');
  const identity = {
    ca,
    cert: readFileSync(organisation.certificate, 'utf8'),
    key: readFileSync(organisation.key, 'utf8'),
  };
  load = new Load(new Map(nodes.map(({ url }, at) => [`${at + 1}`, url])), identity);
}, 120_000);

afterAll(async () => {
  await load?.stop();
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const HOSTILE: readonly (readonly [name: string, ballot: string, reason: RegExp])[] = [
  ['an endless loop', 'export function vote () { for (;;) {} }', /longer than \d+ ms/],
  ['deep recursion', 'export function vote () { return vote() + 1 }', /stack/i],
  [
    'a memory bomb',
    'export function vote () { const a = []; for (;;) a.push(new Array(1e5).fill(a)) }',
    /memory/i,
  ],
  [
    'what no interpreter interrupts',
    'export function vote () { return /(a+)+$/.test("a".repeat(40) + "b") }',
    /longer than \d+ ms/,
  ],
];

/** Those that end soon enough to be tried each time. */
const SHORT = ['an endless loop', 'deep recursion'];

describe('a hostile ballot', () => {
  const chosen = HOSTILE.filter(([name]) => isLong || SHORT.includes(name));
  test.each(chosen)(
    '%s holds nobody up, and fails alone',
    async (_name, ballot, reason) => {
      const { proposalId: id } = await propose('trigger_snapshot');
      await vote(2, id, YES);
      const { result, served } = await load.during(() => vote(1, id, ballot));
      // Right, though it took longer than a backup waits for other answers.
      expect(result).toMatchObject({ proposalState: 'Open' });
      if (reason.source.includes('longer')) {
        for (const count of served) expect(count).toBeGreaterThan(SERVED_MIN);
      }
      const decided = await vote(3, id, YES);
      expect(decided).toMatchObject({ proposalState: 'Accepted' });
      const failures = Object.entries(decided.voteFailures ?? {});
      expect(failures.map(([who]) => who)).toEqual([member(1).id]);
      expect(failures[0]?.[1].reason).toMatch(reason);
    },
    120_000,
  );

  test.runIf(isLong)(
    'several share ten seconds, and leave the others their part',
    async () => {
      const { proposalId: id } = await propose('trigger_ledger_chunk');
      const [, loop = ''] = HOSTILE[0] ?? [];
      const { served } = await load.during(async () => {
        await vote(1, id, loop);
        await vote(2, id, loop);
      });
      for (const count of served) expect(count).toBeGreaterThan(SERVED_MIN);
      expect(await vote(3, id, YES)).toMatchObject({ proposalState: 'Open' });
    },
    120_000,
  );
});

test('a constitution that never decides holds nobody up either', async () => {
  const constitution = `
    export function validate (input) { return { valid: true, description: '' } }
    export function resolve (proposal, proposerId, votes) { for (;;) {} }
    export function apply (proposal, proposalId) {}`;
  const { proposalId: id } = await propose('set_constitution', { constitution });
  await vote(1, id, YES);
  expect(await vote(2, id, YES)).toMatchObject({ proposalState: 'Accepted' });
  const { result, served } = await load.during(() => propose('anything'));
  expect(result.proposalState).toBe('Failed');
  expect(result.failure?.reason).toMatch(/resolve\(\).*longer than/);
  for (const count of served) expect(count).toBeGreaterThan(SERVED_MIN);
}, 120_000);

test('and no client was told of a failure', () => {
  expect(load.faults).toEqual([]);
});

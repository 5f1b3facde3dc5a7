// A rolling update of three nodes under load (governance.md §6, node-lifecycle.md §10): members let
// new code in, new nodes join and are trusted, the old ones retire, and the old code is shut out.
// Clients go on meanwhile: whatever fails is cured by a retry, and nothing acknowledged is lost.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import { VIRTUAL_MEASUREMENT } from '../../src/attestation/virtual.ts';
import { withKeyOf } from '../../src/cli/gov/member-key.ts';
import { SigningMember } from '../../src/cli/gov/place.ts';
import { orderNode } from '../../src/cli/node/node-orders.ts';
import { ServiceAsker } from '../../src/cli/node/service-asker.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { ccfPython } from '../support/judges.ts';
import { runProgram } from '../support/program.ts';
import { type BuiltNode, BuiltService, THIS_BUILD } from './built-nodes.ts';
import { History } from './history.ts';
import { LogClient } from './log-client.ts';
import { plant } from './mutants.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
/** How often all nodes are replaced, and how long clients are served between two steps. */
const ROUNDS = isLong ? 6 : 1;
const QUIET_MS = isLong ? 3_000 : 300;
const CLIENTS = 4;
/** Attempts of one request: far more than any step of an update takes. */
const ATTEMPTS_MAX = 200;
const RETRY_MS = 100;

const folder = mkdtempSync(join(tmpdir(), 'concordat-rolling-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const measurementOf = (round: number): string => `${VIRTUAL_MEASUREMENT}, build ${round}`;

/** The tree of another build: its code says so of itself, as measured code does. */
function buildOf(round: number): { readonly root: string; remove(): void } {
  if (round === 0) return { root: THIS_BUILD, remove: () => undefined };
  return plant({
    name: 'a build of its own',
    file: 'src/attestation/virtual.ts',
    from: `'${VIRTUAL_MEASUREMENT}'`,
    to: `'${measurementOf(round)}'`,
    troubles: [],
    breaks: [],
  });
}

/** Clients that each write registers of their own, one after the other, until told to stop. */
class Load {
  readonly urls = new Map<string, string>();
  /** What was acknowledged. */
  readonly written = new Map<string, string>();
  readonly uncured: string[] = [];
  retries = 0;
  readonly #clients: readonly LogClient[];
  #running: readonly Promise<void>[] = [];
  #stopping = false;
  #registers = 0;

  constructor(identity: { readonly ca: string; readonly cert: string; readonly key: string }) {
    const history = new History(join(folder, 'history.jsonl'));
    this.#clients = Array.from(
      { length: CLIENTS },
      (_, client) => new LogClient({ client, nodes: this.urls, identity, history }),
    );
  }

  start(): void {
    this.#running = this.#clients.map((client, at) => this.#use(client, at));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  unexpected(): readonly string[] {
    return this.#clients.flatMap((client) => client.unexpected);
  }

  /** Registers of which some node does not say what was acknowledged. */
  async missing(): Promise<readonly string[]> {
    const [client] = this.#clients;
    const missing: string[] = [];
    for (const node of this.urls.keys()) {
      for (const [register, value] of this.written) {
        const read = await client?.read(node, register, { carry: true });
        if (read?.value !== value) missing.push(`${node}: ${register}`);
      }
    }
    return missing;
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #use(client: LogClient, at: number): Promise<void> {
    for (let turn = at; !this.#stopping; turn += 1) {
      this.#registers += 1;
      const number = this.#registers;
      const register = `${turn % 2 === 0 ? 'private' : 'public'}/${number}`;
      const value = `value ${number}`;
      await this.#untilDone(`write ${register}`, turn, async (node) => {
        const { outcome, note } = await client.write(node, register, value);
        return outcome === 'ok' ? undefined : (note ?? outcome);
      });
      this.written.set(register, value);
      await this.#untilDone(`read ${register}`, turn + 1, async (node) => {
        const read = await client.read(node, register, { carry: true });
        if (read.outcome === 'ok' && read.value !== value) {
          this.uncured.push(`${register} is ${read.value} at ${node}`);
        }
        return read.outcome === 'ok' ? undefined : (read.note ?? read.outcome);
      });
      await sleep(10);
    }
  }

  /** Asks one node after the other until the request is answered as it should be. */
  async #untilDone(
    what: string,
    turn: number,
    ask: (node: string) => Promise<string | undefined>,
  ): Promise<void> {
    const notes: string[] = [];
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      const nodes = [...this.urls.keys()];
      const node = nodes[(turn + attempt) % nodes.length] ?? '';
      const fault = await ask(node);
      if (fault === undefined) return;
      this.retries += 1;
      notes.push(`${node}: ${fault}`);
      await sleep(RETRY_MS);
    }
    this.uncured.push(`${what}: ${notes.slice(-5).join(', ')}`);
  }
}

class Update {
  readonly service: BuiltService;
  readonly load: Load;

  constructor(service: BuiltService) {
    this.service = service;
    this.load = new Load({
      ca: readFileSync(service.certificate, 'utf8'),
      ...service.user,
    });
  }

  get asker(): ServiceAsker {
    const pem = readFileSync(this.service.certificate, 'utf8');
    return new ServiceAsker([...this.load.urls.values()], pem);
  }

  /** The only member, at nodes that are there. */
  member(asker = this.asker): SigningMember {
    const { certificate, key } = this.service.member;
    return new SigningMember(asker, readFileSync(certificate, 'utf8'), withKeyOf(key));
  }

  /** Has the only member decide: its proposal is accepted by its own ballot. */
  async decide(name: string, args: unknown): Promise<void> {
    const member = this.member();
    const proposal = JSON.stringify({ actions: [{ name, args }] });
    const created = await member.send('proposal', '/members/proposals:create', proposal);
    const { proposalId: id } = JSON.parse(created.body) as { readonly proposalId: string };
    const path = `/members/proposals/${id}/ballots/${member.id}:submit`;
    const ballot = JSON.stringify({ ballot: 'export function vote () { return true }' });
    const { body } = await member.send('ballot', path, ballot, id);
    expect(JSON.parse(body)).toMatchObject({ proposalState: 'Accepted' });
  }

  /** Starts nodes of a build, and has them trusted. */
  async admit(names: readonly string[], root: string): Promise<readonly BuiltNode[]> {
    const target = await this.newest().ready();
    const nodes: BuiltNode[] = [];
    for (const name of names) nodes.push(await this.service.joiner(name, root, target));
    for (const node of nodes) {
      await orderNode('trust', await node.asking(), [this.member()], Date.now());
      this.load.urls.set(node.name, (await node.ready()).url);
      await sleep(QUIET_MS);
    }
    return nodes;
  }

  /** A node that clients are served by. */
  newest(): BuiltNode {
    const name = [...this.load.urls.keys()].at(-1);
    const node = this.service.nodes.findLast((each) => each.name === name);
    if (node === undefined) throw new Error('there is no node');
    return node;
  }

  /** Retires a node, which ends by itself; clients learn of it by being refused. */
  async retire(node: BuiltNode): Promise<void> {
    const { nodeId } = await node.ready();
    const others = new Map(this.load.urls);
    others.delete(node.name);
    const pem = readFileSync(this.service.certificate, 'utf8');
    const asker = new ServiceAsker([...others.values()], pem);
    await orderNode('remove', nodeId, [this.member(asker)], Date.now());
    expect(await node.ended(), node.said()).toBe(0);
    expect(node.said()).toContain('this node has left the service for good');
    await sleep(QUIET_MS);
    this.load.urls.delete(node.name);
  }
}

test(
  'three nodes give way to three of other code while clients are served',
  async () => {
    const builds = Array.from({ length: ROUNDS + 1 }, (_, round) => buildOf(round));
    const rootOf = (round: number): string => builds[round]?.root ?? '';
    const service = await BuiltService.found(join(folder, 'service'), rootOf(0));
    try {
      const [first] = service.nodes;
      if (first === undefined) throw new Error('there is a first node');
      const { url } = await first.ready();
      const update = new Update(service);
      const { load } = update;
      load.urls.set(first.name, url);
      let current = [first, ...(await update.admit(['0-2', '0-3'], rootOf(0)))];
      load.start();
      for (let round = 1; round <= ROUNDS; round += 1) {
        const [last, ...rest] = current;
        if (last === undefined) throw new Error('there are three nodes');
        await update.decide('add_virtual_measurement', { measurement: measurementOf(round) });
        const names = [1, 2, 3].map((number) => `${round}-${number}`);
        const successors = await update.admit(names, rootOf(round));
        for (const node of rest) await update.retire(node);
        const old = round === 1 ? VIRTUAL_MEASUREMENT : measurementOf(round - 1);
        await update.decide('remove_virtual_measurement', { measurement: old });
        await refused(update, round, rootOf(round - 1), last, rest);
        current = [...successors];
      }
      await load.stop();
      await judged(update);
    } finally {
      await service[Symbol.asyncDispose]();
      for (const build of builds) build.remove();
    }
  },
  isLong ? 1_200_000 : 240_000,
);

/** Code that was voted out comes in no more, by any way. */
async function refused(
  update: Update,
  round: number,
  root: string,
  last: BuiltNode,
  retired: readonly BuiltNode[],
): Promise<void> {
  const target = await update.newest().ready();
  const late = await update.service.joiner(`late-${round}`, root, target);
  expect(await late.ended(), late.said()).not.toBe(0);
  expect(late.said()).toContain('Quote does not contain known enclave measurement');
  expect(late.said()).toContain('MeasurementNotAccepted');

  // Trusted as it still is, it may run on, but not come back as what nobody would let in.
  const { nodeId } = await last.ready();
  await last.kill('SIGTERM');
  expect(await last.start().ended(), last.said()).not.toBe(0);
  expect(last.said()).toContain('this node runs code that its service does not let in');
  expect(last.said()).toContain('MeasurementNotAccepted');
  update.load.urls.delete(last.name);
  await orderNode('remove', nodeId, [update.member()], Date.now());

  for (const node of retired) {
    expect(await node.start().ended(), node.said()).toBe(0);
    expect(node.said()).toContain('this node has left the service for good');
  }
}

async function judged({ service, load }: Update): Promise<void> {
  const missing = await load.missing();
  console.log(
    `${load.written.size} writes acknowledged, ${load.retries} attempts made again, ` +
      `${load.uncured.length} not cured, ${missing.length} missing`,
  );
  expect(load.uncured).toEqual([]);
  expect(load.unexpected()).toEqual([]);
  expect(missing).toEqual([]);
  expect(load.written.size).toBeGreaterThan(50);
  load.close();
  const names = [...load.urls.keys()];
  const nodes = service.nodes.filter(({ name }) => names.includes(name));
  expect(nodes).toHaveLength(3);
  const ledgers = await Promise.all(nodes.map(async (node) => (await node.ready()).ledger));
  for (const node of nodes) await node.kill('SIGTERM');
  for (const ledger of ledgers) {
    const verified = await runProgram(['ledger', 'verify', ledger, '--json']);
    expect(verified, verified.stderr + verified.stdout).toMatchObject({ code: 0 });
  }
  if (ccfPython() === undefined) {
    console.warn('SKIPPED: no PyPI ccf looks at the ledgers of a rolling update');
    return;
  }
  for (const outcome of await judgeLedgers(ledgers)) {
    expect(outcome).toMatchObject({ ok: true });
  }
}

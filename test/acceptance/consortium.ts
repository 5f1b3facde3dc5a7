/**
 * Three organisations with a Quorum node each, behind one sandbox. With CONCORDAT_GETH, the path of
 * a GoQuorum binary, the nodes are GoQuorum's; else they are doubles that make its requests.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import { newKeyPair } from '../federation/tessera-payloads.ts';
import { PrivateClient } from '../support/private-client.ts';
import { type RunningProgram, startSandboxProgram } from '../support/program.ts';
import { PublicChain } from './double/chain.ts';
import { NodeDouble } from './double/node.ts';
import { DoubledOrganisation } from './double/organisation.ts';
import type { MadeRequest } from './double/requests.ts';
import { startGeths } from './geth/network.ts';
import { at } from './group.ts';
import type { Place, QuorumNode } from './quorum-node.ts';

/** Where GoQuorum is, if it is. */
export const GETH = process.env.CONCORDAT_GETH;

export interface Consortium {
  readonly one: QuorumNode;
  readonly two: QuorumNode;
  readonly three: QuorumNode;
  /** The sandbox's folder and nodes. */
  readonly ready: ReadyLine;
  /** All that the doubles have asked so far. */
  requests(): readonly MadeRequest[];
  /** The second organisation's double once more, without anything, after it read the chain anew. */
  anew(): Promise<QuorumNode>;
  stop(): Promise<void>;
}

/** What stands for the nodes, once they run. */
export type Nodes = Pick<Consortium, 'one' | 'two' | 'three' | 'requests' | 'anew' | 'stop'>;

/**
 * Starts everything. With residents, one Quorum node serves two of them: they are `one` and `two`,
 * and the other organisation is `three`.
 */
export async function startConsortium(
  nodes: number,
  hasResidents = false,
): Promise<Consortium> {
  const folder = mkdtempSync(join(tmpdir(), 'accept-'));
  const args = ['--data', join(folder, 'data'), '--nodes', String(nodes)];
  if (hasResidents) args.push('--organisations', '2', ...residentFiles(folder));
  const sandbox = await startSandboxProgram(args);
  const end = async (): Promise<void> => {
    await sandbox.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const places = placesOf(sandbox, hasResidents);
    const running =
      GETH === undefined ? await startDoubles(places) : await startGeths(GETH, folder, places);
    const stop = async (): Promise<void> => {
      await running.stop();
      await end();
    };
    return { ...running, ready: sandbox.ready, stop };
  } catch (thrown) {
    await end();
    throw thrown;
  }
}

/** Where each private state is, by the name of its organisation or resident. */
function placesOf({ ready }: RunningProgram, hasResidents: boolean): readonly Place[] {
  const place = (organisation: number, name: string, key = 0, resident?: string): Place => {
    const { partyKeys, transactionManager } = at(ready.organisations, organisation);
    // Sockets and a port, as a network has them.
    const { socket, url } = transactionManager;
    const client = new PrivateClient(socket);
    const manager = organisation === 1 ? url : `unix:${socket}`;
    const partyKey = at(partyKeys, key);
    return {
      ...{ name, partyKey, manager, node: organisation + 1 },
      ...(resident === undefined ? {} : { resident }),
      storeAhead: async (hex) => await stored(client, hex, partyKey),
    };
  };
  if (hasResidents) {
    return [place(0, 'one', 0, 'PS1'), place(0, 'two', 1, 'PS2'), place(1, 'three')];
  }
  return [place(0, 'one'), place(1, 'two'), place(2, 'three')];
}

async function startDoubles(places: readonly Place[]): Promise<Nodes> {
  const chain = new PublicChain();
  const doubles = new Map<number, NodeDouble>();
  const retired: NodeDouble[] = [];
  for (const { node, manager, resident } of places) {
    if (doubles.has(node)) continue;
    doubles.set(node, await new NodeDouble(chain, manager).start(resident !== undefined));
  }
  const organisation = (place: Place, node = at([...doubles.values()], place.node - 1)) =>
    new DoubledOrganisation(place, node);
  const [one, two, three] = places.map((place) => organisation(place));
  if (one === undefined || two === undefined || three === undefined) throw new Error('three');
  return {
    ...{ one, two, three },
    requests: () => [...doubles.values(), ...retired].flatMap(({ requests }) => requests.made),
    anew: async () => {
      const place = at(places, 1);
      const fresh = new NodeDouble(chain, place.manager);
      retired.push(two.node);
      chain.leave(two.node);
      doubles.set(place.node, fresh);
      const again = organisation(place, fresh);
      await fresh.start();
      return again;
    },
    stop: async () => undefined,
  };
}

function residentFiles(folder: string): readonly string[] {
  const pairs = [1, 1, 2].map((node) => {
    const { publicKey, privateKey } = newKeyPair();
    return {
      node,
      publicKey: publicKey.toString('base64'),
      privateKey: privateKey.toString('base64'),
    };
  });
  const residents = ['PS1', 'PS2'].map((name, index) => ({
    privacyGroupId: Buffer.from(name).toString('base64'),
    name,
    description: `Private state ${index + 1}`,
    members: [pairs[index]?.publicKey],
  }));
  mkdirSync(folder, { recursive: true });
  const [keys, groups] = [join(folder, 'keys.json'), join(folder, 'residents.json')];
  writeFileSync(keys, JSON.stringify(pairs));
  writeFileSync(groups, JSON.stringify({ 1: residents }));
  return ['--party-keys', keys, '--residents', groups];
}

async function stored(client: PrivateClient, hex: string, from: string): Promise<string> {
  const payload = Buffer.from(hex.slice(2), 'hex').toString('base64');
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const body = JSON.stringify({ payload, from });
  const reply = await client.ask('POST', '/storeraw', headers, body);
  if (reply.status !== 200) throw new Error(`${reply.status} ${reply.body.toString()}`);
  return (JSON.parse(reply.body.toString()) as { readonly key: string }).key;
}

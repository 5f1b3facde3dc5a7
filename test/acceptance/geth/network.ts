/**
 * GoQuorum nodes on this machine, one for each place, in a raft network of their own. Everything
 * listens on loopback but raft's transport, which GoQuorum binds to every interface.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { ethers } from 'ethers';
import type { Nodes } from '../consortium.ts';
import { at } from '../group.ts';
import type { Place } from '../quorum-node.ts';
import { until } from '../story.ts';
import { GethOrganisation, type Offers } from './organisation.ts';
import { GethRpc, stateUrl } from './rpc.ts';

interface NodePlan {
  readonly folder: string;
  readonly key: ethers.SigningKey;
  readonly wallet: ethers.Wallet;
  readonly manager: string;
  readonly hasResidents: boolean;
  readonly ports: { readonly p2p: number; readonly raft: number; readonly rpc: number };
}

interface RunningNode {
  readonly child: ChildProcess;
  readonly log: string;
  readonly url: string;
}

export async function startGeths(
  binary: string,
  folder: string,
  places: readonly Place[],
): Promise<Nodes> {
  const plans: NodePlan[] = [];
  for (const { node, manager, resident } of places) {
    if (plans.length >= node) continue;
    const [p2p, raft, rpc] = await freePorts();
    plans.push({
      folder: join(folder, `g${node}`),
      key: new ethers.SigningKey(ethers.id(`node key ${node}`)),
      wallet: new ethers.Wallet(ethers.id(`account ${node}`)),
      hasResidents: resident !== undefined,
      ...{ manager, ports: { p2p, raft, rpc } },
    });
  }
  const running: RunningNode[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(running.map(({ child }) => ended(child)));
  };
  try {
    for (const plan of plans) lay(binary, plan, plans);
    for (const plan of plans) running.push(start(binary, plan));
    // A node with residents has no private state but theirs.
    const rpcs = running.map(({ url }, index) => {
      const resident = places.find(({ node }) => node === index + 1)?.resident;
      return new GethRpc(stateUrl(url, resident));
    });
    for (const [index, rpc] of rpcs.entries()) {
      const node = at(running, index);
      await until(`node ${index + 1} knows a leader`, async () => {
        if (node.child.exitCode !== null) throw new Error(`it ended: ${tail(node.log)}`);
        return (await rpc.ask('raft_leader')) !== '';
      });
    }
    const offers: Offers = new Map();
    const [one, two, three] = places.map(
      (place) =>
        new GethOrganisation(place, {
          ...{ offers, network: rpcs, wallet: at(plans, place.node - 1).wallet },
          url: at(running, place.node - 1).url,
        }),
    );
    if (one === undefined || two === undefined || three === undefined) throw new Error('three');
    return {
      ...{ one, two, three, stop },
      requests: () => [],
      anew: () => Promise.reject(new Error('a raft node cannot come back without its log')),
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** Writes what a node needs before its first start. */
function lay(binary: string, plan: NodePlan, all: readonly NodePlan[]): void {
  const { folder, key, wallet, ports, hasResidents } = plan;
  const data = join(folder, 'data');
  mkdirSync(join(data, 'geth'), { recursive: true });
  const enodes = all.map((one) => {
    const { p2p, raft } = one.ports;
    const id = one.key.publicKey.slice(4);
    return `enode://${id}@127.0.0.1:${p2p}?discport=0&raftport=${raft}`;
  });
  const put = (name: string, text: string): void => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
  };
  put('data/geth/nodekey', key.privateKey.slice(2));
  put('data/static-nodes.json', JSON.stringify(enodes));
  put('account.key', wallet.privateKey.slice(2));
  put('password', '');
  put('config.toml', `[Node.P2P]\nListenAddr = "127.0.0.1:${ports.p2p}"\nNoDiscovery = true\n`);
  put('genesis.json', JSON.stringify(genesis(all, hasResidents)));
  run(binary, ['--datadir', data, '--raft', 'init', join(folder, 'genesis.json')]);
  const password = ['--password', join(folder, 'password')];
  const account = ['account', 'import', ...password, join(folder, 'account.key')];
  run(binary, ['--datadir', data, '--lightkdf', ...account]);
}

function genesis(all: readonly NodePlan[], isMPS: boolean): unknown {
  const forks = ['homestead', 'eip150', 'eip155', 'eip158', 'byzantium', 'constantinople'];
  // Not Berlin: with it GoQuorum 24.4.1 panics when it tries out a private SSTORE.
  const blocks = [...forks, 'petersburg', 'istanbul', 'muirGlacier', 'privacyEnhancements'];
  const zero = (digits: number): string => `0x${'0'.repeat(digits)}`;
  const rich = { balance: '1000000000000000000000000000' };
  return {
    config: {
      chainId: 1337,
      ...Object.fromEntries(
        [...blocks, 'privacyPrecompile'].map((name) => [`${name}Block`, 0]),
      ),
      eip150Hash: zero(64),
      ...{ isQuorum: true, isMPS, txnSizeLimit: 128 },
      maxCodeSizeConfig: [{ block: 0, size: 128 }],
    },
    ...{ nonce: '0x0', timestamp: '0x0', gasLimit: '0xE0000000', difficulty: '0x0' },
    ...{ coinbase: zero(40), mixHash: zero(64), parentHash: zero(64), extraData: zero(64) },
    alloc: Object.fromEntries(all.map(({ wallet }) => [wallet.address.slice(2), rich])),
  };
}

function start(binary: string, plan: NodePlan): RunningNode {
  const { folder, manager, ports, wallet } = plan;
  const log = join(folder, 'log');
  const out = openSync(log, 'a');
  const socket = manager.startsWith('unix:');
  const child = spawn(
    binary,
    [
      ...['--config', join(folder, 'config.toml'), '--datadir', join(folder, 'data')],
      ...[
        '--networkid',
        '1337',
        '--nodiscover',
        '--nat',
        'none',
        '--netrestrict',
        '127.0.0.0/8',
      ],
      ...['--syncmode', 'full', '--raft', '--raftport', String(ports.raft)],
      ...['--raftblocktime', '50', '--miner.gasprice', '0', '--rpc.gascap', '0'],
      ...['--miner.gastarget', '3758096384', '--miner.gaslimit', '3758096384'],
      ...['--http', '--http.addr', '127.0.0.1', '--http.port', String(ports.rpc)],
      ...['--http.api', 'eth,net,quorum,quorumExtension,raft', '--allow-insecure-unlock'],
      ...['--unlock', wallet.address, '--password', join(folder, 'password'), '--lightkdf'],
      ...['--ipcdisable', '--cache', '128', '--verbosity', '2'],
      ...(socket ? ['--ptm.socket', manager.slice('unix:'.length)] : ['--ptm.url', manager]),
    ],
    { stdio: ['ignore', out, out] },
  );
  closeSync(out);
  // A test that ends without its afterAll leaves no node behind.
  process.once('exit', () => child.kill('SIGKILL'));
  return { child, log, url: `http://127.0.0.1:${ports.rpc}` };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function run(binary: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(binary, args, {
    env: { ...process.env, PRIVATE_CONFIG: 'ignore' },
    encoding: 'utf8',
  });
  if (error !== undefined) throw new Error(`CONCORDAT_GETH: ${error.message}`);
  if (status !== 0) throw new Error(`${binary} ${args.join(' ')}: ${stderr.slice(-500)}`);
}

function tail(log: string): string {
  return readFileSync(log, 'utf8').slice(-800);
}

/** Free a moment ago, each another one. */
async function freePorts(): Promise<readonly [number, number, number]> {
  const servers = [createServer(), createServer(), createServer()] as const;
  const ports = await Promise.all(
    servers.map(async (server) => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      return typeof address === 'object' && address !== null ? address.port : 0;
    }),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return [at(ports, 0), at(ports, 1), at(ports, 2)];
}

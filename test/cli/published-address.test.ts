/**
 * To show: a node that listens on all interfaces, as in a container, is found under the name that
 * it publishes: its certificate and the list of nodes have that one.
 */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { runProgram, spawnProgram, startProgram } from '../support/program.ts';
import { firstNodeFiles, freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-published-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Seen {
  readonly names: string | undefined;
  readonly date: string | undefined;
  readonly body: string;
}

function ask(port: number, path: string, servername: string, ca: string): Promise<Seen> {
  return new Promise((resolve, reject) => {
    const at = { host: '127.0.0.1', port, path, servername, ca, agent: false };
    get(at, (response) => {
      const socket = response.socket instanceof TLSSocket ? response.socket : undefined;
      const names = socket?.getPeerX509Certificate()?.subjectAltName;
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      const { date } = response.headers;
      response.once('end', () => resolve({ names, date, body }));
    }).once('error', reject);
  });
}

it('publishes another address than it listens on', async () => {
  const [peer, rpc] = [await freePort(), await freePort()];
  const publishedAs = (name: string) => ({
    network: {
      node_to_node_interface: { bind_address: `127.0.0.1:${peer}` },
      rpc_interfaces: {
        primary_rpc_interface: {
          bind_address: `0.0.0.0:${rpc}`,
          published_address: `${name}:${rpc}`,
        },
      },
    },
  });
  const { path } = await firstNodeFiles(folder, publishedAs('node-0.example'));
  const start = () => startProgram<NodeReadyLine>(['node', 'run', '--config', path, '--json']);
  const first = await start();
  const ca = readFileSync(first.ready.service.certificate, 'utf8');
  const seen = await ask(rpc, '/node/network/nodes/self', 'node-0.example', ca);
  expect(seen.names).toBe('DNS:node-0.example');
  expect(JSON.parse(seen.body)).toMatchObject({
    rpc_interfaces: {
      primary_rpc_interface: { published_address: `node-0.example:${rpc}` },
    },
  });
  expect(JSON.parse(readFileSync(join(folder, 'rpc.json'), 'utf8'))).toEqual({
    primary_rpc_interface: `node-0.example:${rpc}`,
  });
  // Whoever examines a connection compares clocks by this (connector --doctor).
  const { date } = await ask(rpc, '/node/version', 'node-0.example', ca);
  expect(Math.abs(Date.parse(date ?? '') - Date.now())).toBeLessThan(60_000);
  await first.stop();
});

it('is joined by a node that listens everywhere too, as in the chart', async () => {
  const home = join(folder, 'two');
  const everywhere = async () => {
    const [peer, rpc] = [await freePort(), await freePort()];
    const at = (port: number) => ({
      bind_address: `0.0.0.0:${port}`,
      published_address: `localhost:${port}`,
    });
    const network = {
      node_to_node_interface: at(peer),
      rpc_interfaces: { primary_rpc_interface: at(rpc) },
    };
    return { network, address: `localhost:${rpc}` };
  };
  const founder = await everywhere();
  const { path } = await firstNodeFiles(home, { network: founder.network });
  const first = await startProgram<NodeReadyLine>(['node', 'run', '--config', path, '--json']);

  const joiner = await everywhere();
  const config = join(home, 'joiner.json');
  const certificate = first.ready.service.certificate;
  writeFileSync(
    config,
    JSON.stringify({
      folder: 'joiner',
      network: joiner.network,
      command: {
        type: 'Join',
        service_certificate_file: certificate,
        join: { target_rpc_address: founder.address, retry_timeout: '100ms' },
      },
    }),
  );
  const second = spawnProgram(['node', 'run', '--config', config, '--json']);
  try {
    const id = await waitingId(second);
    const member = join(home, 'members/1');
    const trusted = await runProgram([
      ...['node', 'trust', id, '--url', `https://${founder.address}`],
      ...['--service-certificate', certificate],
      ...['--member-certificate', join(member, 'certificate.pem')],
      ...['--member-key', join(member, 'key.pem')],
    ]);
    expect(trusted.code, trusted.stderr).toBe(0);
    if (second.stdout !== null) await once(second.stdout, 'data');
    const ca = readFileSync(certificate, 'utf8');
    const port = Number(joiner.address.split(':')[1]);
    const { names, body } = await ask(port, '/node/network/nodes', 'localhost', ca);
    expect(names).toBe('DNS:localhost');
    const { nodes } = JSON.parse(body) as {
      readonly nodes: readonly {
        readonly rpc_interfaces: Readonly<
          Record<string, { readonly published_address: string }>
        >;
      }[];
    };
    const published = nodes.map(
      ({ rpc_interfaces: { primary_rpc_interface: one } }) => one?.published_address,
    );
    expect(published.sort()).toEqual([founder.address, joiner.address].sort());
  } finally {
    const ended = once(second, 'exit');
    second.kill('SIGTERM');
    await ended;
    await first.stop();
  }
});

async function waitingId(child: ChildProcess): Promise<string> {
  let said = '';
  if (child.stderr === null) throw new Error('the joiner says nothing');
  for await (const chunk of child.stderr as AsyncIterable<Buffer>) {
    said += chunk.toString();
    const [, id] = /waiting to be trusted as node ([0-9a-f]{64})/.exec(said) ?? [];
    if (id !== undefined) return id;
  }
  throw new Error(`the joiner ended: ${said}`);
}

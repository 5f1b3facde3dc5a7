/**
 * To show: a node that listens on all interfaces, as in a container, is found under the name that
 * it publishes: its certificate and the list of nodes have that one.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { startProgram } from '../support/program.ts';
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

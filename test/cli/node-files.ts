/** Configurations of nodes with the files they name, on free ports of this machine. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { memberIdentity, sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';

export interface NodeFiles {
  readonly path: string;
  readonly config: NodeSettings;
}

/** Enough of the schema to change it in a test. */
export interface NodeSettings {
  readonly [name: string]: unknown;
  readonly folder: string;
}

/** Writes the configuration of a first node and its member's files; `more` is put over it. */
export async function firstNodeFiles(
  folder: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<NodeFiles> {
  mkdirSync(folder, { recursive: true });
  await memberIdentity(sandboxFolder(folder), 1, Date.now());
  const [peer, rpc] = [await freePort(), await freePort()];
  const config: NodeSettings = {
    folder: 'node',
    durability: 'os',
    network: {
      node_to_node_interface: { bind_address: `127.0.0.1:${peer}` },
      rpc_interfaces: { primary_rpc_interface: { bind_address: `127.0.0.1:${rpc}` } },
    },
    command: {
      type: 'Start',
      start: {
        members: [
          {
            certificate_file: 'members/1/certificate.pem',
            encryption_public_key_file: 'members/1/encryption_public_key.pem',
          },
        ],
        opens: { organisations: [] },
      },
    },
    restart: { unproven: 'allow' },
    output_files: { pid_file: 'node.pid', rpc_addresses_file: 'rpc.json' },
    ...more,
  };
  const path = join(folder, 'config.json');
  writeFileSync(path, JSON.stringify(config, undefined, 2));
  return { path, config };
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * A node that an operator joins to a service by hand: it asks, a member trusts it, it takes part;
 * then a member removes it, and it ends by itself.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { PrivateClient } from '../support/private-client.ts';
import { runProgram, spawnProgram, startSandboxProgram } from '../support/program.ts';
import { freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-joining-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The configuration of a node that joins the service at `target`. */
async function joinerFile(target: string, certificate: string): Promise<string> {
  const home = join(folder, 'joiner');
  mkdirSync(home, { recursive: true });
  const path = join(home, 'config.json');
  const at = async (): Promise<{ readonly bind_address: string }> => ({
    bind_address: `127.0.0.1:${await freePort()}`,
  });
  const config = {
    folder: 'node',
    network: {
      node_to_node_interface: await at(),
      rpc_interfaces: { primary_rpc_interface: await at() },
      operator_interface: await at(),
    },
    command: {
      type: 'Join',
      service_certificate_file: certificate,
      join: { target_rpc_address: target, retry_timeout: '100ms' },
    },
  };
  writeFileSync(path, JSON.stringify(config));
  return path;
}

it('joins, is trusted, takes part, is removed, and ends', async () => {
  const data = join(folder, 'service');
  const sandbox = await startSandboxProgram(['--data', data, '--organisations', '2']);
  const { service, organisations } = sandbox.ready;
  const target = service.url.replace('https://', '');
  const path = await joinerFile(target, service.certificate);

  const joiner = spawnProgram(['node', 'join', '--config', path, '--json']);
  let said = '';
  joiner.stderr?.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const lines = createInterface({ input: joiner.stdout ?? process.stdin });
  const ready = once(lines, 'line');
  const id = await untilFound(() => /waiting to be trusted as node ([0-9a-f]{64})/.exec(said));

  // An id by its first digits will do, if they are those of one node.
  const unknown = await runProgram(['node', 'trust', '000000', '--data', data]);
  expect(unknown.code).toBe(3);
  expect(unknown.stderr).toContain('the service knows no such node');
  expect(unknown.stderr).toContain(`${id} Pending`);
  const short = await runProgram(['node', 'trust', '12', '--data', data]);
  expect(short.stderr).toContain('the first 6 may do');

  const stranger = await runProgram([
    ...['node', 'trust', id, '--url', service.url, '--service-certificate'],
    ...[service.certificate, '--member-certificate', organisations[0]?.certificate ?? ''],
    ...['--member-key', organisations[0]?.key ?? ''],
  ]);
  expect(stranger.code).toBe(3);
  expect(stranger.stderr).toContain('was answered 401: Invalid authentication credentials');

  const trusted = await runProgram([
    'node',
    'trust',
    id.slice(0, 12),
    '--data',
    data,
    '--json',
  ]);
  expect(trusted.stderr).toBe('');
  expect(JSON.parse(trusted.stdout)).toMatchObject({ ok: true, nodeId: id, status: 'Trusted' });
  const [line] = (await ready) as [string];
  const joined = JSON.parse(line) as NodeReadyLine;
  expect(joined).toMatchObject({ ready: true, isNew: true, nodeId: id });

  const urls = [sandbox.ready.nodes[0]?.operator.url ?? '', joined.operator.url];
  const both = ['status', '--json', ...urls.flatMap((url) => ['--url', url])];
  await untilFound(async () => {
    const { code, stdout } = await runProgram(both);
    return code === 0 ? [stdout, stdout] : null;
  });
  // With two nodes nothing commits without the new one.
  const client = new PrivateClient(organisations[0]?.transactionManager.socket ?? '');
  await client.send(Buffer.from('kept by both'), organisations[0]?.partyKeys[0] ?? '', [
    organisations[1]?.partyKeys[0] ?? '',
  ]);
  client.close();

  const removed = await runProgram(['node', 'remove', id, '--data', data]);
  expect(removed.stdout).toMatch(new RegExp(`^node ${id} is Retired, by transaction \\d+\\.`));
  const [code] = (await once(joiner, 'exit')) as [number | null];
  expect(said).toContain('this node has left the service for good');
  expect(code).toBe(0);
  const [operator = ''] = urls;
  const alone = await runProgram(['status', '--url', operator]);
  expect(alone.stdout).toContain('1 of 1 nodes · primary node 1');
  expect(await sandbox.stop()).toBe(0);
}, 180_000);

/** The first group of what is found, once it is. */
async function untilFound(
  look: () => readonly string[] | null | Promise<readonly string[] | null>,
): Promise<string> {
  const until = performance.now() + 60_000;
  for (;;) {
    const found = (await look())?.[1];
    if (found !== undefined) return found;
    if (performance.now() > until) throw new Error('it never comes');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/**
 * `concordat node recover`: the whole program, from the folder of a node that was killed to one
 * that waits for its members; and what it refuses.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { runProgram, startProgram } from '../support/program.ts';
import { firstNodeFiles, freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-recover-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const home = join(folder, 'lost');
const certificate = join(home, 'service_cert.pem');

/** A service of one node, which is killed. */
beforeAll(async () => {
  const { path } = await firstNodeFiles(home, { durability: 'fsync' });
  const start = ['node', 'start', '--config', path, '--json'];
  const node = await startProgram<NodeReadyLine>(start);
  await node.kill();
});

/** The configuration of a node that recovers it. */
async function recovering(name: string, identity = certificate): Promise<string> {
  const { path, config } = await firstNodeFiles(join(folder, name));
  const recover = { previous_service_identity_file: identity };
  const peer = { bind_address: `127.0.0.1:${await freePort()}` };
  const rpc = { primary_rpc_interface: { bind_address: `127.0.0.1:${await freePort()}` } };
  const network = { node_to_node_interface: peer, rpc_interfaces: rpc };
  const command = { type: 'Recover', recover };
  writeFileSync(path, JSON.stringify({ ...config, network, command }));
  return path;
}

/** What the member of the lost service does: it votes, and hands in its share. */
async function reopened({ url, service, operator }: NodeReadyLine): Promise<void> {
  const files = sandboxFolder(home).member(1);
  const place = [
    ...['--url', url, '--service-certificate', service.certificate, '--json'],
    ...['--member-certificate', files.certificate, '--member-key', files.key],
  ];
  const gov = async (...args: readonly string[]): Promise<unknown> => {
    const { code, stdout, stderr } = await runProgram(['gov', ...args, ...place]);
    expect(code, stdout + stderr).toBe(0);
    return JSON.parse(stdout);
  };
  const identities = {
    previous_service_identity: readFileSync(certificate, 'utf8'),
    next_service_identity: readFileSync(service.certificate, 'utf8'),
  };
  const proposal = join(folder, 'open.json');
  const actions = [{ name: 'transition_service_to_open', args: identities }];
  writeFileSync(proposal, JSON.stringify({ actions }));
  const { proposalId } = (await gov('propose', proposal)) as { proposalId: string };
  const vote = await gov('ballot', proposalId, '--vote', 'yes');
  expect(vote).toMatchObject({ proposalState: 'Accepted' });
  const share = await gov('share', '--encryption-key', files.encryptionKey);
  expect(share).toMatchObject({ ok: true, submittedCount: 1, recoveryThreshold: 1 });
  for (let waitedMs = 0; ; waitedMs += 100) {
    const status = await (await fetch(`${operator.url}/status`)).json();
    if ((status as { serviceStatus: string }).serviceStatus === 'Open') return;
    expect(waitedMs, 'open within 10 s').toBeLessThan(10_000);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const order = (path: string): string[] => ['node', 'recover', '--config', path, '--json'];

describe('concordat node recover', () => {
  it('waits, begins again when it was killed, and opens when its member wants it', async () => {
    const path = await recovering('first');
    const args = [...order(path), '--ledger', join(home, 'node')];
    const first = await startProgram<NodeReadyLine>(args);
    const { ready } = first;
    expect(ready).toMatchObject({
      isNew: true,
      recovery: {
        isUnderWay: true,
        ledger: join(home, 'node'),
        isComplete: true,
        given: 1,
        needed: 1,
        refused: [],
      },
    });
    expect(ready.recovery?.provenTo).toBe(ready.recovery?.end);
    const status: unknown = await (await fetch(`${ready.operator.url}/status`)).json();
    expect(status).toMatchObject({ role: 'leader', serviceStatus: 'Recovering' });
    const own = readFileSync(ready.service.certificate, 'utf8');
    expect(own).toContain('BEGIN CERTIFICATE');
    expect(own).not.toBe(readFileSync(certificate, 'utf8'));
    await first.kill();
    const second = await startProgram<NodeReadyLine>(args);
    expect(second.ready.recovery).toMatchObject({ isUnderWay: true });
    expect(second.ready.nodeId).not.toBe(ready.nodeId);
    await reopened(second.ready);
    expect(await second.stop()).toBe(0);
    const third = await startProgram<NodeReadyLine>(args);
    expect(third.ready).toMatchObject({ isNew: false, recovery: { isUnderWay: false } });
    expect(third.ready.nodeId).toBe(second.ready.nodeId);
    expect(await third.stop()).toBe(0);
    // What the killed one had written is kept.
    expect(readdirSync(join(folder, 'first', 'node', 'set-aside')).length).toBeGreaterThan(0);
  }, 60_000);

  it('refuses what cannot be recovered from, and its own old folder', async () => {
    const path = await recovering('refused');
    const refusal = async (args: readonly string[]): Promise<unknown> => {
      const { code, stdout } = await runProgram([...order(path), ...args]);
      expect(code).not.toBe(0);
      return JSON.parse(stdout);
    };
    expect(await refusal(['--ledger', join(folder, 'nothing')])).toMatchObject({
      ok: false,
      error: { code: 'NoLedger' },
    });
    const lost = join(home, 'node');
    expect(await refusal(['--ledger', lost, '--ledger', join(lost, 'ledger')])).toMatchObject({
      error: { code: 'LedgerTwice' },
    });
    expect((await runProgram(order(path))).stderr).toContain('--ledger DIR');
    const config: object = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...config, folder: lost }));
    expect(await refusal(['--ledger', lost])).toMatchObject({
      error: { code: 'ForeignFolder' },
    });
  }, 60_000);

  it('judges its configuration', async () => {
    const path = await recovering('checked', join(folder, 'no such certificate.pem'));
    const { code, stdout } = await runProgram([...order(path), '--check']);
    expect(JSON.parse(stdout)).toMatchObject({ ok: false });
    expect(code).toBe(1);
    const good = await runProgram([...order(await recovering('good')), '--check']);
    expect(JSON.parse(good.stdout)).toEqual({ ok: true });
  }, 60_000);
});

// Nodes as processes whose keys a TPM seals: they go on after a stop as long as the same code runs
// on the same machine, and say what is wrong otherwise. Starting, joining, recovering alike.

import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import { type FakeTpm, fakeTpm } from '../attestation/azure/fake-tpm.ts';
import {
  runProgram,
  spawnProgram,
  startProgram,
  startSandboxProgram,
} from '../support/program.ts';
import { firstNodeFiles, freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-tpm-sealing-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Machine {
  readonly tpm: FakeTpm;
  /** The settings of a node on it. */
  readonly sealing: object;
  /** Whether nothing of a key is left where it passed through. */
  isClean(): boolean;
}

function machine(name: string): Machine {
  const home = join(folder, `${name}-machine`);
  const temporary = join(home, 'memory');
  mkdirSync(temporary, { recursive: true });
  const tpm = fakeTpm(home);
  return {
    tpm,
    sealing: { kind: 'tpm', tpm: { programs: tpm.programs, temporary } },
    isClean: () => readdirSync(temporary).length === 0,
  };
}

const at = async (): Promise<{ readonly bind_address: string }> => ({
  bind_address: `127.0.0.1:${await freePort()}`,
});

/** Runs it to its end, which must be a refusal in JSON. */
async function refused(args: readonly string[]): Promise<unknown> {
  const { code, stdout } = await runProgram([...args, '--json']);
  expect(code).toBe(3);
  return JSON.parse(stdout);
}

it('starts, stops and goes on; other code and another machine do not', async () => {
  const { tpm, sealing, isClean } = machine('first');
  const home = join(folder, 'first');
  const { path, config } = await firstNodeFiles(home, { sealing });
  const start = ['node', 'start', '--config', path];
  const first = await startProgram<NodeReadyLine>([...start, '--json']);
  expect(first.ready).toMatchObject({ isNew: true, sealing: 'tpm' });
  // What is attested is still nothing; but no key lies beside what it seals.
  expect(first.said()).toContain('INSECURE: virtual mode: nothing is attested');
  expect(first.said()).not.toContain('sealed with a key that lies beside');
  expect(readdirSync(join(home, 'node'), { recursive: true }).join()).not.toMatch(/INSECURE/);
  expect(await first.stop()).toBe(0);

  const second = await startProgram<NodeReadyLine>([...start, '--json']);
  expect(second.ready).toMatchObject({ isNew: false, nodeId: first.ready.nodeId });
  expect(await second.stop()).toBe(0);
  expect(isClean()).toBe(true);

  // A register that is not among 4, 7, 9 and 11 may change.
  tpm.extend(12, 'a command line');
  const third = await startProgram<NodeReadyLine>([...start, '--json']);
  expect(await third.stop()).toBe(0);

  tpm.extend(11, 'another kernel');
  expect(await refused(start)).toMatchObject({
    ok: false,
    error: {
      code: 'SealBroken',
      message: expect.stringMatching(
        /unseal: other code is running .*sha256:4,7,9,11 .*policy check failed.*Start what/s,
      ),
    },
  });
  expect(isClean()).toBe(true);

  // Nor does a node that would seal with a key beside its files.
  const plain = { ...config, sealing: { kind: 'virtual' } };
  writeFileSync(path, JSON.stringify(plain));
  expect(await refused(start)).toMatchObject({ error: { code: 'NotSealed' } });

  writeFileSync(path, JSON.stringify(config));
  tpm.replace();
  expect(await refused(start)).toMatchObject({
    error: { code: 'SealBroken', message: expect.stringMatching(/another TPM sealed it/) },
  });
}, 120_000);

it('says what is missing where there is no TPM', async () => {
  const sealing = { kind: 'tpm', tpm: { programs: '/nowhere', temporary: folder } };
  const { path } = await firstNodeFiles(join(folder, 'none'), { sealing });
  expect(await refused(['node', 'start', '--config', path])).toMatchObject({
    error: {
      code: 'SealerUnavailable',
      message: expect.stringMatching(/Install tpm2-tools/),
    },
  });
  expect(readdirSync(join(folder, 'none', 'node', 'ledger'))).toEqual([]);
}, 60_000);

it('does not start on hardware with a key beside what it seals', async () => {
  const attestation = { platform: 'azure-cvm' };
  const { path } = await firstNodeFiles(join(folder, 'hardware'), { attestation });
  const { code, stdout } = await runProgram(['node', 'start', '--config', path, '--json']);
  expect(code).toBe(3);
  expect(JSON.parse(stdout)).toMatchObject({
    error: {
      code: 'BadConfiguration',
      message: expect.stringMatching(/sealing.kind is "virtual".*"azure-cvm": whoever has the/),
    },
  });
  const checked = await runProgram(['node', 'start', '--config', path, '--check', '--json']);
  expect(checked.code).toBe(1);
  expect(checked.stdout).toContain('sealing.allow_insecure');
}, 60_000);

it('joins and recovers with its TPM; what joined does not go on as other code', async () => {
  const data = join(folder, 'service');
  const sandbox = await startSandboxProgram(['--data', data]);
  const joins = machine('joiner');
  const home = join(folder, 'joiner');
  mkdirSync(home);
  const network = {
    node_to_node_interface: await at(),
    rpc_interfaces: { primary_rpc_interface: await at() },
  };
  const certificate = sandbox.ready.service.certificate;
  const config = {
    folder: 'node',
    network,
    sealing: joins.sealing,
    restart: { unproven: 'allow' },
    command: {
      type: 'Join',
      service_certificate_file: certificate,
      join: {
        target_rpc_address: sandbox.ready.service.url.replace('https://', ''),
        retry_timeout: '100ms',
      },
    },
  };
  const path = join(home, 'config.json');
  writeFileSync(path, JSON.stringify(config));
  const join_ = ['node', 'join', '--config', path];
  const child = spawnProgram([...join_, '--json']);
  const ready = once(createInterface({ input: child.stdout ?? process.stdin }), 'line');
  const id = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (piece: Buffer) => {
      said += piece.toString();
      const found = /waiting to be trusted as node ([0-9a-f]{64})/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.on('exit', () => reject(new Error(said)));
  });
  await runProgram(['node', 'trust', id, '--data', data]);
  expect(JSON.parse(String((await ready)[0]))).toMatchObject({ nodeId: id, sealing: 'tpm' });
  child.kill('SIGTERM');
  await once(child, 'exit');
  joins.tpm.extend(4, 'another boot loader');
  expect(await refused(join_)).toMatchObject({ error: { code: 'SealBroken' } });
  await sandbox.kill();

  const recovers = machine('recoverer');
  const files = await firstNodeFiles(join(folder, 'recoverer'));
  const recover = { previous_service_identity_file: certificate };
  const taking = {
    ...files.config,
    sealing: recovers.sealing,
    command: { type: 'Recover', recover },
  };
  writeFileSync(files.path, JSON.stringify(taking));
  const order = ['node', 'recover', '--config', files.path, '--ledger', join(home, 'node')];
  const recovered = await startProgram<NodeReadyLine>([...order, '--accept-loss', '--json']);
  expect(recovered.ready).toMatchObject({ sealing: 'tpm', recovery: { isUnderWay: true } });
  const sealed = readdirSync(join(folder, 'recoverer', 'node'), { recursive: true });
  expect(sealed.join()).not.toMatch(/INSECURE/);
  expect(await recovered.stop()).toBe(0);
  expect([joins, recovers].map((each) => each.isClean())).toEqual([true, true]);
}, 120_000);

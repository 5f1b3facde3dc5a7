/**
 * `concordat backup`: the whole program beside a node, once and on and on, with its figures.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeReadyLine } from '../../src/cli/node/node-ready.ts';
import type { BackupState } from '../../src/node/backing-up/backup.ts';
import { runProgram, startProgram } from '../support/program.ts';
import { firstNodeFiles, freePort } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-backup-test-'));
let node: Awaited<ReturnType<typeof startProgram<NodeReadyLine>>>;
let beside: readonly string[] = [];

beforeAll(async () => {
  // Every signature ends a chunk that has a kilobyte.
  const { path } = await firstNodeFiles(join(folder, 'home'), {
    ledger: { chunk_size: '1KB' },
  });
  node = await startProgram<NodeReadyLine>(['node', 'start', '--config', path, '--json']);
  const { url, service } = node.ready;
  beside = ['--url', url, '--service-certificate', service.certificate, '--json'];
});
afterAll(async () => {
  await node.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('concordat backup', () => {
  it('fetches once what is committed, and says how far it goes', async () => {
    const to = join(folder, 'once');
    const { code, stdout, stderr } = await runProgram([
      ...['backup', '--to', to, '--once'],
      ...beside,
    ]);
    expect(code, stderr).toBe(0);
    const state = JSON.parse(stdout) as BackupState;
    expect(state).toMatchObject({ ok: true, recoveryPoint: expect.stringMatching(/^2\.\d+$/) });
    expect(state.committedSeqno).toBeGreaterThanOrEqual(state.recoveryPointSeqno);
    expect(readdirSync(join(to, 'ledger'))).toHaveLength(state.chunks);
    const verified = await runProgram(['ledger', 'verify', join(to, 'ledger'), '--json']);
    expect(JSON.parse(verified.stdout)).toMatchObject({ ok: true });
  });

  it('goes on until it is told to stop, with figures for Prometheus', async () => {
    const metrics = `127.0.0.1:${await freePort()}`;
    const backup = await startProgram<BackupState>([
      ...['backup', '--to', join(folder, 'on'), '--every', '0.2', '--metrics', metrics],
      ...beside,
    ]);
    const text = await (await fetch(`http://${metrics}/metrics`)).text();
    const seqno = backup.ready.recoveryPointSeqno;
    expect(text).toContain(`concordat_backup_recovery_point_seqno ${seqno}`);
    expect(text).toMatch(/concordat_backup_entries_behind \d/);
    expect(await backup.stop()).toBe(0);
  });

  it.each([
    { what: 'no folder', args: ['--url', 'https://a:1'], says: '--to DIR' },
    { what: 'no node', args: ['--to', 'x'], says: '--url URL' },
    { what: 'a URL that is none', args: ['--to', 'x', '--url', 'a:1'], says: 'https://HOST' },
  ])('says what is missing: $what', async ({ args, says }) => {
    const certificate = ['--service-certificate', node.ready.service.certificate];
    const { code, stderr } = await runProgram(['backup', ...args, ...certificate]);
    expect(code).toBe(2);
    expect(stderr).toContain(says);
  });
});

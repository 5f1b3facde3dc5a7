/**
 * What members decide by `concordat gov`, on a service of real processes: they see, try, propose,
 * vote, let another member in, renew the ledger's secret; and the ledger that this leaves is good.
 */
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { memberIdentity, sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { generateIdentity } from '../support/gov-identity.ts';
import { type RunningProgram, runProgram, startSandboxProgram } from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-gov-'));
const data = join(folder, 'service');
let sandbox: RunningProgram;

beforeAll(async () => {
  sandbox = await startSandboxProgram([
    ...['--data', data, '--organisations', '1', '--nodes', '3', '--members', '1'],
  ]);
});

afterAll(async () => {
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Said {
  readonly code: number | null;
  readonly json: Readonly<Record<string, unknown>>;
  readonly stderr: string;
}

async function gov(...args: readonly string[]): Promise<Said> {
  const { code, stdout, stderr } = await runProgram(['gov', ...args, '--data', data, '--json']);
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return { code, stderr, json: line.startsWith('{') ? JSON.parse(line) : {} };
}

function file(name: string, ...actions: readonly unknown[]): string {
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify({ actions }));
  return path;
}

const action = (name: string, args: unknown = null): unknown => ({ name, args });

/** Proposes, and has members vote yes until it is decided. */
async function decide(members: readonly string[], path: string): Promise<unknown> {
  const created = await gov('propose', path);
  expect(created).toMatchObject({ code: 0 });
  const id = String(created.json.proposalId);
  let state: unknown = created.json.proposalState;
  for (const member of members) {
    const voted = await gov('ballot', id.slice(0, 12), '--vote', 'yes', '--as', member);
    expect(voted, voted.stderr).toMatchObject({ code: 0 });
    state = voted.json.proposalState;
  }
  return state;
}

/** Days that the certificate lasts which is shown at an address. */
async function lifetimeShownAt(address: string): Promise<number> {
  const [host = '', port = ''] = address.split(':');
  return await new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      const { valid_from, valid_to } = socket.getPeerCertificate();
      resolve(Math.round((Date.parse(valid_to) - Date.parse(valid_from)) / 86_400_000));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  for (let turn = 0; turn < 400; turn += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('it never comes');
}

const NONE_OPEN = {
  value: expect.not.arrayContaining([expect.objectContaining({ proposalState: 'Open' })]),
};

describe('concordat gov', () => {
  test('shows the service and its members', async () => {
    const { code, json } = await gov('status');
    expect(code).toBe(0);
    expect(json).toMatchObject({
      service: { status: 'Open' },
      // Those by which the other nodes were let in are decided.
      proposals: NONE_OPEN,
      members: { value: [{ status: 'Active', recoveryRole: 'Participant' }] },
    });
  });

  test('simulates, and changes nothing', async () => {
    const { certificatePem } = await generateIdentity('CN=User');
    const path = file('user', action('set_user', { cert: certificatePem }));
    const { code, json } = await gov('simulate', path);
    expect(code).toBe(0);
    expect(json).toMatchObject({
      ...{ ok: true, effects: [] },
      rows: [{ table: 'public:ccf.gov.users.certs', after: certificatePem }],
    });
    const wrong = await gov('simulate', file('wrong', action('set_usr', {})));
    expect(wrong).toMatchObject({ code: 1, json: { description: 'set_usr: no such action' } });
    expect((await gov('status')).json).toMatchObject({ proposals: NONE_OPEN });
  });

  test('proposes, withdraws, and says what was refused', async () => {
    const created = await gov('propose', file('snapshot', action('trigger_snapshot')));
    const id = String(created.json.proposalId);
    expect((await gov('withdraw', id)).json).toMatchObject({ proposalState: 'Withdrawn' });
    const late = await gov('ballot', id, '--vote', 'yes');
    expect(late).toMatchObject({ code: 3, json: { error: { code: 'ProposalNotOpen' } } });
    const unknown = await gov('ballot', 'abcdef', '--vote', 'no');
    expect(unknown.json).toMatchObject({ error: { code: 'UnknownProposal' } });
    expect(await gov('propose', file('none'))).toMatchObject({ code: 3 });
  });

  test('lets a member in, who acknowledges the state and votes', async () => {
    const two = await memberIdentity(sandboxFolder(data), 2, Date.now());
    const files = sandboxFolder(data).member(2);
    const set = action('set_member', {
      cert: readFileSync(files.certificate, 'utf8'),
      encryption_pub_key: readFileSync(files.encryptionPublicKey, 'utf8'),
    });
    expect(await decide(['1'], file('member', set))).toBe('Accepted');
    expect(
      (await gov('propose', file('early', action('trigger_snapshot')), '--as', '2')).code,
    ).toBe(3);
    const acknowledged = await gov('ack', '--as', '2');
    expect(acknowledged, acknowledged.stderr).toMatchObject({ code: 0 });
    expect(acknowledged.json).toMatchObject({ memberId: two.memberId });
    const { members } = (await gov('status')).json as { members: { value: unknown[] } };
    expect(members.value).toHaveLength(2);
    // One of two is not more than half.
    expect(await decide(['1'], file('alone', action('trigger_snapshot')))).toBe('Open');
  });

  test('renews secrets and certificates, and ends a chunk, on every node', async () => {
    const from = new Date(Date.now() - 3_600_000).toISOString();
    const path = file(
      'renewal',
      action('trigger_ledger_rekey'),
      action('trigger_ledger_chunk'),
      action('set_recovery_threshold', { recovery_threshold: 2 }),
      action('set_all_nodes_certificate_validity', {
        valid_from: from,
        validity_period_days: 30,
      }),
    );
    expect(await decide(['1', '2'], path)).toBe('Accepted');
    const user = file(
      'later',
      action('set_user', { cert: (await generateIdentity('CN=L')).certificatePem }),
    );
    expect(await decide(['1', '2'], user)).toBe('Accepted');
    // Every node shows its new certificate to whoever connects from now on, to clients and nodes.
    for (const { url, peer } of sandbox.ready.nodes) {
      for (const at of [new URL(url).host, peer]) {
        await until(async () => (await lifetimeShownAt(at)) === 30);
      }
    }
  });

  test('gives an organisation a key with its consent, and not without', async () => {
    const { certificatePem, privateKeyPem } = await generateIdentity('CN=Admin');
    const admin_key = new X509Certificate(certificatePem).publicKey
      .export({ type: 'spki', format: 'pem' })
      .toString();
    const organisation_id = 'bank';
    const party_key = Buffer.alloc(32, 9).toString('base64');
    const create = action('create_organisation', { organisation_id, name: 'Bank', admin_key });
    const [key, wish] = [join(folder, 'admin.pem'), join(folder, 'wish.json')];
    writeFileSync(key, privateKeyPem);
    writeFileSync(
      wish,
      JSON.stringify(action('add_party_key', { organisation_id, party_key })),
    );
    const signed = await gov('consent', wish, '--admin-key', key);
    const path = file('organisation', create, signed.json);
    expect(await decide(['1', '2'], path)).toBe('Accepted');
    const { organisations } = (await gov('status')).json as {
      organisations: { value: unknown[] };
    };
    expect(organisations.value).toContainEqual(
      expect.objectContaining({ organisationId: 'bank', partyKeys: [party_key], consents: 1 }),
    );
    const again = await gov('simulate', file('again', signed.json));
    expect(again).toMatchObject({ code: 1 });
    expect(JSON.stringify(again.json.failure)).toMatch(/no consent of organisation bank/);
  });

  test('keeps the last one who can recover', async () => {
    const two = await memberIdentity(sandboxFolder(data), 2, Date.now());
    const remove = file('remove', action('remove_member', { member_id: two.memberId }));
    const created = await gov('simulate', remove);
    expect(created).toMatchObject({ code: 1 });
    expect(JSON.stringify(created.json.failure)).toMatch(/recovery threshold is 2/);
  });

  test('leaves a ledger that verifies', async () => {
    await sandbox.stop();
    const ledger = join(data, 'node1', 'ledger');
    const verified = await runProgram(['ledger', 'verify', ledger, '--json']);
    expect(verified, verified.stderr + verified.stdout).toMatchObject({ code: 0 });
  });
});

/**
 * CCF's own client signs for our members: `ccf_cose_sign1` of PyPI `ccf`, and an HTTPS client,
 * propose, vote and acknowledge on a service of ours.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { generateIdentity } from '../support/gov-identity.ts';
import { ccfPython, runJudge, testWithCcf } from '../support/judges.ts';
import { type RunningProgram, startSandboxProgram } from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-ccf-client-'));
const data = join(folder, 'service');
const { certificate, key } = sandboxFolder(data).member(1);
let sandbox: RunningProgram | undefined;

beforeAll(async () => {
  if (ccfPython() === undefined) return;
  sandbox = await startSandboxProgram([
    ...['--data', data, '--organisations', '1', '--members', '1'],
  ]);
});

afterAll(async () => {
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What CCF's client writes to its standard output. */
async function signed(type: string, content: string, proposalId?: string): Promise<Buffer> {
  const file = join(folder, 'content');
  const out = join(folder, 'signed.cose');
  writeFileSync(file, content);
  const tool = join(dirname(ccfPython() ?? ''), 'ccf_cose_sign1');
  const args = [
    '--ccf-gov-msg-type',
    type,
    '--signing-key',
    key,
    '--signing-cert',
    certificate,
  ];
  const at = ['--ccf-gov-msg-created_at', new Date().toISOString(), '--content', file];
  const id = proposalId === undefined ? [] : ['--ccf-gov-msg-proposal_id', proposalId];
  const script = `"$0" "$@" > ${JSON.stringify(out)}`;
  const { code, stderr } = await runJudge('sh', ['-c', script, tool, ...args, ...at, ...id]);
  expect(code, stderr).toBe(0);
  return readFileSync(out);
}

interface Reply {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
}

function post(path: string, body: Buffer): Promise<Reply> {
  const url = `${sandbox?.ready.service.url}/gov${path}?api-version=2024-07-01`;
  const ca = readFileSync(sandboxFolder(data).serviceCertificate);
  const headers = { 'content-type': 'application/cose' };
  return new Promise((resolve, reject) => {
    const asking = request(url, { method: 'POST', ca, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, json: JSON.parse(text || '{}') }),
      );
    });
    asking.on('error', reject).end(body);
  });
}

testWithCcf('ccf_cose_sign1 proposes, votes and acknowledges', async () => {
  const memberId = certificateIdOf(readFileSync(certificate, 'utf8'));
  const { certificatePem } = await generateIdentity('CN=User');
  const actions = [{ name: 'set_user', args: { cert: certificatePem } }];
  const created = await post(
    '/members/proposals:create',
    await signed('proposal', JSON.stringify({ actions })),
  );
  expect(created).toMatchObject({ status: 200, json: { proposalState: 'Open' } });
  const id = String(created.json.proposalId);
  const ballot = 'export function vote (proposal, proposer_id) { return true }';
  const voted = await post(
    `/members/proposals/${id}/ballots/${memberId}:submit`,
    await signed('ballot', JSON.stringify({ ballot }), id),
  );
  expect(voted).toMatchObject({ status: 200, json: { proposalState: 'Accepted' } });
  const digests = `/members/state-digests/${memberId}`;
  const updated = await post(`${digests}:update`, await signed('state_digest', ''));
  expect(updated.status).toBe(200);
  const { stateDigest } = updated.json;
  const ack = await post(
    `${digests}:ack`,
    await signed('ack', JSON.stringify({ stateDigest })),
  );
  expect(ack.status).toBe(204);
});

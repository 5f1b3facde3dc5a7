// Members whose keys sign elsewhere: in Key Vault, which is asked by `concordat gov` itself, or
// wherever a digest is taken to between `gov prepare` and `gov finish`. The vault is a double on
// this machine that really signs; what it signs, a real service takes.

import { createPrivateKey, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sandboxFolder } from '../../src/cli/sandbox/sandbox-folder.ts';
import { certificateIdOf, selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { TLS_AUTHORITY } from '../attestation/azure/https-double.ts';
import { type VaultDouble, vaultDouble } from '../attestation/azure/vault-double.ts';
import { type RunningProgram, runProgram, startSandboxProgram } from '../support/program.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-gov-vault-'));
const data = join(folder, 'service');
const inside = (name: string): string => join(folder, name);
const certificate = inside('member.pem');
const before = process.env.NODE_EXTRA_CA_CERTS;
let sandbox: RunningProgram;
let vault: VaultDouble;
/** The member whose key is in the vault. */
let memberId = '';

const RESOURCE = ['--vault-resource', 'https://vault.azure.net'];

beforeAll(async () => {
  vault = await vaultDouble({ issuers: [] });
  writeFileSync(inside('tls.pem'), TLS_AUTHORITY);
  process.env.NODE_EXTRA_CA_CERTS = inside('tls.pem');
  const made = await fetch(`${vault.url}/keys/member/create?api-version=2025-07-01`, {
    ...{ method: 'POST', headers: { authorization: 'Bearer owner' } },
    body: JSON.stringify({ kty: 'EC', crv: 'P-384' }),
  });
  const { key } = (await made.json()) as { readonly key: { readonly kid: string } };
  // Whoever owns the vault has it sign the certificate; here the test does.
  const secret = vault.secretOf('member', key.kid.split('/').at(-1) ?? '');
  const validity = { fromMs: Date.now() - 60_000, days: 30 };
  const signing = SigningKey.fromPkcs8(secret);
  writeFileSync(certificate, await selfSignedCertificate(signing, 'CN=Vaulted', validity));
  memberId = certificateIdOf(readFileSync(certificate, 'utf8'));
  writeFileSync(inside('token'), 'ours\n');
  sandbox = await startSandboxProgram([
    ...['--data', data, '--organisations', '1', '--members', '1'],
  ]);
}, 60_000);

afterAll(async () => {
  await sandbox?.stop();
  await vault?.close();
  if (before === undefined) delete process.env.NODE_EXTRA_CA_CERTS;
  else process.env.NODE_EXTRA_CA_CERTS = before;
  rmSync(folder, { recursive: true, force: true });
});

interface Said {
  readonly code: number | null;
  readonly json: Readonly<Record<string, unknown>>;
}

async function gov(...args: readonly string[]): Promise<Said> {
  const { code, stdout, stderr } = await runProgram(['gov', ...args]);
  const line = stdout.trim().split('\n').at(-1) ?? '';
  return { code, json: line.startsWith('{') ? JSON.parse(line) : { stderr } };
}

const place = (): readonly string[] => [
  ...['--url', sandbox.ready.service.url],
  ...['--service-certificate', sandbox.ready.service.certificate, '--json'],
];
const vaulted = (keyId = `${vault.url}/keys/member`): readonly string[] => [
  ...place(),
  ...['--member-certificate', certificate, '--member-key-vault', keyId],
  ...['--vault-token', inside('token'), ...RESOURCE],
];

function proposal(name: string, action: string, args: unknown = null): string {
  const path = inside(`${name}.json`);
  writeFileSync(path, JSON.stringify({ actions: [{ name: action, args }] }));
  return path;
}

test('a key in a vault acknowledges, proposes and votes, and never leaves it', async () => {
  const cert = readFileSync(certificate, 'utf8');
  const created = await gov('propose', proposal('in', 'set_member', { cert }), '--data', data);
  // Of the sandbox's one member; the text output names the proposal.
  expect(created.code).toBe(0);
  const { json } = await gov('status', '--data', data, '--json');
  const { value } = json.proposals as {
    value: { proposalId: string; proposalState: string }[];
  };
  const open = value.find(({ proposalState }) => proposalState === 'Open')?.proposalId ?? '';
  expect((await gov('ballot', open, '--vote', 'yes', '--data', data)).code).toBe(0);

  expect(await gov('ack', ...vaulted())).toMatchObject({ code: 0, json: { memberId } });
  const mine = await gov('propose', proposal('own', 'trigger_snapshot'), ...vaulted());
  expect(mine).toMatchObject({
    code: 0,
    json: { proposalState: 'Open', proposerId: memberId },
  });
  const voted = await gov(
    'ballot',
    String(mine.json.proposalId),
    '--vote',
    'yes',
    ...vaulted(),
  );
  expect(voted).toMatchObject({ code: 0, json: { ballotCount: 1 } });

  const verbs = vault.asked.map(({ path }) => path.split('/').at(-1));
  expect(verbs.filter((verb) => verb === 'sign').length).toBeGreaterThanOrEqual(4);
  for (const { headers, path } of vault.asked) {
    if (path.endsWith('sign'))
      expect(['Bearer ours', undefined]).toContain(headers.authorization);
  }
}, 120_000);

test('what is prepared is signed elsewhere, and finished here', async () => {
  const file = inside('prepared.json');
  const member = sandboxFolder(data).member(1);
  const prepared = await gov(
    ...['prepare', 'proposal', proposal('offline', 'trigger_ledger_chunk')],
    ...['--member-certificate', certificate, '--out', file],
  );
  expect(prepared).toMatchObject({ code: 0, json: { alg: 'ES384' } });
  // The very body that the vault's own interface takes.
  const signed = await fetch(`${vault.url}/keys/member//sign?api-version=2025-07-01`, {
    ...{ method: 'POST', headers: { authorization: 'Bearer owner' } },
    body: JSON.stringify(prepared.json),
  });
  writeFileSync(inside('answer.json'), await signed.text());
  const answer = ['--signature', inside('answer.json')];
  const done = await gov('finish', file, ...answer, ...place());
  expect(done).toMatchObject({
    code: 0,
    json: { proposalState: 'Open', proposerId: memberId },
  });

  // Another member's ballot, signed by OpenSSL, whose signatures are DER.
  const ballot = inside('ballot.json');
  const id = String(done.json.proposalId);
  const asked = await gov(
    ...['prepare', 'ballot', id, '--vote', 'yes'],
    ...['--member-certificate', member.certificate, '--out', ballot],
  );
  expect(asked.code).toBe(0);
  const wrong = await gov('finish', ballot, ...answer, ...place());
  expect(wrong).toMatchObject({ json: { error: { code: 'SignatureMismatch' } } });
  const { protected: header, payload } = JSON.parse(readFileSync(ballot, 'utf8')) as {
    readonly protected: string;
    readonly payload: string;
  };
  const key = createPrivateKey(readFileSync(member.key));
  const hash = String(asked.json.alg).replace('ES', 'sha');
  writeFileSync(inside('der'), sign(hash, structure(header, payload), key));
  const voted = await gov('finish', ballot, '--signature', inside('der'), ...place());
  expect(voted).toMatchObject({ code: 0, json: { ballotCount: 1 } });
}, 120_000);

/** What COSE signs (RFC 9052 §4.4), put together by other code than ours. */
function structure(header: string, payload: string): Buffer {
  const bytes = (value: Buffer): Buffer => {
    const { length } = value;
    const head = length < 24 ? [0x40 + length] : length < 256 ? [0x58, length] : [0x59];
    const size = length < 256 ? [] : [length >> 8, length & 255];
    return Buffer.concat([Buffer.from([...head, ...size]), value]);
  };
  const context = Buffer.from('Signature1');
  return Buffer.concat([
    ...[Buffer.from([0x84, 0x60 + context.length]), context],
    ...[bytes(Buffer.from(header, 'base64')), bytes(Buffer.alloc(0))],
    bytes(Buffer.from(payload, 'base64')),
  ]);
}

test('what is wrong is said by its name', async () => {
  const file = proposal('wrong', 'trigger_snapshot');
  const none = await gov('propose', file, ...vaulted(`${vault.url}/keys/none`));
  expect(none.json).toMatchObject({
    error: { code: 'NotSigned', message: expect.stringMatching(/there is no key none/) },
  });
  const usage = async (...args: readonly string[]): Promise<unknown> => {
    const { stderr } = await runProgram(['gov', ...args]);
    return stderr;
  };
  const noKey = await usage('propose', file, ...vaulted('https://vault.test/secrets/x'));
  expect(noKey).toMatch(/--member-key-vault is .*it is https:/);
  expect(await usage('prepare', 'ballot', 'ab', '--out', 'x', '--data', data)).toMatch(
    /not a proposal: 64 lowercase/,
  );
}, 60_000);

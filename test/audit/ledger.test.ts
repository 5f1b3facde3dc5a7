// What an audit tells of a good ledger, of one that is still being written, and what it needs the
// ledger secrets for.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LEVELS, verifyLedger } from '../../src/audit/ledger.ts';
import { recoverSecrets } from '../../src/audit/recover-secrets.ts';
import { parseSecrets } from '../../src/audit/secrets-file.ts';
import { aeadKeyOf } from '../../src/crypto/aead.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { UnwrappingKey, wrapTo } from '../../src/crypto/keys.ts';
import { splitWrappingKey, wrapLedgerSecret, wrapUnder } from '../../src/crypto/shares.ts';
import type { MapWrites } from '../../src/ledger/entry.ts';
import { ledgerSecretOf } from '../../src/ledger/secret.ts';
import { LedgerFiles } from '../support/ledger-files.ts';
import { fromHex, REFERENCE, REFERENCE_SECRETS } from '../support/ledger-vectors.ts';
import { jsonTable, LedgerWriter, makeService, table } from '../support/ledger-writer.ts';

const LEDGER = join(REFERENCE, 'ledger');
const SECRETS = [{ from: 1, bytes: fromHex(REFERENCE_SECRETS.ledger_secret) }];
const rows = table('public:records', { k: 'v' });
const sealedRows = table('records', { k: 'v' });

let scratch = '';
let folders = 0;
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'audit-'));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const place = (): string => {
  folders += 1;
  return join(scratch, String(folders));
};

test('the reference ledger is good at every level, and counted the same', async () => {
  for (const level of LEVELS) {
    const verdict = await verifyLedger(LEDGER, { level });
    expect(verdict).toMatchObject({ ok: true, level });
    expect(verdict.totals).toMatchObject({ chunks: 3, transactions: 12, bytes: 11_359 });
  }
  const full = await verifyLedger(LEDGER, {
    secrets: SECRETS,
    serviceCertificate: REFERENCE_SECRETS.service_certificate,
  });
  expect(full).toMatchObject({
    ok: true,
    lastVerified: '2.12',
    last: '2.12',
    uncovered: 0,
    totals: { signatures: 4, nodeSignatures: 4, serviceSignatures: 3, opened: 12 },
    service: { status: 'Open', recoveries: 0 },
  });
});

test('a part of a ledger is judged up to level merkle, from its first signature on', async () => {
  const files = LedgerFiles.read(LEDGER);
  files.files.delete('ledger_1-4.committed');
  const folder = files.write(place());
  expect(await verifyLedger(folder, { level: 'merkle' })).toMatchObject({ ok: true });
  expect((await verifyLedger(folder)).fault?.reason).toBe('LedgerStart');

  files.entry(11).fill(7, 8, 24);
  const verdict = await verifyLedger(files.write(place()), { level: 'merkle' });
  expect(verdict.fault).toMatchObject({ reason: 'TreeRow', file: 'ledger_11', seqno: 12 });
});

test('a fault is told with file, offset and transaction, and what was proven before', async () => {
  const files = LedgerFiles.read(LEDGER);
  const { name, offset } = files.locate(8);
  files.entry(8).writeUInt8(4, 1);
  const verdict = await verifyLedger(files.write(place()));
  expect(verdict.fault).toMatchObject({
    reason: 'EntryFlags',
    file: name,
    offset: offset + 1,
    seqno: 8,
  });
  expect(verdict.lastVerified).toBe('2.4');
});

test('of a bad signature and a later fault, the signature is told: it comes first', async () => {
  const files = LedgerFiles.read(LEDGER);
  files.refield(2, 'public:ccf.internal.signatures', (row) =>
    Object.assign(row, { sig: Buffer.alloc(70, 1).toString('base64') }),
  );
  files.entry(8).writeUInt8(4, 1);
  const verdict = await verifyLedger(files.write(place()));
  expect(verdict.fault).toMatchObject({ reason: 'RawSignature', seqno: 2 });
  expect(verdict.lastVerified).toBeUndefined();
});

test('an open chunk is verified to its last signature; the rest is counted', async () => {
  const writer = await new LedgerWriter(await makeService()).open();
  writer.transaction([rows]);
  await writer.sign();
  writer.transaction([rows]);
  writer.transaction([rows]);
  const folder = writer.write(place());
  expect(await verifyLedger(folder)).toMatchObject({
    ok: true,
    lastVerified: '2.6',
    last: '2.8',
    uncovered: 2,
  });
  expect(await verifyLedger(folder, { committedOnly: true })).toMatchObject({
    ok: true,
    last: '2.4',
  });
});

test('a torn last write is told, wherever it is cut; a committed chunk must be whole', async () => {
  const writer = await new LedgerWriter(await makeService()).open();
  writer.transaction([rows]);
  await writer.sign();
  const entryBytes = writer.chunks.at(-1)?.entries[0]?.length ?? 0;
  const files = LedgerFiles.read(writer.write(place()));
  const open = files.file('ledger_5');
  for (const length of [open.length - 1, 8 + entryBytes + 1, 8 + entryBytes + 44, 9]) {
    files.files.set('ledger_5', open.subarray(0, length));
    const verdict = await verifyLedger(files.write(place()));
    expect(verdict).toMatchObject({ ok: true, lastVerified: '2.4' });
    const offset = length > 8 + entryBytes ? 8 + entryBytes : 8;
    expect(verdict.torn).toMatchObject({ file: 'ledger_5', offset, bytes: length - offset });
  }
  files.files.set('ledger_5', Buffer.concat([open, Buffer.alloc(500)]));
  const zeros = await verifyLedger(files.write(place()));
  expect(zeros).toMatchObject({ ok: true, lastVerified: '2.6', torn: { bytes: 500 } });

  const committed = files.file('ledger_1-4.committed');
  files.files.set('ledger_1-4.committed', committed.subarray(0, -3));
  const verdict = await verifyLedger(files.write(place()));
  expect(verdict.fault?.reason).toBe('ChunkTable');
});

test('entries larger than a window, and many windows, are read whole', async () => {
  const writer = await new LedgerWriter(await makeService()).open();
  for (const megabytes of [5, 0, 9, 1, 3]) {
    const value = Buffer.alloc(megabytes * 1024 * 1024, megabytes);
    writer.transaction([table('public:records', { k: value })]);
  }
  await writer.sign({ flags: 1 });
  let told = 0;
  const verdict = await verifyLedger(writer.write(place()), {
    onProgress: ({ bytes }) => {
      expect(bytes).toBeGreaterThan(told);
      told = bytes;
    },
  });
  expect(verdict).toMatchObject({ ok: true, lastVerified: '2.10' });
});

test('an audit stops when it is asked to', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(verifyLedger(LEDGER, { signal })).rejects.toThrow('enough');
});

test('the ledger of another service is not the one that is trusted', async () => {
  const { serviceCert } = await makeService();
  const verdict = await verifyLedger(LEDGER, { serviceCertificate: serviceCert });
  expect(verdict.fault?.reason).toBe('ServiceTrust');
});

test('with the wrong secret, and with none for an entry, the audit says so', async () => {
  const wrong = [{ from: 1, bytes: sha256Text('wrong') }];
  const refused = await verifyLedger(LEDGER, { secrets: wrong });
  expect(refused.fault).toMatchObject({ reason: 'CommitEvidence', seqno: 1 });
  const late = SECRETS.map(({ bytes }) => ({ from: 6, bytes }));
  const missing = await verifyLedger(LEDGER, { secrets: late });
  expect(missing.fault).toMatchObject({ reason: 'SecretMissing', seqno: 1 });
});

test.each([
  ['hexadecimal', [{ seqno: 1, secret: 'ab'.repeat(32) }]],
  ['base64 and "version"', [{ version: 1, secret: Buffer.alloc(32, 0xab).toString('base64') }]],
])('a secrets file in %s is read', (_, rowsOfFile) => {
  const [secret] = parseSecrets(JSON.stringify(rowsOfFile));
  expect(secret).toEqual({ from: 1, bytes: Buffer.alloc(32, 0xab) });
});

test.each([
  ['{', /not JSON/],
  ['{}', /no list/],
  ['[1]', /item 0 is no object/],
  ['[{"seqno":0,"secret":""}]', /"seqno" from 1/],
  ['[{"seqno":1,"secret":"ab"}]', /32 bytes/],
  [JSON.stringify(Array(2).fill({ seqno: 1, secret: 'ab'.repeat(32) })), /same seqno/],
])('the secrets file %s is refused', (text, sentence) => {
  expect(() => parseSecrets(text)).toThrow(sentence);
});

/** A ledger whose secret was changed twice, and the members who can get the secrets back. */
async function rekeyed(threshold: number): Promise<{
  folder: string;
  members: UnwrappingKey[];
  secrets: { from: number; bytes: Uint8Array }[];
}> {
  const writer = await new LedgerWriter(await makeService()).open();
  const members = [UnwrappingKey.generate(), UnwrappingKey.generate()];
  const secrets = [{ from: 1, bytes: writer.secretBytes }];
  const share = (secret: Uint8Array): MapWrites => {
    let calls = 0;
    const random = {
      bytes: (count: number) => sha256Text(`${secrets.length} ${calls++}`).subarray(0, count),
    };
    const { wrappingKey, shares } = splitWrappingKey(threshold, members.length, random);
    const sealed = members.map((member, i) => [
      `member${i}`,
      Buffer.from(wrapTo(member.publicKeyPem, shares[i] ?? Buffer.alloc(0))).toString('base64'),
    ]);
    return jsonTable('public:ccf.internal.recovery_shares', {
      encrypted_shares: Object.fromEntries(sealed),
      wrapped_latest_ledger_secret: wrapLedgerSecret(wrappingKey, secret).toString('base64'),
    });
  };
  const historical = 'public:ccf.internal.historical_encrypted_ledger_secret';
  writer.transaction([share(writer.secretBytes), jsonTable(historical, { next_version: 1 })]);
  for (const name of ['second', 'third']) {
    const former = secrets.at(-1);
    if (former === undefined) throw new Error('there is a secret');
    const bytes = sha256Text(name);
    const encrypted = wrapUnder(aeadKeyOf(bytes), former.bytes, Buffer.alloc(12, 3));
    const previous_ledger_secret = {
      encrypted_data: encrypted.toString('base64'),
      version: former.from,
    };
    const secret = ledgerSecretOf(former.bytes);
    const maps = [share(bytes), jsonTable(historical, { previous_ledger_secret })];
    writer.transaction(maps, { secret });
    secrets.push({ from: writer.next, bytes });
    const next = ledgerSecretOf(bytes);
    writer.transaction([rows], { secret: next, privateMaps: [sealedRows] });
    await writer.sign({ secret: next });
  }
  return { folder: writer.write(place()), members, secrets };
}

test("a member's key recovers all secrets, through two changes of them", async () => {
  const { folder, members, secrets } = await rekeyed(1);
  for (const member of members) {
    const recovered = await recoverSecrets(folder, member.privateKeyPem());
    expect(recovered.map(({ from }) => from)).toEqual(secrets.map(({ from }) => from));
    const verdict = await verifyLedger(folder, { secrets: recovered });
    expect(verdict.fault?.message).toBeUndefined();
    expect(verdict.totals.opened).toBe(verdict.totals.transactions);
  }
});

test("another's key, one share of two, and no key at all recover nothing", async () => {
  const { folder, members } = await rekeyed(2);
  const code = 'SecretsUnavailable';
  const [member] = members;
  const keyOf = (key: UnwrappingKey | undefined): string => key?.privateKeyPem() ?? '';
  await expect(recoverSecrets(folder, keyOf(member))).rejects.toMatchObject({ code });
  await expect(recoverSecrets(folder, keyOf(UnwrappingKey.generate()))).rejects.toThrow(
    /opens/,
  );
  await expect(recoverSecrets(folder, 'no key')).rejects.toThrow(/RSA private key/);
  await expect(recoverSecrets(LEDGER, keyOf(member))).rejects.toThrow(/no recovery shares/);
});

test('the command tells people and programs, and its exit code judges', async () => {
  const main = join(import.meta.dirname, '../../src/main.ts');
  const run = (...args: string[]): { code: number; out: string } => {
    try {
      return {
        code: 0,
        out: execFileSync(process.execPath, [main, 'ledger', ...args], {
          stdio: 'pipe',
        }).toString(),
      };
    } catch (failed) {
      const { status, stdout } = failed as { status: number; stdout: Buffer };
      return { code: status, out: stdout.toString() };
    }
  };
  const secrets = join(scratch, 'secrets.json');
  const secret = REFERENCE_SECRETS.ledger_secret;
  writeFileSync(secrets, JSON.stringify([{ seqno: 1, secret }]));
  const certificate = join(scratch, 'service.pem');
  writeFileSync(certificate, REFERENCE_SECRETS.service_certificate);

  const good = run(
    'verify',
    LEDGER,
    '--json',
    '--secrets',
    secrets,
    '--service-certificate',
    certificate,
    '--snapshots',
    join(REFERENCE, 'snapshots'),
  );
  expect(good.code).toBe(0);
  expect(JSON.parse(good.out)).toMatchObject({
    ok: true,
    lastVerified: '2.12',
    snapshots: [{ ok: true, seqno: 10 }],
  });
  expect(run('verify', LEDGER).out).toMatch(/^GOOD at level full[\s\S]*up to 2\.12/);

  const files = LedgerFiles.read(LEDGER);
  files.entry(6).writeUInt8(4, 1);
  const bad = run('verify', files.write(place()));
  expect(bad.code).toBe(1);
  expect(bad.out).toMatch(
    /BAD: EntryFlags[\s\S]*ledger_5-10.committed byte \d+ transaction \?\.6/,
  );

  expect(run('verify', join(scratch, 'nowhere')).code).toBe(3);
  expect(run('verify').code).toBe(2);
  expect(run('verify', LEDGER, '--level', 'deep').code).toBe(2);
  expect(run('verify', LEDGER, '--seqno', '1').code).toBe(2);
  expect(run('verify', LEDGER, '--nonsense').code).toBe(2);

  const shown = run('show', LEDGER, '--seqno', '5', '--json', '--secrets', secrets);
  expect(JSON.parse(shown.out)).toMatchObject({
    txId: '2.5',
    publicMaps: [{ name: 'public:records', writes: [{ key: '0', value: 'v0' }] }],
    privateMaps: [{ name: 'records', writes: [{ key: 'k', value: 'secret' }] }],
  });
  expect(run('show', LEDGER, '--from', '5', '--to', '6').out).toMatch(/bytes sealed\)\n2\.6 /);
  expect(run('show', LEDGER, '--seqno', '99').code).toBe(3);
  expect(readFileSync(secrets, 'utf8')).toContain(secret);
});

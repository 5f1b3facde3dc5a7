/** `concordat quorum import` against a sandbox of three nodes: by dump, by peer, as processes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReadyLine } from '../../../src/cli/sandbox/ready-line.ts';
import type { EncodedPayload } from '../../../src/federation/encoded-payload.ts';
import { encodeLegacy } from '../../../src/federation/legacy-codec.ts';
import { ResendingTessera } from '../../quorum/migration/resending-tessera.ts';
import {
  realKeys,
  type SealedByTessera,
  sealedByTessera,
} from '../../quorum/migration/tessera-payloads.ts';
import {
  type RunningProgram,
  runProgram,
  spawnProgram,
  startSandboxProgram,
} from '../../support/program.ts';
import type { PartyKeyPair } from '../../support/quorum-network.ts';

const keys = realKeys(3) as [PartyKeyPair, PartyKeyPair, PartyKeyPair];
const [one, two, three] = keys;
let folder = '';
let sandbox: RunningProgram | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'quorum-import-'));
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(keys));
  sandbox = await startSandboxProgram([
    ...['--data', join(folder, 'data'), '--nodes', '3', '--organisations', '3'],
    ...['--party-keys', join(folder, 'keys.json')],
  ]);
}, 120_000);
afterAll(async () => {
  await sandbox?.stop();
  await rm(folder, { recursive: true, force: true });
}, 60_000);

function ready(): ReadyLine {
  if (sandbox === undefined) throw new Error('there is no sandbox');
  return sandbox.ready;
}

/** The options by which an organisation reaches the service. */
function as(organisation: number): readonly string[] {
  const own = ready().organisations[organisation - 1];
  return [
    ...ready().nodes.flatMap(({ url }) => ['--service', url]),
    ...['--service-certificate', ready().service.certificate],
    ...['--certificate', own?.certificate ?? '', '--key', own?.key ?? ''],
  ];
}

const bring = (organisation: number, ...args: readonly string[]) =>
  runProgram(['quorum', 'import', ...args, ...as(organisation)]);

function row(sealed: SealedByTessera, payload: EncodedPayload): string {
  return JSON.stringify({
    table: 'ENCRYPTED_TRANSACTION',
    hash: sealed.hash.toString('hex'),
    encoded_payload: Buffer.from(encodeLegacy(payload)).toString('hex'),
    payload_codec: 'LEGACY',
  });
}

function dump(name: string, rows: readonly string[]): string {
  const path = join(folder, name);
  writeFileSync(path, `${rows.join('\n')}\n`);
  return path;
}

/** What one node answers an organisation for a hash. */
function statusAt(
  url: string,
  organisation: number,
  { hash }: SealedByTessera,
): Promise<number> {
  const own = ready().organisations[organisation - 1];
  const path = `/app/quorum/q2t/transaction/${encodeURIComponent(hash.toString('base64'))}`;
  return new Promise((resolve, reject) => {
    const asking = request(
      `${url}${path}`,
      {
        ca: readFileSync(ready().service.certificate),
        cert: readFileSync(own?.certificate ?? ''),
        key: readFileSync(own?.key ?? ''),
        headers: { accept: 'application/json', 'x-concordat-read': 'linearizable' },
      },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    asking.on('error', reject);
    asking.end();
  });
}

async function seenBy(organisation: number, sealed: SealedByTessera) {
  return await Promise.all(ready().nodes.map(({ url }) => statusAt(url, organisation, sealed)));
}

describe('a dump', () => {
  const held = Array.from({ length: 20 }, (_, n) =>
    sealedByTessera({ from: one, to: [two], payload: `payload ${n}` }),
  );

  test('is moved; then its hashes resolve for each party on every node', async () => {
    const mine = dump(
      'one.jsonl',
      held.map((sealed) => row(sealed, sealed.whole)),
    );
    const ran = await bring(1, '--dump', mine);
    expect(ran).toMatchObject({
      code: 0,
      stdout: '20 read, 20 stored, 0 known before, 0 refused\n',
    });
    const theirs = dump(
      'two.jsonl',
      held.map((sealed) => row(sealed, sealed.for(two))),
    );
    const second = await bring(2, '--dump', theirs, '--json');
    expect(JSON.parse(second.stdout)).toEqual({
      ...{ ok: true, read: 20, stored: 0, known: 20, skipped: 0, refused: 0, notMoved: [] },
    });
    for (const sealed of [held[0], held[19]]) {
      if (sealed === undefined) throw new Error('held');
      expect(await seenBy(1, sealed)).toEqual([200, 200, 200]);
      expect(await seenBy(2, sealed)).toEqual([200, 200, 200]);
      expect(await seenBy(3, sealed)).toEqual([404, 404, 404]);
    }
    const again = await bring(1, '--dump', mine);
    expect(again.stdout).toBe('20 read, 0 stored, 20 known before, 0 refused\n');
  });

  test('with a wrong hash names it, moves the others, and ends with 1', async () => {
    const [good, bad, other] = [1, 2, 3].map(() => sealedByTessera({ from: one, to: [] })) as [
      SealedByTessera,
      SealedByTessera,
      SealedByTessera,
    ];
    const rows = [row(good, good.whole), row({ ...bad, hash: other.hash }, bad.whole), '{}'];
    const ran = await bring(1, '--dump', dump('wrong.jsonl', rows));
    expect(ran.code).toBe(1);
    expect(ran.stdout).toBe('3 read, 1 stored, 0 known before, 2 refused\n');
    expect(ran.stderr).toContain(`REFUSED ${other.hash.toString('base64')}: 400 hash`);
    expect(ran.stderr).toContain('REFUSED line 3: the row has no table');
  });

  test('whose import is killed goes on from there', async () => {
    const many = Array.from({ length: 300 }, (_, n) =>
      sealedByTessera({ from: three, to: [two], payload: `many ${n}` }),
    );
    const path = dump(
      'many.jsonl',
      many.map((sealed) => row(sealed, sealed.whole)),
    );
    const child = spawnProgram([
      'quorum',
      'import',
      '--dump',
      path,
      '--at-once',
      '2',
      ...as(3),
    ]);
    const noted = (): number => {
      try {
        return readFileSync(`${path}.progress`, 'utf8').split('\n').length - 2;
      } catch {
        return 0;
      }
    };
    const ended = new Promise((resolve) => child.once('exit', resolve));
    while (noted() < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGKILL');
    await ended;
    const before = noted();
    expect(before).toBeLessThan(300);
    const ran = await bring(3, '--dump', path, '--json');
    const { ok, read, stored, known } = JSON.parse(ran.stdout);
    expect({ ok, read }).toEqual({ ok: true, read: 300 });
    expect(stored + known).toBe(300);
    expect(known).toBeGreaterThanOrEqual(before);
    expect(await seenBy(2, many[299] ?? (many[0] as SealedByTessera))).toEqual([200, 200, 200]);
  }, 120_000);
});

describe('a peer', () => {
  const held = Array.from({ length: 5 }, (_, n) =>
    sealedByTessera({ from: two, to: [three], payload: `at the peer ${n}` }),
  );

  test('is asked for hashes', async () => {
    const peer = await new ResendingTessera(held).start();
    const hashes = held.map(({ hash }) => `0x${hash.toString('hex')}`);
    const unknown = Buffer.alloc(64, 1).toString('base64');
    const path = dump('hashes', [...hashes, unknown]);
    const checkpoint = ['--checkpoint', join(folder, 'hashes.progress')];
    const ran = await bring(3, '--peer', peer.url, '--hashes', path, ...checkpoint);
    await peer.stop();
    expect(ran).toMatchObject({
      code: 0,
      stdout: '6 read, 5 stored, 0 known before, 1 left out, 0 refused\n',
      stderr: expect.stringContaining(`left out ${unknown}`),
    });
    expect(await seenBy(3, held[4] ?? (held[0] as SealedByTessera))).toEqual([200, 200, 200]);
    expect(await seenBy(2, held[4] ?? (held[0] as SealedByTessera))).toEqual([404, 404, 404]);
  });

  test.each([
    ['one by one', []],
    ['in batches', ['--batch', '2']],
  ])('pushes all of a key’s payloads %s', async (how, more) => {
    const peer = await new ResendingTessera(held).start();
    const spare = await new ResendingTessera([]).start();
    const { host } = new URL(spare.url);
    await spare.stop();
    const checkpoint = ['--checkpoint', join(folder, `${how}.progress`)];
    const ran = await bring(2, '--peer', peer.url, '--listen', host, ...more, ...checkpoint);
    await peer.stop();
    expect(ran).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^5 read, .*0 refused/),
    });
    expect(await seenBy(2, held[0] as SealedByTessera)).toEqual([200, 200, 200]);
  });
});

describe('private keys', () => {
  const own = () => join(folder, 'own-keys.json');
  const hand = (...flags: readonly string[]) =>
    runProgram(['quorum', 'import-keys', own(), ...flags, ...as(1)]);

  test('are handed to nodes that may be trusted, and to no others', async () => {
    writeFileSync(own(), JSON.stringify([one]));
    const unsaid = await hand();
    expect(unsaid).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('which nodes may'),
    });
    const policy = join(folder, 'policy.json');
    writeFileSync(policy, JSON.stringify({ version: 1, platforms: { snp: {} } }));
    const refused = await hand('--attestation-policy', policy);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('is refused') });
    expect(`${refused.stdout}${refused.stderr}`).not.toContain(one.privateKey);
    const ran = await hand('--allow-insecure-virtual', '--json');
    expect(JSON.parse(ran.stdout)).toEqual({
      ok: true,
      keys: [{ publicKey: one.publicKey, outcome: 'known' }],
    });
  });

  test('of another organisation are refused', async () => {
    writeFileSync(own(), JSON.stringify([two]));
    const ran = await hand('--allow-insecure-virtual');
    expect(ran).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('refused: 404 Public'),
    });
    const none = await runProgram(['quorum', 'import-keys', '--json']);
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('name a file') });
  });
});

describe('what is wrong with the call is said', () => {
  test.each([
    ['no source', [], 2, 'say where from'],
    ['two sources', ['--dump', 'x', '--peer', 'http://h'], 2, 'say where from'],
    ['a peer and no question', ['--peer', 'http://h'], 2, 'say what to ask the peer for'],
    ['a peer that is no address', ['--peer', 'h', '--listen', 'h:1'], 2, '--peer is "h"'],
    ['nowhere to listen', ['--peer', 'http://h', '--listen', 'h'], 2, '--listen is "h"'],
    ['no such dump', ['--dump', 'none.jsonl'], 3, 'none.jsonl'],
    [
      'a journal of others',
      ['--dump', 'package.json', '--checkpoint', 'LICENSE'],
      3,
      'LICENSE',
    ],
  ])('%s', async (_what, args, code, sentence) => {
    const ran = await bring(1, ...args);
    expect(ran).toMatchObject({ code, stderr: expect.stringContaining(sentence) });
  });

  test('no service, one that is away, a certificate that is nobody’s', async () => {
    const none = await runProgram(['quorum', 'import', '--dump', 'LICENSE']);
    expect(none).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--service is missing'),
    });
    const files = as(1).slice(2 * ready().nodes.length);
    const away = ['--service', 'https://127.0.0.1:1', '--patience', '0', ...files];
    const ran = await runProgram(['quorum', 'import', '--dump', 'LICENSE', '--json', ...away]);
    expect(ran.code).toBe(3);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      ok: false,
      error: { code: 'ServiceUnreachable' },
    });
    const [member] = ready().members;
    const stranger = ['--certificate', member?.certificate ?? '', '--key', member?.key ?? ''];
    // Of an option that is given twice, the last counts.
    const args = ['quorum', 'import', '--dump', 'LICENSE', ...as(1), ...stranger];
    const refused = await runProgram(args);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringMatching(/answers 40[13]/) });
  });

  test('the statements are printed', async () => {
    const ran = await runProgram(['quorum', 'import', '--sql', 'postgresql']);
    expect(ran.stdout.split(';\n').filter((line) => line !== '')).toHaveLength(3);
    const unknown = await runProgram(['quorum', 'import', '--sql', 'oracle']);
    expect(unknown).toMatchObject({ code: 2, stderr: expect.stringContaining('postgresql') });
  });
});

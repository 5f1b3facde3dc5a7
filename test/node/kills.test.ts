// Real processes: a node is killed at random moments under load, again and again on one folder.
// After each kill everything it had acknowledged is in the ledger, and at the end PyPI ccf verifies
// it all.

import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seqnoOf } from '../../src/base/ids.ts';
import { CHUNK_HEADER_BYTES, layoutOf, parseChunkName } from '../../src/ledger/chunk.ts';
import { type MapWrites, openEntry, parseEntry } from '../../src/ledger/entry.ts';
import { durableDisk } from '../../src/node/durable-disk.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { ccfPython, runCcf } from '../support/judges.ts';
import { startDriver } from '../support/ledger-driver.ts';
import { readLedger } from '../support/node-rig.ts';
import { SeededRandom } from '../support/seeded-random.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const ROUNDS = isLong ? 100 : 10;
const SUPPORT = resolve(import.meta.dirname, '../support');
const SOUND = join(SUPPORT, 'ledger-driver.ts');
const WRITE_BEHIND = join(SUPPORT, 'write-behind-driver.ts');
const PARALLEL = '24';
const CHUNK_BYTES = '60000';

interface Acknowledged {
  readonly seqno: number;
  readonly number: number;
}

let folder: string;
let seed: number;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'concordat-kills-'));
  seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Runs a driver and kills it; gives back what it had acknowledged. */
async function killedRun(
  program: string,
  random: SeededRandom,
): Promise<readonly Acknowledged[]> {
  const child = spawn(process.execPath, [program, folder, '0', PARALLEL, CHUNK_BYTES], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  // One run in four is killed at any moment of its start, the others under load.
  if (random.oneIn(4)) setTimeout(kill, 150 + random.below(600));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (stdout === '' && text !== '') setTimeout(kill, 20 + random.below(250));
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const signal = await new Promise((done) => child.on('close', (_code, by) => done(by)));
  expect(signal, `the driver ended by itself: ${stderr}`).toBe('SIGKILL');
  // A line that the kill cut off was not said.
  const lines = stdout
    .slice(0, stdout.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(1, -1);
  return lines.map((line) => {
    const [seqno, number] = line.split(' ').map(Number);
    return { seqno: seqno ?? Number.NaN, number: number ?? Number.NaN };
  });
}

/** The write sets in a ledger up to its last signature, read without a node. */
async function writeSets(): Promise<Map<number, readonly MapWrites[]>> {
  const ledger = join(folder, 'node', 'ledger');
  const { secrets, lastSigned } = await readLedger(durableDisk, join(folder, 'node'));
  const found = new Map<number, readonly MapWrites[]>();
  for (const name of await readdir(ledger)) {
    const bytes = await readFile(join(ledger, name));
    // A kill may come between the making of a chunk's file and the first write to it.
    if (bytes.length < CHUNK_HEADER_BYTES) continue;
    for (const position of layoutOf(bytes).positions) {
      const entry = parseEntry(bytes, position);
      const secret = secrets.at(seqnoOf(entry.seqno));
      if (secret === undefined || entry.seqno > (lastSigned?.seqno ?? 0)) continue;
      found.set(entry.seqno, [...entry.publicMaps, ...openEntry(entry, secret)]);
    }
  }
  return found;
}

/** What was acknowledged and is not in the ledger as it was written. */
async function lostOf(acknowledged: readonly Acknowledged[]): Promise<readonly Acknowledged[]> {
  const sets = await writeSets();
  return acknowledged.filter(({ seqno, number }) => {
    const isPublic = number % 3 === 1;
    const name = isPublic ? 'public:test.public' : 'test.private';
    const map = sets.get(seqno)?.find((each) => each.name === name);
    const key = `key-${number % 500}`;
    const written = map?.writes.get(key);
    // A few transactions remove the very row they have just written.
    if (written === undefined) return map?.removes.has(key) !== true;
    return Buffer.from(written).toString() !== (isPublic ? `${number}` : `value ${number}`);
  });
}

async function chunkNames(): Promise<readonly string[]> {
  return await readdir(join(folder, 'node', 'ledger'));
}

test(`${ROUNDS} kills under load lose nothing that was acknowledged`, async () => {
  const random = new SeededRandom(seed);
  console.log(`SEED=${seed}`);
  const all: Acknowledged[] = [];
  let loaded = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const acknowledged = await killedRun(SOUND, random);
    if (acknowledged.length === 0) continue;
    loaded += 1;
    all.push(...acknowledged);
    expect(await lostOf(acknowledged), `after round ${round}`).toEqual([]);
    const foreign = (await chunkNames()).filter((name) => parseChunkName(name) === undefined);
    expect(foreign).toEqual([]);
  }
  expect(loaded, 'most runs got as far as writing').toBeGreaterThan(ROUNDS / 3);
  const node = await startDriver(folder);
  await node.stop();
  expect(await lostOf(all), 'at the end').toEqual([]);
  const chunks = await chunkNames();
  expect(chunks.length).toBeGreaterThan(2);
  console.log(`${ROUNDS} kills, ${all.length} acknowledged, 0 lost, ${chunks.length} chunks`);
  await judgeByCcf(node.committed().seqno);
}, 1_800_000);

const FULL = `
import sys, ccf.ledger
level = ccf.ledger.VerificationLevel.FULL
validator = ccf.ledger.LedgerValidator(verification_level=level)
count = 0
for chunk in ccf.ledger.Ledger([sys.argv[1]], committed_only=False):
    for transaction in chunk:
        validator.add_transaction(transaction)
        count += 1
print(count, validator.last_verified_txid().seqno)
`;

async function judgeByCcf(committed: number): Promise<void> {
  const python = ccfPython();
  if (python === undefined) {
    console.warn('SKIPPED the judgement of PyPI ccf: set CONCORDAT_CCF_PYTHON');
    return;
  }
  const ledger = join(folder, 'node', 'ledger');
  const full = await runCcf(['-c', FULL, ledger]);
  expect(full.stderr).toBe('');
  expect(full.stdout).toBe(`${committed} ${committed}\n`);
  const script = join(dirname(python), 'verify_ledger_secrets_chain.py');
  const chain = await runCcf([script, ledger]);
  expect(`${chain.code} ${chain.stdout}${chain.stderr}`).toMatch(/^0 /);
}

test('planted, and caught: a node that acknowledges before it has written', async () => {
  const random = new SeededRandom(seed);
  for (let round = 0; round < 8; round += 1) {
    const acknowledged = await killedRun(WRITE_BEHIND, random);
    if (acknowledged.length === 0) continue;
    const verdict = await lostOf(acknowledged).then(
      (lost) => (lost.length === 0 ? undefined : `${lost.length} lost`),
      (error: unknown) => codeOf(error),
    );
    if (verdict === undefined) continue;
    console.log(`caught in round ${round}: of ${acknowledged.length} acknowledged, ${verdict}`);
    expect(verdict).toMatch(/ lost$|^Ledger/);
    return;
  }
  throw new Error('eight kills did not show it');
});

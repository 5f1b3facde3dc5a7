// Sealing to a TPM: what was sealed unseals after a restart of the same code on the same machine,
// and nowhere else.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type ProgramOutcome,
  programRunner,
  type RunProgram,
} from '../../../src/attestation/sources/programs.ts';
import { tpmSealer } from '../../../src/attestation/sources/tpm-sealer.ts';
import type { Sealer } from '../../../src/base/environment.ts';
import { SeededRandom } from '../../support/seeded-random.ts';
import { type FakeTpm, fakeTpm } from './fake-tpm.ts';

const SECRET = Buffer.from('what must survive a restart');
const random = new SeededRandom(12);
let folder = '';
let tpm: FakeTpm;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-tpm-test-'));
  tpm = fakeTpm(folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

/** A sealer of a process that has just started. */
const started = (run: RunProgram = tpm.inProcess, pcrs = [4, 11]): Promise<Sealer> =>
  tpmSealer({ programs: tpm.programs, temporary: folder, pcrs }, { run, random });

test('what was sealed unseals at once and after a restart', async () => {
  const before = await started(programRunner());
  const sealed = await before.seal('state', SECRET);
  expect(before.kind).toBe('tpm');
  expect(Buffer.from(sealed).includes(SECRET)).toBe(false);
  expect(Buffer.from(await before.unseal('state', sealed))).toEqual(SECRET);
  const after = await started(programRunner());
  expect(Buffer.from(await after.unseal('state', sealed))).toEqual(SECRET);
});

test('no file of the key is left, and none was where others may read', async () => {
  const modes: number[] = [];
  const seen: string[] = [];
  const run = tpm.inProcess;
  const watching: RunProgram = async (path, args) => {
    const outcome = await run(path, args);
    const at = args.indexOf('-i');
    if (at >= 0) {
      seen.push(readFileSync(args[at + 1] ?? '', 'hex'));
      modes.push(statSync(args[at + 1] ?? '').mode & 0o777);
    }
    return outcome;
  };
  const sealer = await started(watching);
  const sealed = await sealer.seal('state', SECRET);
  expect(modes).toEqual([0o600]);
  expect(seen[0]).toHaveLength(64);
  expect(Buffer.from(sealed).toString('hex')).not.toContain(seen[0]);
  expect(readdirSync(folder).sort()).toEqual(['bin', 'tpm.json']);
});

test('other code does not unseal, until the old code runs again', async () => {
  const sealed = await (await started()).seal('state', SECRET);
  tpm.extend(11, 'another kernel');
  const other = await started();
  await expect(other.unseal('state', sealed)).rejects.toMatchObject({
    code: 'SealBroken',
    message: expect.stringMatching(/other code is running .*sha256:4,11.*policy check/),
  });
});

test('a register that is not named may change', async () => {
  const sealed = await (await started()).seal('state', SECRET);
  tpm.extend(12, 'a command line');
  expect(Buffer.from(await (await started()).unseal('state', sealed))).toEqual(SECRET);
});

test('another machine does not unseal, though it runs the same code', async () => {
  const sealed = await (await started()).seal('state', SECRET);
  tpm.replace();
  await expect((await started()).unseal('state', sealed)).rejects.toMatchObject({
    code: 'SealBroken',
    message: expect.stringMatching(/another TPM/),
  });
});

test('the policy cannot be gone around by an empty password', async () => {
  const run = tpm.inProcess;
  const around: RunProgram = (path, args) =>
    // Whoever has the disk would leave the policy out.
    run(path, path.endsWith('tpm2_unseal') ? args.slice(0, 2) : args);
  const sealed = await (await started()).seal('state', SECRET);
  const attacker = await started(around);
  await expect(attacker.unseal('state', sealed)).rejects.toMatchObject({ code: 'SealBroken' });
  // The same way in is open where the attributes are tpm2_create's own: the check above can fail.
  const lax: RunProgram = (path, args) =>
    run(
      path,
      args.map((arg) => (arg.startsWith('fixedtpm') ? `${arg}|userwithauth` : arg)),
    );
  const weak = await (await started(lax)).seal('state', SECRET);
  expect(Buffer.from(await attacker.unseal('state', weak))).toEqual(SECRET);
});

test('what was changed, cut or renamed does not unseal', async () => {
  const sealed = Buffer.from(await (await started()).seal('state', SECRET));
  const sealer = await started();
  await expect(sealer.unseal('other', sealed)).rejects.toMatchObject({ code: 'SealBroken' });
  const cuts = [3, 40, sealed.length - 1].map((length) => sealed.subarray(0, length));
  const flips = [4, 20, sealed.length - 1].map((at) => {
    const flipped = Buffer.from(sealed);
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    return flipped;
  });
  for (const bytes of [...cuts, ...flips]) {
    await expect(sealer.unseal('state', bytes)).rejects.toMatchObject({ code: 'SealBroken' });
  }
});

const OUTCOMES: readonly (readonly [outcome: ProgramOutcome, says: RegExp])[] = [
  [{ kind: 'missing', why: 'ENOENT' }, /cannot be run: ENOENT. Install tpm2-tools/],
  [{ kind: 'late', timeoutMs: 30_000 }, /longer than 30000 ms/],
  [{ kind: 'failed', exit: 'ended with 1', said: 'no TPM' }, /ended with 1: no TPM/],
];

test.each(OUTCOMES)('a TPM that does not work is told: %j', async (outcome, says) => {
  await expect(started(async () => outcome)).rejects.toMatchObject({
    code: 'SealerUnavailable',
    message: expect.stringMatching(says),
  });
});

test('a TPM that fails while unsealing is not taken for a broken seal', async () => {
  const sealed = await (await started()).seal('state', SECRET);
  const run = tpm.inProcess;
  const late: RunProgram = async (path, args) =>
    path.endsWith('tpm2_unseal') ? { kind: 'late', timeoutMs: 5 } : await run(path, args);
  await expect((await started(late)).unseal('state', sealed)).rejects.toMatchObject({
    code: 'SealerUnavailable',
  });
});

test.each([[[]], [[24]], [[-1]], [[1.5]], [[4, 4]]])(
  'registers %j are refused',
  async (pcrs) => {
    await expect(started(tpm.inProcess, pcrs)).rejects.toMatchObject({
      code: 'BadRegisters',
    });
  },
);

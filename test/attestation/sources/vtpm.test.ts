// A confidential VM's evidence through tpm2-tools: programs in files of their own stand for them,
// with a paravisor that takes its time.

import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readAzureCvmEvidence } from '../../../src/attestation/azure-cvm.ts';
import { endorsementFinder } from '../../../src/attestation/sources/endorsements.ts';
import { programRunner } from '../../../src/attestation/sources/programs.ts';
import type { EvidenceSource } from '../../../src/attestation/sources/source.ts';
import { vtpmSource } from '../../../src/attestation/sources/vtpm.ts';
import { sha256Text } from '../../../src/crypto/hash.ts';
import { Paravisor, somePcrs } from '../azure/paravisor.ts';
import { AT_MS } from '../fake-certificates.ts';
import { fakePki, signedReport } from '../fake-pki.ts';

const chip = fakePki('Milan').chip();
const paravisor = new Paravisor();
const KEY = sha256Text('a public key');
const USER_DATA = Buffer.concat([KEY, Buffer.alloc(32)]);
const PCRS = somePcrs();

function hclAbout(userData: Uint8Array): Buffer {
  const reportData = paravisor.reportData({ userData });
  return paravisor.hclReport(signedReport(chip, { reportData }), { userData });
}

let folder: string;
let programs: string;
let pauses: number[];

/**
 * `state/` is the vTPM: what is in its NV indexes, and a log of what was run. A fresh report is
 * there once `nv-read` was asked for `state/late` times.
 */
const SCRIPTS: Readonly<Record<string, string>> = {
  tpm2_nvreadpublic: 'test -e "$S/defined"',
  tpm2_nvdefine: 'touch "$S/defined"',
  tpm2_nvwrite: 'test -e "$S/defined" && cp "$4" "$S/user-data"',
  tpm2_nvread: `
    late=$(cat "$S/late")
    if [ "$late" -gt 0 ]; then echo $((late - 1)) > "$S/late"; cat "$S/hcl-old"; exit; fi
    cmp -s "$S/user-data" "$S/expected" && cat "$S/hcl-new"`,
  tpm2_quote: `
    while [ $# -gt 0 ]; do
      case "$1" in
        -q) test "$2" = "$(cat "$S/nonce")" || exit 9 ;;
        -m) cp "$S/message" "$2" ;;
        -s) cp "$S/signature" "$2" ;;
        -o) cp "$S/pcrs" "$2" ;;
      esac
      shift 2
    done`,
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'concordat-fake-vtpm-'));
  programs = join(folder, 'bin');
  pauses = [];
  mkdirSync(programs);
  mkdirSync(join(folder, 'state'));
  mkdirSync(join(folder, 'tmp'));
  for (const [name, script] of Object.entries(SCRIPTS)) program(name, script);
  const { message, signature } = paravisor.quote({ extraData: KEY, pcrs: PCRS });
  state('late', '0');
  state('hcl-old', hclAbout(new Uint8Array(64)));
  state('hcl-new', hclAbout(USER_DATA));
  state('expected', USER_DATA);
  state('nonce', Buffer.from(KEY).toString('hex'));
  state('message', message);
  state('signature', signature);
  state('pcrs', Buffer.concat([...PCRS.values()]));
});
afterEach(() => rmSync(folder, { recursive: true }));

function state(name: string, content: string | Uint8Array): void {
  writeFileSync(join(folder, 'state', name), content);
}

function program(name: string, script: string): void {
  const path = join(programs, name);
  const head = `#!/bin/sh\nS=${join(folder, 'state')}\necho "${name} $*" >> "$S/log"`;
  writeFileSync(path, `${head}\n${script}\n`);
  chmodSync(path, 0o755);
}

function ran(): readonly string[] {
  const lines = readFileSync(join(folder, 'state', 'log'), 'utf8')
    .trim()
    .split('\n');
  return lines.map((line) => line.split(' ')[0] ?? '');
}

function source(timeoutMs = 5_000): EvidenceSource {
  const chain = new Map([['chain', Buffer.from(chip.chain)]]);
  return vtpmSource(
    { programs, temporary: join(folder, 'tmp') },
    {
      run: programRunner(timeoutMs),
      pause: async (ms) => {
        pauses.push(ms);
      },
      endorsements: endorsementFinder([], {
        cache: { get: async () => chain.get('chain'), put: async () => undefined },
        clock: { nowMs: () => AT_MS },
        log: { warn: () => undefined },
      }),
    },
  );
}

test('a fresh report about the key, and a quote of all registers for it', async () => {
  const evidence = await source().evidenceFor(KEY);
  expect(evidence.format).toBe('Concordat_Azure_CVM_v1');
  expect(evidence.endorsements).toBe(Buffer.from(chip.chain).toString('base64'));
  const parts = readAzureCvmEvidence(evidence);
  expect(Buffer.from(parts.hclReport)).toEqual(hclAboutWas());
  expect(parts.pcrs.size).toBe(24);
  expect(Buffer.from(parts.pcrs.get(11) ?? [])).toEqual(PCRS.get(11));
  expect(Buffer.from(parts.message).includes(KEY)).toBe(true);
  expect(ran()).toEqual([
    'tpm2_nvreadpublic',
    'tpm2_nvdefine',
    'tpm2_nvwrite',
    'tpm2_nvread',
    'tpm2_quote',
  ]);
  expect(pauses).toEqual([3_000]);
  expect(readdirSync(join(folder, 'tmp'))).toEqual([]);
});

/** Each report is signed anew: what was handed out lies in the state. */
function hclAboutWas(): Buffer {
  return readFileSync(join(folder, 'state', 'hcl-new'));
}

test('the place for user data is made once', async () => {
  await source().evidenceFor(KEY);
  await source().evidenceFor(KEY);
  expect(ran().filter((name) => name === 'tpm2_nvdefine')).toHaveLength(1);
});

test('a report about what was there before is not taken', async () => {
  state('late', '3');
  await source().evidenceFor(KEY);
  expect(pauses).toHaveLength(4);
  state('late', '9');
  const asked = source().evidenceFor(KEY);
  await expect(asked).rejects.toMatchObject({ fields: { reason: 'late' } });
  await expect(asked).rejects.toThrow(/still about the user data 0000/);
  expect(readdirSync(join(folder, 'tmp'))).toEqual([]);
});

test.each<[string, string, string | undefined, string, RegExp]>([
  ['is not there', 'tpm2_nvwrite', undefined, 'missing', /Install tpm2-tools/],
  ['fails', 'tpm2_nvdefine', 'echo out of space >&2; exit 1', 'failed', /1: out of space/],
  ['fails', 'tpm2_quote', 'exit 4', 'failed', /tpm2_quote ended with 4: it said nothing/],
  ['hangs', 'tpm2_nvread', 'exec sleep 20', 'late', /tpm2_nvread took longer than 1000 ms/],
  ['gives no report', 'tpm2_nvread', 'echo HCLA', 'malformed', /HCL report/],
  ['writes nothing', 'tpm2_quote', 'true', 'malformed', /wrote nothing/],
])('%s: %s', async (_what, name, script, reason, message) => {
  if (script === undefined) rmSync(join(programs, name));
  else program(name, script);
  const asked = source(1_000).evidenceFor(KEY);
  await expect(asked).rejects.toMatchObject({
    code: 'EvidenceUnavailable',
    fields: { reason },
  });
  await expect(asked).rejects.toThrow(message);
});

test('registers that are not all there are refused', async () => {
  state('pcrs', Buffer.alloc(32));
  await expect(source().evidenceFor(KEY)).rejects.toThrow(
    /wrote 32 bytes of registers, not 768/,
  );
});

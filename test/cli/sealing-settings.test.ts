// `--check` reads the files of a sealer before a node is down and needs them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { pemOf } from '../attestation/fake-certificates.ts';
import { fakePki } from '../attestation/fake-pki.ts';
import { runProgram } from '../support/program.ts';
import { firstNodeFiles } from './node-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-sealing-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CERTIFICATE = pemOf(fakePki('Milan').chip().certificate);
const POLICY = JSON.stringify({
  version: '1.0.0',
  anyOf: [{ authority: 'https://a.example', allOf: [{ claim: 'a', equals: 1 }] }],
});

test.each<readonly [string, string | undefined, string, RegExp | undefined]>([
  ['good files', CERTIFICATE, POLICY, undefined],
  ['no authorities', undefined, POLICY, /ENOENT.*authorities\.pem/],
  ['authorities in no PEM', 'none', POLICY, /authorities\.pem: .*"none"/],
  ['an empty file', '', POLICY, /authorities\.pem: .*certificate/],
  ['a policy that is none', CERTIFICATE, '{}', /policy\.json: .*version/],
  ['a policy in no JSON', CERTIFICATE, 'allow', /policy\.json: .*not JSON/],
])(
  '%s',
  async (name, authorities, policy, fault) => {
    const home = join(folder, name.replaceAll(' ', '-'));
    const key_vault = {
      ...{ vault_url: 'https://a.vault.azure.net', key_name: 'b' },
      ...{ attestation_service: 'https://a.example', authorities_file: 'authorities.pem' },
      release_policy_file: 'policy.json',
    };
    const { path } = await firstNodeFiles(home, {
      attestation: { platform: 'snp-configfs' },
      sealing: { kind: 'key-vault', key_vault },
    });
    if (authorities !== undefined) writeFileSync(join(home, 'authorities.pem'), authorities);
    writeFileSync(join(home, 'policy.json'), policy);
    const { code, stdout, stderr } = await runProgram([
      ...['node', 'start', '--config', path, '--check', '--json'],
    ]);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual(
      fault === undefined
        ? { ok: true }
        : { ok: false, faults: [expect.stringMatching(fault)] },
    );
    expect(code).toBe(fault === undefined ? 0 : 1);
  },
  30_000,
);

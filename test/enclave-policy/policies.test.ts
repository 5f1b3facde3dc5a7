// The policies of a release: what lies in the repository is what its input makes, one change of the
// input changes all of them together, and together they admit that release and no other.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { judgeEvidence } from '../../src/attestation/judge.ts';
import { type PolicyFile, readPolicyFile } from '../../src/attestation/policy-file.ts';
import { foretellRelease, readReleasePolicy } from '../../src/attestation/release-policy.ts';
import type { Verdict } from '../../src/attestation/verdict.ts';
import { toUtf8 } from '../../src/base/portable-bytes.ts';
import { readReleaseInput } from '../../src/cli/policy/release-input.ts';
import {
  type ReleasePolicies,
  releasePolicies,
} from '../../src/cli/policy/release-policies.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { DEFAULT_CONSTITUTION } from '../../src/governance/constitution/default-constitution.ts';
import { joinPolicy } from '../../src/governance/join-policy.ts';
import { ConstitutionKit, type KitAction } from '../../src/node/scripts/constitution-kit.ts';
import { containerClaims, type Json } from '../attestation/azure/maa-signer.ts';
import { AT_MS } from '../attestation/fake-certificates.ts';
import {
  fakePki,
  MEASUREMENT,
  type ReportFields,
  signedReport,
  snpEvidence,
  TCBS,
} from '../attestation/fake-pki.ts';
import { uvmAuthorities, uvmEndorsement } from '../attestation/fake-uvm.ts';
import { scratchFolder } from '../cli/verify/verifying.ts';
import { SmallService } from '../governance/small-service.ts';
import { runProgram } from '../support/program.ts';
import { permits, readServicePolicy } from './service-policy.ts';

const FOLDER = resolve(import.meta.dirname, '../../enclave-policy');
const TEXT = readFileSync(resolve(FOLDER, 'release.json'), 'utf8');
const { file, path } = scratchFolder();

type Change = (release: Record<string, unknown>, node: Record<string, unknown>) => void;

/** The input of the repository with a change; the first container is the node. */
function inputWith(change: Change = () => undefined): string {
  const release = JSON.parse(TEXT) as { containers: Record<string, unknown>[] };
  change(release, release.containers[0] ?? {});
  return JSON.stringify(release);
}

async function made(change?: Change): Promise<ReleasePolicies> {
  return await releasePolicies(readReleaseInput(inputWith(change)));
}

/** As it will be once an image is published, endorsed by a Microsoft of our own. */
const LAYERS = ['11'.repeat(32), '22'.repeat(32)];
const published: Change = (release, node) => {
  node.layers = LAYERS;
  const { did: issuer } = uvmAuthorities();
  release.utilityVm = { issuer, feed: 'ContainerPlat-AMD-UVM', svnMin: 101 };
};

test('what lies in the repository is what its input makes', async () => {
  const { files } = await releasePolicies(readReleaseInput(TEXT));
  for (const [name, content] of Object.entries(files)) {
    expect(readFileSync(resolve(FOLDER, name), 'utf8'), name).toBe(content);
  }
  const known = [...Object.keys(files), 'README.md', 'release.json', '.gitattributes'];
  expect(readdirSync(FOLDER).sort()).toEqual(known.sort());
  const { code, stdout } = await runProgram([
    ...['policy', 'generate', '--check', '--input', 'enclave-policy/release.json'],
  ]);
  expect([code, stdout]).toEqual([0, expect.stringContaining('in step')]);
});

test('each file is explained, and so is each entry of the input', () => {
  const readme = readFileSync(resolve(FOLDER, 'README.md'), 'utf8');
  for (const name of readdirSync(FOLDER)) {
    if (/^(README|\.git)/.test(name)) continue;
    expect(readme).toContain(`| \`${name}\``);
  }
  const { containers, ...rest } = JSON.parse(TEXT) as {
    containers: readonly object[];
  } & Record<string, unknown>;
  const told = ['version', 'name', 'release', 'utilityVm'];
  const entries = [...Object.keys(rest), ...Object.keys(containers[0] ?? {})];
  for (const entry of entries.filter((each) => !told.includes(each))) {
    expect(readme).toMatch(new RegExp(`\\b${entry}\`|\`${entry}\``));
  }
});

test('the command writes them, says what is stale, and what it cannot use', async () => {
  const input = file('release.json', TEXT);
  const generate = ['policy', 'generate', '--input', input];
  expect((await runProgram(generate)).stdout).toMatch(/written +.*container-policy\.rego/);
  expect((await runProgram([...generate, '--check'])).code).toBe(0);
  file('maa-policy.txt', 'version= 1.0;authorizationrules{=> permit();};issuancerules{};');
  const stale = await runProgram([...generate, '--check']);
  expect(stale).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/STALE +.*maa-policy/),
  });
  expect(readFileSync(path('maa-policy.txt'), 'utf8')).toContain('=> permit();};issuance');
  file(
    'release.json',
    inputWith((release) => Object.assign(release, { layres: [] })),
  );
  const wrong = await runProgram([...generate, '--check']);
  expect(wrong).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('"layres" is not kn'),
  });
  expect((await runProgram(['policy', 'make'])).code).toBe(2);
});

test.each<readonly [string, Change, RegExp]>([
  [
    'no container',
    (release) => {
      release.containers = [];
    },
    /containers: it names none/,
  ],
  [
    'no issuer',
    (release) => {
      release.attestationServices = [];
    },
    /Services: it names none/,
  ],
  [
    'no processor',
    (release) => {
      release.tcbMin = {};
    },
    /no node can join/,
  ],
  [
    'a processor of none',
    (release) => {
      release.tcbMin = { '00000000': 'db18000000000004' };
    },
    /no processor of Milan, Genoa or Turin/,
  ],
  [
    'a layer that is none',
    (_release, node) => {
      node.layers = ['sha256:11'];
    },
    /layers\[0\]/,
  ],
  [
    'a power that is none',
    (_release, node) => {
      node.capabilities = ['ALL'];
    },
    /capabilit/,
  ],
  [
    'a variable without a name',
    (_release, node) => {
      node.environment = [{ pattern: '.+', strategy: 're2', required: false }];
    },
    /environment\[0\]\.pattern/,
  ],
])('an input is refused that has %s', (_what, change, message) => {
  expect(() => readReleaseInput(inputWith(change))).toThrow(message);
});

describe('the container policy', () => {
  test('is measured byte by byte, as it lies in its file', async () => {
    const { hostData, files } = await made(published);
    const rego = file('policy.rego', files['container-policy.rego'] ?? '');
    expect(createHash('sha256').update(readFileSync(rego)).digest('hex')).toBe(hostData);
  });

  test('lets the node and the pause container start, and nothing else', async () => {
    const { files } = await made(published);
    const containers = listIn(files['container-policy.rego'], 'containers');
    expect(containers.map((one) => [one.name, one.layers])).toEqual([
      ['node', LAYERS],
      ['pause-container', [expect.stringMatching(/^[0-9a-f]{64}$/)]],
    ]);
    expect(containers[0]).toMatchObject({
      allow_elevated: false,
      exec_processes: [],
      no_new_privileges: true,
      capabilities: { bounding: [], effective: [], permitted: [] },
    });
    const rego = files['container-policy.rego'] ?? '';
    expect(rego).toContain('allow_dump_stacks := false');
    expect(rego).toContain('allow_unencrypted_scratch := false');
    expect(rego).not.toContain('"allowed": true');
  });

  test('of a draft lets no node start, and says so', async () => {
    const { draft, files } = await made();
    expect(draft).toBe(true);
    const containers = listIn(files['container-policy.rego'], 'containers');
    expect(containers.map(({ name }) => name)).toEqual(['pause-container']);
    expect((await made(published)).draft).toBe(false);
  });
});

describe('one change of the input changes all of them together', () => {
  test.each<readonly [string, Change]>([
    [
      'a layer',
      (_release, node) => {
        node.layers = ['33'.repeat(32)];
      },
    ],
    [
      'the command',
      (_release, node) => {
        node.command = ['/bin/sh'];
      },
    ],
    [
      'a mount',
      (_release, node) => {
        node.mounts = [];
      },
    ],
    [
      'a variable',
      (_release, node) => {
        node.environment = [];
      },
    ],
    [
      'a signal',
      (_release, node) => {
        node.signals = [9];
      },
    ],
  ])('%s', async (_what, change) => {
    const before = await made(published);
    const after = await made((release, node) => {
      published(release, node);
      change(release, node);
    });
    expect(after.hostData).not.toBe(before.hostData);
    for (const [name, content] of Object.entries(after.files)) {
      expect(content, name).not.toBe(before.files[name]);
      expect(content, name).not.toContain(before.hostData);
      if (name !== 'container-policy.rego') expect(content, name).toContain(after.hostData);
    }
  });

  test('and an issuer changes whose tokens count, for keys and for clients', async () => {
    const issuer = 'https://ours.weu.attest.azure.net';
    const { files } = await made((release) => {
      release.attestationServices = [issuer];
      release.ownAttestationPolicy = true;
    });
    const { anyOf } = readReleasePolicy(files['key-release-policy.json'] ?? '');
    expect(anyOf.map(({ authority }) => authority)).toEqual([issuer]);
    const { maaPolicyHash } = JSON.parse(files['digests.json'] ?? '') as Json;
    expect(clientPolicy({ files }).tokens).toMatchObject({
      issuers: [issuer],
      policyHashes: [maaPolicyHash],
    });
  });
});

describe('tokens and keys go to this release alone', () => {
  const other: Json = { 'x-ms-sevsnpvm-hostdata': '00'.repeat(32) };
  test.each<readonly [string, boolean, Json]>([
    ['the release itself', true, {}],
    ['another container', false, other],
    ['one that may be debugged', false, { 'x-ms-sevsnpvm-is-debuggable': true }],
    ['one that may be moved', false, { 'x-ms-sevsnpvm-migration-allowed': true }],
    ['a lesser privilege level', false, { 'x-ms-sevsnpvm-vmpl': 1 }],
    ['a utility VM nobody endorses', false, { 'x-ms-compliance-status': undefined }],
    ['another kind of guest', false, { 'x-ms-attestation-type': 'sgx' }],
  ])('%s: %s', async (_what, expected, change) => {
    const { hostData, files } = await made(published);
    const iss = 'https://sharedweu.weu.attest.azure.net';
    const claims = containerClaims({ iss, 'x-ms-sevsnpvm-hostdata': hostData, ...change });
    expect(permits(files['maa-policy.txt'] ?? '', claims)).toBe(expected);
    const policy = readReleasePolicy(files['key-release-policy.json'] ?? '');
    expect(foretellRelease(policy, claims).released).toBe(expected);
    const elsewhere = { ...claims, iss: 'https://evil.attest.azure.net' };
    expect(foretellRelease(policy, elsewhere).released).toBe(false);
  });

  test('planted: what the evaluator does not know it does not permit', () => {
    expect(() => readServicePolicy('version= 1.0;authorizationrules{ => deny(); };')).toThrow();
    const open =
      'version= 1.0;\nauthorizationrules\n{\n => permit();\n};\nissuancerules\n{\n};\n';
    expect(() => readServicePolicy(open)).toThrow(/not a condition/);
  });
});

describe('members and clients judge alike', () => {
  const KEY = toUtf8('the public key of a joiner');

  /** A machine of this release, or one that differs. */
  function evidence(hostData: string, fields: ReportFields = {}, svn = '101') {
    const reportData = new Uint8Array(64);
    reportData.set(sha256(KEY));
    const chip = fakePki('Milan').chip(fields.tcb === undefined ? {} : { tcb: fields.tcb });
    const own = { reportData, hostData: Buffer.from(hostData, 'hex') };
    const report = signedReport(chip, { ...own, ...fields });
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, svn });
    return snpEvidence(report, chip.chain, { uvm });
  }

  /** By the ledger's rows, once the proposal was applied by the default constitution. */
  async function byMembers(
    policies: ReleasePolicies,
    shown: ReturnType<typeof evidence>,
  ): Promise<Verdict> {
    const kit = new ConstitutionKit({ constitution: DEFAULT_CONSTITUTION });
    const text = policies.files['join-proposal.json'] ?? '';
    const { actions } = JSON.parse(text) as { actions: readonly KitAction[] };
    expect(await kit.whyInvalid(...actions)).toBeUndefined();
    const { writes } = await kit.apply(...actions);
    const service = new SmallService();
    service.run((tx) => {
      for (const { table, key, value } of writes) {
        if (value !== undefined) tx.table(table).put(key, value);
      }
    });
    return await judged(shown, joinPolicy(service.store.current, KEY));
  }

  async function byClients(
    policies: ReleasePolicies,
    shown: ReturnType<typeof evidence>,
  ): Promise<Verdict> {
    const { platforms } = clientPolicy(policies);
    return await judged(shown, { platforms, binding: sha256(KEY) });
  }

  async function judged(
    shown: ReturnType<typeof evidence>,
    policy: Parameters<typeof judgeEvidence>[1],
  ): Promise<Verdict> {
    const { roots } = fakePki('Milan');
    return await judgeEvidence(shown, policy, { verifier: nodeVerifier, roots }, AT_MS);
  }

  test.each<readonly [string, string | undefined, ReportFields, string]>([
    ['this release', undefined, {}, '101'],
    ['another container', 'HostDataNotAccepted', { hostData: new Uint8Array(32) }, '101'],
    ['an old utility VM', 'UvmVersionLow', {}, '100'],
    [
      'another utility VM',
      'UvmMeasurementMismatch',
      { measurement: new Uint8Array(48) },
      '101',
    ],
    ['old firmware', 'TcbBelowMinimum', { tcb: { ...TCBS.Milan, microcode: 200 } }, '101'],
    ['another key', 'ReportDataMismatch', { reportData: new Uint8Array(64) }, '101'],
  ])('%s: %s', async (_what, code, fields, svn) => {
    const policies = await made(published);
    const shown = evidence(policies.hostData, fields, svn);
    for (const judge of [byMembers, byClients]) {
      const { accepted, refusal } = await judge(policies, shown);
      expect([accepted, refusal?.code], judge.name).toEqual([code === undefined, code]);
    }
  });
});

function clientPolicy({ files }: Pick<ReleasePolicies, 'files'>): PolicyFile {
  return readPolicyFile(files['client-policy.json'] ?? '');
}

/** A list of the policy: JSON up to the line that ends it. */
function listIn(rego: string | undefined, name: string): readonly Json[] {
  const found = new RegExp(`^${name} := (\\[[\\s\\S]*?^\\])$`, 'm').exec(rego ?? '')?.[1];
  return JSON.parse(found ?? '') as readonly Json[];
}

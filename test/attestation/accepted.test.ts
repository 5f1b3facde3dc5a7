// What is good is accepted: every product, version and kind of key, with and without endorsements
// of the utility VM; and what a policy leaves open is said to be open.

import { describe, expect, test } from 'vitest';
import { AMD_ROOTS, amdChainPem } from '../../src/attestation/amd-roots.ts';
import { judgeEvidence } from '../../src/attestation/judge.ts';
import { SNP_SHARED_POLICY } from '../../src/attestation/snp-verdict.ts';
import { virtualEvidence } from '../../src/attestation/sources/virtual-evidence.ts';
import { VIRTUAL_HOST_DATA, VIRTUAL_MEASUREMENT } from '../../src/attestation/virtual.ts';
import { toHex, toUtf8 } from '../../src/base/portable-bytes.ts';
import { sha256, sha256Text } from '../../src/crypto/hash.ts';
import { certificatesOfPem } from '../../src/crypto/pem-certificates.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { webVerifier } from '../../src/crypto/verifier-web.ts';
import { AT_MS } from './fake-certificates.ts';
import {
  fakePki,
  MEASUREMENT,
  REPORT_DATA,
  sha256Hex,
  signedReport,
  snpEvidence,
  TCBS,
} from './fake-pki.ts';
import { didOf, UVM_EKU, UVM_FEED, uvmAuthorities, uvmEndorsement } from './fake-uvm.ts';
import { CAREFUL, type Judging, judged, refusals } from './judged.ts';
import { CHIP, MILAN, reported } from './refusal-case.ts';
import { accepting } from './uvm-refusals.ts';

const PRODUCTS = ['Milan', 'Genoa', 'Turin'] as const;
const KINDS = ['VCEK', 'VLEK'] as const;

describe.each(PRODUCTS)('%s', (product) => {
  describe.each(KINDS)('%s', (kind) => {
    test.each([3, 5])('a report of version %i, as careful as can be', async (version) => {
      const pki = fakePki(product);
      const chip = pki.chip({ kind });
      const evidence = snpEvidence(signedReport(chip, { version }), chip.chain);
      const policy = { ...CAREFUL, signingKeys: [kind], revocation: 'required' } as const;
      const verdict = await judged(evidence, { policy, crls: [pki.crl()] });
      expect(refusals(verdict)).toEqual([]);
      expect(verdict.accepted).toBe(true);
      expect(verdict.claims).toMatchObject({
        platform: 'snp',
        measurement: toHex(MEASUREMENT),
        reportData: REPORT_DATA,
        details: { product, signingKey: kind },
      });
    });

    test('a report of version 2: the chain says the product', async () => {
      const chip = fakePki(product).chip({ kind });
      const evidence = snpEvidence(signedReport(chip, { version: 2 }), chip.chain);
      const verdict = await judged(evidence, { policy: SNP_SHARED_POLICY });
      expect(refusals(verdict)).toEqual([]);
      expect(verdict.claims?.details).toMatchObject({ product, reportVersion: '2' });
    });
  });
});

test('a microcode beyond 127 takes two bytes in the certificate', async () => {
  const tcb = { ...TCBS.Milan, microcode: 255 };
  const chip = MILAN.chip({ tcb });
  expect(refusals(await judged(reported({}, chip)))).toEqual([]);
});

test('Azure runs ahead of what it has committed: the current TCB is not judged', async () => {
  const currentTcb = { ...TCBS.Milan, microcode: 220 };
  expect(refusals(await judged(reported({ currentTcb })))).toEqual([]);
});

test('what can be rolled back is not judged unless the policy asks', async () => {
  const evidence = reported({ committedTcb: { ...TCBS.Milan, microcode: 1 } });
  expect(
    refusals(await judged(evidence, { policy: { ...CAREFUL, committedTcb: false } })),
  ).toEqual([]);
});

test('a level that the policy names is accepted', async () => {
  const policy = { ...CAREFUL, vmpl: [0, 1] };
  expect(refusals(await judged(reported({ vmpl: 1 }), { policy }))).toEqual([]);
});

test('what is written in capitals is the same number', async () => {
  const policy = {
    ...CAREFUL,
    measurements: CAREFUL.measurements?.map((text) => text.toUpperCase()) ?? [],
    tcbMin: { '00A00F11': TCBS.Milan },
  };
  expect(refusals(await judged(reported(), { policy }))).toEqual([]);
});

test('what was endorsed for this TCB is accepted, in either case of its digits', async () => {
  for (const text of ['db18000000000004', 'DB18000000000004']) {
    const evidence = { ...reported(), endorsed_tcb: text };
    expect(refusals(await judged(evidence))).toEqual([]);
  }
});

describe('revocation lists', () => {
  test('lists of other roots are passed over', async () => {
    const crls = [fakePki('Genoa').crl({ revoked: [MILAN.ask.serial] }), MILAN.crl()];
    expect(refusals(await judged(reported(), { crls }))).toEqual([]);
  });

  test('that another intermediate is revoked does no harm', async () => {
    const crls = [MILAN.crl({ revoked: [MILAN.asvk.serial] })];
    expect(refusals(await judged(reported(), { crls }))).toEqual([]);
    const vlek = reported({}, MILAN.chip({ kind: 'VLEK' }));
    const policy = { ...CAREFUL, signingKeys: ['VLEK'] } as const;
    expect(refusals(await judged(vlek, { crls, policy }))).toEqual(['IntermediateRevoked']);
  });

  test('an older list does not hide the current one', async () => {
    const crls = [MILAN.crl({ nextUpdateMs: AT_MS - 1000 }), MILAN.crl()];
    expect(refusals(await judged(reported(), { crls }))).toEqual([]);
  });
});

describe('endorsements of the utility VM', () => {
  const { did, chain } = uvmAuthorities();
  const [, , root = new Uint8Array(0)] = chain;
  const endorsed = (uvm: Uint8Array) => snpEvidence(signedReport(CHIP), CHIP.chain, { uvm });
  /** They stand in for the measurement. */
  const byEndorsers = (issuer: string): Judging => {
    const { policy = CAREFUL } = accepting(issuer);
    return { policy: { ...policy, measurements: [] } };
  };

  test.each([
    ['a version as text', { svn: '101' }],
    ['a version as a number', { svn: 102 }],
    ['the lowest accepted', { svn: 100 }],
    ['a transparent statement', { form: 'statement', svn: 104 }],
  ] as const)('%s', async (_how, options) => {
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, ...options });
    const verdict = await judged(endorsed(uvm), byEndorsers(did));
    expect(refusals(verdict)).toEqual([]);
    expect(verdict.accepted).toBe(true);
    const svn = String(options.svn);
    expect(verdict.claims?.details).toMatchObject({ uvmFeed: UVM_FEED, uvmSvn: svn });
  });

  test('an issuer named by the subject of its leaf, beside its usage', async () => {
    const issuer = `${didOf(root, `eku:${UVM_EKU}`)}::subject:CN:Container%50lat`;
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, issuer });
    expect(refusals(await judged(endorsed(uvm), byEndorsers(issuer)))).toEqual([]);
  });

  test.each(['sha256', 'sha384', 'sha512'])('an issuer named by %s', async (hash) => {
    const issuer = didOf(root, `eku:${UVM_EKU}`, hash);
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, issuer });
    expect(refusals(await judged(endorsed(uvm), byEndorsers(issuer)))).toEqual([]);
  });

  test('an issuer named by the intermediate', async () => {
    const issuer = didOf(chain[1] ?? root, `eku:${UVM_EKU}`);
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, issuer });
    expect(refusals(await judged(endorsed(uvm), byEndorsers(issuer)))).toEqual([]);
  });

  test('long after their certificates have expired', async () => {
    const authorities = uvmAuthorities({ leaf: { notAfterMs: Date.UTC(2025, 11, 1) } });
    const uvm = uvmEndorsement({ measurement: MEASUREMENT, authorities });
    expect(refusals(await judged(endorsed(uvm), byEndorsers(did)))).toEqual([]);
  });

  test('a policy that knows no endorsers looks at the measurement, endorsed or not', async () => {
    const uvm = uvmEndorsement({ measurement: MEASUREMENT });
    expect(refusals(await judged(endorsed(uvm)))).toEqual([]);
  });

  test('without them, a policy that knows endorsers and measurements asks the latter', async () => {
    expect(refusals(await judged(reported(), accepting(did)))).toEqual([]);
  });
});

describe('what the policy leaves open', () => {
  test('is skipped, and listed as such', async () => {
    const verdict = await judged(reported(), { whole: { platforms: { snp: {} } } });
    expect(verdict.accepted).toBe(true);
    const skipped = verdict.checks.filter(({ outcome }) => outcome === 'skipped');
    expect(skipped.map(({ name }) => name)).toEqual([
      'revocation',
      'minimum TCB',
      'committed TCB',
      'endorsed TCB',
      'UVM policy',
      'measurement',
      'host data',
      'report data',
    ]);
  });

  test('a check that could not be made is listed too, and never passed', async () => {
    const names = (await judged(reported())).checks.map(({ name }) => name);
    const broken = await judged(snpEvidence(new Uint8Array(3), 'nonsense'));
    expect(broken.checks.map(({ name }) => name)).toEqual(names);
    const passed = broken.checks.filter(({ outcome }) => outcome === 'passed');
    expect(passed.map(({ name }) => name)).toEqual(['evidence']);
  });
});

test.each([20, 65])('a binding of %i bytes is a mistake of the policy', async (bytes) => {
  const whole = { platforms: { snp: CAREFUL }, binding: new Uint8Array(bytes) };
  await expect(judged(reported(), { whole })).rejects.toMatchObject({ code: 'BadPolicy' });
});

test('a binding of 64 bytes is compared whole', async () => {
  const whole = { platforms: { snp: CAREFUL }, binding: REPORT_DATA };
  expect(refusals(await judged(reported(), { whole }))).toEqual([]);
});

describe("AMD's own roots", () => {
  test.each(PRODUCTS)(
    'those of %s are the ones that are pinned, and complete chains',
    (product) => {
      for (const kind of KINDS) {
        const [, root = new Uint8Array(0), ...more] = certificatesOfPem(
          amdChainPem(product, kind),
        );
        expect(more).toEqual([]);
        expect([sha256Hex(root)]).toEqual(AMD_ROOTS[product]);
      }
    },
  );
});

describe('virtual evidence', () => {
  const key = toUtf8('some public key');
  const evidence = virtualEvidence(key, VIRTUAL_HOST_DATA);
  const virtual = { measurements: [VIRTUAL_MEASUREMENT], hostData: [VIRTUAL_HOST_DATA] };
  const judge = (policy: Parameters<typeof judgeEvidence>[1]) =>
    judgeEvidence(evidence, policy, { verifier: nodeVerifier }, AT_MS);

  test('is accepted where the policy names it, and says INSECURE', async () => {
    const verdict = await judge({ platforms: { virtual }, binding: sha256(key) });
    expect(verdict).toMatchObject({ accepted: true, claims: { platform: 'virtual' } });
    expect(JSON.stringify(verdict.checks)).toContain('INSECURE');
  });

  test.each([
    ['PlatformNotAccepted', { platforms: { snp: CAREFUL } }],
    ['MeasurementNotAccepted', { platforms: { virtual: { ...virtual, measurements: [] } } }],
    ['HostDataNotAccepted', { platforms: { virtual: { ...virtual, hostData: ['00'] } } }],
    ['ReportDataMismatch', { platforms: { virtual }, binding: sha256Text('another') }],
  ])('%s', async (code, policy) => {
    const verdict = await judge(policy);
    expect(refusals(verdict)).toEqual([code]);
    expect(verdict.accepted).toBe(false);
  });

  test('its host data are the digest that the comment says', () => {
    expect(VIRTUAL_HOST_DATA).toBe(toHex(sha256Text('concordat virtual')));
  });
});

test('a browser accepts the same', async () => {
  for (const product of PRODUCTS) {
    const chip = fakePki(product).chip();
    const evidence = snpEvidence(signedReport(chip), chip.chain);
    const here = await judged(evidence);
    expect(await judged(evidence, { verifier: webVerifier })).toEqual(here);
    expect(here.accepted).toBe(true);
  }
});

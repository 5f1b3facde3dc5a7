// Every action of the default constitution, without a node: what it refuses, what it writes.

import { sign } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { hexOf } from '../../src/base/bytes.ts';
import {
  certificateIdOf,
  publicKeyPemOf,
  selfSignedCertificate,
} from '../../src/crypto/certificates.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { SigningKey, UnwrappingKey } from '../../src/crypto/keys.ts';
import { DEFAULT_CONSTITUTION } from '../../src/governance/constitution/default-constitution.ts';
import {
  ConstitutionKit,
  type KitAction,
  PROPOSAL_ID,
} from '../../src/node/scripts/constitution-kit.ts';
import { NOW_MS, VALIDITY } from './small-service.ts';

const GOV = 'public:ccf.gov.';
const ONE = new Uint8Array(8);
const A = 'aa'.repeat(32);
const B = 'bb'.repeat(32);
const C = 'cc'.repeat(32);
const DAY_MS = 86_400_000;

const key = SigningKey.generate('P-384');
const admin = SigningKey.generate('P-256');
const encryption = UnwrappingKey.generate().publicKeyPem;
let cert = '';
let otherCert = '';

beforeAll(async () => {
  cert = await selfSignedCertificate(key, 'CN=One', VALIDITY);
  otherCert = await selfSignedCertificate(admin, 'CN=Other', VALIDITY);
});

/** A service with three active members who hold shares, and one node. */
function kit(status = 'Open'): ConstitutionKit {
  const made = new ConstitutionKit({
    constitution: DEFAULT_CONSTITUTION,
    nowMs: NOW_MS,
    answer: ({ name, args }) =>
      name === 'getLatestLedgerSecretSeqno' ? '7' : `${name}(${args.join()})`,
  });
  for (const id of [A, B, C]) {
    made.putRow(`${GOV}members.certs`, id, Buffer.from('pem'));
    made.putRow(`${GOV}members.encryption_public_keys`, id, Buffer.from('pem'));
    made.putRow(`${GOV}members.info`, id, { status: 'Active' });
    made.putRow(`${GOV}members.acks`, id, { state_digest: '' });
  }
  made.putRow(`${GOV}service.info`, ONE, { cert, status });
  made.putRow(`${GOV}service.config`, ONE, { recovery_threshold: 2 });
  made.putRow(`${GOV}nodes.info`, A, { status: 'Trusted', certificate_signing_request: 'csr' });
  made.putRow(`${GOV}nodes.info`, B, { status: 'Pending', certificate_signing_request: 'b' });
  return made;
}

const RELEASE = {
  ...{ name: 'main', vault_url: 'https://vault.test', key_name: 'k' },
  key_version: '0'.repeat(32),
};

const act = (name: string, args: unknown = null): KitAction => ({ name, args });

describe('what is refused before anybody votes', () => {
  const policy = 'package policy';
  const digest = hexOf(sha256Text(policy));
  const endpoint = {
    ...{ js_module: 'a.js', js_function: 'f', mode: 'readwrite' },
    ...{ forwarding_required: 'always', authn_policies: [] },
  };
  const bundle = (change = {}): unknown => ({
    metadata: { endpoints: { '/a': { get: { ...endpoint, ...change } } } },
    modules: [{ name: 'a.js', module: 'export const f = 1' }],
  });
  test.each<readonly [name: string, args: unknown, why: RegExp]>([
    ['no_such_action', {}, /^no_such_action: no such action$/],
    ['set_constitution', { constitution: 1 }, /constitution must be a string/],
    ['set_constitution', { constitution: 'export const' }, /SyntaxError/],
    [
      'set_constitution',
      { constitution: 'export function validate() {}' },
      /validate .* 0 arg/,
    ],
    ['set_constitution', { constitution: 'for (;;) {}' }, /^Failed|longer than/],
    ['set_member', { cert: 'x' }, /cert must be a bundle/],
    ['set_member', { encryption_pub_key: encryption }, /cert must be/],
    ['remove_member', { member_id: 'AA'.repeat(32) }, /member_id must be 64 lowercase/],
    ['set_member_data', { member_id: A, member_data: 1 }, /member_data must be an object/],
    ['set_user', { cert: '' }, /cert must be a bundle/],
    ['remove_user', { user_id: 'x' }, /user_id/],
    ['set_user_data', { user_id: A, user_data: [] }, /user_data must be an object/],
    ['set_recovery_threshold', { recovery_threshold: 0 }, /from 1 to 254/],
    ['set_recovery_threshold', { recovery_threshold: 255 }, /from 1 to 254/],
    ['set_recovery_threshold', { threshold: 1 }, /no member "threshold"/],
    ['trigger_ledger_rekey', {}, /args must be null/],
    ['trigger_recovery_shares_refresh', { a: 1 }, /args must be null/],
    ['trigger_ledger_chunk', 1, /args must be null/],
    ['trigger_snapshot', [], /args must be null/],
    ['transition_service_to_open', {}, /next_service_identity must be/],
    ['set_service_configuration', {}, /changes nothing/],
    ['set_service_configuration', { recent_cose_proposals_window_size: 10_001 }, /1 to 10000/],
    ['set_service_configuration', { reconfiguration_type: 'Three' }, /one of/],
    ['assert_service_identity', { service_identity: 'x' }, /must be a bundle/],
    ['set_js_runtime_options', { max_heap_bytes: 1 }, /max_stack_bytes must be/],
    ['set_js_app', { bundle: bundle({ js_module: 'b.js' }) }, /no module "b.js"/],
    ['set_js_app', { bundle: bundle({ mode: 'write' }) }, /mode must be one of/],
    ['set_ca_cert_bundle', { name: 'a', cert_bundle: 'x' }, /cert_bundle must be/],
    ['remove_ca_cert_bundle', {}, /name must be a string/],
    ['set_jwt_issuer', { issuer: 'a', auto_refresh: true }, /ca_cert_bundle_name is needed/],
    [
      'set_jwt_issuer',
      { issuer: 'http://a', auto_refresh: true, ca_cert_bundle_name: 'c' },
      /https URL/,
    ],
    ['set_jwt_issuer', { issuer: 'a', jwks: { keys: [{ kid: 'k', kty: 'oct' }] } }, /kty/],
    ['set_jwt_public_signing_keys', { issuer: 'a' }, /jwks must be an object/],
    ['remove_jwt_issuer', {}, /issuer must be/],
    ['set_recovery_release_key', { name: '' }, /name must be of 1 to 64 letters/],
    [
      'set_recovery_release_key',
      { ...RELEASE, encryption_pub_key: encryption, vault_url: 'http://vault.test' },
      /vault_url must be https/,
    ],
    [
      'set_recovery_release_key',
      { ...RELEASE, encryption_pub_key: encryption, release_policy: '[' },
      /set_recovery_release_key at position 0 failed validation: .*JSON/,
    ],
    ['remove_recovery_release_key', {}, /name must be/],
    ['add_node_code', { code_id: 'aa' }, /code_id must be 64/],
    ['add_snp_measurement', { measurement: A }, /measurement must be 96/],
    ['add_snp_host_data', { host_data: A, security_policy: policy }, /SHA-256/],
    ['add_snp_uvm_endorsement', { did: 'd', feed: 'f', svn: 'x' }, /svn must be/],
    ['remove_snp_uvm_endorsement', { did: 'd' }, /feed must be/],
    ['set_snp_minimum_tcb_version', { cpuid: '00A00F11', tcb_version: {} }, /cpuid/],
    ['set_snp_minimum_tcb_version', { cpuid: '00a00f11', tcb_version: {} }, /boot_loader/],
    [
      'set_snp_minimum_tcb_version_hex',
      { cpuid: '00a00f11', tcb_version: 'd3' },
      /16 lowercase/,
    ],
    ['add_virtual_host_data', { host_data: 'x' }, /host_data/],
    ['add_virtual_measurement', {}, /measurement must be a string/],
    ['set_node_data', { node_id: A }, /node_data must be given/],
    ['transition_node_to_trusted', { node_id: A }, /valid_from must be a string/],
    ['remove_node', { node_id: 1 }, /node_id/],
    ['set_node_certificate_validity', { node_id: A, valid_from: 1 }, /valid_from/],
    [
      'set_all_nodes_certificate_validity',
      { valid_from: 'x', validity_period_days: 0 },
      /validity_period_days/,
    ],
    ['set_service_certificate_validity', {}, /valid_from/],
    ['create_organisation', { organisation_id: 'a b' }, /organisation_id/],
    ['add_party_key', { organisation_id: 'a', party_key: 'x' }, /party_key/],
    ['add_organisation_certificate', { organisation_id: 'a', cert: '' }, /cert/],
    ['set_resident', { organisation_id: 'a', resident: {} }, /privacyGroupId/],
  ])('%s %j', async (name, args, why) => {
    const said = await kit()
      .whyInvalid(act(name, args))
      .catch((error: unknown) => String(error));
    expect(said).toMatch(why);
  });

  test('what is well formed is taken', async () => {
    const well = [
      act('set_constitution', { constitution: DEFAULT_CONSTITUTION }),
      act('set_member', { cert, encryption_pub_key: encryption, recovery_role: 'Owner' }),
      act('set_js_app', { bundle: bundle() }),
      act('add_snp_host_data', { host_data: digest, security_policy: policy }),
      act('add_snp_host_data', { host_data: A, security_policy: '' }),
      act('trigger_snapshot'),
    ];
    expect(await kit().whyInvalid(...well)).toBeUndefined();
  });

  test('an owner needs a key to be encrypted to', async () => {
    const said = await kit().whyInvalid(act('set_member', { cert, recovery_role: 'Owner' }));
    expect(said).toMatch(/needs an encryption_pub_key/);
  });

  test('each wrong step is named with its place', async () => {
    const said = await kit().whyInvalid(act('nothing', {}), act('remove_node', {}));
    expect(said).toMatch(/^nothing: no such action, remove_node at position 1 failed/);
  });
});

describe('who decides', () => {
  test.each([
    [{ [A]: true }, 'Open'],
    [{ [A]: true, [B]: false }, 'Open'],
    [{ [A]: true, [B]: true }, 'Accepted'],
    [{ [A]: false, [B]: false, [C]: false }, 'Open'],
    // Who is no member any more has no vote.
    [{ [A]: true, ['dd'.repeat(32)]: true }, 'Open'],
  ])('%j', async (votes, decision) => {
    expect(await kit().resolve(votes, act('trigger_snapshot'))).toBe(decision);
  });
});

describe('members and users', () => {
  test('a new member is accepted, and has something to acknowledge', async () => {
    const service = kit();
    service.putRow('public:ccf.internal.signatures', ONE, { root: '12'.repeat(32) });
    const id = certificateIdOf(cert);
    await service.apply(
      act('set_member', { cert, encryption_pub_key: encryption, member_data: { n: 1 } }),
    );
    expect(service.row(`${GOV}members.certs`, id)).toBe(cert);
    expect(service.row(`${GOV}members.encryption_public_keys`, id)).toBe(encryption);
    expect(service.json(`${GOV}members.info`, id)).toEqual({
      status: 'Accepted',
      member_data: { n: 1 },
    });
    expect(service.json(`${GOV}members.acks`, id)).toEqual({ state_digest: '12'.repeat(32) });
  });

  test('a removed member leaves nothing, and the ledger is rekeyed', async () => {
    const service = kit();
    const { effects } = await service.apply(act('remove_member', { member_id: C }));
    expect(effects).toEqual([{ name: 'triggerLedgerRekey', args: [] }]);
    for (const table of ['certs', 'encryption_public_keys', 'info', 'acks']) {
      expect(service.row(`${GOV}members.${table}`, C)).toBeUndefined();
    }
    await expect(service.apply(act('remove_member', { member_id: B }))).rejects.toThrow(
      /recovery threshold is 2/,
    );
    expect((await service.apply(act('remove_member', { member_id: C }))).writes).toEqual([]);
  });

  test('data of members and users', async () => {
    const service = kit();
    const id = certificateIdOf(cert);
    await service.apply(
      act('set_member_data', { member_id: A, member_data: { x: 1 } }),
      act('set_user', { cert, user_data: { admin: true } }),
    );
    expect(service.json(`${GOV}members.info`, A)).toEqual({
      status: 'Active',
      member_data: { x: 1 },
    });
    expect(service.json(`${GOV}users.info`, id)).toEqual({ user_data: { admin: true } });
    await service.apply(act('set_user_data', { user_id: id, user_data: { admin: false } }));
    expect(service.json(`${GOV}users.info`, id)).toEqual({ user_data: { admin: false } });
    await service.apply(act('remove_user', { user_id: id }));
    expect(service.row(`${GOV}users.certs`, id)).toBeUndefined();
    expect(service.row(`${GOV}users.info`, id)).toBeUndefined();
  });

  test('a key released to attested code recovers, as long as members want it', async () => {
    const service = kit();
    const table = `${GOV}concordat.recovery_release_keys`;
    const set = act('set_recovery_release_key', { ...RELEASE, encryption_pub_key: encryption });
    const done = async (action: KitAction): Promise<readonly string[]> =>
      (await service.apply(action)).effects.map(({ name }) => name);
    expect(await done(set)).toEqual(['triggerRecoverySharesRefresh']);
    const { name: _, ...row } = RELEASE;
    expect(service.json(table, 'main')).toEqual({ ...row, encryption_pub_key: encryption });
    // What another key could open before is renewed.
    expect(await done(set)).toEqual(['triggerLedgerRekey']);
    const remove = act('remove_recovery_release_key', { name: 'main' });
    expect(await done(remove)).toEqual(['triggerLedgerRekey']);
    expect(service.row(table, 'main')).toBeUndefined();
    expect(await done(remove)).toEqual([]);
  });

  test('the threshold cannot be above the holders of shares', async () => {
    const service = kit();
    await expect(
      service.apply(act('set_recovery_threshold', { recovery_threshold: 4 })),
    ).rejects.toThrow(/above the 3 members/);
    const { effects } = await service.apply(
      act('set_recovery_threshold', { recovery_threshold: 3 }),
    );
    expect(effects.map(({ name }) => name)).toEqual(['triggerRecoverySharesRefresh']);
    expect(service.json(`${GOV}service.config`, ONE)).toEqual({ recovery_threshold: 3 });
    await expect(
      kit('WaitingForRecoveryShares').apply(
        act('set_recovery_threshold', { recovery_threshold: 1 }),
      ),
    ).rejects.toThrow(/while the service waits/);
  });
});

describe('the service', () => {
  test('another constitution drops what else is open', async () => {
    const service = kit();
    service.putRow(`${GOV}proposals_info`, 'other', { state: 'Open', ballots: {} });
    service.putRow(`${GOV}proposals_info`, PROPOSAL_ID, { state: 'Accepted', ballots: {} });
    await service.apply(act('set_constitution', { constitution: DEFAULT_CONSTITUTION }));
    expect(service.json(`${GOV}proposals_info`, 'other')).toMatchObject({ state: 'Dropped' });
    expect(service.json(`${GOV}proposals_info`, PROPOSAL_ID)).toMatchObject({
      state: 'Accepted',
    });
  });

  test.each([
    ['trigger_ledger_rekey', 'triggerLedgerRekey'],
    ['trigger_recovery_shares_refresh', 'triggerRecoverySharesRefresh'],
    ['trigger_ledger_chunk', 'triggerLedgerChunk'],
    ['trigger_snapshot', 'triggerSnapshot'],
    ['refresh_js_app_bytecode_cache', 'refreshAppBytecodeCache'],
  ])('%s', async (name, effect) => {
    expect((await kit().apply(act(name))).effects).toEqual([{ name: effect, args: [] }]);
  });

  test('opening names both identities after a recovery', async () => {
    const args = { next_service_identity: cert };
    await expect(
      kit('Recovering').apply(act('transition_service_to_open', args)),
    ).rejects.toThrow(/previous_service_identity/);
    const { effects } = await kit('Recovering').apply(
      act('transition_service_to_open', { ...args, previous_service_identity: otherCert }),
    );
    expect(effects).toEqual([{ name: 'transitionServiceToOpen', args: [otherCert, cert] }]);
  });

  test('its identity can be asserted', async () => {
    await kit().apply(act('assert_service_identity', { service_identity: cert }));
    await expect(
      kit().apply(act('assert_service_identity', { service_identity: otherCert })),
    ).rejects.toThrow(/not the identity/);
  });

  test('its configuration, and the options of scripts', async () => {
    const service = kit();
    const options = {
      ...{ max_heap_bytes: 1, max_stack_bytes: 2, max_execution_time_ms: 3 },
      log_exception_details: true,
    };
    await service.apply(
      act('set_service_configuration', {
        recent_cose_proposals_window_size: 5,
        recovery_threshold: 1,
      }),
      act('set_js_runtime_options', options),
    );
    expect(service.json(`${GOV}service.config`, ONE)).toEqual({
      recent_cose_proposals_window_size: 5,
      recovery_threshold: 1,
    });
    expect(service.json(`${GOV}js_runtime_options`, ONE)).toEqual(options);
  });

  test('an application of scripts comes and goes', async () => {
    const service = kit();
    const endpoint = { js_module: 'src/a.js', js_function: 'f', mode: 'readonly' };
    const rest = { forwarding_required: 'never', authn_policies: ['no_auth'] };
    const bundle = {
      metadata: { endpoints: { '/a': { get: { ...endpoint, ...rest } } } },
      modules: [{ name: 'src/a.js', module: 'export function f() {}' }],
    };
    await service.apply(act('set_js_app', { bundle }));
    expect(service.row(`${GOV}modules`, '/src/a.js')).toBe('export function f() {}');
    expect(service.json(`${GOV}endpoints`, 'GET /a')).toEqual({
      ...endpoint,
      ...rest,
      js_module: '/src/a.js',
    });
    await service.apply(act('remove_js_app'));
    expect(service.row(`${GOV}modules`, '/src/a.js')).toBeUndefined();
    expect(service.row(`${GOV}endpoints`, 'GET /a')).toBeUndefined();
  });

  test('issuers of tokens, and whom to believe about them', async () => {
    const service = kit();
    const jwks = { keys: [{ kid: 'k', kty: 'RSA', n: 'AQAB', e: 'AQAB' }] };
    const issuer = 'https://login.example/v2.0';
    const refreshed = { issuer, auto_refresh: true, ca_cert_bundle_name: 'roots' };
    await expect(service.apply(act('set_jwt_issuer', refreshed))).rejects.toThrow(
      /no ca_cert_bundle "roots"/,
    );
    const { effects } = await service.apply(
      act('set_ca_cert_bundle', { name: 'roots', cert_bundle: cert }),
      act('set_jwt_issuer', { ...refreshed, jwks }),
    );
    const row = { auto_refresh: true, ca_cert_bundle_name: 'roots' };
    expect(service.json(`${GOV}jwt.issuers`, issuer)).toEqual(row);
    expect(effects).toEqual([{ name: 'setJwtPublicSigningKeys', args: [issuer, row, jwks] }]);
    expect(
      (await service.apply(act('remove_jwt_issuer', { issuer }))).effects.map(
        ({ name }) => name,
      ),
    ).toEqual(['removeJwtPublicSigningKeys']);
    await expect(
      service.apply(act('set_jwt_public_signing_keys', { issuer, jwks })),
    ).rejects.toThrow(/no issuer/);
    await service.apply(act('remove_ca_cert_bundle', { name: 'roots' }));
    expect(service.row(`${GOV}tls.ca_cert_bundles`, 'roots')).toBeUndefined();
  });
});

describe('nodes and code', () => {
  const measurement = 'ab'.repeat(48);
  test.each([
    ['node_code', 'nodes.code_ids', { code_id: A }, A, '"AllowedToJoin"'],
    [
      'snp_measurement',
      'nodes.snp.measurements',
      { measurement },
      measurement,
      '"AllowedToJoin"',
    ],
    [
      'virtual_measurement',
      'nodes.virtual.measurements',
      { measurement: 'v 1' },
      'v 1',
      '"AllowedToJoin"',
    ],
    ['virtual_host_data', 'nodes.virtual.host_data', { host_data: A }, A, '\0'.repeat(8)],
    [
      'azure_cvm_measurement',
      'nodes.azure_cvm.measurements',
      { measurement },
      measurement,
      '"AllowedToJoin"',
    ],
  ])('%s in and out', async (noun, table, args, row, value) => {
    const service = kit();
    service.putRow(`${GOV}proposals_info`, 'other', { state: 'Open', ballots: {} });
    await service.apply(act(`add_${noun}`, args));
    expect(service.row(GOV + table, row)).toBe(value);
    expect(service.json(`${GOV}proposals_info`, 'other')).toMatchObject({ state: 'Dropped' });
    await service.apply(act(`remove_${noun}`, args));
    expect(service.row(GOV + table, row)).toBeUndefined();
  });

  test('registers of a confidential VM', async () => {
    const service = kit();
    const table = `${GOV}nodes.azure_cvm.pcrs`;
    await service.apply(act('set_azure_cvm_pcr', { index: 11, values: [A, B] }));
    expect(service.json(table, '11')).toEqual([A, B]);
    expect(
      await service.whyInvalid(act('set_azure_cvm_pcr', { index: 24, values: [A] })),
    ).toMatch(/index must be a whole number from 0 to 23/);
    expect(
      await service.whyInvalid(act('set_azure_cvm_pcr', { index: 4, values: [] })),
    ).toMatch(/values must be a list of 1 to 64/);
    await service.apply(act('remove_azure_cvm_pcr', { index: 11 }));
    expect(service.row(table, '11')).toBeUndefined();
  });

  test('host data with its policy', async () => {
    const service = kit();
    const host_data = hexOf(sha256Text('policy'));
    await service.apply(act('add_snp_host_data', { host_data, security_policy: 'policy' }));
    expect(service.json(`${GOV}nodes.snp.host_data`, host_data)).toBe('policy');
    await service.apply(act('remove_snp_host_data', { host_data }));
    expect(service.row(`${GOV}nodes.snp.host_data`, host_data)).toBeUndefined();
  });

  test('endorsements of the firmware under a container', async () => {
    const service = kit();
    const table = `${GOV}nodes.snp.uvm_endorsements`;
    const feed = (name: string, svn: string): KitAction =>
      act('add_snp_uvm_endorsement', { did: 'did:x', feed: name, svn });
    await service.apply(feed('f', '1'), feed('g', '2'));
    expect(service.json(table, 'did:x')).toEqual({ f: { svn: '1' }, g: { svn: '2' } });
    await service.apply(act('remove_snp_uvm_endorsement', { did: 'did:x', feed: 'f' }));
    expect(service.json(table, 'did:x')).toEqual({ g: { svn: '2' } });
    await service.apply(act('remove_snp_uvm_endorsement', { did: 'did:x', feed: 'g' }));
    expect(service.row(table, 'did:x')).toBeUndefined();
  });

  test('least versions of the firmware', async () => {
    const service = kit();
    const table = `${GOV}nodes.snp.tcb_versions`;
    const tcb_version = { boot_loader: 4, tee: 0, snp: 24, microcode: 219 };
    await service.apply(
      act('set_snp_minimum_tcb_version', { cpuid: '00a00f11', tcb_version }),
      act('set_snp_minimum_tcb_version_hex', {
        cpuid: '00b00f21',
        tcb_version: '5100000004020108',
      }),
    );
    expect(service.json(table, '00a00f11')).toEqual(tcb_version);
    expect(service.json(table, '00b00f21')).toEqual({
      ...{ hexstring: '5100000004020108', microcode: 0x51 },
      ...{ snp: 4, tee: 2, boot_loader: 1, fmc: 8 },
    });
    await service.apply(act('remove_snp_minimum_tcb_version', { cpuid: '00a00f11' }));
    await expect(
      service.apply(act('remove_snp_minimum_tcb_version', { cpuid: '00a00f11' })),
    ).rejects.toThrow(/no minimum TCB version/);
  });

  test('a pending node is trusted, and retired', async () => {
    const service = kit();
    const valid_from = '261121120000Z';
    await expect(
      service.apply(
        act('transition_node_to_trusted', {
          node_id: B,
          valid_from,
          validity_period_days: 366,
        }),
      ),
    ).rejects.toThrow('Validity period 366 is not allowed: max allowed is 365');
    await service.apply(
      act('transition_node_to_trusted', { node_id: B, valid_from, validity_period_days: 9 }),
    );
    expect(service.json(`${GOV}nodes.info`, B)).toEqual({
      ...{ status: 'Trusted', certificate_signing_request: 'b', ledger_secret_seqno: 7 },
    });
    expect(service.row(`${GOV}nodes.endorsed_certificates`, B)).toBe(
      'generateEndorsedCertificate(b,261121120000Z,9)',
    );
    await service.apply(act('remove_node', { node_id: A }));
    expect(service.json(`${GOV}nodes.info`, A)).toMatchObject({ status: 'Retired' });
    await expect(service.apply(act('remove_node', { node_id: B }))).rejects.toThrow(
      /only one that is trusted/,
    );
  });

  test('a pending node is forgotten; an unknown one is nobody', async () => {
    const service = kit();
    await service.apply(act('remove_node', { node_id: B }), act('remove_node', { node_id: C }));
    expect(service.row(`${GOV}nodes.info`, B)).toBeUndefined();
  });

  test('certificates are renewed', async () => {
    const service = kit();
    const made = (name: string): string => `generateEndorsedCertificate(${name})`;
    await service.apply(act('set_node_certificate_validity', { node_id: A, valid_from: 'v' }));
    const table = `${GOV}nodes.endorsed_certificates`;
    expect(service.row(table, A)).toBe(made('csr,v,365'));
    await expect(
      service.apply(act('set_node_certificate_validity', { node_id: B, valid_from: 'v' })),
    ).rejects.toThrow(/not trusted/);
    await service.apply(
      act('set_all_nodes_certificate_validity', { valid_from: 'w', validity_period_days: 2 }),
      act('set_service_certificate_validity', { valid_from: 'w', validity_period_days: 3 }),
      act('set_node_data', { node_id: A, node_data: { zone: 1 } }),
    );
    expect(service.row(table, A)).toBe(made('csr,w,2'));
    expect(service.row(table, B)).toBeUndefined();
    expect(service.json(`${GOV}service.info`, ONE)).toMatchObject({
      cert: 'generateNetworkCertificate(w,3)',
      status: 'Open',
    });
    expect(service.json(`${GOV}nodes.info`, A)).toMatchObject({ node_data: { zone: 1 } });
  });
});

describe('organisations', () => {
  const org = 'bank-1';
  const partyKey = Buffer.alloc(32, 7).toString('base64');
  const created = (): KitAction =>
    act('create_organisation', {
      organisation_id: org,
      name: 'Bank One',
      admin_key: publicKeyPemOf(admin.publicKeyDer),
    });

  function withConsent(
    name: string,
    number: number,
    args: Readonly<Record<string, unknown>>,
    by = admin,
  ): KitAction {
    const text = JSON.stringify([
      ...['concordat.consent', certificateIdOf(cert), org, number, name],
      args,
    ]);
    const signature = sign(by.curve === 'P-256' ? 'sha256' : 'sha384', Buffer.from(text), {
      key: by.privateKeyPem(),
      dsaEncoding: 'ieee-p1363',
    }).toString('hex');
    return act(name, { organisation_id: org, ...args, consent: { signature } });
  }

  const rows = (service: ConstitutionKit): Readonly<Record<string, unknown>> =>
    Object(service.json(`${GOV}concordat.organisations`, org));

  test('a certificate, a party key and a resident come with consent only', async () => {
    const service = kit();
    const resident = {
      // As Tessera makes it, of the resident's name.
      ...{ privacyGroupId: 'UFMx', name: 'PS1', description: '', members: [partyKey] },
    };
    await service.apply(created());
    await service.apply(
      withConsent('add_organisation_certificate', 1, { cert: otherCert }),
      withConsent('add_party_key', 2, { party_key: partyKey }),
    );
    // Its members are sorted by name in what is signed.
    const { description, members, name, privacyGroupId } = resident;
    const sorted = { description, members, name, privacyGroupId };
    await service.apply(withConsent('set_resident', 3, { resident: sorted }));
    const id = certificateIdOf(otherCert);
    expect(service.row(`${GOV}users.certs`, id)).toBe(otherCert);
    expect(service.row(`${GOV}concordat.organisation_certificates`, id)).toBe(org);
    expect(service.row(`${GOV}concordat.party_keys`, partyKey)).toBe(org);
    expect(rows(service)).toMatchObject({
      ...{ name: 'Bank One', party_keys: [partyKey], residents: [resident], consents: 3 },
    });
  });

  test.each([
    [
      'with no consent',
      () => act('add_party_key', { organisation_id: org, party_key: partyKey }),
    ],
    [
      'with that of another key',
      () => withConsent('add_party_key', 1, { party_key: partyKey }, key),
    ],
    [
      'with one for something else',
      () => {
        const other = withConsent('add_party_key', 1, { party_key: partyKey });
        return {
          name: other.name,
          args: { ...Object(other.args), party_key: `A${partyKey.slice(1)}` },
        };
      },
    ],
    [
      'with one that was counted',
      () => withConsent('add_party_key', 0, { party_key: partyKey }),
    ],
  ])('not %s', async (_how, made) => {
    const service = kit();
    await service.apply(created());
    await expect(service.apply(made())).rejects.toThrow(/consent/);
    expect(rows(service)).toMatchObject({ party_keys: [], consents: 0 });
  });

  test('a consent counts once', async () => {
    const service = kit();
    const consent = withConsent('add_party_key', 1, { party_key: partyKey });
    await service.apply(created());
    await service.apply(consent);
    await service.apply(act('remove_party_key', { organisation_id: org, party_key: partyKey }));
    expect(rows(service)).toMatchObject({ party_keys: [] });
    await expect(service.apply(consent)).rejects.toThrow(/no consent/);
  });

  test('a suspended organisation is nobody until it is resumed', async () => {
    const service = kit();
    const id = certificateIdOf(otherCert);
    const one = { organisation_id: org };
    await service.apply(created());
    await service.apply(withConsent('add_organisation_certificate', 1, { cert: otherCert }));
    await service.apply(act('suspend_organisation', one));
    expect(service.row(`${GOV}concordat.organisation_certificates`, id)).toBeUndefined();
    expect(service.row(`${GOV}users.certs`, id)).toBeUndefined();
    await service.apply(act('resume_organisation', one));
    expect(service.row(`${GOV}concordat.organisation_certificates`, id)).toBe(org);
    await service.apply(
      act('remove_organisation_certificate', { ...one, certificate_id: id }),
      act('remove_organisation', one),
    );
    expect(service.row(`${GOV}concordat.organisation_certificates`, id)).toBeUndefined();
    expect(service.row(`${GOV}concordat.organisations`, org)).toBeUndefined();
  });

  test('a lost admin key is replaced after seven days that all can see', async () => {
    const service = kit();
    const one = { organisation_id: org };
    const admin_key = publicKeyPemOf(key.publicKeyDer);
    await service.apply(created());
    await service.apply(act('replace_lost_admin_key', { ...one, admin_key }));
    expect(service.json(`${GOV}concordat.pending_admin_keys`, org)).toEqual({
      admin_key,
      effective_from: new Date(NOW_MS + 7 * DAY_MS).toISOString(),
    });
    service.nowMs = NOW_MS + 7 * DAY_MS - 1;
    const complete = act('complete_lost_admin_key', one);
    await expect(service.apply(complete)).rejects.toThrow(/no sooner than/);
    service.nowMs += 1;
    await service.apply(complete);
    expect(rows(service)).toMatchObject({ admin_key });
    await expect(service.apply(complete)).rejects.toThrow(/waits to be replaced/);
  });

  test('who still has the admin key refuses its replacement', async () => {
    const service = kit();
    const one = { organisation_id: org };
    const admin_key = publicKeyPemOf(key.publicKeyDer);
    await service.apply(created());
    await service.apply(act('replace_lost_admin_key', { ...one, admin_key }));
    await service.apply(withConsent('refuse_admin_key_replacement', 1, {}));
    expect(service.row(`${GOV}concordat.pending_admin_keys`, org)).toBeUndefined();
    await service.apply(withConsent('set_organisation_admin_key', 2, { admin_key }));
    expect(rows(service)).toMatchObject({ admin_key, consents: 2 });
    await service.apply(act('replace_lost_admin_key', { ...one, admin_key }));
    await service.apply(act('cancel_lost_admin_key', one));
    await expect(service.apply(act('complete_lost_admin_key', one))).rejects.toThrow(/waits/);
    await service.apply(
      withConsent('add_party_key', 3, { party_key: partyKey }, key),
      act('remove_resident', { ...one, privacy_group_id: partyKey }),
    );
  });
});

/**
 * Compares the claims of a token of Microsoft Azure Attestation with a policy. Of a container they
 * stand at the top; of a confidential VM they stand under `x-ms-isolation-tee`, and which of both
 * is read follows from the policy, not from the token (attestation-azure.md).
 */
import {
  fromBase64Url,
  fromHex,
  sameBytes,
  toBase64,
  toHex,
  toUtf8,
} from '../base/portable-bytes.ts';
import { type RsaNumbers, rsaNumbers, sameRsaKey } from '../crypto/rsa-key.ts';
import type { CheckList, Refusal } from './check-list.ts';
import type { MaaPolicy } from './maa-policy.ts';
import type { SnpPolicy, TcbVersion } from './policy.ts';
import { shown } from './untrusted-json.ts';
import type { EvidenceClaims } from './verdict.ts';

export type JsonObject = Readonly<Record<string, unknown>>;

const SNP = 'x-ms-sevsnpvm-';
const TYPE = 'x-ms-attestation-type';

interface Read {
  readonly claims: JsonObject;
  readonly nonce: string | undefined;
}

/** Every demand of the policy, one check each. */
export function checkMaaClaims(list: CheckList, read: Read, policy: MaaPolicy): void {
  const { claims } = read;
  const isVm = policy.platform === 'azure-cvm';
  const tee = teeOf(claims, policy.platform);
  const want = (type: string): Refusal =>
    refused(
      'platform',
      'AttestationType',
      `the token is not one of ${type}: of another platform`,
    );
  if (isVm) equal(list, 'token type', claims[TYPE], ['azurevm'], want('a confidential VM'));
  equal(list, 'attestation type', tee[TYPE], ['sevsnpvm'], want('SEV-SNP'));
  unless(list, 'debugging', tee[`${SNP}is-debuggable`], {
    kind: 'platform',
    code: 'TokenDebuggable',
    message: 'the host may debug the guest, or the token does not deny it',
  });
  unless(list, 'migration', tee[`${SNP}migration-allowed`], {
    kind: 'platform',
    code: 'TokenMigration',
    message: 'the guest may be migrated, or the token does not deny it',
  });
  allowed(
    list,
    'compliance status',
    tee['x-ms-compliance-status'],
    policy.complianceStatus,
    refused('policy', 'ComplianceStatus', 'the service does not call the platform compliant'),
  );
  allowed(
    list,
    'service policy',
    claims['x-ms-policy-hash'],
    policy.policyHashes,
    refused('policy', 'MaaPolicyHash', 'the service judged by another policy of its own'),
  );
  checkReport(list, tee, policy.report);
  if (isVm) checkVm(list, claims, policy);
  else checkContainer(list, tee, policy);
  checkNonce(list, read, policy);
  checkWrappingKey(list, claims, policy.wrappingKey);
}

function checkReport(list: CheckList, tee: JsonObject, policy: SnpPolicy): void {
  if (policy.measurements === undefined && policy.uvmEndorsements !== undefined) {
    list.fail('measurement', {
      kind: 'policy',
      code: 'EndorsementsNotInToken',
      message:
        'the policy goes by UVM endorsements, which a token does not carry: list measurements, ' +
        'or judge the report itself',
    });
  } else {
    allowed(
      list,
      'measurement',
      tee[`${SNP}launchmeasurement`],
      policy.measurements,
      refused('policy', 'TokenMeasurement', 'the launch measurement is none that is allowed'),
    );
  }
  const vmpl = tee[`${SNP}vmpl`];
  list.expect(
    'privilege level',
    (policy.vmpl ?? [0]).some((level) => level === vmpl),
    'the privilege level is allowed',
    refused('policy', 'TokenVmpl', 'the report was made at another privilege level'),
    { vmpl: shown(vmpl) },
  );
  checkTcb(list, tee, policy);
  for (const [name, isAsked] of [
    ['format of the report', policy.reportVersionMin !== undefined],
    ['signing key', policy.signingKeys !== undefined],
    ['revocation', policy.revocation !== undefined],
  ] as const) {
    if (isAsked) list.skip(name, 'a token does not say; the service judged the report');
  }
}

/** A token names no CPU, so it must reach what the policy asks of each CPU that it lists. */
function checkTcb(list: CheckList, tee: JsonObject, policy: SnpPolicy): void {
  if (policy.committedTcb === true) {
    list.fail('committed TCB', {
      kind: 'platform',
      code: 'CommittedTcbNotInToken',
      message: 'the policy asks for the committed TCB, which a token does not carry',
    });
  }
  const minima = Object.entries(policy.tcbMin ?? {});
  if (policy.tcbMin === undefined) list.skip('TCB', 'the policy asks nothing of the TCB');
  const parts: Readonly<Record<keyof TcbVersion, unknown>> = {
    bootLoader: tee[`${SNP}bootloader-svn`],
    tee: tee[`${SNP}tee-svn`],
    snp: tee[`${SNP}snpfw-svn`],
    microcode: tee[`${SNP}microcode-svn`],
    fmc: undefined,
  };
  const found = JSON.stringify(parts);
  if (policy.tcbMin !== undefined && minima.length === 0) {
    list.fail('TCB', refused('platform', 'TokenTcb', 'the policy allows no CPU'), { found });
  }
  for (const [cpu, least] of minima) {
    const missed = Object.entries(least).filter(([name, minimum]) => {
      const value = Object.entries(parts).find(([part]) => part === name)?.[1];
      return typeof value !== 'number' || value < minimum;
    });
    const names = missed.map(([name]) => name).join(', ');
    list.expect(
      `TCB as of CPU ${cpu}`,
      missed.length === 0,
      'the TCB reaches the minimum',
      refused('platform', 'TokenTcb', `below the minimum, or not in the token: ${names}`),
      { found, least: JSON.stringify(least) },
    );
  }
}

function checkContainer(
  list: CheckList,
  tee: JsonObject,
  policy: MaaPolicy & { readonly platform: 'snp' },
): void {
  allowed(
    list,
    'host data',
    tee[`${SNP}hostdata`],
    policy.report.hostData,
    refused('policy', 'TokenHostData', 'the container policy is none that is allowed'),
  );
  const { binding } = policy;
  if (binding === undefined) {
    list.skip('report data', 'nothing was named that the report must be bound to');
    return;
  }
  const data = hexClaim(tee, 'reportdata');
  list.expect(
    'report data',
    data !== undefined &&
      binding.length >= 32 &&
      sameBytes(data.slice(0, binding.length), binding),
    'the report is bound to the runtime data that were sent',
    refused('binding', 'TokenReportData', 'the report is about other runtime data'),
    { found: shown(tee[`${SNP}reportdata`]), expected: toHex(binding) },
  );
}

function checkVm(
  list: CheckList,
  claims: JsonObject,
  policy: MaaPolicy & { readonly platform: 'azure-cvm' },
): void {
  const { secureBoot, attestedPcrs } = policy;
  if (secureBoot === undefined) list.skip('secure boot', 'the policy asks nothing of it');
  else {
    list.expect(
      'secure boot',
      claims.secureboot === secureBoot,
      'secure boot is as the policy asks',
      refused('policy', 'TokenSecureBoot', `secure boot is not ${secureBoot ? 'on' : 'off'}`),
      { found: shown(claims.secureboot) },
    );
  }
  const attested: unknown = claims['x-ms-azurevm-attested-pcrs'];
  const known: readonly unknown[] = Array.isArray(attested) ? attested : [];
  if (attestedPcrs === undefined) list.skip('registers', 'the policy asks for no registers');
  else {
    list.expect(
      'registers',
      attestedPcrs.every((index) => known.includes(index)),
      'the service looked at the registers that the policy asks for',
      refused('policy', 'TokenPcrs', 'the service did not look at each register asked for'),
      { found: known.map(shown).join(' '), asked: attestedPcrs.join(' ') },
    );
  }
}

/** Of a VM the nonce comes back in base64, inside what the guest's client had sent. */
function checkNonce(list: CheckList, { claims, nonce }: Read, policy: MaaPolicy): void {
  if (policy.nonce === undefined) {
    list.skip('nonce', 'no nonce was asked for: the token may be an old one');
    return;
  }
  const isVm = policy.platform === 'azure-cvm';
  const payload = objectOf(objectOf(claims['x-ms-runtime'])['client-payload']);
  const found = isVm ? payload.nonce : nonce;
  const expected = isVm ? toBase64(toUtf8(policy.nonce)) : policy.nonce;
  list.expect(
    'nonce',
    found === expected,
    'the token repeats the nonce',
    refused('binding', 'TokenNonce', 'the token repeats another nonce: it is an old one'),
    { found: shown(found), expected },
  );
}

function checkWrappingKey(
  list: CheckList,
  claims: JsonObject,
  expected: Uint8Array | undefined,
): void {
  if (expected === undefined) {
    list.skip('wrapping key', 'no key was named that the token must carry');
    return;
  }
  const found = maaWrappingKey(claims);
  list.expect(
    'wrapping key',
    found !== undefined && sameRsaKey(found, rsaNumbers(expected)),
    'others will encrypt to the key that was named',
    refused('binding', 'TokenWrappingKey', 'others would encrypt to another key'),
    { modulus: found === undefined ? '' : toHex(found.modulus) },
  );
}

/**
 * The key that Key Vault wraps to: the first RSA key of the runtime data that is for encryption
 * (key-release.md). A later one that happens to be ours helps nobody.
 */
export function maaWrappingKey(claims: JsonObject): RsaNumbers | undefined {
  const { keys } = objectOf(claims['x-ms-runtime']);
  const list: readonly unknown[] = Array.isArray(keys) ? keys : [];
  for (const key of list.map(objectOf)) {
    const operations: unknown = key.key_ops;
    const isForEncryption =
      key.key_use === 'enc' || (Array.isArray(operations) && operations.includes('encrypt'));
    if (key.kty !== 'RSA' || !isForEncryption) continue;
    const modulus = typeof key.n === 'string' ? fromBase64Url(key.n) : undefined;
    const exponent = typeof key.e === 'string' ? fromBase64Url(key.e) : undefined;
    return modulus === undefined || exponent === undefined ? undefined : { modulus, exponent };
  }
  return undefined;
}

/** What a token says, for a verdict to show. */
export function maaClaims(
  claims: JsonObject,
  platform: MaaPolicy['platform'],
): EvidenceClaims | undefined {
  const tee = teeOf(claims, platform);
  const measurement = tee[`${SNP}launchmeasurement`];
  const hostData = tee[`${SNP}hostdata`];
  const reportData = hexClaim(tee, 'reportdata');
  if (typeof measurement !== 'string' || typeof hostData !== 'string') return undefined;
  if (reportData === undefined) return undefined;
  const details: Record<string, string> = {};
  for (const [name, value] of [...Object.entries(claims), ...Object.entries(tee)]) {
    if (typeof value !== 'object') details[name] = shown(value);
  }
  return { platform, measurement, hostData, reportData, details };
}

function teeOf(claims: JsonObject, platform: MaaPolicy['platform']): JsonObject {
  return platform === 'azure-cvm' ? objectOf(claims['x-ms-isolation-tee']) : claims;
}

function hexClaim(tee: JsonObject, name: string): Uint8Array | undefined {
  const text = tee[`${SNP}${name}`];
  return typeof text === 'string' ? fromHex(text) : undefined;
}

function objectOf(value: unknown): JsonObject {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? { ...value } : {};
}

/** A claim that must be there and be `false`: one that is missing denies nothing. */
function unless(list: CheckList, name: string, value: unknown, refusal: Refusal): void {
  const values = { found: shown(value) };
  list.expect(name, value === false, 'the token denies it', refusal, values);
}

function allowed(
  list: CheckList,
  name: string,
  value: unknown,
  accepted: readonly string[] | undefined,
  refusal: Refusal,
): void {
  if (accepted === undefined) list.skip(name, 'the policy asks nothing of it');
  else equal(list, name, value, accepted, refusal);
}

function equal(
  list: CheckList,
  name: string,
  value: unknown,
  accepted: readonly string[],
  refusal: Refusal,
): void {
  const holds = typeof value === 'string' && accepted.includes(value);
  const values = { found: shown(value), allowed: accepted.join(' ') };
  list.expect(name, holds, 'it is one that is allowed', refusal, values);
}

function refused(kind: Refusal['kind'], code: string, message: string): Refusal {
  return { kind, code, message };
}

/**
 * Release policies of Azure Key Vault, grammar 1.0.0 (key-release.md): read strictly, written
 * flat, and evaluated as the service does, so that an outcome can be foretold.
 */
import { CodedError } from '../base/errors.ts';
import { parseJson } from './untrusted-json.ts';

export type ClaimValue = string | number | boolean;

export type ReleaseCondition =
  | { readonly claim: string; readonly equals: ClaimValue }
  | ReleaseConditions;

export type ReleaseConditions =
  | { readonly allOf: readonly ReleaseCondition[] }
  | { readonly anyOf: readonly ReleaseCondition[] };

/** Conditions on tokens of one issuer. */
export type ReleaseAuthority = { readonly authority: string } & ReleaseConditions;

export interface ReleasePolicy {
  readonly version: '1.0.0';
  readonly anyOf: readonly ReleaseAuthority[];
}

export const RELEASE_POLICY_TYPE = 'application/json; charset=utf-8';

const POLICY_CHARS_MAX = 65_536;
/** Deeper than anybody writes, and far from exhausting a stack. */
const DEPTH_MAX = 16;

/** Reads a policy; throws `BadReleasePolicy`, which names the place. */
export function readReleasePolicy(text: string): ReleasePolicy {
  if (text.length > POLICY_CHARS_MAX) throw bad('', `it has ${text.length} characters`);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw bad('', 'it is not JSON', cause);
  }
  const policy = objectAt('', value, ['version', 'anyOf']);
  if (policy.version !== '1.0.0') {
    throw bad('version', `${JSON.stringify(policy.version)} is not "1.0.0"`);
  }
  const anyOf = listAt('anyOf', policy.anyOf).map((entry, index) =>
    authorityAt(`anyOf[${index}]`, entry),
  );
  return { version: '1.0.0', anyOf };
}

function authorityAt(place: string, value: unknown): ReleaseAuthority {
  const entry = objectAt(place, value, ['authority', 'allOf', 'anyOf']);
  const { authority } = entry;
  // Compared with a token's issuer letter by letter: a slash at the end would never match.
  if (typeof authority !== 'string' || !/^https:\/\/[^/\s]+$/.test(authority)) {
    throw bad(`${place}.authority`, `${JSON.stringify(authority)} is not https:// and a host`);
  }
  return { authority, ...conditionsAt(place, entry, 1) };
}

function conditionsAt(place: string, entry: Members, depth: number): ReleaseConditions {
  if (depth > DEPTH_MAX) throw bad(place, 'it is nested too deeply');
  const isAll = entry.allOf !== undefined;
  if (isAll === (entry.anyOf !== undefined)) {
    throw bad(place, 'it needs either allOf or anyOf, and not both');
  }
  const name = isAll ? 'allOf' : 'anyOf';
  const list = listAt(`${place}.${name}`, entry[name]).map((one, index) =>
    conditionAt(`${place}.${name}[${index}]`, one, depth + 1),
  );
  return isAll ? { allOf: list } : { anyOf: list };
}

function conditionAt(place: string, value: unknown, depth: number): ReleaseCondition {
  const entry = objectAt(place, value, ['claim', 'equals', 'allOf', 'anyOf']);
  const { claim, equals } = entry;
  if (claim === undefined && equals === undefined) return conditionsAt(place, entry, depth);
  if (entry.allOf !== undefined || entry.anyOf !== undefined) {
    throw bad(place, 'it compares a claim and combines others at once');
  }
  if (typeof claim !== 'string' || claim === '' || claim.split('.').includes('')) {
    throw bad(`${place}.claim`, `${JSON.stringify(claim)} is not the name of a claim`);
  }
  const isValue =
    typeof equals === 'string' || typeof equals === 'boolean' || typeof equals === 'number';
  if (!isValue) throw bad(`${place}.equals`, 'it is not a text, a number, true or false');
  return { claim, equals };
}

/** The text of a policy: the same for the same policy. */
export function releasePolicyText(policy: ReleasePolicy): string {
  return JSON.stringify(policy);
}

/** What a release is made to depend on; several values of one kind are alternatives. */
export interface ReleaseDemands {
  readonly platform: 'snp' | 'azure-cvm';
  /** Issuers of attestation tokens, exactly as tokens name them. */
  readonly issuers: readonly string[];
  /** SHA-256 of container policies in hexadecimal; of containers only, and needed there. */
  readonly hostData?: readonly string[];
  /** Launch digests in hexadecimal. */
  readonly measurements?: readonly string[];
  /** Further claims that must be so, by their names in the token. */
  readonly claims?: Readonly<Record<string, ClaimValue>>;
}

/** The policy that releases to what is demanded, as one flat list of conditions for each choice. */
export function releasePolicyFor(demands: ReleaseDemands): ReleasePolicy {
  const { platform, issuers, claims = {} } = demands;
  const isVm = platform === 'azure-cvm';
  if (issuers.length === 0) throw bad('issuers', 'without an issuer nothing is ever released');
  if (isVm && demands.hostData !== undefined) {
    throw bad('hostData', 'a confidential VM has none: demand claims of its vTPM instead');
  }
  if (!isVm && (demands.hostData ?? []).length === 0) {
    throw bad('hostData', 'without a container policy, any container would be given the key');
  }
  const at = isVm ? 'x-ms-isolation-tee.' : '';
  const equal = (claim: string, equals: ClaimValue): ReleaseCondition => ({ claim, equals });
  const shared = [
    ...(isVm ? [equal('x-ms-attestation-type', 'azurevm')] : []),
    equal(`${at}x-ms-attestation-type`, 'sevsnpvm'),
    equal(`${at}x-ms-compliance-status`, isVm ? 'azure-compliant-cvm' : 'azure-compliant-uvm'),
    equal(`${at}x-ms-sevsnpvm-is-debuggable`, false),
    ...Object.entries(claims).map(([claim, value]) => equal(claim, value)),
  ];
  const choices = (name: string, digits: number, values: readonly string[] | undefined) =>
    values === undefined
      ? [[]]
      : values.map((value) => [
          equal(`${at}x-ms-sevsnpvm-${name}`, hexAt(name, digits, value)),
        ]);
  const anyOf = issuers.flatMap((authority) =>
    choices('hostdata', 64, demands.hostData).flatMap((hostData) =>
      choices('launchmeasurement', 96, demands.measurements).map((measurement) => ({
        authority,
        allOf: [...shared, ...hostData, ...measurement],
      })),
    ),
  );
  return readReleasePolicy(releasePolicyText({ version: '1.0.0', anyOf }));
}

function hexAt(name: string, digits: number, value: string): string {
  if (value.length === digits && /^[0-9a-f]*$/.test(value)) return value;
  throw bad(name, `${JSON.stringify(value)} is not ${digits} lowercase hexadecimal digits`);
}

export interface ReleaseForecast {
  readonly released: boolean;
  /** Of each authority: why its conditions are not fulfilled; empty if they are. */
  readonly authorities: readonly {
    readonly authority: string;
    readonly missing: readonly string[];
  }[];
}

/** Whether a token with these claims, its signature taken as proven, is given the key. */
export function foretellRelease(policy: ReleasePolicy, claims: Members): ReleaseForecast {
  const authorities = policy.anyOf.map((entry) => {
    const { authority } = entry;
    const missing =
      claims.iss === authority
        ? missingOf(entry, claims)
        : [`the token is of ${JSON.stringify(claims.iss)}, not of ${authority}`];
    return { authority, missing };
  });
  return { released: authorities.some(({ missing }) => missing.length === 0), authorities };
}

function missingOf(condition: ReleaseCondition, claims: Members): readonly string[] {
  if ('claim' in condition) {
    const { claim, equals } = condition;
    const found = claimAt(claims, claim);
    if (found === equals) return [];
    const is = found === undefined ? 'is missing' : `is ${JSON.stringify(found)}`;
    return [`${claim} ${is}, not ${JSON.stringify(equals)}`];
  }
  if ('allOf' in condition) return condition.allOf.flatMap((one) => missingOf(one, claims));
  const each = condition.anyOf.map((one) => missingOf(one, claims));
  return each.some((missing) => missing.length === 0) ? [] : each.flat();
}

/** Dots lead into objects; into lists nothing leads. */
function claimAt(claims: Members, path: string): unknown {
  let value: unknown = claims;
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = Object.entries(value).find(([key]) => key === name)?.[1];
  }
  return value;
}

type Members = Readonly<Record<string, unknown>>;

function objectAt(place: string, value: unknown, known: readonly string[]): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(place, 'it is not an object');
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw bad(place, `${JSON.stringify(name)} is not known; known are ${known.join(', ')}`);
    }
  }
  return { ...value };
}

function listAt(place: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value) && value.length > 0) return value;
  throw bad(place, 'it is not a list of at least one');
}

function bad(place: string, why: string, cause?: unknown): CodedError {
  const where =
    place === '' ? 'this release policy cannot be used' : `release policy, ${place}`;
  return new CodedError('BadReleasePolicy', `${where}: ${why}`, { place }, { cause });
}

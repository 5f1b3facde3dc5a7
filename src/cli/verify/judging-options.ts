/** Options that several actions of `concordat verify` share: by what policy, when, with what. */
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type PolicyFile, readPolicyFile } from '../../attestation/policy-file.ts';
import { SHARED_POLICY, type Terms, withVirtual } from '../../audit/attestation/subject.ts';
import { bytesOfHex } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { sha256 } from '../../crypto/hash.ts';
import { bytesOfPem } from '../../crypto/pem.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import type { VerifyWorld } from './world.ts';

export const JUDGING_OPTIONS = {
  policy: { type: 'string' },
  at: { type: 'string' },
  crl: { type: 'string', multiple: true },
  'allow-insecure-virtual': { type: 'boolean' },
  json: { type: 'boolean' },
  html: { type: 'string' },
  save: { type: 'string' },
} as const;

export const JUDGING_USAGE = `\
  --policy FILE               what is accepted (docs/attestation.md); without it, what every
                              policy shares is judged: origin, form, debugging and migration off
  --at TIME                   the time to judge for (ISO 8601), for archived evidence; default now
  --crl FILE                  a revocation list of AMD's (DER or PEM); may be repeated
  --allow-insecure-virtual    judge evidence of the virtual platform, which proves nothing
  --json                      print JSON
  --html FILE                 write a page for people without a technical background
  --save FILE                 write a bundle, with which \`verify bundle\` repeats the verdict`;

export interface JudgingValues {
  readonly policy?: string | undefined;
  readonly at?: string | undefined;
  readonly crl?: readonly string[] | undefined;
  readonly 'allow-insecure-virtual'?: boolean | undefined;
}

/** What to judge by, and how that is called. */
export async function termsOf(
  values: JudgingValues,
  world: VerifyWorld,
): Promise<{ readonly terms: Terms; readonly policyName: string }> {
  const policy = await policyOf(values.policy);
  const terms: Terms = {
    policy: withVirtual(policy, values['allow-insecure-virtual'] === true),
    atMs: timeOf(values.at, world),
    roots: world.roots,
    crls: await Promise.all((values.crl ?? []).map(revocationList)),
  };
  const policyName =
    values.policy === undefined
      ? 'what every policy shares, which does not ask what runs there'
      : `the policy ${basename(values.policy)}`;
  return { terms, policyName };
}

async function policyOf(path: string | undefined): Promise<PolicyFile> {
  if (path === undefined) return SHARED_POLICY;
  return readPolicyFile(new TextDecoder().decode(await fileBytes(path)));
}

function timeOf(text: string | undefined, world: VerifyWorld): number {
  if (text === undefined) return world.nowMs();
  const atMs = Date.parse(text);
  if (!Number.isNaN(atMs)) return atMs;
  throw usage(`--at takes a time like 2026-12-24T18:00:00Z, not ${text}`);
}

async function revocationList(path: string): Promise<Uint8Array> {
  const bytes = await fileBytes(path);
  if (bytes[0] !== '-'.charCodeAt(0)) return bytes;
  const der = bytesOfPem('X509 CRL', new TextDecoder().decode(bytes));
  if (der !== undefined) return der;
  throw new CodedError('Unreadable', `${path} is no revocation list in PEM`, { path });
}

/** What evidence must be bound to: bytes that are given, or the digest of a public key. */
export async function bindingOf(
  reportData: string | undefined,
  key: string | undefined,
): Promise<Uint8Array | undefined> {
  if (reportData !== undefined) {
    if (key !== undefined) throw usage('either --report-data or --key, not both');
    const bytes = bytesOfHex(reportData);
    if (bytes !== undefined && bytes.length >= 32 && bytes.length <= 64) return bytes;
    throw usage('--report-data takes 64 to 128 hexadecimal digits');
  }
  if (key === undefined) return undefined;
  const pem = new TextDecoder().decode(await fileBytes(key));
  try {
    return sha256(bytesOfPem('PUBLIC KEY', pem) ?? certificateOfPem(pem).publicKeyDer);
  } catch (cause) {
    const message = `${key} is neither a public key nor a certificate in PEM`;
    throw new CodedError('Unreadable', message, { path: key }, { cause });
  }
}

export async function fileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    const message = `${path} cannot be read: ${messageOf(cause)}`;
    throw new CodedError('Unreadable', message, { path }, { cause });
  }
}

export function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}

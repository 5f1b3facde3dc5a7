/**
 * Endorsements of the utility VM that runs containers (attestation-snp.md §5): its maker signs that
 * a launch digest is that of a version of it. Two forms are known: a JSON text as the payload, and,
 * since version 0.2.10, a transparent statement whose payload is the launch digest itself.
 */
import { CodedError, isCoded, messageOf } from '../base/errors.ts';
import { sameBytes, toHex } from '../base/portable-bytes.ts';
import {
  CLAIM_ISSUED_AT,
  CLAIM_ISSUER,
  CLAIM_SUBJECT,
  type CoseHeader,
  decodeSign1,
  HEADER_CONTENT_TYPE,
  HEADER_CRITICAL,
  HEADER_CWT_CLAIMS,
  HEADER_X5CHAIN,
  HEADER_X5T,
  innerMap,
  type Sign1,
} from '../crypto/cose.ts';
import { checkSign1 } from '../crypto/cose-signature.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { type Certificate, parseCertificate } from '../crypto/x509.ts';
import type { CheckList } from './check-list.ts';
import { chainFault, issuerFault } from './did-x509.ts';
import { type RefusalCode, refusal } from './refusals.ts';
import { isoTime } from './snp-certificates.ts';
import { parseJson } from './untrusted-json.ts';

export interface UvmEndorsement {
  readonly message: Sign1;
  /** Leaf first. */
  readonly chain: readonly Certificate[];
  /** did:x509. */
  readonly issuer: string;
  readonly feed: string;
  readonly svn: number;
  /** Lowercase hexadecimal. */
  readonly measurement: string;
  readonly signedAtMs?: number;
}

const BYTES_MAX = 131_072;
const CERTIFICATES_MAX = 8;
const TEXT_MAX = 1024;
const MEASUREMENT_BYTES = 48;
/** Payload hash algorithm of a statement (draft-ietf-cose-hash-envelope): SHA-384. */
const HEADER_PAYLOAD_HASH = 258;
const HASH_SHA384 = -43;
const HASH_SHA256 = -16;

/** Reads an endorsement; throws a coded error whose code is the reason to refuse it. */
export function readUvmEndorsement(bytes: Uint8Array): UvmEndorsement {
  if (bytes.length > BYTES_MAX)
    throw bad('UvmUnreadable', `${bytes.length} bytes are too many`);
  const message = decoded(bytes);
  const header = message.protectedHeader;
  if (header.has(HEADER_CRITICAL)) throw bad('UvmUnreadable', 'it has critical headers');
  const chain = certificatesIn(header);
  const claims = innerMap(header, HEADER_CWT_CLAIMS);
  return claims === undefined
    ? { message, chain, ...jsonForm(message) }
    : { message, chain, ...statementForm(message, claims) };
}

type Content = Omit<UvmEndorsement, 'message' | 'chain'>;

function jsonForm({ protectedHeader: header, payload }: Sign1): Content {
  if (header.get(HEADER_CONTENT_TYPE) !== 'application/json') {
    throw bad('UvmUnreadable', 'its content is not application/json');
  }
  const said = jsonObject(payload);
  const version: unknown = said['x-ms-sevsnpvm-guestsvn'];
  const svn = versionOf(version);
  const twice: unknown = said['x-ms-sevsnpvm-guestsvn-int'];
  if (twice !== undefined && twice !== svn) {
    throw bad('UvmPayload', `two versions, ${svn} and ${JSON.stringify(twice)}`);
  }
  const measurement: unknown = said['x-ms-sevsnpvm-launchmeasurement'];
  if (typeof measurement !== 'string' || !/^[0-9a-f]{96}$/i.test(measurement)) {
    throw bad('UvmPayload', 'no launch measurement of 48 bytes');
  }
  return {
    issuer: textOf(header.get('iss'), 'iss'),
    feed: textOf(header.get('feed'), 'feed'),
    svn,
    measurement: measurement.toLowerCase(),
    ...signedAt(header.get('signingtime')),
  };
}

function statementForm(
  { protectedHeader: header, payload }: Sign1,
  claims: ReadonlyMap<unknown, unknown>,
): Content {
  if (header.get(HEADER_PAYLOAD_HASH) !== HASH_SHA384) {
    throw bad('UvmUnreadable', 'a statement whose payload is no SHA-384 digest');
  }
  if (payload?.length !== MEASUREMENT_BYTES) {
    throw bad('UvmPayload', 'no launch measurement of 48 bytes');
  }
  return {
    issuer: textOf(claims.get(CLAIM_ISSUER), 'issuer'),
    feed: textOf(claims.get(CLAIM_SUBJECT), 'subject'),
    svn: versionOf(claims.get('svn')),
    measurement: toHex(payload),
    ...signedAt(claims.get(CLAIM_ISSUED_AT)),
  };
}

function decoded(bytes: Uint8Array): Sign1 {
  try {
    return decodeSign1(bytes, { moments: true });
  } catch (thrown) {
    if (isCoded(thrown)) throw bad('UvmUnreadable', messageOf(thrown));
    throw thrown;
  }
}

function certificatesIn(header: CoseHeader): readonly Certificate[] {
  const value = header.get(HEADER_X5CHAIN);
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (list.length > CERTIFICATES_MAX) throw bad('UvmUnreadable', 'too many certificates');
  return list.map((der: unknown) => {
    if (!(der instanceof Uint8Array)) throw bad('UvmUnreadable', 'it has no chain');
    try {
      return parseCertificate(der);
    } catch (thrown) {
      if (isCoded(thrown)) throw bad('UvmUnreadable', messageOf(thrown));
      throw thrown;
    }
  });
}

function jsonObject(payload: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  try {
    const value = parseJson(payload ?? '');
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return { ...value };
    }
  } catch {
    // Said below: whatever is wrong with it, it is no object in JSON.
  }
  throw bad('UvmPayload', 'it is not an object in JSON');
}

/** Text of digits or a number: both occur. */
function versionOf(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 0) {
    throw bad('UvmPayload', `no version: ${String(value)}`);
  }
  return number;
}

function textOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= TEXT_MAX) return value;
  throw bad('UvmUnreadable', `it has no ${what}`);
}

function signedAt(value: unknown): { readonly signedAtMs?: number } {
  if (value === undefined) return {};
  if (typeof value === 'number') return { signedAtMs: value * 1000 };
  throw bad('UvmUnreadable', 'its time of signing is no moment');
}

export const UVM_CHECKS = [
  'UVM thumbprint',
  'UVM chain',
  'UVM issuer',
  'UVM signature',
  'UVM signing time',
] as const;

/** Judges who signed an endorsement: the chain, the issuer's name, the signature, its time. */
export async function judgeUvmOrigin(
  list: CheckList,
  endorsement: UvmEndorsement,
  verifier: Verifier,
): Promise<void> {
  const { message, chain, issuer } = endorsement;
  const [leaf] = chain;
  await judgeThumbprint(list, message.protectedHeader, leaf, verifier);
  const broken = await chainFault(chain, verifier);
  list.expect(
    'UVM chain',
    broken === undefined,
    "the certificates with the utility VM's endorsements vouch for one another",
    refusal('UvmChain', broken),
  );
  const other = await issuerFault(issuer, chain, verifier);
  list.expect(
    'UVM issuer',
    other === undefined,
    'the certificates are those that the issuer is named by',
    refusal('UvmIssuer', other),
    { issuer },
  );
  const outcome =
    leaf === undefined ? 'bad' : await checkSign1(message, leaf.publicKeyDer, verifier);
  list.expect(
    'UVM signature',
    outcome === 'good',
    "the utility VM's endorsements are signed by the leaf's key",
    refusal(outcome === 'unknown algorithm' ? 'UvmAlgorithm' : 'UvmSignature'),
  );
  judgeSigningTime(list, endorsement);
}

async function judgeThumbprint(
  list: CheckList,
  header: CoseHeader,
  leaf: Certificate | undefined,
  verifier: Verifier,
): Promise<void> {
  const value = header.get(HEADER_X5T);
  if (value === undefined) {
    list.skip('UVM thumbprint', 'the endorsements name no thumbprint');
    return;
  }
  const [algorithm, given] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  const digest = await verifier.hash('SHA-256', leaf?.der ?? new Uint8Array(0));
  const fits =
    algorithm === HASH_SHA256 && given instanceof Uint8Array && sameBytes(given, digest);
  list.expect(
    'UVM thumbprint',
    fits,
    'the endorsements name the leaf they carry',
    refusal('UvmThumbprint'),
  );
}

/** Their leaves live for a year: judged is the time of signing, not that of judgement. */
function judgeSigningTime(list: CheckList, { chain, signedAtMs }: UvmEndorsement): void {
  if (signedAtMs === undefined) {
    list.skip('UVM signing time', 'the endorsements do not say when they were signed');
    return;
  }
  const fits = chain.every(
    ({ notBeforeMs, notAfterMs }) => notBeforeMs <= signedAtMs && signedAtMs <= notAfterMs,
  );
  list.expect(
    'UVM signing time',
    fits,
    'the endorsements were signed while their certificates were valid',
    refusal('UvmSigningTime'),
    { signed: isoTime(signedAtMs) },
  );
}

function bad(code: RefusalCode, detail: string): CodedError<RefusalCode> {
  return new CodedError(code, refusal(code, detail).message);
}

/**
 * Judges what signs an attestation service's tokens: its certificate carries a SEV-SNP report of
 * the container that made the key (attestation-azure.md). Who asks for this need not take the
 * service's word for what it runs in.
 */
import { CodedError } from '../base/errors.ts';
import { fromBase64Url, toBase64, toUtf8 } from '../base/portable-bytes.ts';
import { DerReader } from '../crypto/der.ts';
import type { Certificate } from '../crypto/x509.ts';
import { extensionValue } from '../crypto/x509-extensions.ts';
import { CheckList, verdictOf } from './check-list.ts';
import type { JudgeDependencies, ReportParts } from './judging.ts';
import type { SnpPolicy } from './policy.ts';
import { judgeReport } from './snp-verdict.ts';
import { parseJson } from './untrusted-json.ts';
import type { Verdict } from './verdict.ts';

const OID_EVIDENCE = '1.3.6.1.4.1.311.105.1000.1';
const OID_KIND = '1.3.6.1.4.1.311.105.1000.2';
/** A container on Azure; older instances ran in SGX, which is not judged here. */
const KIND = 'acisevsnp';
const DER_UTF8_STRING = 0x0c;
const EVIDENCE_BYTES_MAX = 131_072;

/** Judges the evidence in a signing certificate; never throws for what it is like. */
export async function judgeMaaSigner(
  certificate: Certificate,
  policy: SnpPolicy,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<Verdict> {
  const list = new CheckList();
  const parts = list.read('signer evidence', 'the signing key came with evidence', () =>
    evidenceIn(certificate),
  );
  if (parts === undefined) return list.verdict(atMs);
  const pem = toUtf8(`${publicKeyPem(certificate.publicKeyDer)}\0`);
  const binding = await dependencies.verifier.hash('SHA-256', pem);
  const judgement = await judgeReport(parts, { ...policy, binding }, dependencies, atMs);
  return verdictOf([...list.checks, ...judgement.checks], atMs, judgement.claims);
}

function evidenceIn(certificate: Certificate): ReportParts {
  const kind = textIn(certificate, OID_KIND);
  if (kind !== KIND) {
    throw bad(`it is of the kind ${JSON.stringify(kind)}; judged here is ${KIND} only`);
  }
  const { SnpReport, VcekCertChain, Endorsements } = members(
    parsed(textIn(certificate, OID_EVIDENCE)),
  );
  const uvm = Endorsements === undefined ? undefined : uvmIn(bytesOf(Endorsements));
  return {
    report: bytesOf(SnpReport),
    endorsements: new TextDecoder().decode(bytesOf(VcekCertChain)),
    ...(uvm === undefined ? {} : { uvmEndorsements: uvm }),
  };
}

function uvmIn(bytes: Uint8Array): Uint8Array | undefined {
  const { Uvm: list } = members(parsed(new TextDecoder().decode(bytes)));
  if (!Array.isArray(list) || list.length !== 1) throw bad('it has not one endorsement');
  return bytesOf(list[0]);
}

function textIn(certificate: Certificate, oid: string): string {
  const value = extensionValue(certificate, oid);
  if (value === undefined) throw bad(`the certificate has no extension ${oid}`);
  if (value.length > EVIDENCE_BYTES_MAX) throw bad(`it has ${value.length} bytes`);
  try {
    const reader = new DerReader(value);
    const { content } = reader.expect(DER_UTF8_STRING);
    reader.end();
    return new TextDecoder('utf-8', { fatal: true }).decode(content);
  } catch (cause) {
    throw bad(`its extension ${oid} is not a text`, cause);
  }
}

/** As OpenSSL writes it: what the service hashed was this text. */
function publicKeyPem(publicKeyDer: Uint8Array): string {
  const lines = toBase64(publicKeyDer).replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`;
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw bad('it is not JSON', cause);
  }
}

function members(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad('it is not an object');
  }
  return { ...value };
}

function bytesOf(text: unknown): Uint8Array {
  const bytes = typeof text === 'string' ? fromBase64Url(text.replace(/=+$/, '')) : undefined;
  if (bytes === undefined) throw bad('a part is not base64url');
  return bytes;
}

function bad(why: string, cause?: unknown): CodedError {
  const message = `the signing certificate proves nothing of what made its key: ${why}`;
  return new CodedError('BadSignerEvidence', message, {}, { cause });
}

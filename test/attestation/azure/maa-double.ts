// Microsoft Azure Attestation on this machine: it judges reports as the service does, by the roots
// of a test's own AMD, and signs what it found.

import { createHash } from 'node:crypto';
import type { JudgeDependencies } from '../../../src/attestation/judging.ts';
import type { UvmPolicy } from '../../../src/attestation/policy.ts';
import { parseReport } from '../../../src/attestation/snp-report.ts';
import { judgeReport } from '../../../src/attestation/snp-verdict.ts';
import { AT_MS } from '../fake-certificates.ts';
import { type Answer, type Asked, type HttpsDouble, httpsDouble } from './https-double.ts';
import { base64Url, type Json, MaaSigner, signedToken } from './maa-signer.ts';

export interface MaaDoubleOptions extends JudgeDependencies {
  /** Whose endorsements make a platform compliant. */
  readonly uvm?: UvmPolicy;
  /** What comes instead of a token that it would have signed. */
  readonly forge?: (claims: Json, signer: MaaSigner) => string;
  /** When it judges and signs; the time of tests unless told otherwise. */
  readonly atMs?: number;
}

export interface MaaDouble extends HttpsDouble {
  readonly signer: MaaSigner;
  /** By kind of guest, each in a JWS. */
  readonly policies: Map<string, string>;
}

const DEFAULT_POLICY = 'version= 1.0;authorizationrules{=> permit();};issuancerules{};';

export async function maaDouble(options: MaaDoubleOptions): Promise<MaaDouble> {
  const policies = new Map<string, string>();
  let service: Service | undefined;
  // Its name is its address, which is known once it listens.
  const double = await httpsDouble((asked) => service?.answer(asked) ?? { status: 503 });
  const signer = new MaaSigner({ issuer: double.url });
  service = new Service(options, signer, policies);
  return { ...double, signer, policies };
}

class Service {
  readonly #options: MaaDoubleOptions;
  readonly #signer: MaaSigner;
  readonly #policies: Map<string, string>;

  constructor(options: MaaDoubleOptions, signer: MaaSigner, policies: Map<string, string>) {
    this.#options = options;
    this.#signer = signer;
    this.#policies = policies;
  }

  answer(asked: Asked): Answer | Promise<Answer> {
    const { method, path, query } = asked;
    const { issuer } = this.#signer;
    if (method === 'GET' && path === '/certs') return { body: this.#signer.jwks() };
    if (method === 'GET' && path === '/.well-known/openid-configuration') {
      return {
        body: { issuer, jwks_uri: `${issuer}/certs`, response_types_supported: ['token'] },
      };
    }
    if (method === 'POST' && path === '/attest/SevSnpVm') {
      const isKnown = ['2022-08-01', '2025-06-01'].includes(query.get('api-version') ?? '');
      return isKnown
        ? this.#attest(asked.body)
        : refusal('UnsupportedApiVersion', 'api-version');
    }
    const [, kind, reset] = /^\/policies\/(\w+)(:reset)?$/.exec(path) ?? [];
    return kind === undefined
      ? { status: 404 }
      : this.#administer(asked, kind, reset !== undefined);
  }

  async #attest(body: string): Promise<Answer> {
    const question: Json = JSON.parse(body);
    const parts = jsonOf(question.report);
    const report = bytesOf(parts.SnpReport);
    const runtime = objectOf(question.runtimeData);
    const runtimeData = bytesOf(runtime.data);
    const endorsements = parts.Endorsements === undefined ? {} : jsonOf(parts.Endorsements);
    const [uvm] = Array.isArray(endorsements.Uvm) ? endorsements.Uvm : [];
    const { uvm: uvmEndorsements = {} } = this.#options;
    const judgement = await judgeReport(
      {
        report,
        endorsements: bytesOf(parts.VcekCertChain).toString(),
        ...(uvm === undefined ? {} : { uvmEndorsements: bytesOf(uvm) }),
      },
      uvm === undefined ? {} : { uvmEndorsements },
      this.#options,
      this.#options.atMs ?? AT_MS,
    );
    const fault = judgement.checks.find(({ outcome }) => outcome === 'failed');
    if (fault !== undefined) return refusal('AttestationFailed', fault.message);
    const digest = createHash('sha256').update(runtimeData).digest();
    const read = parseReport(report);
    if (!digest.equals(read.reportData.slice(0, 32))) {
      return refusal('InvalidParameter', 'the runtime data are not those of the report');
    }
    const claims = {
      ...this.#envelope(),
      ...(question.nonce === undefined ? {} : { nonce: question.nonce }),
      'x-ms-attestation-type': 'sevsnpvm',
      ...(uvm === undefined ? {} : { 'x-ms-compliance-status': 'azure-compliant-uvm' }),
      'x-ms-policy-hash': this.#policyHash(),
      ...(runtime.dataType === 'JSON'
        ? { 'x-ms-runtime': JSON.parse(String(runtimeData)) }
        : {}),
      ...snpClaims(report),
    };
    const { forge } = this.#options;
    return { body: { token: forge?.(claims, this.#signer) ?? this.#signer.token(claims) } };
  }

  #administer({ method, headers, body }: Asked, kind: string, isReset: boolean): Answer {
    if (!headers.authorization?.startsWith('Bearer ')) {
      return { status: 401, headers: { 'www-authenticate': 'Bearer' } };
    }
    if (method === 'PUT') {
      const payload = body.split('.')[1] ?? '';
      const { AttestationPolicy: text } = jsonOf(payload);
      if (!/^version=\s*1\.[0-2];/.test(bytesOf(text).toString())) {
        return refusal('PolicyParsingError', 'the policy has no version');
      }
      this.#policies.set(kind, body);
    } else if (isReset) this.#policies.delete(kind);
    const policy = this.#policies.get(kind) ?? policyJws(DEFAULT_POLICY);
    const digest = createHash('sha256').update(policy).digest('base64url');
    const claims = {
      ...this.#envelope(),
      'x-ms-policy-result': method === 'GET' ? 'None' : isReset ? 'Removed' : 'Updated',
      'x-ms-policy-token-hash': digest,
      ...(method === 'GET' ? { 'x-ms-policy': policy } : {}),
    };
    const { forge } = this.#options;
    return { body: { token: forge?.(claims, this.#signer) ?? this.#signer.token(claims) } };
  }

  #policyHash(): string {
    const jws = this.#policies.get('SevSnpVm') ?? policyJws(DEFAULT_POLICY);
    const { AttestationPolicy: text } = jsonOf(jws.split('.')[1]);
    return createHash('sha256').update(String(text)).digest('base64url');
  }

  #envelope(): Json {
    const { issuer } = this.#signer;
    const atS = Math.floor((this.#options.atMs ?? AT_MS) / 1000);
    return { iss: issuer, iat: atS, nbf: atS, exp: atS + 28_800, 'x-ms-ver': '1.0' };
  }
}

/** Read off the bytes, at the places of AMD's table. */
function snpClaims(report: Buffer): Json {
  const hex = (from: number, bytes: number): string =>
    report.subarray(from, from + bytes).toString('hex');
  const policy = report.readBigUInt64LE(0x08);
  const claims: Json = {
    authorkeydigest: hex(0x110, 48),
    'bootloader-svn': report[0x180],
    familyId: hex(0x10, 16),
    guestsvn: report.readUInt32LE(0x04),
    hostdata: hex(0xc0, 32),
    idkeydigest: hex(0xe0, 48),
    imageId: hex(0x20, 16),
    'is-debuggable': (policy & (1n << 19n)) !== 0n,
    launchmeasurement: hex(0x90, 48),
    'microcode-svn': report[0x187],
    'migration-allowed': (policy & (1n << 18n)) !== 0n,
    reportdata: hex(0x50, 64),
    reportid: hex(0x140, 32),
    'smt-allowed': (policy & (1n << 16n)) !== 0n,
    'snpfw-svn': report[0x186],
    'tee-svn': report[0x181],
    vmpl: report.readUInt32LE(0x30),
  };
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [`x-ms-sevsnpvm-${name}`, value]),
  );
}

function policyJws(text: string): string {
  return signedToken({ alg: 'none' }, { AttestationPolicy: base64Url(text) });
}

function refusal(code: string, message: string): Answer {
  return {
    status: 400,
    headers: { 'x-ms-error-code': code },
    body: { error: { code, message } },
  };
}

function bytesOf(text: unknown): Buffer {
  if (typeof text !== 'string') throw new Error('a part is missing');
  return Buffer.from(text, 'base64url');
}

function jsonOf(text: unknown): Json {
  return JSON.parse(bytesOf(text).toString());
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? { ...value } : {};
}

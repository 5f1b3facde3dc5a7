/**
 * Administration of an instance of Microsoft Azure Attestation: its policy for SEV-SNP guests, its
 * signers, its metadata (attestation-azure.md). For these the client package is sound, but for its
 * validation of tokens, which accepts `alg: none`: it is turned off, and answers are proven here.
 */
import {
  AttestationAdministrationClient,
  AttestationClient,
  type AttestationResponse,
  createAttestationPolicyToken,
} from '@azure/attestation';
import type { Clock } from '../../base/environment.ts';
import { CodedError } from '../../base/errors.ts';
import { sameBytes, toBase64, toUtf8 } from '../../base/portable-bytes.ts';
import { bytesOfPem } from '../../crypto/pem.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { CheckList } from '../check-list.ts';
import { type MaaIssuerKeys, readMaaKeys } from '../maa-keys.ts';
import { proveMaaToken, readMaaToken } from '../maa-token.ts';

export interface MaaAdministrationOptions {
  /** `https://` and a host: the endpoint, and the issuer that its answers must name. */
  readonly issuer: string;
  readonly credential: ConstructorParameters<typeof AttestationAdministrationClient>[1];
  /** Times the client package asks again after a failure; its own default if absent. */
  readonly retriesMax?: number;
}

export interface MaaAdministrationDependencies {
  readonly clock: Clock;
  readonly verifier: Verifier;
}

/** The kind of guest that this service runs in. */
const SEV_SNP = 'SevSnpVm';

export class MaaAdministration {
  readonly #issuer: string;
  readonly #administration: AttestationAdministrationClient;
  readonly #client: AttestationClient;
  readonly #deps: MaaAdministrationDependencies;

  constructor(options: MaaAdministrationOptions, dependencies: MaaAdministrationDependencies) {
    const { issuer, credential, retriesMax } = options;
    const common = {
      validationOptions: { validateToken: false },
      ...(retriesMax === undefined ? {} : { retryOptions: { maxRetries: retriesMax } }),
    };
    this.#issuer = issuer;
    this.#administration = new AttestationAdministrationClient(issuer, credential, common);
    this.#client = new AttestationClient(issuer, common);
    this.#deps = dependencies;
  }

  /** The keys that the instance signs with. */
  async signers(): Promise<MaaIssuerKeys> {
    const signers = await this.#client.getAttestationSigners();
    const keys = signers.map(({ keyId, certificates }) => ({
      kid: keyId,
      kty: 'RSA',
      x5c: certificates.map((pem) => toBase64(bytesOfPem('CERTIFICATE', pem) ?? toUtf8(pem))),
    }));
    return readMaaKeys(this.#issuer, { keys });
  }

  /** What the instance says of itself; throws `MaaMetadata` if it names another's keys. */
  async metadata(): Promise<Readonly<Record<string, unknown>>> {
    const metadata = await this.#client.getOpenIdMetadata();
    const expected = { issuer: this.#issuer, jwks_uri: `${this.#issuer}/certs` };
    for (const [name, value] of Object.entries(expected)) {
      if (metadata[name] !== value) {
        const found = JSON.stringify(metadata[name]);
        throw new CodedError('MaaMetadata', `${this.#issuer} names ${found} as its ${name}`);
      }
    }
    return metadata;
  }

  /** The text of the policy in force. */
  async policy(): Promise<string> {
    const response = await this.#administration.getPolicy(SEV_SNP);
    await this.#prove(response);
    return response.body;
  }

  /** Puts a policy in force; what the service says that it stored must be that policy. */
  async setPolicy(text: string): Promise<void> {
    const response = await this.#administration.setPolicy(SEV_SNP, text);
    await this.#prove(response);
    const { policyResolution, policyTokenHash } = response.body;
    const stored = toUtf8(createAttestationPolicyToken(text).serialize());
    const expected = await this.#deps.verifier.hash('SHA-256', stored);
    if (policyResolution !== 'Updated' || !sameBytes(policyTokenHash, expected)) {
      throw unexpected(`${this.#issuer} says ${policyResolution}, or stored another policy`);
    }
  }

  /** Puts the service's own policy in force again. */
  async resetPolicy(): Promise<void> {
    const response = await this.#administration.resetPolicy(SEV_SNP);
    await this.#prove(response);
    const { policyResolution } = response.body;
    if (policyResolution !== 'Removed') throw unexpected(`it says ${policyResolution}`);
  }

  /** An answer is a token: signed by the instance, now. */
  async #prove({ token }: AttestationResponse<unknown>): Promise<void> {
    const text = token.serialize();
    const trust = { issuers: [this.#issuer] };
    const list = new CheckList();
    const keys = await this.signers();
    const read = list.read('answer', 'the answer is a token', () => readMaaToken(text));
    const atMs = this.#deps.clock.nowMs();
    if (read !== undefined) await proveMaaToken(list, text, read, trust, [keys], atMs);
    const { refusal } = list.verdict(atMs);
    if (refusal === undefined) return;
    throw new CodedError(
      'MaaAnswerRefused',
      `the answer of ${this.#issuer} proves nothing: ${refusal.message}`,
      { refusal: refusal.code },
    );
  }
}

function unexpected(why: string): CodedError {
  return new CodedError('MaaPolicyNotStored', `the policy is not in force as asked: ${why}`);
}

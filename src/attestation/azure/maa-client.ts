/**
 * Asks Microsoft Azure Attestation for tokens (attestation-azure.md, api-version 2022-08-01). The
 * client package does not know SEV-SNP, so the questions are put together here. No answer is
 * believed for coming from there: keys count for the issuer they were fetched from, tokens are
 * judged (`maa-token.ts`).
 */
import { CodedError, messageOf } from '../../base/errors.ts';
import { toBase64Url, toUtf8 } from '../../base/portable-bytes.ts';
import { type MaaIssuerKeys, readMaaKeys } from '../maa-keys.ts';
import type { HttpAsker, HttpReply } from '../sources/http-asker.ts';
import { parseJson, shown } from '../untrusted-json.ts';

/** What of a container goes to the service. */
export interface SnpAttestation {
  readonly report: Uint8Array;
  /** PEM: VCEK, ASK, ARK. */
  readonly endorsements: string;
  /** COSE; without it the token has no compliance status. */
  readonly uvmEndorsements?: Uint8Array;
  /** JSON whose SHA-256 the report data begin with. */
  readonly runtimeData: Uint8Array;
  readonly nonce?: string;
}

const API_VERSION = '2022-08-01';

export class MaaClient {
  readonly #issuer: string;
  readonly #ask: HttpAsker;

  /** `issuer`: `https://` and a host, as its tokens will name it. */
  constructor(issuer: string, ask: HttpAsker) {
    this.#issuer = issuer;
    this.#ask = ask;
  }

  /** The keys that it signs with. Rejects with `MaaRefused`, `BadMaaKeys`. */
  async keys(): Promise<MaaIssuerKeys> {
    const reply = await this.#ask({ url: `${this.#issuer}/certs` });
    return readMaaKeys(this.#issuer, answerOf(reply, this.#issuer));
  }

  /** A token about a container, not judged yet. Rejects with `MaaRefused` and its reason. */
  async attestSnp(attestation: SnpAttestation): Promise<string> {
    const reply = await this.#ask({
      url: `${this.#issuer}/attest/SevSnpVm?api-version=${API_VERSION}`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(snpQuestion(attestation)),
    });
    const answer = answerOf(reply, this.#issuer);
    const token = isObject(answer) ? answer.token : undefined;
    if (typeof token === 'string') return token;
    throw refused(this.#issuer, 'its answer holds no token');
  }
}

/** Base64url on three levels: of the parts, of the JSON around them, and of the JSON within. */
function snpQuestion(attestation: SnpAttestation): object {
  const { report, endorsements, uvmEndorsements, runtimeData, nonce } = attestation;
  const uvm =
    uvmEndorsements === undefined
      ? {}
      : { Endorsements: encoded({ Uvm: [toBase64Url(uvmEndorsements)] }) };
  const parts = {
    SnpReport: toBase64Url(report),
    VcekCertChain: toBase64Url(toUtf8(endorsements)),
    ...uvm,
  };
  return {
    report: encoded(parts),
    // As binary the data would not come back in the token, and Key Vault would find no key there.
    runtimeData: { data: toBase64Url(runtimeData), dataType: 'JSON' },
    ...(nonce === undefined ? {} : { nonce }),
  };
}

function encoded(value: object): string {
  return toBase64Url(toUtf8(JSON.stringify(value)));
}

function answerOf({ status, body }: HttpReply, issuer: string): unknown {
  let answer: unknown;
  try {
    answer = parseJson(body);
  } catch (cause) {
    const why = `it answers ${status} with something else than JSON: ${messageOf(cause)}`;
    throw refused(issuer, why, cause);
  }
  if (status === 200) return answer;
  const error = isObject(answer) && isObject(answer.error) ? answer.error : {};
  throw refused(issuer, `it answers ${status} ${shown(error.code)}: ${shown(error.message)}`);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refused(issuer: string, why: string, cause?: unknown): CodedError {
  const message = `the attestation service ${issuer} gave nothing to use: ${why}`;
  return new CodedError('MaaRefused', message, { issuer }, { cause });
}

/**
 * Places that have endorsements (attestation-snp.md §3, §6): the table beside the report, the
 * machine's metadata service (THIM), Azure's cache and AMD's own service (KDS).
 */
import { textOf } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { parseCertTable } from './cert-table.ts';
import type { EndorsementOrigin, FoundCertificates } from './endorsements.ts';
import type { HttpAsker, HttpQuestion } from './http-asker.ts';
import { certificatesIn } from './pem-bundle.ts';
import { type EndorsementNeed, securityVersions } from './report-lookup.ts';
import type { Pause } from './source.ts';
import { THROTTLED_MS_MAX, THROTTLED_MS_MIN, THROTTLED_TRIES_MAX } from './source-limits.ts';

export interface OriginDependencies {
  readonly ask: HttpAsker;
  readonly pause: Pause;
}

/** What the host put beside the report: often nothing, sometimes the leaf only. */
export function tableOrigin(table: Uint8Array): EndorsementOrigin {
  return {
    name: 'host',
    find: async ({ signer }) => {
      const found = parseCertTable(table);
      const [leaf, ask, ark] = [found.get(signer), found.get('ASK'), found.get('ARK')];
      return {
        ...(leaf === undefined ? {} : { leaf }),
        ...(ask === undefined || ark === undefined ? {} : { authorities: [ask, ark] }),
      };
    },
  };
}

/** A text that the host gave in THIM's form: the file `host-amd-cert-base64`, decoded. */
export function thimTextOrigin(name: string, read: () => Promise<string>): EndorsementOrigin {
  return { name, find: async (need) => certificatesOfThim(await read(), need) };
}

/** The metadata service of the machine; `url` is the whole address. */
export function thimOrigin(url: string, dependencies: OriginDependencies): EndorsementOrigin {
  return {
    name: 'thim',
    find: async (need) => {
      const headers = { metadata: 'true' };
      const address = url.replaceAll('{chip}', need.chipId).replaceAll('{tcb}', need.tcbText);
      const body = await answered({ url: address, headers }, dependencies);
      return certificatesOfThim(textIn(body, url), need);
    },
  };
}

export function azureCacheOrigin(
  url: string,
  clientId: string | undefined,
  dependencies: OriginDependencies,
): EndorsementOrigin {
  return {
    name: 'azure-cache',
    find: async (need) => {
      if (need.signer !== 'VCEK') throw nothing('it keeps no VLEKs');
      const client = clientId === undefined ? '' : `&clientId=${encodeURIComponent(clientId)}`;
      const place = `SevSnpVM/certificates/${need.chipId}/${need.tcbText}`;
      const version = 'api-version=2020-10-15-preview';
      const address = `${url}/${place}?${version}${client}`;
      const body = await answered({ url: address }, dependencies);
      return chainIn(textIn(body, url));
    },
  };
}

/** AMD's key distribution service. It has no VLEKs, which belong to a cloud, but their chain. */
export function amdOrigin(url: string, dependencies: OriginDependencies): EndorsementOrigin {
  const authorities = async (need: EndorsementNeed): Promise<readonly Uint8Array[]> => {
    const kind = need.signer.toLowerCase();
    const address = `${url}/${kind}/v1/${productOf(need)}/cert_chain`;
    return certificatesIn(textIn(await answered({ url: address }, dependencies), url));
  };
  return {
    name: 'amd',
    authorities,
    find: async (need) => {
      if (need.signer !== 'VCEK') throw nothing('it gives VLEKs to clouds only');
      const versions = securityVersions(need).map(([name, value]) => `${name}=${value}`);
      const place = `vcek/v1/${productOf(need)}/${need.chipId}`;
      const leaf = await answered(
        { url: `${url}/${place}?${versions.join('&')}` },
        dependencies,
      );
      return { leaf, authorities: await authorities(need) };
    },
  };
}

function productOf({ product }: EndorsementNeed): string {
  if (product !== undefined) return product;
  throw nothing('the report does not name its processor, and it must be asked by that');
}

/** THIM's JSON: it may speak of a TCB that is not this report's any more, or not yet. */
function certificatesOfThim(text: string, need: EndorsementNeed): FoundCertificates {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw nothing(`its answer is not JSON: ${messageOf(cause)}`, cause);
  }
  const member = (name: string): string | undefined => {
    const given: unknown =
      typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
    return typeof given === 'string' ? given : undefined;
  };
  const tcbm = member('tcbm');
  if (tcbm !== undefined && tcbm.toLowerCase() !== need.tcbText) {
    throw nothing(`it endorses the TCB ${tcbm}, and the report has ${need.tcbText}`);
  }
  const leaf = member('vcekCert');
  if (leaf === undefined) throw nothing('its answer has no vcekCert');
  return chainIn(`${leaf}\n${member('certificateChain') ?? ''}`);
}

function chainIn(pem: string): FoundCertificates {
  const [leaf, ...authorities] = certificatesIn(pem);
  if (leaf === undefined) throw nothing('its answer holds no certificate');
  return { leaf, ...(authorities.length === 0 ? {} : { authorities }) };
}

/** Asks, and asks again later while it is told that there were too many questions. */
async function answered(
  question: HttpQuestion,
  { ask, pause }: OriginDependencies,
): Promise<Uint8Array> {
  let pauseMs = THROTTLED_MS_MIN;
  for (let tries = 1; ; tries += 1) {
    const { status, body, retryAfterSeconds } = await ask(question);
    if (status === 200) return body;
    if (status !== 429) throw nothing(`${question.url} answered ${status}`);
    if (tries === THROTTLED_TRIES_MAX) {
      throw nothing(`${question.url} answered 429 Too Many Requests ${tries} times`);
    }
    const told = retryAfterSeconds === undefined ? pauseMs : retryAfterSeconds * 1000;
    await pause(Math.min(told, THROTTLED_MS_MAX));
    pauseMs *= 2;
  }
}

function textIn(body: Uint8Array, url: string): string {
  try {
    return textOf(body);
  } catch (cause) {
    throw nothing(`${url} answered with something else than text`, cause);
  }
}

function nothing(why: string, cause?: unknown): CodedError {
  return new CodedError('NotEndorsedHere', why, {}, { cause });
}

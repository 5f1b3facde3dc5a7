/**
 * Which service a member speaks to, and with which key: a sandbox's folder, or addresses and files.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CodedError } from '../../base/errors.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import {
  type MessageType,
  prepareMemberMessage,
  signedBytes,
  withSignature,
} from '../../governance/messages.ts';
import {
  frontDoorOrigin,
  refusalIn,
  type ServiceAnswer,
  ServiceAsker,
} from '../node/service-asker.ts';
import { knownNodes, sandboxFolder } from '../sandbox/sandbox-folder.ts';
import {
  MEMBER_OPTIONS,
  MEMBER_USAGE,
  type MemberSign,
  type MemberValues,
  memberCertificate,
  memberSign,
} from './member-key.ts';
import { usage } from './usage.ts';

/** Options that every action takes; for `parseArgs`. */
export const PLACE_OPTIONS = {
  ...MEMBER_OPTIONS,
  url: { type: 'string', multiple: true },
  'service-certificate': { type: 'string' },
  json: { type: 'boolean' },
} as const;

export const PLACE_USAGE = `\
  --data DIR                  a sandbox: its nodes, and the keys of its members
  --as N                      which of its members signs (default: 1)
  --url URL                   a node's front door, https://HOST:PORT; several may be named
  --service-certificate PEM   the service's certificate
${MEMBER_USAGE}
  --json                      print JSON`;

export interface PlaceValues extends MemberValues {
  readonly url?: readonly string[] | undefined;
  readonly 'service-certificate'?: string | undefined;
  readonly json?: boolean | undefined;
}

const VERSION = 'api-version=2024-07-01';

/** The service, for what needs no signature. */
export function serviceOf(values: PlaceValues): ServiceAsker {
  if (values.data !== undefined) {
    const folder = sandboxFolder(resolve(values.data));
    const urls = knownNodes(folder.path).map(({ url }) => url);
    return new ServiceAsker(urls, readFileSync(folder.serviceCertificate, 'utf8'));
  }
  if (values.url === undefined) throw usage('--url or --data says where the service is');
  const certificate = values['service-certificate'];
  if (certificate === undefined) throw usage('--service-certificate is missing');
  return new ServiceAsker(values.url.map(baseOf), readFileSync(certificate, 'utf8'));
}

/** A member at a service: signs, and sends what was signed. */
export class SigningMember {
  readonly id: string;
  readonly service: ServiceAsker;
  readonly #certificatePem: string;
  readonly #sign: MemberSign;

  constructor(service: ServiceAsker, certificatePem: string, sign: MemberSign) {
    this.#certificatePem = certificatePem;
    this.#sign = sign;
    this.service = service;
    this.id = certificateIdOf(certificatePem);
  }

  /** The member, and the service, that options name. */
  static of(values: PlaceValues): SigningMember {
    const certificatePem = memberCertificate(values);
    const sign = memberSign(values, certificatePem);
    return new SigningMember(serviceOf(values), certificatePem, sign);
  }

  /** Signs a message and posts it below `/gov`; throws what the service refuses. */
  async send(
    type: MessageType,
    path: string,
    payload: string,
    proposalId?: string,
  ): Promise<ServiceAnswer> {
    const message = {
      type,
      createdAt: Math.floor(Date.now() / 1000),
      payload: Buffer.from(payload),
      ...(proposalId === undefined ? {} : { proposalId }),
    };
    const prepared = prepareMemberMessage(message, this.#certificatePem);
    const signature = await this.#sign(signedBytes(prepared));
    return await postSigned(this.service, type, path, withSignature(prepared, signature));
  }
}

/** Posts what a member has signed below `/gov`; throws what the service refuses. */
export async function postSigned(
  service: ServiceAsker,
  type: string,
  path: string,
  signed: Uint8Array,
): Promise<ServiceAnswer> {
  const answer = await service.postCose(`/gov${path}?${VERSION}`, signed);
  if (answer.status < 200 || answer.status > 299) throw refusalIn(answer, `the ${type}`);
  return answer;
}

/** Reads something below `/gov`; throws what the service refuses. */
export async function readGov(service: ServiceAsker, path: string): Promise<string> {
  const answer = await service.get(`/gov${path}?${VERSION}`);
  if (answer.status !== 200) throw refusalIn(answer, path);
  return answer.body;
}

function baseOf(text: string): string {
  const origin = frontDoorOrigin(text);
  if (origin !== undefined) return origin;
  throw usage(`--url is ${JSON.stringify(text)}; it is a node's front door, https://HOST:PORT`);
}

/** A whole proposal id of the first digits of one. */
export async function proposalIdOf(given: string, service: ServiceAsker): Promise<string> {
  const list = JSON.parse(await readGov(service, '/members/proposals')) as {
    readonly value: readonly { readonly proposalId: string; readonly proposalState: string }[];
  };
  const found = list.value.filter(({ proposalId }) => proposalId.startsWith(given));
  const [only] = found;
  if (found.length === 1 && only !== undefined && given.length >= 6) return only.proposalId;
  const all = list.value.map((one) => `\n  ${one.proposalId} ${one.proposalState}`).join('');
  const why = `${JSON.stringify(given)} names ${found.length} proposals by six digits or more.`;
  throw new CodedError('UnknownProposal', `${why} There are${all || ' none'}`, { given });
}

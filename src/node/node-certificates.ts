/**
 * The certificates a node needs, made at its first start and renewed at later ones.
 */

import { publicKeyPemOf } from '../crypto/certificates.ts';
import {
  identityEndorsement,
  identityEndorsementHeader,
  signatureStructure,
} from '../crypto/cose.ts';
import { validityOfCertificate } from '../crypto/endorsement.ts';
import type { NodeDescription } from '../governance/opening.ts';
import type { Identity } from './identity.ts';
import type { ShownEvidence } from './own-evidence.ts';

export const SERVICE_SUBJECT = 'CN=Concordat Service';
const NODE_SUBJECT = 'CN=Concordat Node';
/** A year: what the service's configuration allows a node. */
export const NODE_CERTIFICATE_DAYS = 365;
/** Clients pin the service's certificate, so it lasts. */
export const SERVICE_CERTIFICATE_DAYS = 3650;
/** A node's certificate with less of its time left than this is renewed at a restart. */
const RENEWAL_PART = 1 / 3;
/** Certificates begin a little before now: clocks differ. */
const BACKDATE_MS = 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

export interface NodeAddresses {
  readonly host: string;
  readonly port: number;
  readonly publishedAddress?: string;
  readonly nodeToNode?: {
    readonly host: string;
    readonly port: number;
    readonly publishedAddress?: string;
  };
}

/** A node's own keys: all that a joiner has before it is let in. */
export type OwnKeys = Pick<Identity, 'nodeKey' | 'encryptionKey' | 'keys'>;

/** Where other nodes reach a node; its own front door when it talks to none. */
export function nodeAddressOf({ host, port, nodeToNode }: NodeAddresses): string {
  const own = nodeToNode ?? { host, port };
  return nodeToNode?.publishedAddress ?? `${own.host}:${own.port}`;
}

/** A new service's certificate. */
export async function makeServiceCertificate(
  identity: Identity,
  nowMs: number,
): Promise<string> {
  const validity = { fromMs: nowMs - BACKDATE_MS, days: SERVICE_CERTIFICATE_DAYS };
  return await identity.keys.serviceCertificate(identity.serviceKey, SERVICE_SUBJECT, validity);
}

/** A node's certificate, endorsed by the service. */
export async function makeNodeCertificate(
  identity: Identity,
  serviceCertificatePem: string,
  addresses: NodeAddresses,
  nowMs: number,
  days = NODE_CERTIFICATE_DAYS,
): Promise<string> {
  const validity = { fromMs: nowMs - BACKDATE_MS, days };
  const issuer = { key: identity.serviceKey, certificatePem: serviceCertificatePem };
  return await identity.keys.endorsedCertificate(
    identity.nodeKey.publicKeyDer,
    NODE_SUBJECT,
    hostsOf(addresses),
    validity,
    issuer,
  );
}

/**
 * The certificate that a node starts with: the one it holds, or one made anew when that comes to
 * its end. It lasts as long as the one before was made to: how long that is, members decide.
 */
export async function startCertificate(
  held: string | undefined,
  identity: Identity,
  serviceCertificatePem: string,
  addresses: NodeAddresses,
  nowMs: number,
): Promise<string> {
  const make = async (days?: number): Promise<string> =>
    await makeNodeCertificate(identity, serviceCertificatePem, addresses, nowMs, days);
  if (held === undefined) return await make();
  const { fromMs, days } = validityOfCertificate(held);
  const lifetimeMs = days * DAY_MS;
  const leftMs = fromMs + lifetimeMs - nowMs;
  return leftMs < lifetimeMs * RENEWAL_PART ? await make(days) : held;
}

/** The certificate a node shows before the service has endorsed it. */
export async function makeSelfSignedCertificate(
  identity: OwnKeys,
  addresses: NodeAddresses,
  nowMs: number,
): Promise<string> {
  const validity = { fromMs: nowMs - BACKDATE_MS, days: NODE_CERTIFICATE_DAYS };
  const hosts = hostsOf(addresses);
  return await identity.keys.selfSignedCertificate(
    identity.nodeKey,
    NODE_SUBJECT,
    validity,
    hosts,
  );
}

/** The service's endorsement of its own key (ledger-format.md §12.1). */
export async function endorseSelf(identity: Identity, nowMs: number): Promise<Uint8Array> {
  const { serviceKey } = identity;
  const header = identityEndorsementHeader({
    algorithm: serviceKey.algorithm,
    issuedAt: Math.floor(nowMs / 1000),
    epochStart: '2.1',
  });
  const signature = await serviceKey.sign(signatureStructure(header, serviceKey.publicKeyDer));
  return identityEndorsement(header, serviceKey.publicKeyDer, signature);
}

/** From when until when a former service lived, and the root that it signed last. */
export interface FormerEpoch {
  readonly publicKeyDer: Uint8Array;
  readonly begin: string;
  readonly end: string;
  readonly root: Uint8Array;
}

/** The endorsements of the service before by the one recovered from it (ledger-format.md §12.1). */
export async function endorseFormer(
  { serviceKey, keys }: Identity,
  serviceCertificatePem: string,
  { publicKeyDer, begin, end, root }: FormerEpoch,
  nowMs: number,
): Promise<{ readonly cose: Uint8Array; readonly certificatePem: string }> {
  const header = identityEndorsementHeader({
    algorithm: serviceKey.algorithm,
    issuedAt: Math.floor(nowMs / 1000),
    epochStart: begin,
    epochEnd: { txId: end, root },
  });
  const signature = await serviceKey.sign(signatureStructure(header, publicKeyDer));
  const validity = { fromMs: nowMs - BACKDATE_MS, days: SERVICE_CERTIFICATE_DAYS };
  const issuer = { key: serviceKey, certificatePem: serviceCertificatePem };
  return {
    cose: identityEndorsement(header, publicKeyDer, signature),
    certificatePem: await keys.endorsedAuthority(
      publicKeyDer,
      SERVICE_SUBJECT,
      validity,
      issuer,
    ),
  };
}

/** How the ledger describes this node. */
export async function describeNode(
  identity: OwnKeys,
  certificatePem: string,
  addresses: NodeAddresses,
  { evidence, codeDigest }: ShownEvidence,
): Promise<NodeDescription> {
  const address = addresses.publishedAddress ?? `${addresses.host}:${addresses.port}`;
  return {
    nodeId: identity.nodeKey.fingerprint,
    publicKeyPem: publicKeyPemOf(identity.nodeKey.publicKeyDer),
    encryptionPublicKeyPem: identity.encryptionKey.publicKeyPem,
    certificateRequestPem: await identity.keys.certificateRequest(
      identity.nodeKey,
      NODE_SUBJECT,
      hostsOf(addresses),
    ),
    certificatePem,
    evidence,
    codeDigest,
    nodeAddress: nodeAddressOf(addresses),
    serviceAddress: address,
  };
}

/** What a node's certificate names: where it listens, and where clients are told to find it. */
function hostsOf({ host, publishedAddress }: NodeAddresses): readonly string[] {
  const bound = host === '127.0.0.1' ? [host, 'localhost'] : [host];
  // An address of all interfaces is none that anybody connects to.
  const own = host === '0.0.0.0' || host === '::' ? [] : bound;
  const published = publishedAddress?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return published === undefined || own.includes(published) ? bound : [published, ...own];
}

/**
 * Reads the answer to a request to join (node-lifecycle.md §4.6), and judges what a Trusted node is
 * given: it comes from the service itself, yet a joiner goes on with nothing that does not fit.
 */
import { bytesOfBase64, equalBytes, textOf } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { type NodeId, seqnoOf, viewOf } from '../../base/ids.ts';
import type { HeldSigningKey, KeySource } from '../../crypto/key-source.ts';
import { bytesOfPem } from '../../crypto/pem.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { certificateOfPem, endorsementFault } from '../../crypto/x509.ts';
import { LEDGER_SECRET_BYTES } from '../../ledger/secret.ts';
import type { DatedSecret } from '../../ledger/secret-history.ts';
import { parsePeerAddress } from '../peers/peer-address.ts';
import type { Peer } from '../peers/peer-network.ts';

/** What a joiner was given. */
export interface Admission {
  readonly serviceKey: HeldSigningKey;
  readonly serviceCertificatePem: string;
  /** Absent if the service endorsed no certificate. */
  readonly nodeCertificatePem?: string;
  /** Oldest first. */
  readonly secrets: readonly DatedSecret[];
  /** The other nodes of the service. */
  readonly peers: readonly Peer[];
  readonly coseSignatures: { readonly issuer: string; readonly subject: string };
  readonly serviceStatus: string;
}

export interface AdmissionTrust {
  readonly nodeId: string;
  /** The certificate that the joiner was given to believe in. */
  readonly serviceCertificatePem: string;
  readonly keys: KeySource;
  readonly verifier: Verifier;
}

/**
 * The admission that an answer grants; undefined while the node is Pending. Throws `BadJoinAnswer`
 * with the place that is wrong.
 */
export async function readAdmission(
  body: Uint8Array,
  trust: AdmissionTrust,
): Promise<Admission | undefined> {
  const answer = objectAt(jsonOf(body), '#');
  if (answer.node_id !== trust.nodeId) {
    throw bad('#/node_id', `it is ${String(answer.node_id)}, and this node is ${trust.nodeId}`);
  }
  if (answer.node_status === 'Pending') return undefined;
  if (answer.node_status !== 'Trusted') {
    throw bad('#/node_status', `it is ${JSON.stringify(answer.node_status)}`);
  }
  const info = objectAt(answer.network_info, '#/network_info');
  if (info.public_only === true) {
    throw bad('#/network_info/public_only', 'the service is being recovered: join it later');
  }
  const cose = objectAt(info.cose_signatures_config, '#/network_info/cose_signatures_config');
  const endorsed = info.endorsed_certificate;
  return {
    ...serviceIdentity(info.identity, trust),
    ...(endorsed === undefined
      ? {}
      : { nodeCertificatePem: await ownCertificate(endorsed, trust) }),
    secrets: secretsAt(info.ledger_secrets, '#/network_info/ledger_secrets'),
    peers: peersAt(info.concordat_nodes, '#/network_info/concordat_nodes', trust.nodeId),
    coseSignatures: {
      issuer: textAt(cose.issuer, '#/network_info/cose_signatures_config/issuer'),
      subject: textAt(cose.subject, '#/network_info/cose_signatures_config/subject'),
    },
    serviceStatus: textAt(info.service_status, '#/network_info/service_status'),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(body));
  } catch (cause) {
    throw bad('#', 'it is no JSON', cause);
  }
}

/** The service's key, which must be that of the certificate the joiner believes in. */
function serviceIdentity(
  value: unknown,
  { serviceCertificatePem, keys }: AdmissionTrust,
): Pick<Admission, 'serviceKey' | 'serviceCertificatePem'> {
  const at = '#/network_info/identity';
  const identity = objectAt(value, at);
  const cert = textAt(identity.cert, `${at}/cert`);
  const der = bytesOfPem('PRIVATE KEY', textAt(identity.priv_key, `${at}/priv_key`));
  if (der === undefined) throw bad(`${at}/priv_key`, 'it is no private key in PEM');
  const pinned = certificateOfPem(serviceCertificatePem).publicKeyDer;
  let serviceKey: HeldSigningKey;
  try {
    serviceKey = keys.openSigningKey(der);
  } catch (cause) {
    throw bad(`${at}/priv_key`, messageOf(cause));
  }
  if (!equalBytes(publicKeyIn(cert, `${at}/cert`), pinned)) {
    throw bad(`${at}/cert`, 'it has another key than the certificate that this node was given');
  }
  if (!equalBytes(serviceKey.publicKeyDer, pinned)) {
    throw bad(`${at}/priv_key`, "it is not the key of the service's certificate");
  }
  return { serviceKey, serviceCertificatePem: cert };
}

async function ownCertificate(
  value: unknown,
  { nodeId, serviceCertificatePem, verifier }: AdmissionTrust,
): Promise<string> {
  const at = '#/network_info/endorsed_certificate';
  const pem = textAt(value, at);
  publicKeyIn(pem, at);
  const certificate = certificateOfPem(pem);
  const digest = await verifier.hash('SHA-256', certificate.publicKeyDer);
  if (Buffer.from(digest).toString('hex') !== nodeId) throw bad(at, 'it is for another key');
  const service = certificateOfPem(serviceCertificatePem);
  const fault = await endorsementFault(certificate, service, verifier);
  if (fault !== undefined) throw bad(at, fault);
  return pem;
}

function publicKeyIn(pem: string, at: string): Uint8Array {
  try {
    return certificateOfPem(pem).publicKeyDer;
  } catch (cause) {
    throw bad(at, messageOf(cause), cause);
  }
}

function secretsAt(value: unknown, at: string): readonly DatedSecret[] {
  const secrets = Object.entries(objectAt(value, at)).map(([version, secret]) => {
    const place = `${at}/${version}`;
    const { raw_key, concordat_view } = objectAt(secret, place);
    const bytes = typeof raw_key === 'string' ? bytesOfBase64(raw_key) : undefined;
    if (bytes?.length !== LEDGER_SECRET_BYTES) {
      throw bad(`${place}/raw_key`, `it is not ${LEDGER_SECRET_BYTES} bytes in base64`);
    }
    return dated(version, concordat_view, bytes, place);
  });
  if (secrets.length === 0) throw bad(at, 'there is none');
  return secrets.sort((left, right) => left.from - right.from || left.view - right.view);
}

function dated(version: string, view: unknown, bytes: Uint8Array, place: string): DatedSecret {
  // One text for each seqno, so that no two secrets are of the same.
  if (!/^[1-9]\d{0,15}$/.test(version)) throw bad(place, 'this is no seqno');
  try {
    return { from: seqnoOf(Number(version)), view: viewOf(Number(view)), bytes };
  } catch (cause) {
    throw bad(place, messageOf(cause), cause);
  }
}

function peersAt(value: unknown, at: string, ownId: string): readonly Peer[] {
  if (!Array.isArray(value)) throw bad(at, 'it is no list');
  return value.flatMap((each: unknown, index) => {
    const place = `${at}/${index}`;
    const { node_id, address } = objectAt(each, place);
    if (typeof node_id !== 'string' || !/^[0-9a-f]{64}$/.test(node_id)) {
      throw bad(`${place}/node_id`, `${String(node_id)} is not 64 hexadecimal digits`);
    }
    if (typeof address !== 'string' || parsePeerAddress(address) === undefined) {
      throw bad(`${place}/address`, `${String(address)} is not host:port`);
    }
    return node_id === ownId ? [] : [{ nodeId: node_id as NodeId, address }];
  });
}

function objectAt(value: unknown, at: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw bad(at, 'it is no object');
}

function textAt(value: unknown, at: string): string {
  if (typeof value === 'string') return value;
  throw bad(at, 'it is no text');
}

function bad(at: string, why: string, cause?: unknown): CodedError {
  const message = `the service's answer cannot be used: at ${at}, ${why}`;
  return new CodedError('BadJoinAnswer', message, { at }, { cause });
}

/**
 * Ties what a service shows to evidence: a node's evidence names the digest of its key, its TLS
 * session is under that key, and over that session it says which service it is of. Who answers
 * under an attested key is attested code; what it says of the service is believed for that.
 */
import { CheckList, verdictOf } from '../../attestation/check-list.ts';
import type { Verdict } from '../../attestation/verdict.ts';
import { isCoded, messageOf } from '../../base/errors.ts';
import { toHex } from '../../base/portable-bytes.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { certificateOfPem, endorsementFault, validAt } from '../../crypto/x509.ts';
import type { Answerer, LiveNode, LiveService } from './live-service.ts';

const TLS_KEY = 'TLS key';
const ENDORSEMENT = 'service endorsement';
const SERVICE = 'service certificate';

/** The verdict on a node's evidence, and on what ties the node to it. */
export async function judgeNode(
  node: LiveNode,
  service: LiveService,
  evidence: Verdict,
  verifier: Verifier,
): Promise<Verdict> {
  const list = new CheckList();
  const { answerer } = node;
  if (answerer === undefined) {
    const why = `the node did not answer, so this was not seen: ${node.silence}`;
    for (const name of [TLS_KEY, ENDORSEMENT, SERVICE]) list.skip(name, why);
  } else {
    await checkKey(list, answerer, [node.nodeId], verifier);
    await checkEndorsement(list, answerer, service.front, evidence.atMs, verifier);
    list.expect(
      SERVICE,
      answerer.serviceCertificate.trim() === service.front.serviceCertificate.trim(),
      'the node says that it is of the same service',
      {
        kind: 'binding',
        code: 'OtherService',
        message: 'the node says that it is of another service than the one that lists it',
      },
    );
  }
  return verdictOf([...evidence.checks, ...list.checks], evidence.atMs, evidence.claims);
}

/** The verdict on whoever answers at the service's address. */
export async function judgeFront(
  service: LiveService,
  accepted: readonly string[],
  expected: string | undefined,
  atMs: number,
  verifier: Verifier,
): Promise<Verdict> {
  const list = new CheckList();
  await checkKey(list, service.front, accepted, verifier);
  await checkEndorsement(list, service.front, service.front, atMs, verifier);
  if (expected === undefined) {
    list.skip(SERVICE, 'no certificate was named that the service must have');
  } else {
    list.expect(
      SERVICE,
      expected.trim() === service.front.serviceCertificate.trim(),
      'it is the service that was asked for',
      {
        kind: 'binding',
        code: 'NotTheService',
        message: 'it is another service than the one whose certificate was named',
      },
    );
  }
  return list.verdict(atMs);
}

/** SHA-256 of the service's certificate, by which people compare it. */
export async function fingerprintOf(pem: string, verifier: Verifier): Promise<string> {
  return toHex(await verifier.hash('SHA-256', certificateOfPem(pem).publicKeyDer));
}

/** The session's key must be that of one of these nodes: their ids are digests of their keys. */
async function checkKey(
  list: CheckList,
  { certificate }: Answerer,
  nodeIds: readonly string[],
  verifier: Verifier,
): Promise<void> {
  const digest = toHex(await verifier.hash('SHA-256', certificate.publicKeyDer));
  list.expect(
    TLS_KEY,
    nodeIds.includes(digest),
    'the TLS session is under the key that the evidence is about',
    {
      kind: 'binding',
      code: 'TlsKeyUnattested',
      message: 'the TLS session is under a key that no accepted evidence is about',
    },
    { session: digest, attested: nodeIds.join(' ') },
  );
}

async function checkEndorsement(
  list: CheckList,
  { certificate }: Answerer,
  { serviceCertificate }: Answerer,
  atMs: number,
  verifier: Verifier,
): Promise<void> {
  const fault = await faultOf(certificate, serviceCertificate, verifier);
  list.expect(
    ENDORSEMENT,
    fault === undefined,
    "the service's key endorsed the node's certificate",
    {
      kind: 'unproven',
      code: 'NodeNotEndorsed',
      message: `the service did not endorse the node's certificate: ${fault ?? ''}`,
    },
  );
  list.expect(
    'certificate validity',
    validAt(certificate, atMs),
    "the node's certificate is valid at the time of judgement",
    {
      kind: 'time',
      code: 'NodeCertificateNotValid',
      message: "the node's certificate is not valid at the time of judgement",
    },
    {
      from: new Date(certificate.notBeforeMs).toISOString(),
      until: new Date(certificate.notAfterMs).toISOString(),
    },
  );
}

async function faultOf(
  certificate: Answerer['certificate'],
  servicePem: string,
  verifier: Verifier,
): Promise<string | undefined> {
  try {
    return await endorsementFault(certificate, certificateOfPem(servicePem), verifier);
  } catch (thrown) {
    if (isCoded(thrown)) return messageOf(thrown);
    throw thrown;
  }
}

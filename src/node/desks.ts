/**
 * What a node lends to those who let others in: the secrets of the service for a joiner that is
 * trusted, and the service's key to endorse it.
 */
import { seqnoOf } from '../base/ids.ts';
import { endorseRequest } from '../crypto/endorsement.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import type { JoinDesk } from '../http/join-desk.ts';
import type { ActionDesk } from '../http/operator-action-endpoint.ts';
import type { SignatureOptions } from './node-options.ts';
import type { OpenedLedger } from './opened-ledger.ts';
import { type EvidenceDependencies, nodeJudge } from './own-evidence.ts';

export interface Desks {
  readonly join: JoinDesk;
  readonly actions: ActionDesk;
}

export function desksOf(
  { identity, state, serviceCertificatePem }: OpenedLedger,
  { issuer, subject }: SignatureOptions,
  dependencies: EvidenceDependencies,
): Desks {
  const service = { key: identity.serviceKey, certificatePem: serviceCertificatePem };
  const endorse: JoinDesk['endorse'] = (requestPem, validity) =>
    endorseRequest(identity.keys, requestPem, validity, service);
  return {
    join: {
      // Every node has the whole ledger: a joiner may begin anywhere.
      startupSeqno: seqnoOf(0),
      secrets: () => state.secrets.all,
      serviceKey: () => identity.serviceKey.pkcs8(),
      wrapTo: identity.keys.wrapTo,
      coseSignatures: { issuer, subject },
      judge: nodeJudge(dependencies),
      endorse,
    },
    actions: { verifier: dependencies.verifier ?? nodeVerifier, endorse },
  };
}

/**
 * The desk at which a node lets others in: what it hands out to one that is trusted, and where that
 * comes from (node-lifecycle.md §4.6).
 */
import { base64Of, textOf } from '../base/bytes.ts';
import type { Seqno } from '../base/ids.ts';
import type { Validity } from '../crypto/certificates.ts';
import type { Wrap } from '../crypto/key-source.ts';
import { pemOf } from '../crypto/pem.ts';
import type { JoinJudge } from '../governance/join-policy.ts';
import { addressOf, nodeKey, nodesThatAre, serviceInfo } from '../governance/nodes.ts';
import { NODE_CERTIFICATES } from '../governance/tables.ts';
import type { ReadView } from '../kv/tables.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';
import type { NetworkInfo } from './join-wire.ts';

/** What joining needs of the node behind it. */
export interface JoinDesk {
  /** Seqno of the snapshot that this node began from; 0 when it has the ledger from its start. */
  readonly startupSeqno: Seqno;
  /** Every ledger secret in force so far, oldest first. */
  secrets(): readonly DatedSecret[];
  /** The service's private key: PKCS #8, DER. */
  serviceKey(): Uint8Array;
  /** Encrypts to a public key (PEM); throws a coded error for one that cannot be used. */
  readonly wrapTo: Wrap;
  readonly coseSignatures: { readonly issuer: string; readonly subject: string };
  /** Judges evidence as of now. */
  readonly judge: JoinJudge;
  /** Makes the certificate that a request (PKCS #10, PEM) asks for. */
  endorse(requestPem: string, validity: Validity): Promise<string>;
}

/** All that a Trusted node needs to take part: the secrets of the service among it. */
export function networkInfo(view: ReadView, desk: JoinDesk, nodeId: string): NetworkInfo {
  const service = serviceInfo(view);
  const certificate = view.table(NODE_CERTIFICATES).get(nodeKey(nodeId));
  return {
    public_only: false,
    last_recovered_signed_idx: 0,
    ledger_secrets: Object.fromEntries(
      desk
        .secrets()
        .map(({ from, view: made, bytes }) => [
          String(from),
          { raw_key: base64Of(bytes), concordat_view: made },
        ]),
    ),
    identity: { cert: service?.cert ?? '', priv_key: pemOf('PRIVATE KEY', desk.serviceKey()) },
    service_status: service?.status ?? '',
    ...(certificate === undefined ? {} : { endorsed_certificate: textOf(certificate) }),
    cose_signatures_config: desk.coseSignatures,
    concordat_nodes: nodesThatAre(view, 'Trusted').map(({ nodeId: id, info }) => {
      const first = Object.values(info.rpc_interfaces)[0];
      return {
        node_id: id,
        address: addressOf(info.node_to_node_interface),
        ...(first === undefined ? {} : { service_address: addressOf(first) }),
      };
    }),
  };
}

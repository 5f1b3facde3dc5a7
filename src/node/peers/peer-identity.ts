/**
 * Who is at the other end (design decision 6). A node's id is the SHA-256 of its public key (SPKI,
 * DER), and that key is what counts: a certificate's chain, names and dates decide nothing here,
 * because the ledger's nodes table records the key after its attestation was verified.
 */

import type { SecureContextOptions, TLSSocket } from 'node:tls';
import type { NodeId } from '../../base/ids.ts';
import { sha256Hex } from '../../crypto/hash.ts';

/** A node's certificate and private key, both PEM. */
export interface PeerCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The protocol's name in the handshake (RFC 7301); an incompatible version gets another. */
export const PEER_PROTOCOL = 'concordat-node/1';

/** TLS 1.3 only (RFC 8446): every handshake is forward secret, and hides the certificates. */
export function peerTlsOptions(identity: PeerCertificate): SecureContextOptions {
  return {
    cert: identity.cert,
    key: identity.key,
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384',
    ecdhCurve: 'X25519:P-256:P-384',
  };
}

/** Whose key the other end has proved, or why nobody's. */
export type ProvedPeer = { readonly id: NodeId } | { readonly fault: string };

export function provedPeer(socket: TLSSocket): ProvedPeer {
  if (socket.alpnProtocol !== PEER_PROTOCOL)
    return { fault: `it does not speak ${PEER_PROTOCOL}` };
  // A resumed session proves a key of some time ago only; nobody here asks for one.
  if (socket.isSessionReused()) return { fault: 'it resumed an earlier session' };
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { fault: 'it showed no certificate' };
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return { id: sha256Hex(spki) as NodeId };
}

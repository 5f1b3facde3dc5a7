/**
 * What a joiner was given, as it lies in `sealed/` from then on: like that of a node which founded
 * its service, so that every later start is a restart in place.
 */
import { equalBytes, textOf, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { SERVICE_KEY } from '../identity.ts';
import { OPENED_MARK } from '../new-service.ts';
import type { Peer } from '../peers/peer-network.ts';
import { SERVICE_CERTIFICATE } from '../restart.ts';
import type { SealedFolder } from '../sealed-folder.ts';
import type { Admission } from './network-info.ts';

/** The nodes to begin with, as long as the ledger has not come: JSON, `Peer`s. */
const FIRST_PEERS = 'first-peers';

/** Seals what an admission brought; a former attempt may have sealed some of it. */
export async function sealAdmission(
  sealed: SealedFolder,
  { serviceKey, serviceCertificatePem, secrets, peers }: Admission,
): Promise<void> {
  for (const secret of secrets) {
    const known = (await sealed.ledgerSecrets()).find(
      ({ from, view }) => from === secret.from && view === secret.view,
    );
    if (known === undefined) await sealed.putLedgerSecret(secret);
    else
      mustBeSame(known.bytes, secret.bytes, `ledger secret of ${secret.view}.${secret.from}`);
  }
  if (!(await sealed.has(SERVICE_CERTIFICATE))) {
    await sealed.put(SERVICE_CERTIFICATE, utf8(serviceCertificatePem));
  }
  if (!(await sealed.has(FIRST_PEERS))) {
    await sealed.put(FIRST_PEERS, utf8(JSON.stringify(peers)));
  }
  if (await sealed.has(SERVICE_KEY)) {
    mustBeSame(await sealed.get(SERVICE_KEY), serviceKey.pkcs8(), 'key');
  } else await sealed.put(SERVICE_KEY, serviceKey.pkcs8());
}

/** From here on the folder is that of a node, and no one joins with it again. */
export async function sealJoined(sealed: SealedFolder): Promise<void> {
  await sealed.put(OPENED_MARK, new Uint8Array(1));
}

/**
 * The nodes that a joiner was told of when it was let in: whom it asks as long as its own ledger
 * names nobody. Empty for a node that founded its service.
 */
export async function firstPeers(sealed: SealedFolder): Promise<readonly Peer[]> {
  if (!(await sealed.has(FIRST_PEERS))) return [];
  const peers: unknown = JSON.parse(textOf(await sealed.get(FIRST_PEERS)));
  return (Array.isArray(peers) ? peers : []).map(
    (peer: { nodeId: NodeId; address: string }) => ({
      nodeId: peer.nodeId,
      address: peer.address,
    }),
  );
}

function mustBeSame(held: Uint8Array, given: Uint8Array, what: string): void {
  if (equalBytes(held, given)) return;
  throw new CodedError(
    'ServiceChanged',
    `the service's ${what} is another than at the last attempt to join. Begin again with an ` +
      'empty folder',
    { what },
  );
}

/**
 * The transaction manager: Tessera's Q2T and third-party surfaces over the tables of the service
 * (transaction-manager.md). The connector maps its socket and port to the first, its third-party
 * port to the second.
 */
import { REQUEST_IDS_KEPT } from '../../base/limits.ts';
import { VERSION } from '../../base/version.ts';
import type { Application } from '../interface.ts';
import { aboutRoutes, apiRoute } from './endpoints/about.ts';
import { deletingRoutes } from './endpoints/deleting.ts';
import { encodedRoutes } from './endpoints/encoded.ts';
import { factRoutes } from './endpoints/facts.ts';
import { groupRoutes } from './endpoints/groups.ts';
import { keyRoutes } from './endpoints/keys.ts';
import { receiptRoute } from './endpoints/receipts.ts';
import { receivingRoutes } from './endpoints/receiving.ts';
import { sendingRoutes, storeRawRoute } from './endpoints/sending.ts';
import { signedRoute } from './endpoints/signed.ts';
import { renderError } from './errors.ts';
import { importRoutes } from './importing/endpoints.ts';
import type { SendingDependencies } from './sending.ts';
import { mount, type Route } from './surface.ts';
import { PAYLOADS, RAW_PAYLOADS, REQUESTS } from './tables.ts';

/** Where a Quorum node's requests go. */
export const Q2T_PREFIX = '/quorum/q2t';
/** Where third parties' requests go. */
export const THIRD_PARTY_PREFIX = '/quorum/3p';
/** Where an organisation brings what its Tessera node held; no connector relays it. */
const IMPORT_PREFIX = '/quorum/import';

export interface QuorumDependencies extends SendingDependencies {
  /** Request ids that are known of each organisation; REQUEST_IDS_KEPT when absent. */
  readonly requestIdsKept?: number;
}

export function createQuorumApplication({
  requestIdsKept = REQUEST_IDS_KEPT,
  ...sending
}: QuorumDependencies): Application {
  const { random } = sending;
  const q2t = [
    ...aboutRoutes(VERSION),
    ...sendingRoutes(sending),
    signedRoute(sending),
    ...receivingRoutes,
    ...factRoutes,
    receiptRoute,
    ...deletingRoutes,
    ...encodedRoutes(random),
    ...groupRoutes(random),
  ];
  const thirdParty = [...aboutRoutes(VERSION), ...keyRoutes, storeRawRoute(random)];
  return {
    name: 'quorum',
    archivedTables: [PAYLOADS, RAW_PAYLOADS, REQUESTS],
    endpoints: [
      ...mount(Q2T_PREFIX, withApi('Concordat Q2T', q2t), requestIdsKept),
      ...mount(
        THIRD_PARTY_PREFIX,
        withApi('Concordat third party', thirdParty),
        requestIdsKept,
      ),
      ...mount(IMPORT_PREFIX, importRoutes(random), requestIdsKept),
    ],
    renderError,
  };
}

function withApi(title: string, routes: readonly Route[]): readonly Route[] {
  return [...routes, apiRoute(title, VERSION, routes)];
}

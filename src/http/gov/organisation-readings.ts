/**
 * `GET /gov/concordat/organisations`, ours: the organisations behind Quorum nodes as members
 * decided them, and the admin keys that are about to be replaced, for all to see in time.
 */
import type { Endpoint } from '../../apps/interface.ts';
import {
  ORGANISATION_CERTIFICATES,
  ORGANISATIONS,
  PENDING_ADMIN_KEYS,
} from '../../apps/organisations.ts';
import { textOf } from '../../base/bytes.ts';
import type { ReadView } from '../../kv/tables.ts';
import { allRows, objectIn, reading, sortedAnswer } from './gov-request.ts';

export const ORGANISATION_READINGS: readonly Endpoint[] = [
  reading('/concordat/organisations', 'Organisations and their keys', (_request, view) => {
    const certificates = certificatesByOwner(view);
    const rows = allRows(view.table(ORGANISATIONS));
    const value = rows.map(({ key, value: row }) => {
      const organisationId = textOf(key);
      const { name, admin_key, party_keys, residents, consents, suspended } = objectIn(row);
      const pending = view.table(PENDING_ADMIN_KEYS).get(key);
      return {
        ...{ organisationId, name, residents, consents: consents ?? 0 },
        ...{ adminKey: admin_key, partyKeys: party_keys, suspended: suspended !== undefined },
        certificateIds: certificates.get(organisationId) ?? [],
        ...(pending === undefined ? {} : { pendingAdminKey: pendingOf(pending) }),
      };
    });
    return sortedAnswer({ value });
  }),
];

function pendingOf(row: Uint8Array): unknown {
  const { admin_key, effective_from } = objectIn(row);
  return { adminKey: admin_key, effectiveFrom: effective_from };
}

function certificatesByOwner(view: ReadView): ReadonlyMap<string, readonly string[]> {
  const owned = new Map<string, string[]>();
  for (const { key, value } of allRows(view.table(ORGANISATION_CERTIFICATES))) {
    const owner = textOf(value);
    const ids = owned.get(owner) ?? [];
    ids.push(textOf(key));
    owned.set(owner, ids);
  }
  return owned;
}

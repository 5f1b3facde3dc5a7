import type { ReadView } from '../../kv/tables.ts';
import type { FoundPayload } from './lookup.ts';
import { type Organisation, owns } from './organisation.ts';
import { isParty, keysOf, readableRows } from './parties.ts';
import {
  type AffectedTransaction,
  type PayloadRecord,
  PRIVATE_STATE_VALIDATION,
} from './payload-record.ts';
import { includes } from './rules.ts';
import { PAYLOADS } from './tables.ts';

/** Whether the payload was sent with one of the organisation's keys. */
export function isSender({ record }: FoundPayload, caller: Organisation): boolean {
  return owns(caller, record.sender);
}

/** The parties the organisation may know of, in Tessera's order. */
export function participants(found: FoundPayload, caller: Organisation): readonly Uint8Array[] {
  const { record, row } = found;
  const added = [...keysOf(row.label)].filter((key) => !includes(record.recipients, key));
  const all = [...record.recipients, ...added];
  if (isSender(found, caller)) return all;
  const own = all.filter((key) => owns(caller, key));
  if (record.privacyFlag !== PRIVATE_STATE_VALIDATION) return own;
  return [...own, ...all.filter((key) => !owns(caller, key))];
}

/** The organisation's own keys among the parties. */
export function managedParties({ row }: FoundPayload, caller: Organisation): readonly Buffer[] {
  return caller.keys.filter((key) => isParty(row.label, key));
}

/** The affected transactions that the organisation knows. */
export function affectedKnown(
  view: ReadView,
  found: FoundPayload,
  caller: Organisation,
): readonly Uint8Array[] {
  const { affected } = found.record;
  const known = isSender(found, caller)
    ? affected
    : affected.filter((one) => knows(view, found.record, one, caller));
  return known.map(({ hash }) => hash);
}

function knows(
  view: ReadView,
  { recipients, recipientNonce }: PayloadRecord,
  { hash, knownTo }: AffectedTransaction,
  caller: Organisation,
): boolean {
  // From outside a payload comes once for each of its recipients, so its record may name but one.
  if (recipientNonce !== undefined) {
    return readableRows(view.archive(PAYLOADS).find(hash), caller.keys).length > 0;
  }
  return recipients.some((key, index) => knownTo[index] === true && owns(caller, key));
}

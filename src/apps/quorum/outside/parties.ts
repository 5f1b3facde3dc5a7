/**
 * Parties outside: whose keys other networks' nodes hold, and where each is reached. Their rows
 * come from party information whose keys were proven (federation); a key of an organisation inside
 * is never one of them, whatever a peer says.
 */
import { NO_BYTES, textOf, utf8 } from '../../../base/bytes.ts';
import { PAGE_ROWS_MAX } from '../../../base/limits.ts';
import type { ReadView, Transaction } from '../../../kv/tables.ts';
import { ownerOf } from '../organisation.ts';
import { PARTY_KEY_BYTES } from '../parties.ts';
import { OUTBOX, OUTSIDE_PARTIES } from '../tables.ts';

/** Keys of outside parties that are known at once: each costs a row in memory. */
export const OUTSIDE_PARTIES_MAX = 10_000;

/** Where an outside party's payloads go. */
export interface OutsideParty {
  readonly url: string;
  /** Versions of the protocol that its node said it speaks. */
  readonly versions: readonly string[];
}

/** An outside party by its key; undefined for one that is inside or unknown. */
export function outsideParty(view: ReadView, key: Uint8Array): OutsideParty | undefined {
  if (key.length !== PARTY_KEY_BYTES || ownerOf(view, key) !== undefined) return undefined;
  const row = view.table(OUTSIDE_PARTIES).get(key);
  return row === undefined ? undefined : partyOf(row);
}

// A row's bytes are one object for as long as the row stands, so they carry what was read of them.
const read = new WeakMap<Uint8Array, OutsideParty>();

function partyOf(row: Uint8Array): OutsideParty {
  const known = read.get(row);
  if (known !== undefined) return known;
  const party = JSON.parse(textOf(row)) as OutsideParty;
  read.set(row, party);
  return party;
}

/** All outside parties, in the order of their keys. */
export function* outsideParties(
  view: ReadView,
): Generator<OutsideParty & { readonly key: Uint8Array }, void, void> {
  let after: Uint8Array = NO_BYTES;
  for (;;) {
    const page = view.table(OUTSIDE_PARTIES).page({ after, limit: PAGE_ROWS_MAX });
    for (const { key, value } of page) {
      if (ownerOf(view, key) !== undefined) continue;
      yield { key, ...partyOf(value) };
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE_ROWS_MAX) return;
    after = last.key;
  }
}

export function putOutsideParty(tx: Transaction, key: Uint8Array, party: OutsideParty): void {
  tx.table(OUTSIDE_PARTIES).put(key, utf8(JSON.stringify(party)));
}

/** What is to be delivered to one outside recipient. */
export interface Delivery {
  /** A payload's key; or a privacy group's id, and what became of it (`groups.ts`). */
  readonly subject: Uint8Array;
  readonly recipient: Uint8Array;
}

/** Those of some parties that are outside. */
export function outsideOf<Key extends Uint8Array>(
  view: ReadView,
  parties: readonly Key[],
): readonly Key[] {
  return parties.filter((key) => outsideParty(view, key) !== undefined);
}

/** Notes, in the transaction that stores a payload, whom it is to be delivered to outside. */
export function queueDeliveries(
  tx: Transaction,
  payload: Uint8Array,
  recipients: readonly Uint8Array[],
): void {
  for (const recipient of recipients) {
    tx.table(OUTBOX).put(Buffer.concat([payload, recipient]), NO_BYTES);
  }
}

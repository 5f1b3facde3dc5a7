/**
 * What the peers' side of a node asks of the application, as endpoints that are on no surface: the
 * node runs them itself, for its peers and for its outbox. What an endpoint finds it hands to
 * `give`, because no bytes have to pass between two rooms of one process.
 */
import { base64Of, equalBytes, textOf, utf8 } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import type { Seqno } from '../../../base/ids.ts';
import { PAYLOAD_KEY_BYTES } from '../../../crypto/payload.ts';
import type { ArchiveStretch, ReadView } from '../../../kv/tables.ts';
import { type AppResponse, answer, type Endpoint, type Step } from '../../interface.ts';
import { PARTY_KEYS } from '../../organisations.ts';
import { ownerOf } from '../organisation.ts';
import { isParty, keysOf, PARTY_KEY_BYTES } from '../parties.ts';
import { decodeKeyed, decodePayload, type PayloadRecord } from '../payload-record.ts';
import { guarded } from '../surface.ts';
import { OUTBOX, OUTSIDE_PARTIES, PAYLOADS } from '../tables.ts';
import { type Refusal, refuseAbsent, refuseWith } from '../wire/answers.ts';
import { acceptPush } from './accepting.ts';
import {
  acceptGroup,
  GROUP_SUBJECT_BYTES,
  type TravellingGroup,
  travellingGroup,
} from './groups.ts';
import { openChallenge, returning, type TravellingPayload, travelling } from './opening.ts';
import {
  type Delivery,
  OUTSIDE_PARTIES_MAX,
  type OutsideParty,
  outsideParty,
  putOutsideParty,
} from './parties.ts';

type Give<Found> = (found: Found) => void;

const DONE: AppResponse = { status: 200 };

/** Stores a payload that a peer pushed: 201 with its key. */
export function pushEndpoint(random: Random, pushed: TravellingPayload): Endpoint {
  return endpoint('write', (view) => acceptPush(random, view, pushed));
}

/** Takes in what a peer tells of a privacy group. */
export function groupEndpoint(pushed: TravellingGroup): Endpoint {
  return endpoint('write', (view) => acceptGroup(view, pushed));
}

/** Opens what a peer sealed for one of the keys inside. */
export function challengeEndpoint(
  challenge: TravellingPayload,
  give: Give<Uint8Array>,
): Endpoint {
  return endpoint('read', (view) => {
    const opened = openChallenge(view, challenge);
    if (opened === undefined) throw refuseWith(400, 'it opens with no key that is held here');
    give(opened);
    return answer(DONE);
  });
}

/** What a peer has said of itself, and whether its keys were shown to be its own. */
export interface PeerClaim extends OutsideParty {
  readonly keys: readonly Uint8Array[];
  readonly isProven: boolean;
}

/** Notes whose keys a peer holds. A key that is somebody else's is refused by name. */
export function peerEndpoint(claim: PeerClaim): Endpoint {
  return endpoint('write', () => ({
    kind: 'write',
    apply: (tx) => {
      const { url, versions, keys, isProven } = claim;
      for (const key of keys) {
        if (key.length !== PARTY_KEY_BYTES) {
          throw refuseWith(400, `a party key has ${key.length} bytes, not ${PARTY_KEY_BYTES}`);
        }
        const owner = ownerOf(tx, key);
        if (owner !== undefined) {
          const shown = base64Of(key);
          throw refuseWith(403, `the key ${shown} is that of ${owner} inside, not of ${url}`);
        }
        const known = outsideParty(tx, key);
        if (known !== undefined && known.url !== url && !isProven) {
          throw refuseWith(
            403,
            `the key ${base64Of(key)} is that of ${known.url}, not of ${url}`,
          );
        }
        if (known?.url === url && equalLists(known.versions, versions)) continue;
        if (known === undefined && tx.table(OUTSIDE_PARTIES).size >= OUTSIDE_PARTIES_MAX) {
          throw refuseWith(403, `${OUTSIDE_PARTIES_MAX} keys outside are known already`);
        }
        putOutsideParty(tx, key, { url, versions });
      }
      return DONE;
    },
  }));
}

/** A delivery with what is to be delivered; without it, there is nothing left to deliver. */
export interface DueDelivery extends Delivery {
  readonly due?: { readonly to: OutsideParty } & (
    | { readonly payload: TravellingPayload }
    | { readonly group: TravellingGroup }
  );
}

/** Readies deliveries; nothing is due of what was deleted, or whose recipient came inside. */
export function deliveriesEndpoint(
  deliveries: readonly Delivery[],
  give: Give<readonly DueDelivery[]>,
): Endpoint {
  return endpoint('read', (view) =>
    withRecords(
      view,
      deliveries.map(({ subject }) => subject),
      (records) => {
        give(deliveries.map((one, index) => dueOf(view, one, records[index])));
        return answer(DONE);
      },
    ),
  );
}

function dueOf(
  view: ReadView,
  delivery: Delivery,
  found: FoundRecord | undefined,
): DueDelivery {
  const to = outsideParty(view, delivery.recipient);
  if (to !== undefined && delivery.subject.length === GROUP_SUBJECT_BYTES) {
    const group = travellingGroup(view, delivery.subject);
    return group === undefined ? delivery : { ...delivery, due: { to, group } };
  }
  if (to === undefined || found === undefined || !isParty(found.label, delivery.recipient)) {
    return delivery;
  }
  const payload = travelling(view, delivery.subject, found.record, delivery.recipient);
  return payload === undefined ? delivery : { ...delivery, due: { to, payload } };
}

/** Takes deliveries out of the outbox: there are receipts for them. */
export function deliveredEndpoint(deliveries: readonly Delivery[]): Endpoint {
  return endpoint('write', () => ({
    kind: 'write',
    apply: (tx) => {
      for (const { subject, recipient } of deliveries) {
        const key = Buffer.concat([subject, recipient]);
        if (tx.table(OUTBOX).has(key)) tx.table(OUTBOX).remove(key);
      }
      return DONE;
    },
  }));
}

/** What a party outside is given again of one payload, as Tessera gives it. */
export function resendEndpoint(
  key: Uint8Array,
  party: Uint8Array,
  give: Give<TravellingPayload>,
): Endpoint {
  return endpoint('read', (view) => {
    const shown = base64Of(key);
    const absent = (): Refusal => refuseAbsent(404, `Message with hash ${shown} was not found`);
    const notFor = (): Refusal =>
      refuseWith(
        400,
        `Recipient ${base64Of(party)} is not a recipient of transaction ${shown}`,
      );
    if (key.length !== PAYLOAD_KEY_BYTES) throw absent();
    if (ownerOf(view, party) !== undefined) throw notFor();
    return withRecords(view, [key], ([found]) => {
      // A party outside learns of no payload that it has no part in, not even that there is one.
      if (found === undefined || !isParty(found.label, party)) throw absent();
      const payload = resentOf(view, key, found, party);
      if (payload === undefined) throw notFor();
      give(payload);
      return answer(DONE);
    });
  });
}

function resentOf(
  view: ReadView,
  key: Uint8Array,
  { record, label }: FoundRecord,
  party: Uint8Array,
): TravellingPayload | undefined {
  if (!equalBytes(record.sender, party)) return travelling(view, key, record, party);
  const others = [...keysOf(label)].filter((one) => !equalBytes(one, party));
  // What it sent to nobody else has a box for itself.
  return returning(view, key, record, others.length > 0 ? others : [party]);
}

/** Where payloads of a party outside lie, among some of all payloads. */
export function ownPayloadsEndpoint(
  party: Uint8Array,
  from: Uint8Array | undefined,
  give: Give<ArchiveStretch>,
): Endpoint {
  return endpoint('read', (view) => {
    const isInside = ownerOf(view, party) !== undefined;
    const mayHave = (label: Uint8Array): boolean => isParty(label, party);
    give(isInside ? { seqnos: [] } : view.archive(PAYLOADS).stretch(mayHave, from));
    return answer(DONE);
  });
}

/** Payloads that a party outside is given again, by where they lie. */
export function resendAllEndpoint(
  party: Uint8Array,
  seqnos: readonly Seqno[],
  give: Give<readonly TravellingPayload[]>,
): Endpoint {
  return endpoint('read', (view) => ({
    kind: 'fetch',
    rows: seqnos.map((seqno) => ({ table: PAYLOADS, row: { seqno } })),
    next: (values) => {
      const payloads = values.flatMap((bytes, at) => {
        if (bytes === undefined || ownerOf(view, party) !== undefined) return [];
        const { key, record } = decodeKeyed(bytes);
        const rows = view.archive(PAYLOADS).find(key);
        const label = rows.find(({ seqno }) => seqno === seqnos[at])?.label;
        if (label === undefined || !isParty(label, party)) return [];
        return resentOf(view, key, { record, label }, party) ?? [];
      });
      give(payloads);
      return answer(DONE);
    },
  }));
}

interface FoundRecord {
  readonly label: Uint8Array;
  readonly record: PayloadRecord;
}

/** Records of payloads, whoever their parties are: what is done with them decides that. */
function withRecords(
  view: ReadView,
  keys: readonly Uint8Array[],
  next: (found: readonly (FoundRecord | undefined)[]) => Step,
): Step {
  const archive = view.archive(PAYLOADS);
  const sought = keys.flatMap((key, at) =>
    key.length === PAYLOAD_KEY_BYTES ? archive.find(key).map((row) => ({ at, key, row })) : [],
  );
  if (sought.length === 0) return next(keys.map(() => undefined));
  return {
    kind: 'fetch',
    rows: sought.map(({ key, row }) => ({ table: PAYLOADS, key, row })),
    next: (values) =>
      next(
        keys.map((key, at) => {
          const index = sought.findLastIndex(
            (one, i) => one.at === at && values[i] !== undefined,
          );
          const [bytes, row] = [values[index], sought[index]?.row];
          if (bytes === undefined || row === undefined) return undefined;
          return { label: row.label, record: decodePayload(key, bytes) };
        }),
      ),
  };
}

/** Party keys of the organisations inside. */
export function insideKeys(view: ReadView): readonly Uint8Array[] {
  const keys: Uint8Array[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const page = view.table(PARTY_KEYS).page(after === undefined ? {} : { after });
    for (const { key } of page) keys.push(Buffer.from(textOf(key), 'base64'));
    after = page.at(-1)?.key;
    if (after === undefined || keys.length >= view.table(PARTY_KEYS).size) return keys;
  }
}

/** Rows of the outbox in the order in which they came into it, oldest first. */
export function outboxOf(view: ReadView, prefix?: Uint8Array): readonly Delivery[] {
  const table = view.table(OUTBOX);
  const rows: { readonly key: Uint8Array; readonly seqno: number }[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const page = table.page({
      ...(prefix === undefined ? {} : { prefix }),
      ...(after === undefined ? {} : { after }),
    });
    for (const { key } of page) rows.push({ key, seqno: table.versionOf(key) ?? 0 });
    after = page.at(-1)?.key;
    if (after === undefined || page.length === 0) break;
  }
  rows.sort((left, right) => left.seqno - right.seqno);
  return rows.map(({ key }) => {
    const at = key.length - PARTY_KEY_BYTES;
    return { subject: key.subarray(0, at), recipient: key.subarray(at) };
  });
}

function equalLists(left: readonly string[], right: readonly string[]): boolean {
  return equalBytes(utf8(left.join()), utf8(right.join()));
}

function endpoint(effect: 'read' | 'write', handle: (view: ReadView) => Step): Endpoint {
  return {
    verb: 'POST',
    path: '/',
    authentication: ['no_auth'],
    effect,
    reads: 'committed',
    answers: 'committed',
    summary: 'A question of the node itself',
    handle: (_request, view) => guarded(() => handle(view)),
  };
}

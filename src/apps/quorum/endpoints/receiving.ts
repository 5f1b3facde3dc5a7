/**
 * `/transaction/{hash}`, `/receive`, `/receiveraw`: payloads given to their parties
 * (transaction-manager.md §B).
 */
import { base64Of } from '../../../base/bytes.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { type AppResponse, answer, type Step } from '../../interface.ts';
import {
  type FoundPayload,
  messageNotFound,
  rawMessageNotFound,
  withPayload,
  withRaw,
} from '../lookup.ts';
import { callerOf, type Organisation, owns, refuseForeignKey } from '../organisation.ts';
import { isParty, PARTY_KEY_BYTES } from '../parties.ts';
import { openRecord } from '../payload-record.ts';
import { affectedKnown, managedParties } from '../reading.ts';
import type { Route } from '../surface.ts';
import { queryValue, validHashOfPath } from '../wire/address.ts';
import {
  json,
  notBase64,
  notNull,
  notTrueOrFalse,
  refuseViolation,
  refuseWith,
} from '../wire/answers.ts';
import { decodeStrict } from '../wire/base64.ts';
import { bytesOfText, readBody } from '../wire/body.ts';
import {
  chooseForm,
  JSON_TYPE,
  OCTETS,
  ORION,
  TESSERA_2_1,
  TESSERA_3_0,
} from '../wire/media.ts';

const PLAIN = { produces: [JSON_TYPE], method: 'TransactionResource.receive' } as const;
const VENDOR = {
  produces: [TESSERA_2_1, TESSERA_3_0],
  method: 'TransactionResource3.receive',
} as const;

/** Which payload a client wants, and with which of its keys. */
interface Wanted {
  readonly hash: Buffer;
  readonly raw: boolean;
  readonly to: Buffer | undefined;
}

type Render = (payload: Uint8Array, facts: Facts) => AppResponse;

interface Facts {
  readonly affected: readonly Uint8Array[];
  readonly execHash: string;
  readonly managed: readonly Uint8Array[];
  readonly privacyFlag: number;
  readonly sender: Uint8Array;
  readonly privacyGroupId: Uint8Array;
}

function give(view: ReadView, caller: Organisation, wanted: Wanted, render: Render): Step {
  if (wanted.raw) {
    return withRaw(view, caller, wanted.hash, rawMessageNotFound, ({ record }) => {
      const { sender } = record;
      const facts = { affected: [], execHash: '', managed: [sender], privacyFlag: 0, sender };
      const privacyGroupId = Buffer.alloc(0);
      return answer(render(openRecord(record), { ...facts, privacyGroupId }));
    });
  }
  return withPayload(view, caller, wanted.hash, (found) => {
    if (wanted.to !== undefined) requireOpensWith(found, caller, wanted.to);
    const { record } = found;
    const facts: Facts = {
      affected: affectedKnown(view, found, caller),
      execHash: record.execHash,
      managed: managedParties(found, caller),
      privacyFlag: record.privacyFlag,
      sender: record.sender,
      privacyGroupId: record.privacyGroupId,
    };
    return answer(render(openRecord(record), facts));
  });
}

function requireOpensWith(found: FoundPayload, caller: Organisation, key: Buffer): void {
  if (key.length !== PARTY_KEY_BYTES) {
    throw refuseWith(400, 'recipient not found in listed keys');
  }
  if (!owns(caller, key)) throw refuseForeignKey(key);
  if (!isParty(found.row.label, key)) throw messageNotFound(found.hash);
}

/** The JSON of a received payload; plain JSON tells less, as with Tessera. */
function receivedJson(type: string): Render {
  return (payload, facts) => {
    const group = facts.privacyGroupId.length > 0 ? base64Of(facts.privacyGroupId) : undefined;
    const vendor = type !== JSON_TYPE;
    return json(200, type, {
      payload: base64Of(payload),
      affectedContractTransactions: facts.affected.map(base64Of),
      execHash: facts.execHash,
      ...(vendor ? { managedParties: facts.managed.map(base64Of) } : {}),
      privacyFlag: facts.privacyFlag,
      ...(group === undefined ? {} : { privacyGroupId: group }),
      ...(vendor ? { senderKey: base64Of(facts.sender) } : {}),
    });
  };
}

/** Besu's shorter answer. */
function receivedByBesu(payload: Uint8Array, facts: Facts): AppResponse {
  return json(200, JSON_TYPE, {
    payload: base64Of(payload),
    ...(facts.privacyGroupId.length > 0
      ? { privacyGroupId: base64Of(facts.privacyGroupId) }
      : {}),
    senderKey: base64Of(facts.sender),
  });
}

export const receivingRoutes: readonly Route[] = [
  {
    verb: 'GET',
    path: '/transaction/{hash}',
    effect: 'read',
    summary: 'The payload with this hash, for one of its parties',
    handle: (request, view) => {
      const { form, type } = chooseForm(request, [PLAIN, VENDOR]);
      const hash = validHashOfPath(request, type, `${form.method}.arg0`);
      const isRaw = queryValue(request, 'isRaw');
      if (isRaw !== undefined && !/^(true|false)$/i.test(isRaw)) {
        throw refuseViolation(type, notTrueOrFalse(`${form.method}.arg2`, isRaw));
      }
      const named = queryValue(request, 'to');
      const to = named === undefined || named === '' ? undefined : bytesOfText(named);
      const caller = callerOf(request, view);
      const raw = isRaw?.toLowerCase() === 'true';
      return give(view, caller, { hash, raw, to }, receivedJson(type));
    },
  },
  receiveRoute('GET'),
  receiveRoute('POST'),
  {
    verb: 'GET',
    path: '/receiveraw',
    effect: 'read',
    summary: 'The payload whose hash is named in a header, as bytes',
    handle: (request, view) => {
      const { type } = chooseForm(request, [{ consumes: [OCTETS], produces: [OCTETS] }]);
      const method = 'TransactionResource.receiveRaw';
      const key = request.header('c11n-key');
      if (key === undefined) throw refuseViolation(type, notNull(`${method}.arg0`));
      const hash = decodeStrict(key);
      if (!hash.ok) throw refuseViolation(type, notBase64(`${method}.arg0`, key));
      const named = request.header('c11n-to') ?? '';
      const to = decodeStrict(named);
      if (!to.ok) throw refuseViolation(type, notBase64(`${method}.arg1`, named));
      const caller = callerOf(request, view);
      const wanted = { hash: hash.bytes, raw: false, to: named === '' ? undefined : to.bytes };
      return give(view, caller, wanted, (payload) => ({
        status: 200,
        headers: { 'content-type': OCTETS },
        body: payload,
      }));
    },
  },
];

/**
 * `/receive`, with the hash in a JSON body. Tessera has it for Besu's media type; GoQuorum's own
 * Tessera answers 404 to plain JSON here, and so do we: a client that finds `/receive` with plain
 * JSON takes the other side for a Besu node's. The vendor types are ours, for clients that want it.
 */
function receiveRoute(verb: 'GET' | 'POST'): Route {
  return {
    verb,
    path: '/receive',
    effect: 'read',
    summary: 'The payload whose hash stands in the body, for one of its parties',
    handle: (request, view) => {
      const sent = request.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
      if (sent === undefined || sent === JSON_TYPE) throw refuseWith(404, 'HTTP 404 Not Found');
      const { form, type } = chooseForm(request, RECEIVE_FORMS);
      const body = readBody(request);
      const key = body.text('key');
      if (key === undefined) throw refuseViolation(type, notNull(`${form.method}.arg0.key`));
      const named = body.text('to') ?? '';
      const wanted = {
        hash: bytesOfText(key),
        raw: body.text('raw') === 'true' || body.text('isRaw') === 'true',
        to: named === '' ? undefined : bytesOfText(named),
      };
      const render = form === BESU ? receivedByBesu : receivedJson(type);
      return give(view, callerOf(request, view), wanted, render);
    },
  };
}

const BESU = {
  consumes: [ORION],
  produces: [JSON_TYPE],
  method: 'BesuTransactionResource.receive',
} as const;
const RECEIVE_FORMS = [BESU, { ...VENDOR, consumes: [TESSERA_2_1, TESSERA_3_0] }] as const;

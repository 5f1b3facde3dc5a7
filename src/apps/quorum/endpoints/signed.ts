/**
 * `/sendsignedtx`: a payload stored ahead is given to the parties of its transaction
 * (transaction-manager.md §B; part 1, decision 2: a second call repeats the first answer).
 *
 * The payload's key is that of the raw payload, so it is written once. The raw row's label notes
 * that it was, which also settles two calls that run at the same time.
 */
import type { ArchiveRow, ReadView, Transaction } from '../../../kv/tables.ts';
import { type AppRequest, type AppResponse, answer, type Step } from '../../interface.ts';
import { type Absent, type FoundRaw, withRaw } from '../lookup.ts';
import { callerOf, type Organisation, requireKnown } from '../organisation.ts';
import { outsideOf, queueDeliveries } from '../outside/parties.ts';
import { isParty, keysOf, labelOf, readableRows } from '../parties.ts';
import { decodePayload, openRecord, PRIVATE_STATE_VALIDATION } from '../payload-record.ts';
import { rawLabelOf, rawStateOf } from '../raw-label.ts';
import { includes } from '../rules.ts';
import {
  checkedParties,
  dispatch,
  type Order,
  type SendingDependencies,
  sentAnswer,
} from '../sending.ts';
import type { Route } from '../surface.ts';
import { PAYLOADS, RAW_PAYLOADS } from '../tables.ts';
import {
  notEmpty,
  Refusal,
  refuseAbsent,
  refuseViolation,
  refuseWith,
} from '../wire/answers.ts';
import { readBody } from '../wire/body.ts';
import { chooseForm, OCTETS, TEXT } from '../wire/media.ts';
import {
  orderOf,
  recipientHeader,
  requiredBytes,
  requireExecHash,
  SIGNED_FORMS,
  standardOrder,
} from './sending.ts';

const OCTET_FORM = {
  consumes: [OCTETS],
  produces: [TEXT],
  method: 'TransactionResource.sendSignedTransactionStandard',
  mandatory: false,
} as const;

const rawTransactionNotFound: Absent = (hash) =>
  refuseAbsent(404, `Raw Transaction with hash ${hash.toString('base64')} was not found`);

/** A call as it was read. Its sender is known only with the raw payload. */
interface Call {
  readonly hash: Buffer;
  readonly status: number;
  readonly type: string;
  readonly order: Order;
}

export function signedRoute(sending: SendingDependencies): Route {
  return {
    verb: 'POST',
    path: '/sendsignedtx',
    effect: 'write',
    summary: 'Gives a payload stored ahead to the parties of its transaction',
    handle: (request, view) => {
      const { form, type } = chooseForm(request, [OCTET_FORM, ...SIGNED_FORMS]);
      const caller = callerOf(request, view);
      const call =
        form === OCTET_FORM
          ? octetCall(request, type)
          : jsonCall(request, view, caller, type, form);
      return withRaw(view, caller, call.hash, rawTransactionNotFound, (raw) => {
        const own = { ...call, order: { ...call.order, sender: senderOfRaw(raw) } };
        return rawStateOf(raw.row.label) === 'sent'
          ? repeat(view, caller, own)
          : sendFirst(sending, view, caller, own, raw);
      });
    },
  };
}

function octetCall(request: AppRequest, type: string): Call {
  if (request.body.length === 0) {
    throw refuseViolation(type, notEmpty(`${OCTET_FORM.method}.arg1`));
  }
  const order = standardOrder(Buffer.alloc(0), recipientHeader(request));
  return { hash: Buffer.from(request.body), status: 200, type, order };
}

function jsonCall(
  request: AppRequest,
  view: ReadView,
  caller: Organisation,
  type: string,
  form: { readonly method: string; readonly mandatory: boolean },
): Call {
  const body = readBody(request);
  const hash = requiredBytes(body, 'hash', type, `${form.method}.arg0`);
  requireExecHash(body, type, `${form.method}.arg0`);
  const order = orderOf(body, view, caller, Buffer.alloc(0), form.mandatory);
  return { hash, status: 201, type, order };
}

function senderOfRaw(raw: FoundRaw): Buffer {
  return Buffer.from(raw.record.sender);
}

function sendFirst(
  sending: SendingDependencies,
  view: ReadView,
  caller: Organisation,
  { hash, status, type, order }: Call,
  raw: FoundRaw,
): Step {
  const content = () => ({ sealed: raw.record, payload: openRecord(raw.record) });
  return dispatch(sending, view, caller, order, content, (sent) => ({
    kind: 'write',
    apply: (tx) => {
      const archive = tx.archive(RAW_PAYLOADS);
      const rows = readableRows(archive.find(hash), caller.keys);
      const row = rows.find(({ seqno }) => seqno === raw.row.seqno);
      if (row === undefined) throw rawTransactionNotFound(hash);
      if (rawStateOf(row.label) === 'sent') requireSameParties(tx, hash, order);
      else sent.write(tx);
      archive.relabel(hash, row, rawLabelOf(order.sender, 'sent'));
      return sentAnswer(status, type, { ...sent, sender: order.sender });
    },
  }));
}

/**
 * Another call sent it since ours began, in an entry that is not committed and cannot be read yet.
 * If that one gave it to our parties too there is nothing left to do but to wait for its commit,
 * which our own relabelling does; else the client asks again when it is committed.
 */
function requireSameParties(tx: Transaction, hash: Buffer, order: Order): void {
  const parties = checkedParties(order);
  const given = tx
    .archive(PAYLOADS)
    .find(hash)
    .some(
      ({ label }) =>
        isParty(label, order.sender) && parties.every((party) => isParty(label, party)),
    );
  if (given) return;
  throw new Refusal({
    status: 503,
    headers: { 'content-type': 'text/plain', 'retry-after': '1' },
    body: 'another request is sending this raw payload, ask again',
  });
}

/** The answer to a raw payload that was sent before, to the same parties or to more. */
function repeat(view: ReadView, caller: Organisation, call: Call): Step {
  const { hash, order } = call;
  const parties = checkedParties(order);
  const rows = view.archive(PAYLOADS).find(hash);
  return {
    kind: 'fetch',
    rows: rows.map((row) => ({ table: PAYLOADS, key: hash, row })),
    next: (values) => {
      const at = values.findLastIndex((value) => value !== undefined);
      const row = rows[at];
      const bytes = values[at];
      if (row === undefined || bytes === undefined) throw rawTransactionNotFound(hash);
      if (parties.every((party) => isParty(row.label, party))) {
        return answer(repeated(caller, call, row.label));
      }
      requireKnown(view, parties);
      if (decodePayload(hash, bytes).privacyFlag === PRIVATE_STATE_VALIDATION) {
        throw refuseWith(
          400,
          'this payload was sent before, and private state validation allows no further parties',
        );
      }
      return { kind: 'write', apply: (tx) => addParties(tx, caller, call, row, parties) };
    },
  };
}

function addParties(
  tx: Transaction,
  caller: Organisation,
  call: Call,
  found: ArchiveRow,
  parties: readonly Buffer[],
): AppResponse {
  const archive = tx.archive(PAYLOADS);
  const row = archive.find(call.hash).find(({ seqno }) => seqno === found.seqno) ?? found;
  const label = labelOf({
    sender: call.order.sender,
    others: [...keysOf(row.label), ...parties],
  });
  archive.relabel(call.hash, row, label);
  const added = parties.filter((party) => !isParty(row.label, party));
  queueDeliveries(tx, call.hash, outsideOf(tx, added));
  return repeated(caller, call, label);
}

function repeated(caller: Organisation, call: Call, label: Uint8Array): AppResponse {
  const { hash, status, type, order } = call;
  const keys = [...keysOf(label)];
  const managed = caller.keys.filter((own) => includes(keys, own));
  return sentAnswer(status, type, { key: hash, managed, sender: order.sender });
}

/** `/send`, `/sendraw`, `/storeraw`: payloads that come in (transaction-manager.md §B). */
import type { Random } from '../../../base/environment.ts';
import { payloadKeyOf } from '../../../crypto/payload.ts';
import type { ReadView } from '../../../kv/tables.ts';
import type { AppRequest } from '../../interface.ts';
import { groupMembers } from '../groups.ts';
import {
  callerOf,
  type Organisation,
  owns,
  recipientsOf,
  refuseForeignKey,
  senderOf,
} from '../organisation.ts';
import { encodeRaw, PRIVATE_STATE_VALIDATION } from '../payload-record.ts';
import { rawLabelOf } from '../raw-label.ts';
import { distinct, flagOf } from '../rules.ts';
import {
  dispatch,
  type Order,
  type SendingDependencies,
  sealFresh,
  sentAnswer,
} from '../sending.ts';
import type { Route } from '../surface.ts';
import { RAW_PAYLOADS } from '../tables.ts';
import {
  json,
  notBase64,
  notEmpty,
  notNull,
  refuseViolation,
  type Violation,
} from '../wire/answers.ts';
import { decodeStrict } from '../wire/base64.ts';
import { type Body, bytesOfText, readBody } from '../wire/body.ts';
import {
  chooseForm,
  type Form,
  JSON_TYPE,
  OCTETS,
  TESSERA_2_1,
  TESSERA_3_0,
  TESSERA_4_0,
  TEXT,
} from '../wire/media.ts';

/** One of Tessera's resource methods; its name shows in the validator's answers. */
export interface JsonForm extends Form {
  readonly method: string;
  /** Mandatory recipients came with 4.0; older types ignore them. */
  readonly mandatory: boolean;
}

function jsonForms(method: string, plainMethod: string): readonly JsonForm[] {
  const older = [TESSERA_2_1, TESSERA_3_0];
  const plain = [JSON_TYPE];
  const newest = [TESSERA_4_0];
  const resource = 'TransactionResource';
  return [
    {
      consumes: plain,
      produces: plain,
      method: `${resource}.${plainMethod}`,
      mandatory: false,
    },
    { consumes: older, produces: older, method: `${resource}3.${method}`, mandatory: false },
    { consumes: newest, produces: newest, method: `${resource}4.${method}`, mandatory: true },
  ];
}

export const SEND_FORMS = jsonForms('send', 'send');
export const SIGNED_FORMS = jsonForms('sendSignedTransaction', 'sendSignedTransactionEnhanced');

/** What the JSON bodies of `/send`, `/sendsignedtx` and `/encodedpayload/create` share. */
export function orderOf(
  body: Body,
  view: ReadView,
  caller: Organisation,
  sender: Buffer,
  mandatory: boolean,
): Order {
  const group = body.text('privacyGroupId');
  const groupId = group === undefined ? undefined : bytesOfText(group);
  return {
    sender,
    to:
      groupId === undefined
        ? recipientsOf(body.texts('to'))
        : groupMembers(view, caller, groupId),
    privacyGroupId: groupId ?? Buffer.alloc(0),
    affected: distinct(body.texts('affectedContractTransactions').map(bytesOfText)),
    mandatory: mandatory ? distinct(recipientsOf(body.texts('mandatoryRecipients'))) : [],
    execHash: body.text('execHash') ?? '',
    privacyFlag: flagOf(body.integer('privacyFlag', 0)),
  };
}

/** The sender as named, before it is known whether the caller may use it. */
export function namedSender(body: Body, caller: Organisation): Buffer {
  const from = body.text('from');
  return from === undefined ? senderOf(caller, undefined) : bytesOfText(from);
}

/** A byte field that must hold something. */
export function requiredBytes(body: Body, name: string, type: string, path: string): Buffer {
  const bytes = body.bytes(name);
  if (bytes === undefined) throw refuseViolation(type, notNull(`${path}.${name}`));
  if (bytes.length === 0) throw refuseViolation(type, notEmpty(`${path}.${name}`));
  return bytes;
}

/** Private state validation needs an execution hash; Tessera's validator says so. */
export function requireExecHash(body: Body, type: string, path: string): void {
  const validated = body.integer('privacyFlag', 0) === PRIVATE_STATE_VALIDATION;
  if (!validated || (body.text('execHash') ?? '') !== '') return;
  const missing: Violation = {
    message: 'Exec hash missing',
    template: 'Exec hash missing',
    path,
  };
  throw refuseViolation(type, missing);
}

export function sendingRoutes(sending: SendingDependencies): readonly Route[] {
  const { random } = sending;
  return [
    {
      verb: 'POST',
      path: '/send',
      effect: 'write',
      summary: 'Encrypts a payload and stores it for its parties',
      handle: (request, view) => {
        const { form, type } = chooseForm(request, SEND_FORMS);
        const body = readBody(request);
        const payload = requiredBytes(body, 'payload', type, `${form.method}.arg0`);
        requireExecHash(body, type, `${form.method}.arg0`);
        const caller = callerOf(request, view);
        const order = orderOf(body, view, caller, namedSender(body, caller), form.mandatory);
        const content = () => sealFresh(random, payload);
        return dispatch(sending, view, caller, order, content, (sent) => ({
          kind: 'write',
          apply: (tx) => {
            sent.write(tx);
            return sentAnswer(201, type, { ...sent, sender: order.sender });
          },
        }));
      },
    },
    {
      verb: 'POST',
      path: '/sendraw',
      effect: 'write',
      summary: 'Encrypts the body and stores it for the parties named in the headers',
      handle: (request, view) => {
        const { type } = chooseForm(request, [{ consumes: [OCTETS], produces: [TEXT] }]);
        const method = 'TransactionResource.sendRaw';
        const from = request.header('c11n-from') ?? '';
        const named = decodeStrict(from);
        if (!named.ok) throw refuseViolation(type, notBase64(`${method}.arg0`, from));
        if (request.body.length === 0) throw refuseViolation(type, notEmpty(`${method}.arg2`));
        const caller = callerOf(request, view);
        const sender = from === '' ? senderOf(caller, undefined) : named.bytes;
        const order = standardOrder(sender, recipientHeader(request));
        const content = () => sealFresh(random, request.body);
        return dispatch(sending, view, caller, order, content, (sent) => ({
          kind: 'write',
          apply: (tx) => {
            sent.write(tx);
            return sentAnswer(200, type, { ...sent, sender });
          },
        }));
      },
    },
    storeRawRoute(random),
  ];
}

/** `/storeraw`, on both surfaces: encrypts a payload ahead of the transaction that will name it. */
export function storeRawRoute(random: Random): Route {
  const method = 'RawTransactionResource';
  const plain = { consumes: [JSON_TYPE], produces: [JSON_TYPE], method: `${method}.store` };
  const newer = {
    consumes: [TESSERA_2_1],
    produces: [TESSERA_2_1],
    method: `${method}.storeVersion21`,
  };
  return {
    verb: 'POST',
    path: '/storeraw',
    effect: 'write',
    summary: 'Encrypts a payload and stores it for a transaction to come',
    handle: (request, view) => {
      const { form, type } = chooseForm(request, [plain, newer]);
      const body = readBody(request);
      const payload = requiredBytes(body, 'payload', type, `${form.method}.arg0`);
      const caller = callerOf(request, view);
      const sender = body.bytes('from') ?? senderOf(caller, undefined);
      if (!owns(caller, sender)) throw refuseForeignKey(sender);
      const { sealed } = sealFresh(random, payload);
      const key = payloadKeyOf(sealed.ciphertext);
      const record = encodeRaw({ ...sealed, sender });
      return {
        kind: 'write',
        apply: (tx) => {
          tx.archive(RAW_PAYLOADS).store(key, rawLabelOf(sender, 'stored'), record);
          return json(200, type, { key: key.toString('base64') });
        },
      };
    },
  };
}

/** A standard private order, as the octet-stream endpoints make it. */
export function standardOrder(sender: Buffer, to: readonly Buffer[]): Order {
  return {
    sender,
    to,
    affected: [],
    mandatory: [],
    execHash: '',
    privacyFlag: 0,
    privacyGroupId: Buffer.alloc(0),
  };
}

/**
 * The recipients of the `c11n-to` header. Blanks around its commas are passed over, and so is a
 * comma at its end.
 */
export function recipientHeader(request: AppRequest): readonly Buffer[] {
  const header = request.header('c11n-to')?.replace(/[\s,]+$/, '') ?? '';
  return header === '' ? [] : recipientsOf(header.split(',').map((key) => key.trim()));
}

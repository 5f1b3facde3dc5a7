/**
 * `/encodedpayload/create` and `/encodedpayload/decrypt`: payloads encrypted for others, or opened,
 * without being stored (transaction-manager.md §A.12, §B).
 */

import { base64Of } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import { PAYLOAD_PARTIES_MAX } from '../../../base/limits.ts';
import { payloadKeyOf } from '../../../crypto/payload.ts';
import { answer } from '../../interface.ts';
import { type EncodedPayload, encodePayloadFor, openEncoded } from '../encoded-payload.ts';
import { withPayloads } from '../lookup.ts';
import { callerOf, owns, privateKeyOf, refuseForeignKey } from '../organisation.ts';
import { checkAgainstAffected, checkMetadata, flagOf } from '../rules.ts';
import { affectedNotFound, checkedParties, sealFresh, securityHashOf } from '../sending.ts';
import type { Route } from '../surface.ts';
import { json, refuseAbsent, refuseWith } from '../wire/answers.ts';
import { decodeLenient } from '../wire/base64.ts';
import { type Body, bytesOfText, readBody } from '../wire/body.ts';
import { chooseForm, JSON_TYPE, TESSERA_2_1 } from '../wire/media.ts';
import { namedSender, orderOf, requiredBytes } from './sending.ts';

const RESOURCE = 'EncodedPayloadResource';

function forms(plain: string, newer: string) {
  const json = [JSON_TYPE];
  const vendor = [TESSERA_2_1];
  return [
    { consumes: json, produces: json, method: `${RESOURCE}.${plain}` },
    { consumes: vendor, produces: vendor, method: `${RESOURCE}.${newer}` },
  ] as const;
}

const CREATE_FORMS = forms('createEncodedPayload', 'createEncodedPayload21');
const DECRYPT_FORMS = forms('decryptEncodedPayload', 'receive21');

export function encodedRoutes(random: Random): readonly Route[] {
  return [
    {
      verb: 'POST',
      path: '/encodedpayload/create',
      effect: 'read',
      summary: 'Encrypts a payload for recipients without storing it',
      handle: (request, view) => {
        const { form, type } = chooseForm(request, CREATE_FORMS);
        const body = readBody(request);
        const payload = requiredBytes(body, 'payload', type, `${form.method}.arg0`);
        const caller = callerOf(request, view);
        const order = orderOf(body, view, caller, namedSender(body, caller), false);
        const recipients = checkedParties(order);
        return withPayloads(view, caller, order.affected, affectedNotFound, (found) => {
          checkAgainstAffected(order, recipients, found);
          checkMetadata(order);
          const secret = owns(caller, order.sender)
            ? privateKeyOf(view, order.sender)
            : undefined;
          if (secret === undefined) throw refuseForeignKey(order.sender);
          const { sealed } = sealFresh(random, payload);
          const encoded = encodePayloadFor(random, sealed, order.sender, secret, recipients);
          if (encoded === undefined) {
            throw refuseWith(400, 'a recipient is not a key that can be encrypted for');
          }
          const affected = found.map((one): readonly [string, string] => [
            base64Of(one.hash),
            base64Of(securityHashOf(sealed.ciphertext, one.record)),
          ]);
          return answer(
            json(200, type, {
              ...encodedJson(encoded),
              privacyMode: order.privacyFlag,
              affectedContractTransactions: Object.fromEntries(affected),
              execHash: Buffer.from(order.execHash, 'utf8').toString('base64'),
            }),
          );
        });
      },
    },
    {
      verb: 'POST',
      path: '/encodedpayload/decrypt',
      effect: 'read',
      summary: 'Opens an encrypted payload with the keys of the caller',
      handle: (request, view) => {
        const { type } = chooseForm(request, DECRYPT_FORMS);
        const body = readBody(request);
        const encoded = encodedOf(body);
        const caller = callerOf(request, view);
        const payload = openEncoded(encoded, caller.keys, (key) =>
          owns(caller, key) ? privateKeyOf(view, key) : undefined,
        );
        if (payload === undefined) {
          const key = base64Of(payloadKeyOf(encoded.cipherText));
          throw refuseAbsent(
            400,
            `No suitable recipient keys found to decrypt payload for ${key}`,
          );
        }
        const affected = [...body.map('affectedContractTransactions').keys()].map(bytesOfText);
        return answer(
          json(200, type, {
            payload: base64Of(payload),
            affectedContractTransactions: affected.map(base64Of),
            execHash: decodeLenient(body.text('execHash') ?? '').toString('utf8'),
            privacyFlag: flagOf(body.integer('privacyMode', 0)),
          }),
        );
      },
    },
  ];
}

function encodedJson(encoded: EncodedPayload): Readonly<Record<string, unknown>> {
  return {
    senderKey: base64Of(encoded.senderKey),
    cipherText: base64Of(encoded.cipherText),
    cipherTextNonce: base64Of(encoded.cipherTextNonce),
    recipientBoxes: encoded.recipientBoxes.map(base64Of),
    recipientNonce: base64Of(encoded.recipientNonce),
    recipientKeys: encoded.recipientKeys.map(base64Of),
  };
}

function encodedOf(body: Body): EncodedPayload {
  const required = (name: string): Buffer => {
    const bytes = body.bytes(name);
    if (bytes !== undefined && bytes.length > 0) return bytes;
    throw refuseWith(400, `${name} is missing or is not base64`);
  };
  const boxes = body.texts('recipientBoxes');
  if (boxes.length > PAYLOAD_PARTIES_MAX) {
    throw refuseWith(400, `a payload has at most ${PAYLOAD_PARTIES_MAX} recipients`);
  }
  return {
    senderKey: required('senderKey'),
    cipherText: required('cipherText'),
    cipherTextNonce: required('cipherTextNonce'),
    recipientBoxes: boxes.map(decodeLenient),
    recipientNonce: required('recipientNonce'),
    recipientKeys: body.texts('recipientKeys').map(decodeLenient),
  };
}

/**
 * `/transaction/{hash}/receipt`: the receipt of the entry that holds a payload, with what opens
 * its claims digest (transaction-manager.md part 1, decision 8). Whoever is given payload,
 * receipt and opening can verify that the payload is in the ledger; the ledger alone tells
 * nothing.
 *
 * JSON by default: `{receipt, opening: {key, salt}}`. With `Accept: application/cose` the body is
 * the COSE receipt, and the opening stands in the headers `x-concordat-opening-key` and
 * `x-concordat-opening-salt`; with `?form=cose` the COSE receipt stands in the JSON, in base64.
 */
import { base64Of } from '../../../base/bytes.ts';
import { type AppResponse, answer, type Receipt } from '../../interface.ts';
import { withPayload } from '../lookup.ts';
import { callerOf } from '../organisation.ts';
import type { Route } from '../surface.ts';
import { hashOfPath, queryValue } from '../wire/address.ts';
import { json, refuseWith, text } from '../wire/answers.ts';
import { COSE, chooseForm, JSON_TYPE } from '../wire/media.ts';

interface Opening {
  readonly key: string;
  readonly salt: string;
}

export const receiptRoute: Route = {
  verb: 'GET',
  path: '/transaction/{hash}/receipt',
  effect: 'read',
  summary: 'The receipt of a payload, with what opens its claims digest',
  handle: (request, view) => {
    const { type } = chooseForm(request, [{ produces: [JSON_TYPE, COSE] }]);
    const asked = queryValue(request, 'form') ?? (type === COSE ? 'cose' : 'json');
    if (asked !== 'json' && asked !== 'cose') {
      throw refuseWith(400, `form ${asked} is not known, it is json or cose`);
    }
    const caller = callerOf(request, view);
    return withPayload(view, caller, hashOfPath(request), ({ hash, row, record }) => ({
      kind: 'receipt',
      seqno: row.seqno,
      form: asked,
      next: (receipt) => {
        if (receipt === 'pending') return answer(notYet());
        if (receipt === 'unavailable') {
          throw refuseWith(404, `there is no receipt in the form ${asked} for this payload`);
        }
        const opening = { key: base64Of(hash), salt: base64Of(record.salt) };
        return answer(render(type, receipt, opening));
      },
    }));
  },
};

function notYet(): AppResponse {
  const response = text(202, 'The receipt is not available yet, ask again');
  return { ...response, headers: { ...response.headers, 'retry-after': '1' } };
}

function render(type: string, receipt: Receipt, opening: Opening): AppResponse {
  if (receipt.form === 'json') return json(200, JSON_TYPE, { receipt: receipt.json, opening });
  if (type !== COSE) return json(200, JSON_TYPE, { receipt: base64Of(receipt.bytes), opening });
  return {
    status: 200,
    headers: {
      'content-type': COSE,
      'x-concordat-opening-key': opening.key,
      'x-concordat-opening-salt': opening.salt,
    },
    body: receipt.bytes,
  };
}

/**
 * `DELETE /transaction/{hash}` and `POST /delete`: they end the caller's own access, by an entry in
 * the ledger; other parties keep theirs (transaction-manager.md part 1, decision 9).
 */
import type { ReadView } from '../../../kv/tables.ts';
import type { AppResponse, Step } from '../../interface.ts';
import { type Absent, rowNow, withPayloads } from '../lookup.ts';
import { callerOf, type Organisation } from '../organisation.ts';
import { withoutParties } from '../parties.ts';
import type { Route } from '../surface.ts';
import { PAYLOADS } from '../tables.ts';
import { hashOfPath } from '../wire/address.ts';
import { notNull, Refusal, refuseViolation, text } from '../wire/answers.ts';
import { bytesOfText, readBody } from '../wire/body.ts';
import { chooseForm, JSON_TYPE, TEXT } from '../wire/media.ts';

// Tessera says nothing here but the status.
const nothingToDelete: Absent = () => new Refusal({ status: 404, absence: true });

function forget(view: ReadView, caller: Organisation, hash: Buffer, done: AppResponse): Step {
  return withPayloads(view, caller, [hash], nothingToDelete, ([found]) => ({
    kind: 'write',
    apply: (tx) => {
      if (found === undefined) throw nothingToDelete(hash);
      const row = rowNow(tx, caller, found, nothingToDelete);
      tx.archive(PAYLOADS).relabel(hash, row, withoutParties(row.label, caller.keys));
      return done;
    },
  }));
}

export const deletingRoutes: readonly Route[] = [
  {
    verb: 'DELETE',
    path: '/transaction/{hash}',
    effect: 'write',
    summary: "Ends the caller's access to a payload",
    handle: (request, view) =>
      forget(view, callerOf(request, view), hashOfPath(request), { status: 204 }),
  },
  {
    verb: 'POST',
    path: '/delete',
    effect: 'write',
    summary: "Ends the caller's access to a payload",
    handle: (request, view) => {
      const { type } = chooseForm(request, [{ consumes: [JSON_TYPE], produces: [TEXT] }]);
      const key = readBody(request).text('key');
      if (key === undefined) {
        throw refuseViolation(type, notNull('TransactionResource.delete.arg0.key'));
      }
      const caller = callerOf(request, view);
      return forget(view, caller, bytesOfText(key), text(200, 'Delete successful'));
    },
  },
];

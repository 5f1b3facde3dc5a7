/** The third party's `/keys` and `/partyinfo/keys` (transaction-manager.md §D). */
import { base64Of, textOf, utf8 } from '../../../base/bytes.ts';
import { PAGE_ROWS_MAX } from '../../../base/limits.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { type AppResponse, answer } from '../../interface.ts';
import { PARTY_KEYS } from '../../organisations.ts';
import { callerOf } from '../organisation.ts';
import type { Route } from '../surface.ts';
import { json } from '../wire/answers.ts';
import { JSON_TYPE, requireAcceptable } from '../wire/media.ts';

export const keyRoutes: readonly Route[] = [
  {
    verb: 'GET',
    path: '/keys',
    effect: 'read',
    summary: "The party keys of the caller's organisation",
    handle: (request, view) => {
      requireAcceptable(request, JSON_TYPE);
      return answer(listOf(callerOf(request, view).keys.map(base64Of)));
    },
  },
  {
    verb: 'GET',
    path: '/partyinfo/keys',
    effect: 'read',
    summary: 'The party keys of all organisations',
    handle: (request, view) => {
      requireAcceptable(request, JSON_TYPE);
      callerOf(request, view);
      return answer(listOf(allPartyKeys(view)));
    },
  },
];

function listOf(keys: readonly string[]): AppResponse {
  return json(200, JSON_TYPE, { keys: keys.map((key) => ({ key })) });
}

/** All party keys that the service knows, in base64. */
function allPartyKeys(view: ReadView): readonly string[] {
  const table = view.table(PARTY_KEYS);
  const keys: string[] = [];
  for (;;) {
    const last = keys.at(-1);
    const page = table.page({
      limit: PAGE_ROWS_MAX,
      ...(last === undefined ? {} : { after: utf8(last) }),
    });
    for (const { key } of page) keys.push(textOf(key));
    if (page.length < PAGE_ROWS_MAX) return keys;
  }
}

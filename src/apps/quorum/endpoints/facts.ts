/**
 * `/transaction/{hash}/isSender`, `participants` and `mandatory`: facts on a payload for one of its
 * parties, as plain text (transaction-manager.md §A.10).
 */
import { base64Of } from '../../../base/bytes.ts';
import { answer } from '../../interface.ts';
import { type FoundPayload, withPayload } from '../lookup.ts';
import { callerOf, type Organisation } from '../organisation.ts';
import { MANDATORY_RECIPIENTS } from '../payload-record.ts';
import { isSender, participants } from '../reading.ts';
import type { Route } from '../surface.ts';
import { hashOfPath } from '../wire/address.ts';
import { refuseWith, text } from '../wire/answers.ts';
import { requireAcceptable, TEXT } from '../wire/media.ts';

export const factRoutes: readonly Route[] = [
  factRoute('isSender', 'Whether the caller sent the payload', (found, caller) =>
    String(isSender(found, caller)),
  ),
  factRoute('participants', 'The parties the caller may know of', (found, caller) =>
    participants(found, caller).map(base64Of).join(','),
  ),
  factRoute('mandatory', 'The mandatory recipients', ({ record }) => {
    if (record.privacyFlag !== MANDATORY_RECIPIENTS) {
      throw refuseWith(
        400,
        'Operation invalid. Transaction found is not a mandatory recipients privacy type',
      );
    }
    return record.mandatory.map(base64Of).join(',');
  }),
];

function factRoute(
  name: string,
  summary: string,
  say: (found: FoundPayload, caller: Organisation) => string,
): Route {
  return {
    verb: 'GET',
    path: `/transaction/{hash}/${name}`,
    effect: 'read',
    summary,
    handle: (request, view) => {
      requireAcceptable(request, TEXT);
      const hash = hashOfPath(request);
      const caller = callerOf(request, view);
      return withPayload(view, caller, hash, (found) => answer(text(200, say(found, caller))));
    },
  };
}

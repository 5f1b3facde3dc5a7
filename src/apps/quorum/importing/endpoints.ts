/**
 * `/quorum/import/…`: where an organisation brings what its Tessera node held. One payload a
 * request: a transaction vouches for one payload, and its receipt opens like any other's.
 */
import { base64Of, equalBytes } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { answer, type Step } from '../../interface.ts';
import { groupIdOf } from '../group-id.ts';
import { groupRow, storeGroup } from '../groups.ts';
import { callerOf, type Organisation, owns } from '../organisation.ts';
import type { Route } from '../surface.ts';
import { refuseWith } from '../wire/answers.ts';
import { type Body, readBody } from '../wire/body.ts';
import { chooseForm, JSON_TYPE } from '../wire/media.ts';
import { takeKey } from './keys.ts';
import { storeRaw } from './raw.ts';
import { outcome, storeTransferred } from './storing.ts';
import { keysIn, required, transferredIn } from './transferred.ts';

const JSON_ONLY = [{ consumes: [JSON_TYPE], produces: [JSON_TYPE] }] as const;

export function importRoutes(random: Random): readonly Route[] {
  return [
    route('/transaction', 'Takes over a payload', (view, caller, body) =>
      storeTransferred(random, view, caller, transferredIn(body)),
    ),
    route('/raw', 'Takes over a payload that waits for its transaction', storeRaw),
    route('/group', 'Takes over a privacy group', takeGroup),
    route('/key', 'Takes over the private half of a party key', takeKey),
  ];
}

function route(
  path: string,
  summary: string,
  take: (view: ReadView, caller: Organisation, body: Body) => Step,
): Route {
  return {
    verb: 'POST',
    path,
    effect: 'write',
    summary: `${summary} from a Tessera node`,
    handle: (request, view) => {
      chooseForm(request, JSON_ONLY);
      return take(view, callerOf(request, view), readBody(request));
    },
  };
}

function takeGroup(view: ReadView, caller: Organisation, body: Body): Step {
  const id = required(body, 'privacyGroupId');
  const members = keysIn(body, 'members');
  const seed = required(body, 'seed');
  const shown = base64Of(id);
  if (!members.some((member) => owns(caller, member))) {
    throw refuseWith(403, `the caller is no member of privacy group ${shown}`);
  }
  const own = groupIdOf(members, seed);
  if (!equalBytes(own, id)) {
    const sentence = `id ${shown} is not that of its members and its seed, which is`;
    throw refuseWith(400, `${sentence} ${base64Of(own)}`);
  }
  // One that was deleted here stays so, whatever an older dump says.
  if (groupRow(view, id) !== undefined) return answer(outcome(id, 'known'));
  return {
    kind: 'write',
    apply: (tx) => {
      storeGroup(tx, {
        id,
        name: body.text('name') ?? '',
        description: body.text('description') ?? '',
        type: 'PANTHEON',
        members,
        seed,
      });
      return outcome(id, 'stored');
    },
  };
}

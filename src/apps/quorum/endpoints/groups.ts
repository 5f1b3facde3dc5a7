/** Privacy groups and residents (transaction-manager.md §E). JSON only. */
import { base64Of } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import { PAYLOAD_PARTIES_MAX } from '../../../base/limits.ts';
import { answer } from '../../interface.ts';
import { groupIdOf } from '../group-id.ts';
import {
  deleteGroup,
  type GroupType,
  groupNotFound,
  groupOf,
  groupsOfMembers,
  groupsOfType,
  type PrivacyGroup,
  storeGroup,
} from '../groups.ts';
import {
  callerOf,
  hasResidents,
  owns,
  recipientsOf,
  refuseForeignKey,
  requireKnown,
} from '../organisation.ts';
import { queueGroup } from '../outside/groups.ts';
import { distinct, includes } from '../rules.ts';
import type { Route } from '../surface.ts';
import { percentDecoded } from '../wire/address.ts';
import { json, refuseWith } from '../wire/answers.ts';
import { type Body, bytesOfText, readBody } from '../wire/body.ts';
import { chooseForm, JSON_TYPE, requireAcceptable } from '../wire/media.ts';
import { namedSender } from './sending.ts';

const JSON_ONLY = [{ consumes: [JSON_TYPE], produces: [JSON_TYPE] }] as const;
const SEED_BYTES = 20;
const TYPES: readonly GroupType[] = ['LEGACY', 'PANTHEON', 'RESIDENT'];

export function groupRoutes(random: Random): readonly Route[] {
  return [
    {
      verb: 'POST',
      path: '/createPrivacyGroup',
      effect: 'write',
      summary: 'Makes a privacy group',
      handle: (request, view) => {
        chooseForm(request, JSON_ONLY);
        const body = readBody(request);
        const caller = callerOf(request, view);
        const from = namedSender(body, caller);
        const members = addressesOf(body);
        const named = body.text('seed');
        const seed = named === undefined ? random.bytes(SEED_BYTES) : bytesOfText(named);
        if (!includes(members, from)) {
          throw refuseWith(403, 'The list of members in a privacy group should include self');
        }
        if (!owns(caller, from)) throw refuseForeignKey(from);
        requireKnown(view, members);
        const group: PrivacyGroup = {
          id: groupIdOf(members, seed),
          name: body.text('name') ?? '',
          description: body.text('description') ?? '',
          type: 'PANTHEON',
          members,
          seed,
        };
        return {
          kind: 'write',
          apply: (tx) => {
            storeGroup(tx, group);
            queueGroup(tx, group, true);
            return json(200, JSON_TYPE, groupJson(group));
          },
        };
      },
    },
    {
      verb: 'POST',
      path: '/findPrivacyGroup',
      effect: 'read',
      summary: 'The privacy groups with exactly these members',
      handle: (request, view) => {
        chooseForm(request, JSON_ONLY);
        const members = addressesOf(readBody(request));
        const groups = groupsOfMembers(view, callerOf(request, view), members);
        const response = json(200, JSON_TYPE, groups.map(groupJson));
        return answer(groups.length === 0 ? { ...response, absence: true } : response);
      },
    },
    {
      verb: 'POST',
      path: '/retrievePrivacyGroup',
      effect: 'read',
      summary: 'One privacy group',
      handle: (request, view) => {
        chooseForm(request, JSON_ONLY);
        const id = groupIdIn(readBody(request));
        const group = groupOf(view, callerOf(request, view), id);
        return answer(json(200, JSON_TYPE, groupJson(group)));
      },
    },
    {
      verb: 'POST',
      path: '/deletePrivacyGroup',
      effect: 'write',
      summary: 'Deletes a privacy group',
      handle: (request, view) => {
        chooseForm(request, JSON_ONLY);
        const body = readBody(request);
        const caller = callerOf(request, view);
        const from = namedSender(body, caller);
        const id = groupIdIn(body);
        requireMember(groupOf(view, caller, id), from);
        if (!owns(caller, from)) throw refuseForeignKey(from);
        return {
          kind: 'write',
          apply: (tx) => {
            const group = groupOf(tx, caller, id);
            if (group.type !== 'PANTHEON') throw groupNotFound(id);
            deleteGroup(tx, group);
            queueGroup(tx, group, false);
            return json(200, JSON_TYPE, base64Of(id));
          },
        };
      },
    },
    {
      verb: 'GET',
      path: '/groups/{type}',
      effect: 'read',
      summary: 'The privacy groups of one type',
      handle: (request, view) => {
        requireAcceptable(request, JSON_TYPE);
        const named = percentDecoded(request.params.type ?? '').toUpperCase();
        const type = TYPES.find((one) => one === named);
        if (type === undefined) {
          throw refuseWith(400, `the group type ${named} is not known: ${TYPES.join(', ')}`);
        }
        const caller = callerOf(request, view);
        if (type === 'RESIDENT' && !hasResidents(view)) {
          return answer({
            status: 503,
            headers: { 'content-type': JSON_TYPE },
            body: 'Multiple private state feature is not available on this privacy manager',
          });
        }
        return answer(json(200, JSON_TYPE, groupsOfType(view, caller, type).map(groupJson)));
      },
    },
  ];
}

function requireMember(group: PrivacyGroup, from: Buffer): void {
  if (includes(group.members, from)) return;
  throw refuseWith(403, 'Sender of request does not belong to this privacy group');
}

function addressesOf(body: Body): readonly Buffer[] {
  if (!body.has('addresses')) throw refuseWith(400, 'addresses is missing: the members');
  const texts = body.texts('addresses');
  if (texts.length > PAYLOAD_PARTIES_MAX) {
    throw refuseWith(400, `a privacy group has at most ${PAYLOAD_PARTIES_MAX} members`);
  }
  return distinct(recipientsOf(texts));
}

function groupIdIn(body: Body): Buffer {
  const id = body.text('privacyGroupId');
  if (id === undefined) throw refuseWith(400, 'privacyGroupId is missing');
  return bytesOfText(id);
}

function groupJson(group: PrivacyGroup): Readonly<Record<string, unknown>> {
  return {
    description: group.description,
    members: group.members.map(base64Of),
    name: group.name,
    privacyGroupId: base64Of(group.id),
    type: group.type,
  };
}

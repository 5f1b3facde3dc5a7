/**
 * Privacy groups with members outside: made or ended here they are told to the members' peers, made
 * or ended there they are known here, under the same id (transaction-manager.md §C, §E).
 */
import { base64Of, NO_BYTES } from '../../../base/bytes.ts';
import { PAYLOAD_PARTIES_MAX } from '../../../base/limits.ts';
import type { ReadView, Transaction } from '../../../kv/tables.ts';
import type { AppResponse, Step } from '../../interface.ts';
import { groupIdOf } from '../group-id.ts';
import { deleteGroup, groupRow, type PrivacyGroup, storeGroup } from '../groups.ts';
import { ownerOf } from '../organisation.ts';
import { PARTY_KEY_BYTES } from '../parties.ts';
import { OUTBOX } from '../tables.ts';
import { refuseWith } from '../wire/answers.ts';
import { outsideOf } from './parties.ts';

/** A group as it travels; `federation/` puts it into bytes. */
export interface TravellingGroup {
  readonly name: string;
  readonly description: string;
  readonly members: readonly Uint8Array[];
  readonly seed: Uint8Array;
  readonly type: 'LEGACY' | 'PANTHEON' | 'RESIDENT';
  readonly state: 'ACTIVE' | 'DELETED';
}

/** What an outbox row is about when it is a group and no payload: its id and one byte more. */
export const GROUP_SUBJECT_BYTES = 33;
const ACTIVE = 1;
const DELETED = 0;

/** Notes that a group's members outside are to be told of it. */
export function queueGroup(
  tx: Transaction,
  { id, members }: PrivacyGroup,
  isActive: boolean,
): void {
  const state = Buffer.from([isActive ? ACTIVE : DELETED]);
  for (const member of outsideOf(tx, members)) {
    tx.table(OUTBOX).put(Buffer.concat([id, state, member]), NO_BYTES);
  }
}

/** What is told of a group, by its subject in the outbox; undefined if there is nothing to tell. */
export function travellingGroup(
  view: ReadView,
  subject: Uint8Array,
): TravellingGroup | undefined {
  const row = groupRow(view, Buffer.from(subject.subarray(0, GROUP_SUBJECT_BYTES - 1)));
  if (row?.seed === undefined) return undefined;
  return {
    name: row.name,
    description: row.description,
    members: row.members.map((key) => Buffer.from(key, 'base64')),
    seed: Buffer.from(row.seed, 'base64'),
    type: 'PANTHEON',
    state: subject.at(-1) === ACTIVE ? 'ACTIVE' : 'DELETED',
  };
}

/** Takes in what a peer tells of a group. */
export function acceptGroup(view: ReadView, pushed: TravellingGroup): Step {
  const { members, seed, type, state, name, description } = pushed;
  if (type === 'RESIDENT') {
    throw refuseWith(
      400,
      'a resident group belongs to its own node: no peer can make one here',
    );
  }
  if (members.length > PAYLOAD_PARTIES_MAX) {
    throw refuseWith(400, `a privacy group has at most ${PAYLOAD_PARTIES_MAX} members`);
  }
  const bad = members.find(({ length }) => length !== PARTY_KEY_BYTES);
  if (bad !== undefined) throw refuseWith(400, `a party key has ${bad.length} bytes, not 32`);
  const inside = members.filter((key) => ownerOf(view, key) !== undefined);
  const id = groupIdOf(members, type === 'LEGACY' ? undefined : seed);
  if (inside.length === 0 || inside.length === members.length) {
    const sentence = `privacy group ${base64Of(id)} must have members on both sides`;
    throw refuseWith(400, sentence);
  }
  const group: PrivacyGroup = {
    ...{ id, name, description, seed },
    type: 'PANTHEON',
    members: members.map((key) => Buffer.from(key)),
  };
  return {
    kind: 'write',
    apply: (tx) => {
      const known = groupRow(tx, id);
      // What was ended is not begun again by a message that comes late.
      if (state === 'ACTIVE' && known === undefined) storeGroup(tx, group);
      if (state === 'DELETED' && known?.state === 'ACTIVE') deleteGroup(tx, group);
      return DONE;
    },
  };
}

const DONE: AppResponse = { status: 200 };

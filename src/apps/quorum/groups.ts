/**
 * Privacy groups: named sets of parties, seen by the organisations that have a member in them, and
 * the residents of multiple private states, which governance sets (transaction-manager.md §E).
 */
import {
  base64Of,
  compareBytes,
  equalBytes,
  NO_BYTES,
  textOf,
  utf8,
} from '../../base/bytes.ts';
import { PAGE_ROWS_MAX } from '../../base/limits.ts';
import { sha256Of } from '../../crypto/hash.ts';
import type { ReadView, Transaction } from '../../kv/tables.ts';
import { hasResidents, type Organisation, owns } from './organisation.ts';
import { GROUPS_BY_MEMBER, GROUPS_BY_MEMBERS, PRIVACY_GROUPS } from './tables.ts';
import { type Refusal, refuseAbsent } from './wire/answers.ts';

export type GroupType = 'LEGACY' | 'PANTHEON' | 'RESIDENT';

export interface PrivacyGroup {
  readonly id: Buffer;
  readonly name: string;
  readonly description: string;
  readonly type: GroupType;
  readonly members: readonly Buffer[];
  /** What its id was made with; absent where nobody told. */
  readonly seed?: Uint8Array;
}

/** As a group lies in its table. */
export interface PrivacyGroupRow {
  readonly name: string;
  readonly description: string;
  readonly members: readonly string[];
  readonly state: 'ACTIVE' | 'DELETED';
  /** Base64. */
  readonly seed?: string;
}

export function groupNotFound(id: Uint8Array): Refusal {
  const shown = Buffer.from(id).toString('base64');
  return refuseAbsent(404, `Privacy group Id[${shown}] not found`);
}

/** A group that the caller may see, or a refusal. */
export function groupOf(view: ReadView, caller: Organisation, id: Buffer): PrivacyGroup {
  const resident = residentsOf(view, caller).find((group) => equalBytes(group.id, id));
  const group = resident ?? activeGroup(view, id);
  if (group === undefined || !isMember(caller, group)) throw groupNotFound(id);
  return group;
}

/** The members of a group that a payload names as its recipients. */
export function groupMembers(
  view: ReadView,
  caller: Organisation,
  id: Buffer,
): readonly Buffer[] {
  return groupOf(view, caller, id).members;
}

/** The caller's residents; none unless multiple private states are on. */
export function residentsOf(view: ReadView, caller: Organisation): readonly PrivacyGroup[] {
  if (!hasResidents(view)) return [];
  return caller.residents.map(({ privacyGroupId, name, description, members }) => ({
    id: Buffer.from(privacyGroupId, 'base64'),
    name,
    description,
    type: 'RESIDENT',
    members: members.map((key) => Buffer.from(key, 'base64')),
  }));
}

/** Groups with exactly these members that the caller may see. */
export function groupsOfMembers(
  view: ReadView,
  caller: Organisation,
  members: readonly Buffer[],
): readonly PrivacyGroup[] {
  const digest = membersDigest(members);
  const found = listed(view, GROUPS_BY_MEMBERS, digest);
  const residents = residentsOf(view, caller);
  return [
    ...found.filter((group) => isMember(caller, group)),
    ...residents.filter((group) => equalBytes(membersDigest(group.members), digest)),
  ];
}

/** Groups of one type that the caller may see. */
export function groupsOfType(
  view: ReadView,
  caller: Organisation,
  type: GroupType,
): readonly PrivacyGroup[] {
  if (type === 'RESIDENT') return residentsOf(view, caller);
  if (type === 'LEGACY') return []; // Only Besu's own sends make them.
  const byId = new Map<string, PrivacyGroup>();
  for (const key of caller.keys) {
    for (const group of listed(view, GROUPS_BY_MEMBER, key)) {
      byId.set(group.id.toString('base64'), group);
    }
  }
  return [...byId.values()];
}

/** Stores a group; one with the same members and seed is left as it is. */
export function storeGroup(tx: Transaction, group: PrivacyGroup): void {
  if (activeGroup(tx, group.id) !== undefined) return;
  putRow(tx, group, 'ACTIVE');
  tx.table(GROUPS_BY_MEMBERS).put(
    Buffer.concat([membersDigest(group.members), group.id]),
    NO_BYTES,
  );
  for (const key of group.members) {
    tx.table(GROUPS_BY_MEMBER).put(Buffer.concat([key, group.id]), NO_BYTES);
  }
}

/** Marks a group as deleted. */
export function deleteGroup(tx: Transaction, group: PrivacyGroup): void {
  putRow(tx, group, 'DELETED');
  tx.table(GROUPS_BY_MEMBERS).remove(Buffer.concat([membersDigest(group.members), group.id]));
  for (const key of group.members) {
    tx.table(GROUPS_BY_MEMBER).remove(Buffer.concat([key, group.id]));
  }
}

function putRow(tx: Transaction, group: PrivacyGroup, state: PrivacyGroupRow['state']): void {
  const { name, description } = group;
  const members = group.members.map((key) => key.toString('base64'));
  const seed = group.seed === undefined ? {} : { seed: base64Of(group.seed) };
  const row: PrivacyGroupRow = { name, description, members, state, ...seed };
  tx.table(PRIVACY_GROUPS).put(group.id, utf8(JSON.stringify(row)));
}

function activeGroup(view: ReadView, id: Buffer): PrivacyGroup | undefined {
  const row = groupRow(view, id);
  if (row?.state !== 'ACTIVE') return undefined;
  const { name, description, members, seed } = row;
  const seeded = seed === undefined ? {} : { seed: Buffer.from(seed, 'base64') };
  const keys = members.map((key) => Buffer.from(key, 'base64'));
  return { id, name, description, type: 'PANTHEON', members: keys, ...seeded };
}

/** A group's row, whether or not the group was deleted. */
export function groupRow(view: ReadView, id: Buffer): PrivacyGroupRow | undefined {
  const bytes = view.table(PRIVACY_GROUPS).get(id);
  return bytes === undefined ? undefined : (JSON.parse(textOf(bytes)) as PrivacyGroupRow);
}

/** The active groups whose ids stand behind `prefix` in an index. */
function listed(view: ReadView, index: string, prefix: Uint8Array): readonly PrivacyGroup[] {
  const groups: PrivacyGroup[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const rows = view
      .table(index)
      .page({ prefix, limit: PAGE_ROWS_MAX, ...(after === undefined ? {} : { after }) });
    for (const { key } of rows) {
      const group = activeGroup(view, Buffer.from(key.subarray(prefix.length)));
      if (group !== undefined) groups.push(group);
    }
    after = rows.at(-1)?.key;
    if (after === undefined || rows.length < PAGE_ROWS_MAX) return groups;
  }
}

function isMember(caller: Organisation, group: PrivacyGroup): boolean {
  return group.members.some((key) => owns(caller, key));
}

function membersDigest(members: readonly Buffer[]): Buffer {
  return sha256Of(...[...members].sort(compareBytes));
}

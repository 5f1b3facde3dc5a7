/** Privacy groups on their way to the members' peers (transaction-manager.md §C and §E). */
import { CodedError } from '../base/errors.ts';
import { FieldReader, FieldWriter } from './octet-fields.ts';

const TYPES = ['LEGACY', 'PANTHEON', 'RESIDENT'] as const;
const STATES = ['ACTIVE', 'DELETED'] as const;

export interface PushedGroup {
  readonly name: string;
  readonly description: string;
  readonly members: readonly Uint8Array[];
  /** The group's id follows from its members and this. */
  readonly seed: Uint8Array;
  readonly type: (typeof TYPES)[number];
  readonly state: (typeof STATES)[number];
}

export function encodePrivacyGroup(group: PushedGroup): Uint8Array {
  return new FieldWriter()
    .text(group.name)
    .text(group.description)
    .list(group.members)
    .field(group.seed)
    .text(group.type)
    .text(group.state)
    .finish();
}

export function decodePrivacyGroup(bytes: Uint8Array): PushedGroup {
  const reader = new FieldReader(bytes, 'a privacy group');
  const group = {
    name: reader.text('a name'),
    description: reader.text('a description'),
    members: reader.list('members'),
    seed: reader.field('a seed'),
    type: oneOf(TYPES, reader.text('a type'), 'type'),
    state: oneOf(STATES, reader.text('a state'), 'state'),
  };
  reader.finish();
  return group;
}

function oneOf<Name extends string>(names: readonly Name[], given: string, what: string): Name {
  const found = names.find((name) => name === given);
  if (found !== undefined) return found;
  const shown = JSON.stringify(given);
  const sentence = `a privacy group has the ${what} ${shown}, it is one of ${names.join(', ')}`;
  throw new CodedError('BadEncoding', sentence, { status: 400 });
}

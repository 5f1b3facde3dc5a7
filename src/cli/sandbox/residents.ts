/**
 * Residents of organisations from a file, `--residents FILE`:
 * `{organisation: [{privacyGroupId, name, description, members}]}`.
 */
import type { ResidentRow } from '../../apps/organisations.ts';
import { CodedError } from '../../base/errors.ts';
import { keyBytes, readJson } from '../node/party-keys-file.ts';

export type ResidentsByOrganisation = ReadonlyMap<number, readonly ResidentRow[]>;

/** Reads such a file. Throws `BadResidents`. */
export function readResidents(path: string): ResidentsByOrganisation {
  const bad = (why: string): CodedError =>
    new CodedError('BadResidents', `${path}: ${why}`, { path });
  const object = readJson(path, bad);
  if (typeof object !== 'object' || object === null || Array.isArray(object)) {
    throw bad('an object of organisation numbers is expected');
  }
  const residents = new Map<number, ResidentRow[]>();
  for (const [organisation, rows] of Object.entries(object)) {
    const number = Number(organisation);
    if (!Number.isInteger(number) || number < 1 || !Array.isArray(rows)) {
      throw bad(`${JSON.stringify(organisation)} is not an organisation's number with a list`);
    }
    residents.set(
      number,
      rows.map((row: unknown, index) => residentOf(row, `${organisation}, ${index + 1}`, bad)),
    );
  }
  return residents;
}

function residentOf(
  row: unknown,
  place: string,
  bad: (why: string) => CodedError,
): ResidentRow {
  const { privacyGroupId, name, description, members } = (row ?? {}) as Record<string, unknown>;
  if (typeof privacyGroupId !== 'string' || typeof name !== 'string') {
    throw bad(`resident ${place}: privacyGroupId and name are texts`);
  }
  if (!Array.isArray(members) || !members.every((each) => typeof each === 'string')) {
    throw bad(`resident ${place}: members is a list of party keys in base64`);
  }
  for (const member of members) keyBytes(member, `resident ${place}: member`, bad);
  const text = typeof description === 'string' ? description : '';
  return { privacyGroupId, name, description: text, members };
}

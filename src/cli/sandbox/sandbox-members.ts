/**
 * The members of a sandbox, ready to sign: their keys lie in its folder.
 */
import { readFileSync } from 'node:fs';
import { withKeyOf } from '../gov/member-key.ts';
import { SigningMember } from '../gov/place.ts';
import type { ServiceAsker } from '../node/service-asker.ts';
import { membersOf, type SandboxFolder } from './sandbox-folder.ts';

export function sandboxMembers(
  folder: SandboxFolder,
  service: ServiceAsker,
): readonly SigningMember[] {
  return membersOf(folder).map(
    ({ certificate, key }) =>
      new SigningMember(service, readFileSync(certificate, 'utf8'), withKeyOf(key)),
  );
}

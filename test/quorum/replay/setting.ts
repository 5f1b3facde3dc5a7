/** The network in which the exchanges were recorded: its keys, and the residents of scenario 19. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PartyKeyPair, Residents } from '../../support/quorum-network.ts';
import type { Recorded } from './recordings.ts';

/** Scenario 19 was recorded with multiple private states, all others without. */
export function usesResidents(scenario: readonly Recorded[]): boolean {
  return scenario[0]?.scenario.startsWith('19-') === true;
}

/**
 * The recorded keys. The fourth belongs to nobody, except in scenario 19, where organisation 1
 * has it beside its own.
 */
export function recordedKeys(withResidents: boolean): readonly PartyKeyPair[] {
  const path = join(import.meta.dirname, '../recordings/keys-test-only.json');
  const keys = JSON.parse(readFileSync(path, 'utf8')) as readonly PartyKeyPair[];
  return withResidents ? keys.map((key) => (key.node === 4 ? { ...key, node: 1 } : key)) : keys;
}

const [first, , , fourth] = recordedKeys(false);

export const residentsOfScenario19: Residents = {
  1: [
    {
      privacyGroupId: 'UFMx',
      name: 'PS1',
      description: 'Private state 1',
      members: [first?.publicKey ?? ''],
    },
    {
      privacyGroupId: 'UFMy',
      name: 'PS2',
      description: 'Private state 2',
      members: [fourth?.publicKey ?? ''],
    },
  ],
};

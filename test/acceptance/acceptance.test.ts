/**
 * What a Quorum network must do, as stories: one a file, in `stories/`. They are played by Quorum
 * nodes behind one sandbox of three nodes: by GoQuorum itself where CONCORDAT_GETH is the path of
 * its binary (24.4.1; its raft listens on every interface), else by doubles that keep private
 * states by GoQuorum's rules and make its requests. That they do is shown at the end.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordedScenarios } from '../quorum/replay/recordings.ts';
import { type Consortium, GETH, startConsortium } from './consortium.ts';
import { formOf } from './double/request-form.ts';
import { extension } from './stories/extension.ts';
import { lostDisk } from './stories/lost-disk.ts';
import { mandatoryRecipients } from './stories/mandatory-recipients.ts';
import { nestedContracts } from './stories/nested-contracts.ts';
import { nonParty } from './stories/non-party.ts';
import { partyProtection } from './stories/party-protection.ts';
import { privacyMarker } from './stories/privacy-marker.ts';
import { privateStateValidation } from './stories/private-state-validation.ts';
import { residents } from './stories/residents.ts';
import { severalContracts } from './stories/several-contracts.ts';
import { signedOutside } from './stories/signed-outside.ts';
import { singleContract } from './stories/single-contract.ts';
import type { Story } from './story.ts';

const STORIES: readonly Story[] = [
  singleContract,
  severalContracts,
  partyProtection,
  mandatoryRecipients,
  privateStateValidation,
  nestedContracts,
  signedOutside,
  privacyMarker,
  extension,
  nonParty,
  lostDisk,
];

if (GETH === undefined) {
  console.log('CONCORDAT_GETH is not set: the stories are played by doubles of GoQuorum');
}

const asked = new Set<string>();

describe('a network of three organisations', () => {
  play(STORIES, () => startConsortium(3));
});

describe('a network where one node has residents', () => {
  play([residents], () => startConsortium(1, true));
});

test.skipIf(GETH !== undefined)('the doubles asked only what GoQuorum was seen to ask', () => {
  const recorded = new Set(
    recordedScenarios()
      .flat()
      .map(({ request, overSocket }) => formOf({ request, isOverSocket: overSocket })),
  );
  expect([...asked].filter((form) => !recorded.has(form))).toEqual([]);
  // Handshake, residents, sends, reads, facts, seals: all were needed.
  expect(asked.size).toBeGreaterThan(18);
});

function play(stories: readonly Story[], start: () => Promise<Consortium>): void {
  let consortium: Consortium | undefined;
  beforeAll(async () => {
    consortium = await start();
  }, 240_000);
  afterAll(async () => {
    for (const request of consortium?.requests() ?? []) asked.add(formOf(request));
    await consortium?.stop();
  });
  for (const { title, tell } of stories) {
    describe(title, () => {
      tell(() => {
        if (consortium === undefined) throw new Error('the consortium did not start');
        return consortium;
      });
    });
  }
}

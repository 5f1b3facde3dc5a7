/**
 * Bytes from outside, spoilt at random: whatever comes, the answer is a refusal with a sentence or
 * an acceptance that is due, never a failure of ours. The seed of a bad one is printed.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  challengeEndpoint,
  groupEndpoint,
  peerEndpoint,
  pushEndpoint,
} from '../../src/apps/quorum/outside/endpoints.ts';
import { isCoded } from '../../src/base/errors.ts';
import { decodePushed, OWN_VERSIONS } from '../../src/federation/api-versions.ts';
import { encodeCbor } from '../../src/federation/cbor-codec.ts';
import { forRecipient } from '../../src/federation/encoded-payload.ts';
import { decodeLegacy, encodeLegacy } from '../../src/federation/legacy-codec.ts';
import { decodePartyInfo, encodePartyInfo } from '../../src/federation/party-info.ts';
import { decodePrivacyGroup } from '../../src/federation/privacy-group.ts';
import { QuorumClient, transactionPath } from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { recordedBodies } from './recordings.ts';
import { madePayload, newKeyPair } from './tessera-payloads.ts';

const ROUNDS = 3_000;
const random = { bytes: (count: number) => randomBytes(count) };

function world() {
  const [one, ann] = [newKeyPair(), newKeyPair()];
  const keys = [
    {
      node: 1,
      publicKey: one.publicKey.toString('base64'),
      privateKey: one.privateKey.toString('base64'),
    },
  ];
  const runtime = quorumInMemory(keys, 1);
  const base = madePayload(ann, [one.publicKey], { privacyFlag: 3, execHash: 'a' });
  runtime.run(pushEndpoint(random, forRecipient(base.encoded, one.publicKey)));
  const next = madePayload(ann, [one.publicKey], {
    privacyFlag: 3,
    execHash: 'b',
    affected: [base],
  });
  return { runtime, one, ann, next, client: new QuorumClient(runtime, 1) };
}

/** Bytes with a few of them changed, cut, doubled or left out. */
function spoilt(bytes: Uint8Array, chance: SeededRandom): Buffer {
  let changed = Buffer.from(bytes);
  for (let times = 1 + chance.below(3); times > 0; times -= 1) {
    const at = chance.below(Math.max(1, changed.length));
    switch (chance.below(5)) {
      case 0:
        changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1)]);
        break;
      case 1:
        changed = changed.subarray(0, at);
        break;
      case 2:
        changed = Buffer.concat([
          changed.subarray(0, at),
          changed.subarray(Math.max(0, at - 9)),
        ]);
        break;
      default:
        changed[at] = chance.below(256);
    }
  }
  return changed;
}

test('spoilt pushes never fail here, and never become another payload', () => {
  const { runtime, one, next, client } = world();
  const piece = forRecipient(next.encoded, one.publicKey);
  const codecs = [
    [encodeCbor(piece), OWN_VERSIONS],
    [encodeLegacy(piece), ['2.1']],
  ] as const;
  let [refused, accepted] = [0, 0];
  for (let seed = 1; seed <= ROUNDS; seed += 1) {
    const [bytes, versions] = codecs[seed % 2] ?? codecs[0];
    const chance = new SeededRandom(seed);
    try {
      const answer = runtime.run(
        pushEndpoint(random, decodePushed(spoilt(bytes, chance), versions)),
      );
      expect([201, 400, 403, 409], `seed ${seed}`).toContain(answer.status);
      if (answer.status === 201) accepted += 1;
      else refused += 1;
    } catch (error) {
      if (!isCoded(error)) throw new Error(`seed ${seed}`, { cause: error });
      expect(error.fields.status, `seed ${seed}`).toBe(400);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(ROUNDS / 2);
  expect(refused + accepted).toBe(ROUNDS);
  // Whatever was taken in under the payload's key is that payload.
  const received = client.get(transactionPath(next.key));
  expect([200, 404]).toContain(received.status);
  if (received.status === 200) {
    const text = Buffer.from(String(client.received(next.key).payload), 'base64').toString();
    expect(text).toBe('a payload from outside');
  }
});

test('spoilt party information, groups and challenges never fail here', () => {
  const { runtime, one, ann } = world();
  const [info = Buffer.alloc(0)] = recordedBodies('/partyinfo', 200).filter(
    ({ length }) => length > 0,
  );
  const [group = Buffer.alloc(0)] = recordedBodies('/pushPrivacyGroup', 200);
  const challenge = encodeLegacy(madePayload(ann, [one.publicKey]).encoded);
  for (let seed = 1; seed <= ROUNDS; seed += 1) {
    const chance = new SeededRandom(seed);
    try {
      if (seed % 3 === 0) {
        const { url, keys } = decodePartyInfo(spoilt(info, chance));
        const claim = { url, versions: ['5.0'], keys: keys.map(({ key }) => key) };
        runtime.run(peerEndpoint({ ...claim, isProven: true }));
      } else if (seed % 3 === 1) {
        runtime.run(groupEndpoint(decodePrivacyGroup(spoilt(group, chance))));
      } else {
        runtime.run(
          challengeEndpoint(decodeLegacy(spoilt(challenge, chance)), () => undefined),
        );
      }
    } catch (error) {
      if (!isCoded(error)) throw new Error(`seed ${seed}`, { cause: error });
      expect(error.fields.status, `seed ${seed}`).toBe(400);
    }
  }
  // A checker that catches nothing proves nothing: whole bytes are read as they were written.
  expect(Buffer.from(encodePartyInfo(decodePartyInfo(info))).equals(info)).toBe(true);
});

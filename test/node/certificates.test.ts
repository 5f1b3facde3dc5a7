// The certificate that a node starts with: renewed by itself when it comes to its end, for as long
// as the one before lasted; and what members decide meanwhile is shown at once.

import { expect, test } from 'vitest';
import { validityOfCertificate } from '../../src/crypto/endorsement.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import { createIdentity } from '../../src/node/identity.ts';
import {
  makeNodeCertificate,
  makeServiceCertificate,
  startCertificate,
} from '../../src/node/node-certificates.ts';
import { SealedFolder } from '../../src/node/sealed-folder.ts';
import { virtualSealer } from '../../src/node/virtual-sealer.ts';
import { newWorld } from '../support/node-rig.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 1);
const AT = { host: '127.0.0.1', port: 8000 };

test.each([
  ['a year, 200 days ago', 365, 200, 'kept'],
  ['a year, 250 days ago', 365, 250, 'renewed'],
  ['a year, two years ago', 365, 730, 'renewed'],
  ['30 days, as members decided, 15 days ago', 30, 15, 'kept'],
  ['30 days, 25 days ago', 30, 25, 'renewed'],
])('made for %s, it is held: %s', async (_what, days, agoDays, outcome) => {
  const { disk } = newWorld();
  await disk.makeFolder('/sealed');
  const sealer = await virtualSealer(disk, '/sealed', systemRandom);
  const sealed = new SealedFolder(disk, '/sealed', sealer);
  const identity = await createIdentity(sealed, systemRandom);
  const service = await makeServiceCertificate(identity, NOW_MS);
  const madeMs = NOW_MS - agoDays * DAY_MS;
  const held = await makeNodeCertificate(identity, service, AT, madeMs, days);
  const shown = await startCertificate(held, identity, service, AT, NOW_MS);
  expect(shown === held ? 'kept' : 'renewed').toBe(outcome);
  const validity = validityOfCertificate(shown);
  expect(Math.round(validity.days)).toBe(days);
  expect(validity.fromMs + validity.days * DAY_MS).toBeGreaterThan(NOW_MS);
});

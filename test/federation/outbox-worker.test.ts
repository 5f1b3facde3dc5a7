/**
 * The outbox's worker alone, on time that is moved by hand: how often it lists and tries, in which
 * order it delivers, and that it does nothing where it is not the primary.
 */
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { payloadKeyOf } from '../../src/crypto/payload.ts';
import { newCounters } from '../../src/federation/counters.ts';
import { OUTBOX_TIMES, OutboxWorker } from '../../src/federation/outbox-worker.ts';
import type { PeerAnswer, PeerClient } from '../../src/federation/peer-client.ts';
import type { Delivery, FederationService } from '../../src/federation/service.ts';
import { ManualTime } from '../support/manual-time.ts';
import { madePayload, newKeyPair } from './tessera-payloads.ts';

const URL_OUTSIDE = 'http://outside.example/';

function unused(): never {
  throw new Error('the worker does not ask for this');
}

/** A service whose outbox is a list, and a peer that answers as it is told. */
function world() {
  const [ann, sender] = [newKeyPair(), newKeyPair()];
  const { encoded } = madePayload(sender, [ann.publicKey]);
  const receipt = payloadKeyOf(encoded.cipherText).toString('base64');
  const rows: Delivery[] = [];
  const seen = { listings: 0, pushed: [] as string[], isPrimary: true };
  const peer: { answer: () => Promise<PeerAnswer> } = {
    answer: async () => ({ status: 201, body: Buffer.from(receipt) }),
  };
  const nameOf = ({ subject }: Delivery): string => Buffer.from(subject).toString('hex');
  let readied: readonly Delivery[] = [];
  const service: FederationService = {
    isPrimary: () => seen.isPrimary,
    insideKeys: () => [],
    outsideKeys: () => [{ key: ann.publicKey, url: URL_OUTSIDE, versions: ['5.0'] }],
    outboxLength: () => rows.length,
    outbox: (payload) => {
      if (payload !== undefined) return rows.filter((row) => row.subject === payload);
      seen.listings += 1;
      return [...rows];
    },
    due: async (deliveries) => {
      readied = deliveries;
      const to = { url: URL_OUTSIDE, versions: ['5.0'] };
      return deliveries.map((one) => ({ ...one, due: { to, payload: encoded } }));
    },
    delivered: async (deliveries) => {
      for (const one of deliveries) {
        seen.pushed.push(nameOf(one));
        rows.splice(
          rows.findIndex((row) => nameOf(row) === nameOf(one)),
          1,
        );
      }
    },
    accept: unused,
    acceptGroup: unused,
    openChallenge: unused,
    registerPeer: unused,
    resend: unused,
    ownPayloads: unused,
    resendAll: unused,
  };
  const client: PeerClient = { ask: () => peer.answer(), close: () => undefined };
  const time = new ManualTime();
  const counters = newCounters();
  const warnings: string[] = [];
  const worker = new OutboxWorker({
    ...{ service, client, counters, timers: time },
    log: { info: () => undefined, warn: (text) => warnings.push(text) },
    onPeer: () => undefined,
  });
  const add = (): Uint8Array => {
    const subject = randomBytes(64);
    rows.push({ subject, recipient: ann.publicKey });
    return subject;
  };
  return {
    worker,
    peer,
    seen,
    rows,
    add,
    time,
    counters,
    warnings,
    nameOf,
    due: () => readied,
  };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

test('delivers what is there, in the order in which it came', async () => {
  const { worker, seen, add, rows, nameOf } = world();
  for (let n = 0; n < 20; n += 1) add();
  const wanted = rows.map(nameOf);
  worker.start();
  for (let n = 0; n < 10; n += 1) await settle();
  worker.stop();
  expect(seen.pushed).toEqual(wanted);
});

test('readies a few payloads at a time', async () => {
  const { worker, add, due } = world();
  for (let n = 0; n < 100; n += 1) add();
  worker.start();
  expect(due().length).toBeLessThanOrEqual(8);
  worker.stop();
});

test('does not list the outbox again for each payload sent while a peer is down', async () => {
  const { worker, peer, seen, add, counters } = world();
  peer.answer = () => Promise.reject(new Error('it is down'));
  for (let n = 0; n < 100; n += 1) add();
  worker.start();
  await settle();
  for (let n = 0; n < 500; n += 1) {
    worker.poke(add());
    await settle();
  }
  worker.stop();
  // The peer is in its pause: neither was it asked again, nor the outbox read anew.
  expect([seen.listings, counters.failed]).toEqual([1, 1]);
});

test('tries a peer that fails more and more seldom, up to a bound', async () => {
  const { worker, peer, add, time, counters } = world();
  peer.answer = () => Promise.reject(new Error('it is down'));
  add();
  worker.start();
  const tries: number[] = [];
  for (let seconds = 0; seconds < 60; seconds += 1) {
    for (let half = 0; half < 2; half += 1) {
      await time.advance(500);
      await settle();
    }
    tries.push(counters.failed);
  }
  worker.stop();
  const inLast = (tries.at(-1) ?? 0) - (tries.at(-31) ?? 0);
  expect(tries[4]).toBeGreaterThan(2);
  expect(inLast).toBeGreaterThanOrEqual(30_000 / OUTBOX_TIMES.retryMsMax - 1);
  expect(inLast).toBeLessThanOrEqual(30_000 / OUTBOX_TIMES.retryMsMax + 1);
});

test('says why once, not at each try', async () => {
  const { worker, peer, add, time, warnings } = world();
  peer.answer = () => Promise.reject(new Error('it is down'));
  add();
  worker.start();
  for (let n = 0; n < 20; n += 1) {
    await time.advance(1_000);
    await settle();
  }
  worker.stop();
  expect(warnings).toEqual([`deliveries to ${URL_OUTSIDE} wait: it is down`]);
});

test('takes no receipt for another payload', async () => {
  const { worker, peer, seen, add, counters, warnings } = world();
  peer.answer = async () => ({ status: 201, body: Buffer.from('another key') });
  add();
  worker.start();
  await settle();
  worker.stop();
  expect([seen.pushed.length, counters.refusedByPeers]).toEqual([0, 1]);
  expect(warnings[0]).toContain('its receipt is for another key');
});

test('does nothing on a backup, and begins when it becomes the primary', async () => {
  const { worker, seen, add, time } = world();
  seen.isPrimary = false;
  add();
  worker.start();
  await time.advance(2_000);
  await settle();
  expect(seen.pushed).toEqual([]);
  seen.isPrimary = true;
  await time.advance(1_000);
  await settle();
  worker.stop();
  expect(seen.pushed).toHaveLength(1);
});

/**
 * The recorded exchanges between Tessera's nodes, both ways: each request that a node got is put to
 * a service that has that node's organisation inside, and each payload that a node was told to send
 * is sent by such a service, whose pushes are compared with the recorded ones.
 */
import { afterEach, describe, expect, test } from 'vitest';
import {
  type DueDelivery,
  deliveriesEndpoint,
  outboxOf,
  peerEndpoint,
  pushEndpoint,
} from '../../src/apps/quorum/outside/endpoints.ts';
import { payloadKeyOf } from '../../src/crypto/payload.ts';
import { systemRandom } from '../../src/crypto/random.ts';
import {
  decodePushed,
  VERSIONS_HEADER,
  versionsOf,
} from '../../src/federation/api-versions.ts';
import type { EncodedPayload } from '../../src/federation/encoded-payload.ts';
import { recordedScenarios } from '../quorum/replay/recordings.ts';
import type { MemoryRuntime } from '../support/memory-runtime.ts';
import { QuorumClient, textIn } from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';
import { FederatedService } from './federated-service.ts';
import {
  headerIn,
  recordedExchanges,
  recordedPartyKeys,
  type StoredExchange,
} from './recordings.ts';

let service: FederatedService | undefined;

afterEach(async () => {
  await service?.end();
  service = undefined;
});

const NODES = [1, 2, 3];

function keyPairOf(node: number) {
  const found = recordedPartyKeys().find((one) => one.node === node);
  return {
    publicKey: Buffer.from(found?.publicKey ?? '', 'base64'),
    privateKey: Buffer.from(found?.privateKey ?? '', 'base64'),
  };
}

/** Why an answer may be another than the recorded one. */
type Decision = readonly [
  matches: (exchange: StoredExchange) => boolean,
  status: number,
  why: string,
];

const MISTAKES = "decision 2: the asker's own mistake is 4xx, not 500";
const is = (path: string, status: number) => (exchange: StoredExchange) =>
  exchange.request.path === path && exchange.response.status === status;
const titled = (title: string) => (exchange: StoredExchange) => exchange.title === title;

const DECISIONS: readonly Decision[] = [
  [titled('push json type'), 415, MISTAKES],
  [is('/push', 500), 400, MISTAKES],
  [is('/partyinfo', 500), 400, MISTAKES],
  [is('/partyinfo/validate', 500), 400, MISTAKES],
  [is('/pushPrivacyGroup', 500), 400, MISTAKES],
  [titled('resend INDIVIDUAL for non-party'), 404, 'nobody learns of what is not its own'],
  [titled('resend INDIVIDUAL without key'), 400, MISTAKES],
  [titled('resend {}'), 400, MISTAKES],
  [titled('resendBatch {}'), 400, MISTAKES],
  [titled('resend ALL unknown key'), 404, "this build's database failed; nobody has that key"],
  [is('/pushBatch', 404), 200, 'batches are taken in at any time'],
  [is('/metrics', 200), 404, "figures are the operator's"],
  [is('/api', 500), 404, 'decision 2: accidents of this build are not copied'],
];

/** What cannot be asked again without the peer that was there when it was recorded. */
function needsPeer({ request, title }: StoredExchange): boolean {
  if (request.path === '/resendBatch') return title !== 'resendBatch {}';
  if (request.path !== '/resend') return false;
  return (
    Buffer.from(request.body, 'base64').includes('"ALL"') && title !== 'resend ALL unknown key'
  );
}

/** Bodies that say the same: those that name this service or its version are compared by form. */
function sameBody(exchange: StoredExchange, body: Buffer, url: string): boolean {
  const recorded = Buffer.from(exchange.response.body, 'base64');
  const { path, method } = exchange.request;
  if (/^\/version(\/distribution)?$/.test(path)) return body.length > 0;
  if (path === '/partyinfo' && method === 'GET') {
    const fields = (bytes: Buffer) => Object.keys(JSON.parse(bytes.toString()) as object);
    return fields(body).join() === fields(recorded).join();
  }
  if (path === '/partyinfo')
    return body.includes(url) && body.subarray(-16).every((b) => b === 0);
  if (path === '/resend' && exchange.response.status === 200)
    return body.length === recorded.length;
  if (path === '/resend' && exchange.response.status === 404) {
    return body.toString().endsWith('was not found');
  }
  return body.equals(recorded);
}

describe.each(NODES)('what node %d was asked', (node) => {
  test('is answered alike, or otherwise by decision', async () => {
    const server = { host: '127.0.0.1', port: 0, whitelist: [] };
    const rules = { server, validatesKeys: false, partyInfoMs: 600_000 };
    const on = await FederatedService.of(1, rules, {}, [keyPairOf(node)]);
    service = on;
    const counts = { same: 0, otherwise: 0, skipped: 0 };
    const wrong: string[] = [];
    const exchanges = recordedExchanges().filter(({ peer }) => peer === node);
    // Those who told of themselves did so before anything else.
    const ordered = [
      ...exchanges.filter(({ request }) => request.path === '/partyinfo'),
      ...exchanges.filter(({ request }) => request.path !== '/partyinfo'),
    ];
    let sentKey: string | undefined;
    for (const exchange of ordered) {
      if (needsPeer(exchange)) {
        counts.skipped += 1;
        continue;
      }
      let body = Buffer.from(exchange.request.body, 'base64');
      if (exchange.title?.startsWith('resend INDIVIDUAL') && exchange.response.status !== 404) {
        // It was about a payload that the node had sent to organisation 2 just before.
        const to = [keyPairOf(2).publicKey.toString('base64')];
        const payload = Buffer.from('hello world').toString('base64');
        sentKey ??= await on.send({ payload, to });
        body = Buffer.from(body.toString().replace(/"key":"[^"]+"/, `"key":"${sentKey}"`));
      }
      const { method, path, headers } = exchange.request;
      const response = await fetch(new URL(path, on.url()), {
        method,
        headers: headers.map(([name, value]) => [name, value] as [string, string]),
        ...(method === 'GET' ? {} : { body }),
      });
      const answered = Buffer.from(await response.arrayBuffer());
      const decision = DECISIONS.find(([matches]) => matches(exchange));
      const status = decision?.[1] ?? exchange.response.status;
      const alike = decision !== undefined || sameBody(exchange, answered, on.url());
      if (response.status !== status || !alike) {
        const name = exchange.title ?? `${exchange.scenario} ${method} ${path}`;
        wrong.push(`${name}: ${response.status} ${answered.toString().slice(0, 200)}`);
      } else if (decision === undefined) counts.same += 1;
      else counts.otherwise += 1;
    }
    expect(wrong).toEqual([]);
    expect(counts.same).toBeGreaterThan(15);
    expect(counts.same + counts.otherwise + counts.skipped).toBe(exchanges.length);
  }, 60_000);
});

/** All of a push that does not depend on chance. */
function formOf(payload: EncodedPayload) {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    sender: base64(payload.senderKey),
    ciphertextBytes: payload.cipherText.length,
    boxes: payload.recipientBoxes.map(({ length }) => length),
    recipients: payload.recipientKeys.map(base64),
    flag: payload.privacyFlag,
    affected: payload.affected.length,
    execHash: Buffer.from(payload.execHash).toString(),
    mandatory: payload.mandatory.map(base64).sort(),
    group: base64(payload.privacyGroupId),
  };
}

function recordedPushes(): readonly {
  readonly peer: number;
  readonly key: string;
  readonly payload: EncodedPayload;
}[] {
  return recordedExchanges()
    .filter(({ request, response }) => request.path === '/push' && response.status === 201)
    .map(({ peer, request }) => {
      const versions = versionsOf(headerIn(request, VERSIONS_HEADER));
      const payload = decodePushed(Buffer.from(request.body, 'base64'), versions);
      return { peer, key: payloadKeyOf(payload.cipherText).toString('base64'), payload };
    });
}

/** What waits in the outbox for one payload. */
function pushesOf(runtime: MemoryRuntime, key: string): readonly EncodedPayload[] {
  let due: readonly DueDelivery[] = [];
  const rows = outboxOf(runtime.store.committedView, Buffer.from(key, 'base64'));
  runtime.run(
    deliveriesEndpoint(rows, (found) => {
      due = found;
    }),
  );
  return due.flatMap((one) =>
    one.due !== undefined && 'payload' in one.due ? [one.due.payload] : [],
  );
}

describe.each(NODES)('what node %d sent', (node) => {
  test('is pushed to the same recipients, in the same form', () => {
    const runtime = quorumInMemory(
      recordedPartyKeys().filter((one) => one.node === node),
      node,
    );
    const client = new QuorumClient(runtime, node);
    for (const other of NODES.filter((one) => one !== node)) {
      const keys = [keyPairOf(other).publicKey];
      const url = `http://127.0.0.1:930${other}/`;
      runtime.run(peerEndpoint({ url, versions: ['5.0'], keys, isProven: true }));
    }
    const pushes = recordedPushes();
    // What it knew from others before it sent anything that touches that.
    for (const { peer, payload } of pushes) {
      if (peer === node) runtime.run(pushEndpoint(systemRandom, payload));
    }
    const keys = new Map<string, string>();
    let compared = 0;
    for (const { organisation, request, response, surface } of recordedScenarios().flat()) {
      const mine = organisation === node && surface === 'q2t' && request.path === '/send';
      if (!mine || response?.status !== 201) continue;
      const recorded = (JSON.parse(response.body.toString()) as { key: string }).key;
      const expected = pushes.filter(({ key }) => key === recorded).map((one) => one.payload);
      if (expected.length === 0) continue;
      let body = request.body.toString();
      // Decision 2: what Tessera takes for flag 0 is refused here.
      if (/"privacyFlag":(4|-1)/.test(body)) continue;
      for (const [theirs, ours] of keys) body = body.replaceAll(theirs, ours);
      const answer = client.ask('POST', '/send', request.headers, body);
      expect(answer.status, body.slice(0, 300)).toBe(201);
      const ours = (JSON.parse(textIn(answer)) as { key: string }).key;
      keys.set(recorded, ours);
      const byRecipient = (one: EncodedPayload): string =>
        Buffer.from(one.recipientKeys[0] ?? []).toString('base64');
      const sorted = (list: readonly EncodedPayload[]) =>
        [...list]
          .sort((left, right) => byRecipient(left).localeCompare(byRecipient(right)))
          .map(formOf);
      expect(sorted(pushesOf(runtime, ours))).toEqual(sorted(expected));
      compared += expected.length;
    }
    expect(compared).toBeGreaterThan(node === 1 ? 30 : 0);
  }, 60_000);
});

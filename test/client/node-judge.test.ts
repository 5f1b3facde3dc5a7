/**
 * No node is told anything before its evidence was accepted and found to be bound to the key that
 * holds the session. The nodes are real TLS servers; their hardware is a fake PKI's.
 */
import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EvidencePolicy } from '../../src/attestation/policy.ts';
import { judgeBy, type NodeJudge } from '../../src/client/node-judge.ts';
import { SeenTransactions } from '../../src/client/seen-transactions.ts';
import { SessionPool } from '../../src/client/session-pool.ts';
import { systemTimers } from '../../src/client/system-timers.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { AT_MS } from '../attestation/fake-certificates.ts';
import {
  fakePki,
  HOST_DATA,
  MEASUREMENT,
  signedReport,
  snpEvidence,
} from '../attestation/fake-pki.ts';
import { startTlsNetwork, type TlsNetwork } from '../support/tls-service.ts';

const PKI = fakePki('Milan');
const CHIP = PKI.chip();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const POLICY: EvidencePolicy = {
  platforms: { snp: { measurements: [hex(MEASUREMENT)], hostData: [hex(HOST_DATA)] } },
};
const REQUEST = { method: 'GET', target: '/app/x', headerLines: '', body: Buffer.alloc(0) };

let network: TlsNetwork;
let pools: SessionPool[];
let nowMs: number;
let refusals: string[];

beforeEach(async () => {
  pools = [];
  refusals = [];
  nowMs = AT_MS;
  network = await startTlsNetwork(2, (index) => (_, reply) => reply.end(`node ${index}`));
});

afterEach(async () => {
  for (const pool of pools) pool.close();
  await network.stop();
});

/** Evidence of a guest that binds a key, perhaps another than its own, or runs something else. */
function snp(
  publicKeyDer: Uint8Array,
  measurement = MEASUREMENT,
): ReturnType<typeof snpEvidence> {
  const reportData = new Uint8Array(64);
  reportData.set(createHash('sha256').update(publicKeyDer).digest());
  return snpEvidence(signedReport(CHIP, { reportData, measurement }), CHIP.chain);
}

function judge(policy: EvidencePolicy = POLICY): NodeJudge {
  return judgeBy(policy, {
    verifier: nodeVerifier,
    roots: PKI.roots,
    clock: { nowMs: () => nowMs },
    onRefused: (message) => refusals.push(message),
  });
}

function poolOf(indices: readonly number[], by: NodeJudge): SessionPool {
  const { certificate, client } = network.node(0);
  const nodeUrls = indices.map((index) => network.node(index).url);
  const pool = new SessionPool(
    { nodeUrls, serviceCertificate: certificate, ...client },
    { timers: systemTimers, seen: new SeenTransactions(), judge: by, onLoss: () => undefined },
  );
  pools.push(pool);
  return pool;
}

async function ask(pool: SessionPool): Promise<string> {
  const wish = { purpose: 'read', avoid: new Set<string>() } as const;
  const attempt = pool.begin(REQUEST, wish, systemTimers.elapsedMs() + 5_000);
  if (attempt === undefined) throw new Error('no node is left');
  return (await attempt.answer).body.toString();
}

describe('a node', () => {
  test('that shows what the policy accepts, bound to its key, is spoken to', async () => {
    network.facts.evidence = (_index, key) => snp(key);
    expect(await ask(poolOf([0], judge()))).toBe('node 0');
    expect(refusals).toEqual([]);
  });

  test.each([
    ['that shows nothing', 'shows no evidence', () => undefined],
    [
      'that shows the evidence of another key',
      'ReportDataMismatch',
      () => snp(Buffer.from('the key of somebody else')),
    ],
    [
      'that runs something else',
      'MeasurementNotAccepted',
      (key: Uint8Array) => snp(key, new Uint8Array(48)),
    ],
  ] as const)('%s is told nothing: %s', async (_what, sentence, evidence) => {
    network.facts.evidence = (_index, key) => evidence(key);
    await expect(ask(poolOf([0], judge()))).rejects.toThrow('not trusted');
    expect(network.node(0).seen).toEqual([]);
    expect(refusals.join()).toContain(sentence);
  });

  test('that is virtual proves nothing, and is refused unless that is accepted', async () => {
    await expect(ask(poolOf([0], judge()))).rejects.toThrow('PlatformNotAccepted');
    expect(await ask(poolOf([0], judge({ platforms: { virtual: {} } })))).toBe('node 0');
  });

  test('that is refused is passed over for one that is not', async () => {
    network.facts.evidence = (index, key) => (index === 0 ? undefined : snp(key));
    const pool = poolOf([0, 1], judge());
    await expect(ask(pool)).rejects.toThrow('not trusted');
    expect(await ask(pool)).toBe('node 1');
    expect(network.node(0).seen).toEqual([]);
  });

  test('is judged again after a while, and refusals are told once', async () => {
    let asked = 0;
    network.facts.evidence = (_index, key) => {
      asked += 1;
      return snp(key);
    };
    const by = judge();
    await ask(poolOf([0], by));
    await ask(poolOf([0], by));
    expect(asked).toBe(1);
    nowMs += 2 * 3_600_000;
    network.facts.evidence = () => undefined;
    for (let i = 0; i < 3; i += 1) {
      nowMs += 6_000;
      await expect(ask(poolOf([0], by))).rejects.toThrow('not trusted');
    }
    expect(refusals).toHaveLength(1);
  });

  test('whose certificate has expired by the time of judgement is refused', async () => {
    network.facts.evidence = (_index, key) => snp(key);
    nowMs = Date.UTC(2040, 0, 1);
    await expect(ask(poolOf([0], judge()))).rejects.toThrow('not trusted');
    expect(refusals[0]).toContain('LeafExpired');
  });
});

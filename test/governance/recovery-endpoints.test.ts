// `/gov/recovery/…` over real connections: members fetch their shares, open them, sign what they
// hand in, with our tools or with those of PyPI `ccf`, and the lost service comes back.

import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { invariant } from '../../src/base/assert.ts';
import { bytesOfBase64, utf8 } from '../../src/base/bytes.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { certificateIdOf, selfSignedCertificate } from '../../src/crypto/certificates.ts';
import {
  ALGORITHM_IDS,
  type CoseLabel,
  encodeHeader,
  encodeSign1,
  HEADER_ALGORITHM,
  HEADER_KEY_ID,
  signatureStructure,
} from '../../src/crypto/cose.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { nodesThatAre } from '../../src/governance/nodes.ts';
import { refreshShares } from '../../src/governance/recovery-shares.ts';
import { MEMBER_CERTS } from '../../src/governance/tables.ts';
import { prepareJoin } from '../../src/node/joining/prepare-join.ts';
import type { NodeOptions } from '../../src/node/node-options.ts';
import { realTimers } from '../../src/node/real-time.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import { startNode } from '../../src/node/start-node.ts';
import { freePort } from '../cli/node-files.ts';
import { codeOf, jsonOf, RawClient, type Reply, type Target } from '../http/client.ts';
import { trust } from '../simulation/joining.ts';
import { eventually } from '../support/cluster-rig.ts';
import { Service } from '../support/cluster-service.ts';
import { allowOpening, Disaster, opened } from '../support/disaster.ts';
import { ccfPython, runJudge, testWithCcf } from '../support/judges.ts';
import {
  ARCHIVED,
  holdsRow,
  newWorld,
  RIG_OPTIONS,
  startDependencies,
  writeRow,
} from '../support/node-rig.ts';
import {
  type RecoveryMember,
  recoveryMembers,
  writeRecoveryMembers,
} from '../support/recovery-members.ts';

interface SigningMember extends RecoveryMember {
  readonly signing: SigningKey;
  readonly certificatePem: string;
}

let disaster: Disaster;
let members: readonly SigningMember[] = [];
let node: RunningNode;
let target: Target;
let certificate = '';
const THRESHOLD = 2;

beforeEach(async () => {
  disaster = await Disaster.begin();
  members = await Promise.all(
    recoveryMembers(['Participant', 'Participant', 'Participant']).map(async (member) => {
      const signing = SigningKey.generate('P-384');
      const validity = { fromMs: Date.now() - 3_600_000, days: 30 };
      const certificatePem = await selfSignedCertificate(signing, 'CN=Member', validity);
      return { ...member, signing, certificatePem, memberId: certificateIdOf(certificatePem) };
    }),
  );
  const service = await Service.of(1);
  const before = (await service.primary()).node;
  await before.commitService((tx) => {
    writeRecoveryMembers(tx, members, THRESHOLD);
    for (const { memberId, certificatePem } of members) {
      tx.table(MEMBER_CERTS).put(utf8(memberId), utf8(certificatePem));
    }
    refreshShares(tx, before.secretKeeper());
  });
  await service.write(5);
  certificate = before.serviceCertificatePem;
  const [only] = service.members;
  if (only === undefined) throw new Error('there is one');
  await service.end();
  const ledgers = [await disaster.leftOf(only, 'lost')];
  const request = { ledgers, previousCertificatePem: certificate };
  ({ node } = await disaster.recover(request, newWorld(), await ownPorts()));
  target = await node.listen();
});

afterEach(async () => {
  await disaster.end();
});

/** Ports that the ledger can name. */
async function ownPorts(): Promise<Pick<NodeOptions, 'port' | 'nodeToNode'>> {
  return { port: await freePort(), nodeToNode: { host: '127.0.0.1', port: await freePort() } };
}

const VERSION = '?api-version=2024-07-01';

async function ask(verb: 'GET' | 'POST', path: string, body?: Uint8Array): Promise<Reply> {
  const client = await RawClient.connect(target);
  try {
    if (body === undefined) return await client.ask(verb, path);
    const headers = { 'content-type': 'application/cose' };
    return await client.ask(verb, path, { headers, body });
  } finally {
    client.close();
  }
}

/** The share that the service keeps for a member, opened. */
async function fetched({ memberId, key }: SigningMember): Promise<Uint8Array> {
  const reply = await ask('GET', `/gov/recovery/encrypted-shares/${memberId}${VERSION}`);
  expect(reply.status, reply.body.toString()).toBe(200);
  const body = jsonOf(reply) as { memberId: string; encryptedShare: string };
  expect(body.memberId).toBe(memberId);
  return key.unwrap(bytesOfBase64(body.encryptedShare) ?? utf8(''));
}

async function signed(
  member: SigningMember,
  payload: unknown,
  type = 'recovery_share',
): Promise<Uint8Array> {
  const protectedBytes = encodeHeader(
    new Map<CoseLabel, unknown>([
      [HEADER_ALGORITHM, ALGORITHM_IDS[member.signing.algorithm]],
      [HEADER_KEY_ID, utf8(member.memberId)],
      ['ccf.gov.msg.type', type],
      ['ccf.gov.msg.created_at', Math.floor(Date.now() / 1000)],
    ]),
  );
  const bytes = utf8(JSON.stringify(payload));
  const signature = await member.signing.sign(signatureStructure(protectedBytes, bytes));
  return encodeSign1({ protectedBytes, unprotected: new Map(), payload: bytes, signature });
}

async function handIn(memberId: string, message: Uint8Array): Promise<Reply> {
  return await ask('POST', `/gov/recovery/members/${memberId}:recover${VERSION}`, message);
}

const shareBody = (share: Uint8Array): unknown => ({
  share: Buffer.from(share).toString('base64'),
});

describe('/gov/recovery', () => {
  test('gives a member its share, takes it back, and recovers at the threshold', async () => {
    const [first, second, third] = members;
    if (first === undefined || second === undefined || third === undefined)
      throw new Error('3');
    const early = await handIn(
      first.memberId,
      await signed(first, shareBody(await fetched(first))),
    );
    expect(early.status).toBe(403);
    expect(codeOf(early)).toBe('ServiceNotWaitingForRecoveryShares');
    await allowOpening(node, certificate);
    const one = await handIn(
      first.memberId,
      await signed(first, shareBody(await fetched(first))),
    );
    expect(one.status, one.body.toString()).toBe(200);
    expect(jsonOf(one)).toEqual({
      message: '1/2 recovery shares successfully submitted.',
      submittedCount: 1,
      recoveryThreshold: 2,
      fullKeySubmitted: false,
    });
    const two = await handIn(
      third.memberId,
      await signed(third, shareBody(await fetched(third))),
    );
    expect(jsonOf(two)).toMatchObject({
      message: expect.stringContaining('End of recovery procedure initiated.'),
      submittedCount: 2,
    });
    await opened(node);
    const late = await handIn(
      second.memberId,
      await signed(second, shareBody(await fetched(second))),
    );
    expect(late.status).toBe(403);
  }, 60_000);

  test('refuses what it must', async () => {
    await allowOpening(node, certificate);
    const [first, second] = members;
    if (first === undefined || second === undefined) throw new Error('there are three');
    const share = shareBody(await fetched(first));
    const good = await signed(first, share);
    const cases: readonly [string, Promise<Reply>, number, string][] = [
      [
        'of another member in the path',
        handIn(second.memberId, good),
        400,
        'InvalidAuthenticationInfo',
      ],
      [
        'of another type',
        handIn(first.memberId, await signed(first, share, 'ack')),
        401,
        'InvalidAuthenticationInfo',
      ],
      ['that is no COSE', handIn(first.memberId, utf8('{}')), 401, 'InvalidAuthenticationInfo'],
      ['without a share', handIn(first.memberId, await signed(first, {})), 400, 'InvalidInput'],
      [
        'that is not its own',
        handIn(second.memberId, await signed(second, share)),
        500,
        'InvalidShare',
      ],
      [
        'with no api-version',
        ask('POST', `/gov/recovery/members/${first.memberId}:recover`, good),
        400,
        'MissingApiVersionParameter',
      ],
      [
        'with another api-version',
        ask('GET', `/gov/recovery/encrypted-shares/${first.memberId}?api-version=1`),
        400,
        'UnsupportedApiVersionValue',
      ],
      [
        'of no member',
        ask('GET', `/gov/recovery/encrypted-shares/abc${VERSION}`),
        400,
        'InvalidResourceName',
      ],
      [
        'of a stranger',
        ask('GET', `/gov/recovery/encrypted-shares/${'a'.repeat(64)}${VERSION}`),
        404,
        'ResourceNotFound',
      ],
    ];
    for (const [what, asking, status, code] of cases) {
      const reply = await asking;
      expect([what, reply.status, codeOf(reply)]).toEqual([what, status, code]);
    }
    const changed = Buffer.from(good);
    changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1;
    expect((await handIn(first.memberId, changed)).status).toBe(401);
  }, 60_000);

  test('while nobody may join; they may when the service is open', async () => {
    const world = newWorld();
    const dependencies = startDependencies(world, { timers: realTimers });
    const options = { ...RIG_OPTIONS, ...(await ownPorts()) };
    const joining = prepareJoin(
      {
        folder: options.folder,
        addresses: options,
        serviceCertificatePem: node.serviceCertificatePem,
        targets: [`127.0.0.1:${target.port}`],
        fetchSnapshot: true,
        retryMs: 20,
        archivedTables: [ARCHIVED],
      },
      dependencies,
    );
    let joined = false;
    joining.then(
      () => {
        joined = true;
      },
      () => undefined,
    );
    await allowOpening(node, certificate);
    const [first, second] = members;
    if (first === undefined || second === undefined) throw new Error('there are three');
    await handIn(first.memberId, await signed(first, shareBody(await fetched(first))));
    expect(joined || nodesThatAre(node.current(), 'Pending').length > 0).toBe(false);
    await handIn(second.memberId, await signed(second, shareBody(await fetched(second))));
    await opened(node);
    await eventually(
      'a node waits',
      () => nodesThatAre(node.current(), 'Pending').length === 1,
    );
    const [pending] = nodesThatAre(node.current(), 'Pending');
    invariant(pending !== undefined, 'a node waits');
    const requestPem = pending.info.certificate_signing_request;
    const waiting = { nodeId: pending.nodeId as NodeId, address: '', requestPem };
    // It cannot be committed before the joiner is there.
    trust(node, waiting, systemKeys, Date.now() - 60_000).catch(() => undefined);
    const { peers } = await joining;
    const started = await startNode(options, dependencies, undefined, peers);
    try {
      await started.node.ready();
      await writeRow(node, 1_000);
      const { seqno } = node.committed();
      await eventually('both have it', () => started.node.committed().seqno >= seqno);
      for (const number of [0, 1, 2, 3, 4, 1_000]) {
        expect(holdsRow(started.node, number), `row ${number}`).toBe(true);
      }
      expect(world.fatal).toEqual([]);
    } finally {
      await started.node.stop();
    }
  }, 60_000);

  testWithCcf('ccf_cose_sign1 signs shares that are taken', async () => {
    await allowOpening(node, certificate);
    const tool = join(dirname(ccfPython() ?? ''), 'ccf_cose_sign1');
    for (const member of members.slice(0, THRESHOLD)) {
      const at = (name: string): string => join(disaster.root, `${member.memberId}-${name}`);
      await writeFile(at('key.pem'), member.signing.privateKeyPem());
      await writeFile(at('cert.pem'), member.certificatePem);
      await writeFile(at('share.json'), JSON.stringify(shareBody(await fetched(member))));
      const { code, stdout, stderr } = await runJudge('bash', [
        '-c',
        `"$0" --ccf-gov-msg-type recovery_share --ccf-gov-msg-created_at "$(date -Is)" \
          --signing-key "$1" --signing-cert "$2" --content "$3" | base64 -w 0`,
        ...[tool, at('key.pem'), at('cert.pem'), at('share.json')],
      ]);
      expect(code, stderr).toBe(0);
      const reply = await handIn(member.memberId, Buffer.from(stdout, 'base64'));
      expect(reply.status, reply.body.toString()).toBe(200);
    }
    await opened(node);
  });
});

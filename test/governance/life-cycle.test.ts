// The life of a proposal from its creation to what becomes of it, over the endpoints of governance
// and tables in memory.

import { beforeEach, describe, expect, test } from 'vitest';
import type {
  AppRequest,
  AppResponse,
  Endpoint,
  Step,
  Verb,
} from '../../src/apps/interface.ts';
import { NO_BYTES, textOf, utf8 } from '../../src/base/bytes.ts';
import { isCoded } from '../../src/base/errors.ts';
import { UnwrappingKey } from '../../src/crypto/keys.ts';
import { DEFAULT_CONSTITUTION } from '../../src/governance/constitution/default-constitution.ts';
import { type MessageType, signMemberMessage } from '../../src/governance/messages.ts';
import {
  CONSTITUTION,
  jsonRow,
  MEMBER_ACKS,
  MEMBER_ENCRYPTION_KEYS,
  SINGLETON,
} from '../../src/governance/tables.ts';
import { errorAnswer } from '../../src/http/answers.ts';
import { memberEndpoints, PROPOSAL_READINGS } from '../../src/http/gov/proposal-endpoints.ts';
import { simulationEndpoint } from '../../src/http/gov/simulation-endpoint.ts';
import { type TestDesk, testDesk } from './desk.ts';
import { type Member, NOW_MS, newMember, SmallService } from './small-service.ts';

const YES = 'export function vote (proposal, proposer_id) { return true }';
const INFOS = 'public:ccf.gov.proposals_info';
const LATE: unknown = expect.stringMatching(/took longer than/);
const HISTORY = 'public:ccf.gov.cose_history';
const [alice, bob, carol, dave] = await Promise.all(
  Array.from({ length: 4 }, () => newMember()),
);
if (!alice || !bob || !carol || !dave) throw new Error('four members are made');
const encryption = UnwrappingKey.generate().publicKeyPem;

let service: SmallService;
let desk: TestDesk;
let endpoints: readonly Endpoint[];
let createdAt = 0;

beforeEach(async () => {
  service = await SmallService.create();
  desk = testDesk();
  desk.now = NOW_MS;
  endpoints = [...memberEndpoints(desk), ...PROPOSAL_READINGS, simulationEndpoint(desk)];
  createdAt = NOW_MS / 1000;
  for (const member of [alice, bob, carol]) {
    service.addMember(member);
    service.run((tx) => {
      tx.table(MEMBER_ACKS).put(utf8(member.id), jsonRow({ state_digest: '' }));
      tx.table(MEMBER_ENCRYPTION_KEYS).put(utf8(member.id), utf8(encryption));
    });
  }
  constitute(DEFAULT_CONSTITUTION);
});

const constitute = (text: string): void =>
  service.run((tx) => tx.table(CONSTITUTION).put(SINGLETON, jsonRow(text)));

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly json: Readonly<Record<string, unknown>>;
}

async function ask(verb: Verb, target: string, body: Uint8Array = NO_BYTES): Promise<Answer> {
  const [path = '', query = ''] = target.split('?');
  for (const endpoint of endpoints) {
    const pattern = endpoint.path.replace(/\{(\w+)\}/g, '(?<$1>[^/:]+)');
    const match = new RegExp(`^${pattern}$`).exec(path);
    if (match === null || endpoint.verb !== verb) continue;
    const request: AppRequest = {
      ...{ verb, path, query, body, params: { ...match.groups } },
      header: (name) => (name === 'content-type' ? 'application/cose' : undefined),
      caller: { policy: 'no_auth' },
    };
    return answerOf(await run(endpoint, request));
  }
  throw new Error(`no endpoint for ${verb} ${path}`);
}

async function run(endpoint: Endpoint, request: AppRequest): Promise<AppResponse> {
  try {
    let step: Step = endpoint.handle(request, service.store.current);
    while (step.kind === 'ask') step = await step.ask();
    if (step.kind === 'answer') return step.response;
    if (step.kind === 'write') return service.run(step.apply);
    throw new Error(`no step ${step.kind} is taken`);
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    return errorAnswer(Number(thrown.fields.status), thrown.code, thrown.message);
  }
}

function answerOf({ status, body = '' }: AppResponse): Answer {
  const text = typeof body === 'string' ? body : textOf(body);
  const json = text.startsWith('{') ? JSON.parse(text) : {};
  return { status, body: text, json };
}

const VERSION = 'api-version=2024-07-01';

async function send(
  member: Member,
  type: MessageType,
  path: string,
  payload: unknown,
  proposalId?: string,
): Promise<Answer> {
  createdAt += 1;
  const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const message = { type, createdAt, payload: utf8(text) };
  const whole = proposalId === undefined ? message : { ...message, proposalId };
  const { certificatePem, privateKeyPem } = member;
  const signed = await signMemberMessage(whole, certificatePem, privateKeyPem);
  return ask('POST', `${path}?${VERSION}`, signed);
}

const action = (name: string, args: unknown = null): unknown => ({ name, args });
const propose = (member: Member, ...actions: readonly unknown[]): Promise<Answer> =>
  send(member, 'proposal', '/members/proposals:create', { actions });
const vote = (member: Member, id: string, ballot = YES): Promise<Answer> =>
  send(
    member,
    'ballot',
    `/members/proposals/${id}/ballots/${member.id}:submit`,
    { ballot },
    id,
  );
const withdraw = (member: Member, id: string): Promise<Answer> =>
  send(member, 'withdrawal', `/members/proposals/${id}:withdraw`, '', id);
const idOf = ({ json }: Answer): string => String(json.proposalId);
const codeOf = ({ json }: Answer): unknown => Reflect.get(Object(json.error), 'code');
const info = (id: string): unknown => JSON.parse(service.row(INFOS, id) ?? 'null');
const open = async (...actions: readonly unknown[]): Promise<string> =>
  idOf(
    await propose(alice, ...(actions.length === 0 ? [action('trigger_snapshot')] : actions)),
  );

describe('acceptance', () => {
  test('more than half of the active members', async () => {
    const created = await propose(alice, action('trigger_snapshot'));
    const id = idOf(created);
    expect(created.json).toMatchObject({ ballotCount: 0, proposalState: 'Open' });
    expect((await vote(alice, id)).json).toMatchObject({
      ballotCount: 1,
      proposalState: 'Open',
    });
    expect(desk.carriedOut).toEqual([]);
    const decided = await vote(carol, id);
    expect(decided.json).toEqual({
      ...{ ballotCount: 2, proposalId: id, proposalState: 'Accepted', proposerId: alice.id },
      finalVotes: { [alice.id]: true, [carol.id]: true },
      voteFailures: {},
    });
    expect(desk.carriedOut).toEqual([{ name: 'triggerSnapshot', args: [] }]);
    expect(codeOf(await vote(bob, id))).toBe('ProposalNotOpen');
  });

  test('what was signed is kept, the latest of each member', async () => {
    const id = await open();
    const first = service.row(HISTORY, alice.id);
    await vote(alice, id);
    expect(service.row(HISTORY, alice.id)).not.toBe(first);
    expect(service.row('public:ccf.gov.proposals', id)).toBe(
      '{"actions":[{"name":"trigger_snapshot","args":null}]}',
    );
  });

  test('another that was decided is forgotten, one that is open is not', async () => {
    const [first, second, third] = [await open(), await open(), await open()];
    await vote(alice, first);
    await vote(bob, first);
    await withdraw(alice, second);
    expect(info(first)).toBeNull();
    expect(info(second)).toMatchObject({ state: 'Withdrawn' });
    expect(info(third)).toMatchObject({ state: 'Open' });
    expect(service.row('public:ccf.gov.proposals', first)).toBeUndefined();
  });

  test('a ballot that fails is no vote, and everybody sees why', async () => {
    const id = await open();
    await vote(alice, id, 'export function vote() { throw new Error("not today") }');
    await vote(bob, id);
    const { json } = await vote(carol, id);
    expect(json).toMatchObject({
      proposalState: 'Accepted',
      finalVotes: { [bob.id]: true, [carol.id]: true },
      voteFailures: { [alice.id]: { reason: 'Error: not today' } },
    });
  });

  test('a ballot sees the proposal and may look at the tables, and no more', async () => {
    const id = await open();
    const careful = `export function vote(proposal, proposer) {
      const infos = ccf.kv["public:ccf.gov.members.info"];
      return proposer === "${alice.id}" && infos.size === 3 &&
        JSON.parse(proposal).actions[0].name === "trigger_snapshot";
    }`;
    await vote(alice, id, careful);
    expect((await vote(bob, id, careful)).json).toMatchObject({ proposalState: 'Accepted' });
  });
});

test('ballots without an end take no time from others', async () => {
  const id = await open();
  const endless = 'export function vote() { for (;;) {} }';
  service.run((tx) => {
    const row = { ...Object(info(id)), ballots: { [alice.id]: endless, [bob.id]: endless } };
    tx.table(INFOS).put(utf8(id), jsonRow(row));
  });
  const began = performance.now();
  // One yes of three is not enough: that it was counted shows in the constitution's own words.
  constitute(`export function validate() { return { valid: true, description: "" } }
    export function resolve(proposal, proposer, votes) { throw new Error(JSON.stringify(votes)) }
    export function apply() {}`);
  const { json } = await vote(carol, id);
  expect(performance.now() - began).toBeLessThan(11_000);
  expect(json).toMatchObject({
    finalVotes: { [carol.id]: true },
    voteFailures: { [alice.id]: { reason: LATE }, [bob.id]: { reason: LATE } },
  });
});

describe('what becomes of it otherwise', () => {
  const deciding = (resolve: string, apply = ''): string =>
    `export function validate() { return { valid: true, description: "" } }
     export function resolve(a, b, votes, id) { ${resolve} }
     export function apply() { ${apply} }`;

  test('rejected', async () => {
    constitute(deciding('return votes.length ? "Rejected" : "Open"'));
    const id = await open();
    expect((await vote(bob, id, YES.replace('true', 'false'))).json).toMatchObject({
      proposalState: 'Rejected',
      finalVotes: { [bob.id]: false },
    });
  });

  test.each([
    ['return "Perhaps"', /returned "Perhaps"/],
    ['throw new Error("broken")', /Failed to resolve\(\): Error: broken/],
  ])('failed: %s', async (resolve, reason) => {
    constitute(deciding(resolve));
    const { json } = await propose(alice, action('x'));
    expect(json).toMatchObject({
      proposalState: 'Failed',
      failure: { reason: expect.stringMatching(reason) },
    });
  });

  test('what cannot be applied was never voted on', async () => {
    const set =
      'ccf.kv["public:ccf.gov.users.info"].set(ccf.strToBuf("x"), ccf.strToBuf("y"));';
    constitute(deciding('return "Accepted"', `${set} throw new Error("cannot")`));
    const before = service.store.newest;
    const failed = await propose(alice, action('x'));
    expect(failed.status).toBe(500);
    expect(failed.body).toMatch(/Failed to apply\(\): Error: cannot/);
    expect(service.store.newest).toBe(before);
  });

  test('without a constitution nothing is decided', async () => {
    service.run((tx) => tx.table(CONSTITUTION).remove(SINGLETON));
    expect((await propose(alice, action('x'))).status).toBe(500);
  });

  test('withdrawn by its proposer only, and once', async () => {
    const id = await open();
    expect((await withdraw(bob, id)).status).toBe(403);
    expect((await withdraw(alice, id)).json).toMatchObject({ proposalState: 'Withdrawn' });
    expect((await withdraw(alice, id)).status).toBe(200);
    expect((await withdraw(alice, 'ab'.repeat(32))).status).toBe(204);
    expect(codeOf(await vote(bob, id))).toBe('ProposalNotOpen');
    const accepted = await open();
    await vote(alice, accepted);
    await vote(bob, accepted);
    expect(codeOf(await withdraw(alice, accepted))).toBe('ProposalNotOpen');
  });

  test('dropped, when what may join changes meanwhile', async () => {
    const other = await open();
    const id = await open(action('add_virtual_measurement', { measurement: 'm' }));
    await vote(alice, id);
    await vote(bob, id);
    expect(info(other)).toMatchObject({ state: 'Dropped' });
  });
});

describe('ballots', () => {
  test('the same again is nothing new, another is refused', async () => {
    const id = await open();
    await vote(alice, id);
    const again = await vote(alice, id);
    expect(again).toMatchObject({ status: 200, json: { ballotCount: 1 } });
    expect(codeOf(await vote(alice, id, `${YES} `))).toBe('VoteAlreadyExists');
  });

  test('for what is not there, in a name that is not the signer’s, or of no text', async () => {
    const id = await open();
    const other = 'ab'.repeat(32);
    expect(codeOf(await vote(alice, other))).toBe('ProposalNotFound');
    const path = (one: string, member: Member): string =>
      `/members/proposals/${one}/ballots/${member.id}:submit`;
    const sendTo = (to: string, payload: unknown, names = id): Promise<Answer> =>
      send(alice, 'ballot', to, payload, names);
    expect(codeOf(await sendTo(path(id, bob), { ballot: YES }))).toBe('InvalidResourceName');
    expect(codeOf(await sendTo(path(id, alice), { ballot: YES }, other))).toBe(
      'InvalidResourceName',
    );
    for (const payload of [{ ballot: 1 }, {}, 'no json', '[]']) {
      expect(codeOf(await sendTo(path(id, alice), payload))).toBe('InvalidInput');
    }
  });

  test('can be read', async () => {
    const id = await open();
    await vote(alice, id);
    const read = (member: Member): Promise<Answer> =>
      ask('GET', `/members/proposals/${id}/ballots/${member.id}?${VERSION}`);
    expect((await read(alice)).body).toBe(YES);
    expect(codeOf(await read(bob))).toBe('VoteNotFound');
  });
});

describe('what is refused', () => {
  test('the same proposal again, and one older than half of those that are known', async () => {
    const payload = utf8('{"actions":[{"name":"trigger_snapshot","args":null}]}');
    const at = async (time: number): Promise<Answer> => {
      const message = { type: 'proposal', createdAt: time, payload } as const;
      const bytes = await signMemberMessage(message, alice.certificatePem, alice.privateKeyPem);
      replay = bytes;
      return ask('POST', `/members/proposals:create?${VERSION}`, bytes);
    };
    let replay: Uint8Array = NO_BYTES;
    for (const time of [100, 200, 300]) expect((await at(time)).status).toBe(200);
    const again = await ask('POST', `/members/proposals:create?${VERSION}`, replay);
    expect(codeOf(again)).toBe('ProposalReplay');
    const late = await at(199);
    expect(codeOf(late)).toBe('ProposalCreatedTooLongAgo');
    expect(late.body).toContain('created_at must be greater than 0000000200');
    expect((await at(200)).status).toBe(200);
    expect(codeOf(await at(10_000_000_000))).toBe('InvalidCreatedAt');
  });

  test('so many proposals are kept in mind as the service says', async () => {
    const service_configuration = { recent_cose_proposals_window_size: 3 };
    const id = await open(action('set_service_configuration', service_configuration));
    await vote(alice, id);
    await vote(bob, id);
    for (let n = 0; n < 6; n += 1) await open();
    const rows = service.store.current.table('public:ccf.gov.cose_recent_proposals');
    expect(rows.size).toBe(3);
  });

  test.each<readonly [string, Member, MessageType, string]>([
    ['a stranger', dave, 'proposal', 'Signer is not a known member'],
    ['a message of another kind', alice, 'ballot', 'Missing ccf.gov.msg.proposal_id'],
    ['an acknowledgement', alice, 'ack', 'Unexpected message type: ack, expected: proposal'],
  ])('%s', async (_what, member, type, why) => {
    const answer = await send(member, type, '/members/proposals:create', { actions: [] });
    expect(answer.status).toBe(401);
    if (type === 'ballot') expect(answer.body).toContain('Unexpected message type: ballot');
    else expect(answer.body).toContain(why);
  });

  test('a member who is not active yet', async () => {
    service.addMember(dave, 'Accepted');
    const answer = await propose(dave, action('trigger_snapshot'));
    expect(answer).toMatchObject({ status: 401 });
    expect(answer.body).toContain('Signer is not an active member');
  });

  test('a changed byte of what was signed', async () => {
    const message = { type: 'proposal', createdAt, payload: utf8('{"actions":[]}') } as const;
    const bytes = await signMemberMessage(message, alice.certificatePem, alice.privateKeyPem);
    const changed = Uint8Array.from(bytes);
    changed[bytes.length - 1] = (changed.at(-1) ?? 0) ^ 1;
    const answer = await ask('POST', `/members/proposals:create?${VERSION}`, changed);
    expect(answer.status).toBe(401);
    expect(answer.body).toContain('Signature verification failed');
  });

  test('no version, and an unknown one', async () => {
    expect(codeOf(await ask('GET', '/members/proposals'))).toBe('MissingApiVersionParameter');
    expect(codeOf(await ask('GET', '/members/proposals?api-version=1'))).toBe(
      'UnsupportedApiVersionValue',
    );
  });
});

describe('members', () => {
  const digest = (member: Member, what: 'update' | 'ack', stateDigest = ''): Promise<Answer> =>
    send(
      member,
      what === 'ack' ? 'ack' : 'state_digest',
      `/members/state-digests/${member.id}:${what}`,
      what === 'ack' ? { stateDigest } : '',
    );
  const sign = (root: string): void =>
    service.run((tx) =>
      tx.table('public:ccf.internal.signatures').put(SINGLETON, jsonRow({ root })),
    );

  test('a new member is active once it has acknowledged the state', async () => {
    const cert = dave.certificatePem;
    const id = await open(action('set_member', { cert, encryption_pub_key: encryption }));
    await vote(alice, id);
    expect((await vote(bob, id)).json).toMatchObject({ proposalState: 'Accepted' });
    expect((await propose(dave, action('trigger_snapshot'))).status).toBe(401);
    expect((await digest(dave, 'update')).status).toBe(500);
    sign('12'.repeat(32));
    const { json } = await digest(dave, 'update');
    expect(json).toEqual({ memberId: dave.id, stateDigest: '12'.repeat(32) });
    expect(codeOf(await digest(dave, 'ack', '34'.repeat(32)))).toBe('StateDigestMismatch');
    expect((await digest(dave, 'ack', '12'.repeat(32))).status).toBe(204);
    expect(desk.carriedOut).toEqual([{ name: 'triggerRecoverySharesRefresh', args: [] }]);
    expect((await propose(dave, action('trigger_snapshot'))).status).toBe(200);
    const row = JSON.parse(service.row(MEMBER_ACKS, dave.id) ?? '{}');
    expect(Object.keys(row)).toEqual(['cose_sign1_req', 'state_digest']);
  });

  test('nobody acknowledges for another', async () => {
    sign('12'.repeat(32));
    const path = `/members/state-digests/${bob.id}:update`;
    const answer = await send(alice, 'state_digest', path, '');
    expect(answer.status).toBe(400);
    expect(codeOf(answer)).toBe('InvalidAuthenticationInfo');
  });
});

test('a proposal is judged again when the state moves on under it', async () => {
  const id = await open();
  await vote(alice, id);
  const { scripts } = desk;
  let moves = 2;
  const moving = testDesk({
    scripts: {
      ...scripts,
      run: async (job, tables) => {
        const outcome = await scripts.run(job, tables);
        // While the ballots are counted, a member leaves, and comes back.
        if (job.function === 'resolve' && moves > 0) {
          moves -= 1;
          const status = moves === 1 ? 'Accepted' : 'Active';
          service.addMember(carol, status);
        }
        return outcome;
      },
    },
  });
  endpoints = memberEndpoints(moving);
  const { json } = await vote(bob, id);
  expect(json).toMatchObject({ proposalState: 'Accepted' });
  expect(moves).toBe(0);
  expect(moving.carriedOut).toEqual([{ name: 'triggerSnapshot', args: [] }]);
});

test('a simulation shows rows and changes none', async () => {
  const before = service.store.newest;
  const answer = await send(alice, 'concordat_simulation', '/concordat/proposals:simulate', {
    actions: [
      action('set_member_data', { member_id: bob.id, member_data: { seat: 2 } }),
      action('trigger_ledger_rekey'),
    ],
  });
  expect(answer.json).toEqual({
    ...{ valid: true, description: '', effects: [{ name: 'triggerLedgerRekey', args: [] }] },
    rows: [
      {
        ...{ table: 'public:ccf.gov.members.info', key: bob.id, before: '{"status":"Active"}' },
        after: '{"status":"Active","member_data":{"seat":2}}',
      },
    ],
  });
  expect(service.store.newest).toBe(before);
  // Nor can it be taken for a proposal.
  const stolen = await send(alice, 'concordat_simulation', '/members/proposals:create', {});
  expect(stolen.status).toBe(401);
});

// CCF's recorded exchanges of governance, played to our front door over a service whose members are
// those that signed them. What other members did between two recordings is written as rows.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { utf8 } from '../../src/base/bytes.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { nodeVerifier } from '../../src/crypto/verifier-node.ts';
import { DEFAULT_CONSTITUTION } from '../../src/governance/constitution/default-constitution.ts';
import {
  CONSTITUTION,
  jsonRow,
  MEMBER_ACKS,
  MEMBER_CERTS,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  NODE_CERTIFICATES,
  RECOVERY_SHARES,
  SERVICE_CONFIG,
  SINGLETON,
  USER_CERTS,
  VIRTUAL_HOST_DATA,
  VIRTUAL_MEASUREMENTS,
} from '../../src/governance/tables.ts';
import { testDesk } from '../governance/desk.ts';
import { RawClient } from '../http/client.ts';
import { type House, openHouse } from '../http/house.ts';
import { differences } from './compare.ts';
import { type Recording, recordings } from './recordings.ts';

const FOLDER = join(import.meta.dirname, '../vectors/ccf-http/members');
const pem = (name: string): string => readFileSync(join(FOLDER, `${name}_cert.pem`), 'utf8');
const MEMBERS = ['member0', 'member1', 'member2'].map((name) => {
  const certificate = pem(name);
  return { id: certificateIdOf(certificate), certificate };
});
const INFOS = 'public:ccf.gov.proposals_info';
const GENESIS_PROPOSAL = 'b94ac0f95df17b05c98fde790676ca9f290362d02f2f23089e93144812ec4f74';
const YES = 'export function vote (rawProposal, proposerId) { return true }';
const DIGEST = 'cae669bdd8529428532c9913a774104a0a70635ae76f4c438a03c1b29d62febe';

const governed = recordings().filter(({ name }) => /^\d+-gov-/.test(name));
let house: House;
let client: RawClient;
let nextProposalId = '';

beforeAll(async () => {
  const desk = testDesk({ nameProposal: () => nextProposalId });
  house = await openHouse({
    governance: desk,
    recovery: { verifier: nodeVerifier, desk: undefined },
  });
  seed();
  client = await RawClient.connect(house);
});

afterAll(async () => {
  client.close();
  await house.close();
});

/** The service as it was when the recording began. */
function seed(): void {
  const { service } = house;
  service.write((tx) => {
    const put = (table: string, key: string | Uint8Array, value: unknown): void =>
      tx
        .table(table)
        .put(
          typeof key === 'string' ? utf8(key) : key,
          value instanceof Uint8Array ? value : jsonRow(value),
        );
    for (const { id, certificate } of MEMBERS) {
      put(MEMBER_CERTS, id, utf8(certificate));
      put(MEMBER_ENCRYPTION_KEYS, id, utf8('a key'));
      put(MEMBER_INFO, id, { status: 'Active' });
      put(MEMBER_ACKS, id, { state_digest: '' });
    }
    const shares = Object.fromEntries(MEMBERS.map(({ id }) => [id, 'AAAA']));
    put(RECOVERY_SHARES, SINGLETON, { encrypted_shares: shares });
    put(USER_CERTS, certificateIdOf(pem('user0')), utf8(pem('user0')));
    put(CONSTITUTION, SINGLETON, DEFAULT_CONSTITUTION);
    put(SERVICE_CONFIG, SINGLETON, { recovery_threshold: 3 });
    put(VIRTUAL_MEASUREMENTS, 'Insecure hard-coded virtual measurement v1', 'AllowedToJoin');
    put(VIRTUAL_HOST_DATA, '11'.repeat(32), SINGLETON);
    put(NODE_CERTIFICATES, service.nodeId, utf8(house.server.cert));
    put('public:ccf.internal.signatures', SINGLETON, { root: DIGEST });
    const [second, first] = MEMBERS.map(({ id }) => id);
    put(INFOS, GENESIS_PROPOSAL, {
      ...{ proposer_id: first, state: 'Accepted', vote_failures: {} },
      ballots: { [`${first}`]: YES, [`${second}`]: YES },
      final_votes: { [`${first}`]: true, [`${second}`]: true },
    });
    put('public:ccf.gov.cose_recent_proposals', `1795254700:${'00'.repeat(32)}`, 'x');
  });
  while (service.committed().seqno < 30) service.write(() => undefined);
}

/** What happened before an exchange and was not recorded. */
function meanwhile({ name }: Recording): void {
  const change = (edit: (info: Record<string, unknown>) => unknown, gone?: string): void =>
    house.service.write((tx) => {
      const table = tx.table(INFOS);
      const key = utf8(nextProposalId);
      const row = table.get(key);
      if (row === undefined) throw new Error(`${nextProposalId} is not there before ${name}`);
      table.put(key, jsonRow(edit(JSON.parse(Buffer.from(row).toString()))));
      if (gone !== undefined) table.remove(utf8(gone));
    });
  switch (name) {
    case '139-gov-ballot-2':
      change((info) => ({ ...info, state: 'Accepted' }), GENESIS_PROPOSAL);
      house.service.write((tx) => {
        const data = { user_data: { isAdmin: true, note: 'capture' } };
        const id = certificateIdOf(pem('user0'));
        for (const { key } of tx.table(USER_CERTS).page()) {
          if (Buffer.from(key).toString() !== id) tx.table(USER_CERTS).remove(key);
        }
        tx.table('public:ccf.gov.users.info').put(utf8(id), jsonRow(data));
      });
      return;
    case '145-gov-proposals-list':
      change((info) => ({ ...info, state: 'Withdrawn' }), FIRST_PROPOSAL);
      return;
  }
}

const FIRST_PROPOSAL = '8760137cd1bab8a9629e2966276aa96aeec5f739a5538455ecd10db847969c42';

test('there are recordings to play', () => {
  expect(governed.length).toBe(29);
});

test.each(governed.map((each) => [each.name, each] as const))('%s', async (name, recording) => {
  if (name.endsWith('-create')) {
    const { proposalId } = JSON.parse(recording.answerBody.toString() || '{}');
    if (typeof proposalId === 'string') nextProposalId = proposalId;
  }
  meanwhile(recording);
  const reply = await client.ask(recording.method, recording.target, {
    headers: Object.fromEntries(recording.headers),
    body: recording.body,
  });
  expect(differences(recording, reply, (txId) => txId)).toEqual([]);
  // What members decided has the same bytes; elsewhere certificates and addresses differ.
  if (/proposal|ballot|state-digest|trigger|tx$|unknown|version$/.test(name)) {
    const text = recording.answerBody.toString();
    if (!text.includes('CERTIFICATE') || text.startsWith('{"actions"')) {
      expect(reply.body.toString()).toBe(text);
    }
  }
  expect(house.faults).toEqual([]);
});

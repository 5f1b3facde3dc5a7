/**
 * The rules of the privacy flags, as a table: a first transaction of organisation 1 with its flag,
 * parties and mandatory recipients, a second one that affects it, and the answer to the second.
 */
import { describe, expect, test } from 'vitest';
import { plainKeys, QuorumClient, textIn } from '../support/quorum-client.ts';
import { quorumInMemory } from '../support/quorum-network.ts';

const keys = plainKeys(3);
const runtime = quorumInMemory(keys, 3);
const clients = [1, 2, 3].map((number) => new QuorumClient(runtime, number));
const [K1, K2, K3] = keys.map(({ publicKey }) => publicKey);

interface Sent {
  readonly privacyFlag: number;
  readonly to?: readonly (string | undefined)[];
  readonly mandatoryRecipients?: readonly (string | undefined)[];
  readonly execHash?: string;
}

const STANDARD: Sent = { privacyFlag: 0, to: [K2] };
const PROTECTED: Sent = { privacyFlag: 1, to: [K2] };
const VALIDATED: Sent = { privacyFlag: 3, to: [K2], execHash: 'aGFzaA==' };
const MANDATORY: Sent = { privacyFlag: 2, to: [K2, K3], mandatoryRecipients: [K2] };
const MISMATCH = 'Privacy metadata mismatched with Affected Txn';
const PARTIES = 'Recipients mismatched for Affected Txn';
const NOT_INCLUDED = 'One or more mandatory recipients not included in the participant list';

describe('a transaction that affects another', () => {
  test.each([
    ['standard on standard', STANDARD, STANDARD, 1, 201, undefined],
    ['protected on protected, more parties', PROTECTED, { ...PROTECTED, to: [K2, K3] }, 1, 201],
    ['a recipient affects it too', PROTECTED, { ...PROTECTED, to: [K1] }, 2, 201],
    ['validated, the same parties', VALIDATED, VALIDATED, 1, 201],
    ['validated by the recipient', VALIDATED, { ...VALIDATED, to: [K1] }, 2, 201],
    ['mandatory, the same list', MANDATORY, MANDATORY, 1, 201],
    [
      'mandatory, a longer list',
      MANDATORY,
      { ...MANDATORY, mandatoryRecipients: [K2, K3] },
      1,
      201,
    ],
    ['standard on protected', PROTECTED, STANDARD, 1, 403, MISMATCH],
    ['validated on protected', PROTECTED, VALIDATED, 1, 403, MISMATCH],
    ['protected on validated', VALIDATED, PROTECTED, 1, 403, MISMATCH],
    [
      'mandatory, another list',
      MANDATORY,
      { ...MANDATORY, mandatoryRecipients: [K3] },
      1,
      403,
      MISMATCH,
    ],
    ['validated, more parties', VALIDATED, { ...VALIDATED, to: [K2, K3] }, 1, 403, PARTIES],
    ['validated, fewer parties', VALIDATED, { ...VALIDATED, to: [] }, 1, 403, PARTIES],
    ['of a foreign party', PROTECTED, { ...PROTECTED, to: [K1] }, 3, 403, 'Unable to find'],
  ] as const)('%s', (_, first, second, by, status, sentence?: string) => {
    const hash = clients[0]?.send({ ...first });
    const response = clients[by - 1]?.post('/send', {
      payload: 'YQ==',
      ...second,
      affectedContractTransactions: [hash],
    });
    expect(response?.status).toBe(status);
    if (sentence !== undefined) expect(textIn(response ?? { status: 0 })).toContain(sentence);
  });
});

describe('a transaction by itself', () => {
  test.each([
    ['no flag is standard', { to: [K2] }, 201, ''],
    ['flag 4', { privacyFlag: 4 }, 400, 'privacyFlag 4'],
    ['flag -1', { privacyFlag: -1 }, 400, 'privacyFlag -1'],
    ['mandatory without a list', { privacyFlag: 2 }, 400, 'Mandatory recipients data'],
    [
      'a list without mandatory',
      { mandatoryRecipients: [K1] },
      400,
      'Mandatory recipients data',
    ],
    [
      'mandatory but not a party',
      { privacyFlag: 2, to: [K2], mandatoryRecipients: [K3] },
      403,
      NOT_INCLUDED,
    ],
    ['the sender as mandatory', { privacyFlag: 2, mandatoryRecipients: [K1] }, 201, ''],
    ['validated without a hash', { privacyFlag: 3 }, 400, 'Exec hash missing'],
    ['a hash without validation', { execHash: 'x' }, 400, 'ExecutionHash data is invalid'],
    ['a foreign sender', { from: K2 }, 404, `Public key ${K2} not found`],
    ['no payload', { payload: null }, 400, 'may not be null'],
    ['an empty payload', { payload: '' }, 400, 'size must be between 1'],
    ['a short recipient', { to: ['AAAA'] }, 400, 'has 3 bytes, 32 are needed'],
    ['a long recipient', { to: [Buffer.alloc(33).toString('base64')] }, 404, 'Recipient not'],
    ['too many recipients', { to: Array(1001).fill(K2) }, 400, 'at most 1000 recipients'],
    [
      'too many affected',
      { affectedContractTransactions: numbered(1001) },
      400,
      'at most 1000 affected',
    ],
  ])('%s', (_, order, status, sentence) => {
    const response = clients[0]?.post('/send', { payload: 'YQ==', ...order });
    expect(response?.status).toBe(status);
    expect(textIn(response ?? { status: 0 })).toContain(sentence);
  });
});

function numbered(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => {
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32BE(index);
    return bytes.toString('base64');
  });
}

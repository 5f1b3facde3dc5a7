// What a follower does with the entries it is sent: what belongs here it applies, what does not
// leaves no trace, and a signature counts only when its check has passed. The entries are wrong in
// one respect each; all that follows from it is made to fit, as somebody with the keys could.

import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { base64Of, equalBytes, utf8 } from '../../../src/base/bytes.ts';
import { isCoded } from '../../../src/base/errors.ts';
import { seqnoOf, viewOf } from '../../../src/base/ids.ts';
import type { Append } from '../../../src/consensus/messages.ts';
import { sha256Text } from '../../../src/crypto/hash.ts';
import { SigningKey } from '../../../src/crypto/keys.ts';
import { nodeVerifier } from '../../../src/crypto/verifier-node.ts';
import { ENCRYPTED_SECRETS } from '../../../src/governance/tables.ts';
import {
  encodePublicDomain,
  type MapWrites,
  NO_CLAIMS,
  sealEntry,
} from '../../../src/ledger/entry.ts';
import { ledgerSecretOf } from '../../../src/ledger/secret.ts';
import type { LedgerState } from '../../../src/node/ledger-state.ts';
import { applyEntry, readEntries } from '../../../src/node/replication/entry-intake.ts';
import { SecretPool } from '../../../src/node/secret-pool.ts';
import { emptyState } from '../../support/ledger-in-memory.ts';
import {
  jsonTable,
  LedgerWriter,
  makeNode,
  makeService,
  NODES,
  type ServiceKeys,
  table,
} from '../../support/ledger-writer.ts';

const ME = 'c'.repeat(64);
const ROWS = table('public:rows', { key: 'value' });
const PRIVATE = table('rows', { key: 'private value' });

let keys: ServiceKeys;
let writer: LedgerWriter;
let state: LedgerState;
let pool: SecretPool;

beforeAll(async () => {
  keys = await makeService();
});

/** A leader's ledger of two entries, 2.1 and its signature, which the follower has as well. */
beforeEach(async () => {
  writer = new LedgerWriter(keys);
  const secret = { from: seqnoOf(1), view: viewOf(2), bytes: writer.secretBytes };
  state = emptyState([]);
  // What is wrapped for this node begins with its name.
  pool = new SecretPool([secret], ME, {
    unwrap: (wrapped) => {
      if (!equalBytes(wrapped.subarray(0, 3), utf8('for'))) throw new Error('wrong padding');
      return wrapped.subarray(3);
    },
  });
  writer.transaction(writer.genesis());
  await writer.sign();
  await take(0);
});

const written = (): readonly Buffer[] => writer.chunks.flatMap(({ entries }) => entries);

interface Sent {
  /** The last entry before them. */
  readonly after: number;
  readonly entries?: readonly Uint8Array[];
  readonly view?: number;
}

function read({ after, entries, view = writer.view }: Sent): ReturnType<typeof readEntries> {
  const bytes = entries ?? written().slice(after);
  const message: Append = {
    ...{ kind: 'append', view: viewOf(view), commit: seqnoOf(0), round: 0 },
    previous: { view: viewOf(view), seqno: seqnoOf(after) },
    last: seqnoOf(after + bytes.length),
  };
  return readEntries(message, bytes, state);
}

/** Takes in what the writer wrote after an entry, as a follower does, and waits for checks. */
async function take(after: number): Promise<void> {
  const checks: (Promise<void> | undefined)[] = [];
  for (const received of read({ after })) {
    const check = applyEntry(received, { state, pool, verifier: nodeVerifier });
    check?.catch(() => undefined);
    checks.push(check);
  }
  await Promise.all(checks);
}

/** Why entries after 2.2 are not taken. */
async function refusal(): Promise<string> {
  const newest = state.newest;
  try {
    await take(newest);
  } catch (error) {
    if (!isCoded(error)) throw error;
    return `${error.code}: ${error.message}`;
  }
  return 'they were taken';
}

describe('what belongs here', () => {
  test('is applied, public and private part, and the roots agree', async () => {
    writer.transaction([ROWS], { privateMaps: [PRIVATE] });
    await writer.sign();
    writer.transaction([], { privateMaps: [table('rows', {}, ['key'])] });
    await take(2);
    expect(state.newest).toBe(5);
    expect(state.store.newest).toBe(5);
    expect(equalBytes(state.tree.root(), writer.root)).toBe(true);
    const { current } = state.store;
    expect(current.table('public:rows').get(utf8('key'))).toEqual(utf8('value'));
    expect(current.table('rows').has(utf8('key')), 'it was removed again').toBe(false);
  });

  test.each(['raw', 'cose', 'dual'] as const)('signatures of kind %s', async (kind) => {
    writer.transaction([ROWS]);
    await writer.sign({ kind });
    await take(2);
    expect(state.newest).toBe(4);
    expect(state.leaves.lastSignature).toBe(4);
    expect(state.leaves.lastDualSignature).toBe(kind === 'raw' ? 2 : 4);
  });

  test('says what consensus must know: who signs, and who votes from where on', async () => {
    const second = 'd'.repeat(64);
    const row = (fields: object): string => JSON.stringify(fields);
    writer.transaction([table(NODES, { [second]: row({ status: 'Pending' }) })]);
    writer.transaction([table(NODES, { [second]: row({ status: 'Trusted' }) })]);
    writer.transaction([ROWS]);
    await writer.sign();
    writer.transaction([table(NODES, { [second]: row({ status: 'Retired' }) })]);
    writer.transaction([
      table(NODES, { [second]: row({ status: 'Retired', retired_committed: true }) }),
    ]);
    writer.transaction([table(NODES, {}, [second])]);
    const facts = read({ after: 2 }).map((received) => received.facts);
    const voters = [second, keys.nodeId].sort();
    expect(facts).toEqual([
      { view: 2, seqno: 3, isSignature: false },
      { view: 2, seqno: 4, isSignature: false, reconfiguration: voters },
      { view: 2, seqno: 5, isSignature: false },
      { view: 2, seqno: 6, isSignature: true },
      { view: 2, seqno: 7, isSignature: false, reconfiguration: [keys.nodeId] },
      { view: 2, seqno: 8, isSignature: false, retiredCommitted: [second] },
      { view: 2, seqno: 9, isSignature: false },
    ]);
    await take(2);
    expect([...state.nodes.keys()]).toEqual([keys.nodeId]);
    expect(state.nodesAt(seqnoOf(5)).get(second as never)?.status).toBe('Trusted');
  });

  test('is read from entries that overlap what is here as well', async () => {
    writer.transaction([ROWS]);
    await writer.sign();
    await take(2);
    expect(read({ after: 1 }).map(({ facts }) => facts.seqno)).toEqual([2, 3, 4]);
  });
});

describe('a message whose entries are not what it says ends the connection', () => {
  const place = (changes: object, entries?: (all: Buffer[]) => Buffer[]): (() => Sent) => {
    return () => {
      writer.transaction([ROWS]);
      writer.transaction([ROWS], changes);
      writer.transaction([ROWS]);
      const all = written().slice(2);
      return { after: 2, entries: entries?.([...all]) ?? all };
    };
  };

  test.each([
    ['one is missing', place({}, ([first, , third]) => [first, third] as Buffer[])],
    ['one comes twice', place({}, ([first]) => [first, first] as Buffer[])],
    ['two are exchanged', place({}, ([a, b, c]) => [b, a, c] as Buffer[])],
    ['one is of another seqno', place({ seqno: 77 })],
    ['one is of a later view', place({ view: 3 })],
    ['one is of an earlier view', place({ view: 1 })],
    ['all are of a later view than the leader’s', () => ({ ...place({})(), view: 1 })],
    [
      'one is followed by something',
      place({}, (all) => all.map((entry) => Buffer.concat([entry, Buffer.from('?')]))),
    ],
  ] as const)('%s', (_what, sent) => {
    const newest = state.newest;
    expect(() => read(sent())).toThrow(/stands in the place of entry/);
    expect(state.newest).toBe(newest);
  });

  test.each([
    ['cut short', (entry: Buffer) => entry.subarray(0, -1)],
    ['of another version', (entry: Buffer) => Buffer.from(entry).fill(9, 0, 1)],
    ['empty', () => Buffer.alloc(0)],
  ])('one is %s', (_what, change) => {
    writer.transaction([ROWS]);
    const entries = written().slice(2).map(change);
    expect(() => read({ after: 2, entries })).toThrow(/not an entry/);
  });
});

describe('an entry that does not belong here stops the node, and leaves no trace', () => {
  const other = sha256Text('another secret');

  test.each<readonly [string, RegExp, () => void | Promise<void>]>([
    [
      'sealed under another secret',
      /SealBroken/,
      () => writer.transaction([ROWS], { secret: ledgerSecretOf(other) }),
    ],
    [
      'changed in its sealed part',
      /SealBroken/,
      () =>
        writer.transaction([ROWS], {
          privateMaps: [PRIVATE],
          bytes: (entry) =>
            entry.writeUInt8(entry.readUInt8(entry.length - 1) ^ 1, entry.length - 1),
        }),
    ],
    [
      'changed in its public part',
      /SealBroken/,
      () =>
        writer.transaction([ROWS], {
          bytes: (entry) => {
            entry.write('VALUE', entry.indexOf('value'));
          },
        }),
    ],
    [
      'with the commit evidence of another place',
      /BadEntry: .*its commit evidence is not that of its place/,
      () => writer.append(withEvidence(writer.next, writer.next + 1)),
    ],
    [
      'a signature of another root',
      /BadEntry: .*it signs root [0-9a-f]{64}, but those before it have/,
      () => writer.sign({ kind: 'raw', raw: { root: sha256Text('another root') } }),
    ],
    [
      'a signature whose tree has another root, signed by the service alone',
      /BadEntry: .*it signs root/,
      async () => {
        const before = new LedgerWriter(keys);
        before.transaction([ROWS]);
        await before.sign({ kind: 'cose', tree: (row) => row });
        await writer.sign({ kind: 'cose', tree: () => treeOf(before) });
      },
    ],
    [
      'a signature by another key than the node’s',
      /BadEntry: .*it is not by the key of node/,
      () => {
        const stranger = SigningKey.generate('P-256');
        return writer.sign({ kind: 'raw', raw: { sig: stranger.signSha256Der(utf8('what')) } });
      },
    ],
    [
      'a signature that is none',
      /BadEntry: .*it is not by the key of node/,
      () => writer.sign({ kind: 'raw', raw: { sig: Buffer.alloc(70, 1) } }),
    ],
    [
      'a signature of a node that the ledger does not know',
      /BadEntry: .*has no certificate/,
      async () => {
        const { nodeId } = await makeNode(keys.serviceKey, keys.serviceCert);
        await writer.sign({ kind: 'raw', raw: { node: nodeId } });
      },
    ],
    [
      'a signature that was made for another place',
      /BadEntry: .*its signature says it is 2\.9/,
      () => writer.sign({ kind: 'raw', raw: { seqno: 9 } }),
    ],
    [
      'a signature that was made in another view',
      /BadEntry: .*its signature says it is 7\./,
      () => writer.sign({ kind: 'raw', raw: { view: 7 } }),
    ],
    [
      'a signature with a table beside it',
      /BadSignatureEntry: .*a signature transaction writes signatures and nothing else/,
      () => writer.sign({ extra: [table('public:z', { key: 'value' })] }),
    ],
    [
      'a signature with a private part',
      /BadEntry: .*it holds more than a signature/,
      () => writer.sign({ privateMaps: [PRIVATE] }),
    ],
  ])('%s', async (_what, expected, write) => {
    writer.transaction([ROWS]);
    await take(2);
    const root = state.tree.root();
    await write();
    const isCheckedLater = /not by the key/.test(String(expected));
    expect(await refusal()).toMatch(expected);
    if (isCheckedLater) return;
    expect(state.newest, 'what came before it stands').toBe(3);
    expect(state.store.newest).toBe(3);
    expect(equalBytes(state.tree.root(), root)).toBe(true);
  });

  test('an honest ledger passes all this', async () => {
    writer.transaction([ROWS]);
    await take(2);
    writer.append(withEvidence(writer.next, writer.next));
    await writer.sign();
    expect(await refusal()).toBe('they were taken');
  });

  /** An entry at its place, with the commit evidence of that place or another. */
  function withEvidence(seqno: number, evidenceOf: number): Buffer {
    const secret = ledgerSecretOf(writer.secretBytes);
    const evidenceDigest = secret.evidence.digestOf(2, evidenceOf);
    const publicDomain = encodePublicDomain({
      ...{ seqno, claimsDigest: NO_CLAIMS, evidenceDigest, maps: [ROWS] },
    });
    return sealEntry({
      ...{ secret, view: 2, seqno, flags: 0, publicDomain },
      privateMaps: [],
    });
  }

  /** The tree's row in a ledger's last signature. */
  function treeOf({ chunks }: LedgerWriter): Uint8Array {
    const [received] = readEntries(
      {
        ...{ kind: 'append', view: viewOf(2), commit: seqnoOf(0), round: 0 },
        previous: { view: viewOf(2), seqno: seqnoOf(1) },
        last: seqnoOf(2),
      },
      [chunks.at(-1)?.entries.at(-1) ?? Buffer.alloc(0)],
      state,
    );
    const map = received?.entry.publicMaps.find(({ name }) => name.endsWith('.tree'));
    const [row] = map?.writes.values() ?? [];
    if (row === undefined) throw new Error('there is a tree');
    return row;
  }
});

describe('an entry that brings a ledger secret', () => {
  const fresh = sha256Text('a fresh secret');
  const wrapped = (bytes: Uint8Array): string => base64Of(Buffer.concat([utf8('for'), bytes]));

  /** The row by which nodes are given a secret that begins with the next entry. */
  function bringing(rows: Readonly<Record<string, string>>, version = writer.next): MapWrites {
    const secrets = Object.entries(rows).map(([nodeId, encrypted]) => [
      nodeId,
      [{ version, encrypted_secret: encrypted }],
    ]);
    return jsonTable(ENCRYPTED_SECRETS, Object.fromEntries(secrets));
  }

  test('for this node is sealed under it, and so is all that follows', async () => {
    writer.view = 4;
    const secret = ledgerSecretOf(fresh);
    const row = bringing({ [ME]: wrapped(fresh), [keys.nodeId]: 'AAAA' });
    writer.transaction([row], { secret, privateMaps: [PRIVATE] });
    await writer.sign({ secret });
    writer.transaction([ROWS], { secret });
    await take(2);
    expect(state.newest).toBe(5);
    expect(state.secrets.all.at(-1)).toEqual({ from: 3, view: 4, bytes: fresh });
    expect(pool.all.map(({ from, view }) => `${view}.${from}`)).toEqual(['2.1', '4.3']);
    expect(state.store.current.table('rows').has(utf8('key'))).toBe(true);
  });

  test('that is rolled back goes with it; another may come in its place', async () => {
    writer.view = 4;
    writer.transaction([bringing({ [ME]: wrapped(fresh) })], { secret: ledgerSecretOf(fresh) });
    await take(2);
    state.rollback(seqnoOf(2));
    expect(state.secrets.latest.from).toBe(1);
    const second = sha256Text('the next leader’s secret');
    writer = await sameAgain(6);
    writer.transaction([bringing({ [ME]: wrapped(second) })], {
      secret: ledgerSecretOf(second),
    });
    await take(2);
    expect(state.secrets.all.at(-1)).toEqual({ from: 3, view: 6, bytes: second });
    state.rollback(seqnoOf(2));
    writer = await sameAgain(7);
    writer.transaction([ROWS]);
    await take(2);
    expect(state.secrets.latest.from, 'the next one brings none').toBe(1);
  });

  /** The leader's first two entries, and another view after them. */
  async function sameAgain(view: number): Promise<LedgerWriter> {
    const again = new LedgerWriter(keys);
    for (const entry of written().slice(0, 2)) again.append(entry);
    again.view = view;
    return again;
  }

  test('that this node made itself needs none of its own key', async () => {
    pool = new SecretPool([...pool.all, { from: seqnoOf(3), view: viewOf(4), bytes: fresh }]);
    writer.view = 4;
    writer.transaction([bringing({})], { secret: ledgerSecretOf(fresh) });
    await take(2);
    expect(state.secrets.latest.bytes).toEqual(fresh);
  });

  test.each<readonly [string, RegExp, () => MapWrites]>([
    ['for others alone', /SealBroken/, () => bringing({ [keys.nodeId]: wrapped(fresh) })],
    ['of another place', /SealBroken/, () => bringing({ [ME]: wrapped(fresh) }, 77)],
    [
      'that cannot be unwrapped',
      /SealBroken: the ledger secret from entry 3 on, encrypted to this node, cannot be opened/,
      () => bringing({ [ME]: base64Of(utf8('not for this node')) }),
    ],
    [
      'that is too short',
      /SealBroken: a ledger secret has 7 bytes/,
      () => bringing({ [ME]: wrapped(fresh.subarray(0, 7)) }),
    ],
    [
      'in a row that is none',
      /SealBroken: .*cannot be opened/,
      () => table(ENCRYPTED_SECRETS, { '\0\0\0\0\0\0\0\0': 'no JSON' }),
    ],
  ])('%s stops the node, and leaves no trace', async (_what, expected, row) => {
    writer.transaction([row()], { secret: ledgerSecretOf(fresh) });
    expect(await refusal()).toMatch(expected);
    expect(state.newest).toBe(2);
    expect(state.secrets.latest.from).toBe(1);
  });
});

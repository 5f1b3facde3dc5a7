// Ledgers that somebody with the keys has written wrong in one respect: tree and signatures fit.

import type { Reason } from '../../src/audit/fault.ts';
import { sealGcm } from '../../src/crypto/aead.ts';
import {
  identityEndorsement,
  identityEndorsementHeader,
  signatureStructure,
} from '../../src/crypto/cose.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { encodeMaps, type MapWrites } from '../../src/kv/write-set.ts';
import { sealEntry } from '../../src/ledger/entry.ts';
import { ledgerSecretOf } from '../../src/ledger/secret.ts';
import {
  jsonTable,
  type LedgerWriter,
  makeNode,
  makeService,
  NODE_CERTIFICATES,
  NODES,
  SERVICE,
  type ServiceKeys,
  table,
} from './ledger-writer.ts';

/** The service that the ledgers are of, and a stranger. */
export const [keys, other] = await Promise.all([makeService(), makeService()]);

const SHARES = 'public:ccf.internal.recovery_shares';
const HISTORICAL = 'public:ccf.internal.historical_encrypted_ledger_secret';
const IDENTITY = 'public:ccf.internal.previous_service_identity_endorsement';
const EVIDENCE = 'public:ccf.internal.snapshot_evidence';
const PREVIOUS_ROOT = 'public:ccf.internal.previous_service_last_signed_root';
const PREVIOUS_IDENTITY = 'public:ccf.gov.service.previous_service_identity';
const rows = table('public:records', { a: '1', b: '2' });
const sealedRows = table('records', { a: '1', b: '2' });
const historical = (row: object): MapWrites => jsonTable(HISTORICAL, row);
const wrapped = Buffer.alloc(60, 1).toString('base64');

/** An endorsement of `endorsed` by the service, with a row that may say something else. */
async function identity(
  by: ServiceKeys,
  endorsed: Uint8Array,
  changes: Record<string, unknown> = {},
  end?: { txId: string; root: Uint8Array },
): Promise<MapWrites> {
  const header = identityEndorsementHeader({
    algorithm: by.serviceKey.algorithm,
    issuedAt: 1,
    epochStart: '2.1',
    ...(end === undefined ? {} : { epochEnd: end }),
  });
  const signature = await by.serviceKey.sign(signatureStructure(header, endorsed));
  const message = identityEndorsement(header, endorsed, signature);
  return jsonTable(IDENTITY, {
    endorsement: Buffer.from(message).toString('base64'),
    endorsing_key: Buffer.from(by.serviceKey.publicKeyDer).toString('base64'),
    endorsement_epoch_begin: '2.1',
    ...(end === undefined ? {} : { endorsement_epoch_end: end.txId }),
    ...changes,
  });
}

/** What a recovered service's first transaction writes. */
function recovery(
  by: ServiceKeys,
  root: Uint8Array,
  changes: Partial<Record<'root' | 'identity', MapWrites>> = {},
): MapWrites[] {
  return [
    table(NODES, {
      [by.nodeId]: JSON.stringify({ status: 'Trusted' }),
      [keys.nodeId]: JSON.stringify({ status: 'Retired' }),
    }),
    table(NODE_CERTIFICATES, { [by.nodeId]: by.nodeCert }),
    jsonTable(SERVICE, { cert: by.serviceCert, status: 'Recovering' }),
    changes.identity ?? jsonTable(PREVIOUS_IDENTITY, keys.serviceCert),
    changes.root ?? jsonTable(PREVIOUS_ROOT, Buffer.from(root).toString('hex')),
  ];
}

export interface Rewrite {
  readonly name: string;
  readonly reason: Reason | 'good';
  /** What PyPI `ccf` says of it. */
  readonly ccf: 'accepts' | 'refuses';
  readonly write: (writer: LedgerWriter) => Promise<void> | void;
  readonly deprecated?: boolean;
}

export const REWRITES: readonly Rewrite[] = [
  {
    name: 'nothing wrong',
    reason: 'good',
    ccf: 'accepts',
    write: (w) => w.transaction([rows]),
  },
  {
    name: 'signatures by the service alone',
    reason: 'good',
    ccf: 'accepts',
    write: async (w) => {
      w.transaction([rows]);
      await w.sign({ kind: 'cose' });
    },
  },
  {
    name: 'a new view after an election',
    reason: 'good',
    ccf: 'accepts',
    write: async (w) => {
      w.view = 4;
      await w.sign({ kind: 'raw' });
      w.transaction([rows]);
    },
  },
  {
    name: 'a seal of zeros',
    reason: 'Seal',
    ccf: 'accepts',
    write: (w) => w.transaction([rows], { bytes: (entry) => entry.fill(0, 8, 24) }),
  },
  {
    name: 'a seal under another secret',
    reason: 'CommitEvidence',
    ccf: 'accepts',
    write: (w) => w.transaction([rows], { secret: ledgerSecretOf(sha256Text('other')) }),
  },
  {
    name: 'commit evidence of nothing',
    reason: 'CommitEvidence',
    ccf: 'accepts',
    write: (w) => w.transaction([rows], { bytes: (entry) => entry.fill(0, 85, 117) }),
  },
  {
    name: 'a public table in the private domain',
    reason: 'PrivateMapDomain',
    ccf: 'accepts',
    write: (w) => w.transaction([], { privateMaps: [rows] }),
  },
  {
    name: 'private rows out of order',
    reason: 'PrivateKeyOrder',
    ccf: 'accepts',
    write: (w) => sealPlain(w, swapRows(encodeMaps([sealedRows]), 'records')),
  },
  {
    name: 'private tables out of order',
    reason: 'PrivateMapOrder',
    ccf: 'accepts',
    write: (w) =>
      sealPlain(
        w,
        Buffer.concat([encodeMaps([sealedRows]), encodeMaps([table('a', { k: 'v' })])]),
      ),
  },
  {
    name: 'a private domain that is none',
    reason: 'PrivateWriteSet',
    ccf: 'accepts',
    write: (w) => sealPlain(w, Buffer.alloc(50, 7)),
  },
  {
    name: 'public rows out of order',
    reason: 'KeyOrder',
    ccf: 'accepts',
    write: (w) =>
      w.transaction([rows], { bytes: (entry) => swapRowsIn(entry, 125, 'public:records') }),
  },
  {
    name: 'a private name in the public domain',
    reason: 'MapDomain',
    ccf: 'accepts',
    write: (w) => w.transaction([sealedRows]),
  },
  {
    name: 'a reserved name',
    reason: 'MapReserved',
    ccf: 'accepts',
    write: (w) => w.transaction([table('public:ccf.other', { k: 'v' })]),
  },
  {
    name: 'a private reserved name',
    reason: 'MapReserved',
    ccf: 'accepts',
    write: (w) => w.transaction([], { privateMaps: [table('ccf.other', { k: 'v' })] }),
  },
  {
    name: 'an entry that writes nothing',
    reason: 'EntryEmpty',
    ccf: 'accepts',
    write: (w) => w.transaction([]),
  },
  {
    name: 'a seqno that is left out',
    reason: 'EntrySeqno',
    ccf: 'accepts',
    write: async (w) => {
      w.transaction([rows], { seqno: w.next + 1 });
      w.transaction([rows]);
    },
  },
  {
    name: 'a view that goes back',
    reason: 'EntryView',
    ccf: 'accepts',
    write: (w) => {
      w.transaction([rows], { view: 3 });
      w.transaction([rows], { view: 2 });
    },
  },
  {
    name: 'a transaction that ends its chunk',
    reason: 'FlagAfterUnsigned',
    ccf: 'accepts',
    write: (w) => w.transaction([rows], { flags: 1 }),
  },
  {
    name: 'a signature within a chunk that ends it',
    reason: 'FlagAfterInside',
    ccf: 'accepts',
    write: async (w) => {
      w.transaction([rows]);
      await w.sign({ flags: 1 });
      const chunk = w.chunks.at(-1);
      if (chunk !== undefined) chunk.closed = false;
      w.transaction([rows]);
    },
  },
  {
    name: 'a chunk that begins within another',
    reason: 'FlagBeforeInside',
    ccf: 'accepts',
    write: (w) => {
      w.transaction([rows]);
      w.transaction([rows], { flags: 2 });
    },
  },
  {
    name: 'a chunk that ends without a signature',
    reason: 'ChunkEnd',
    ccf: 'accepts',
    write: (w) => {
      w.transaction([rows]);
      w.closeChunk();
      w.transaction([rows]);
    },
  },
  {
    name: 'a signature without its tree',
    reason: 'TreeMissing',
    ccf: 'accepts',
    write: (w) => w.sign({ tree: () => undefined }),
  },
  {
    name: 'a tree with another leaf',
    reason: 'TreeRow',
    ccf: 'accepts',
    write: (w) => w.sign({ tree: (row) => row.fill(9, 16, 48) }),
  },
  {
    name: 'a tree with words the wrong way round',
    reason: 'TreeRow',
    ccf: 'accepts',
    write: (w) => w.sign({ tree: (row) => row.fill(row.subarray(0, 8).reverse(), 0, 8) }),
  },
  {
    name: 'a signature transaction with a private table',
    reason: 'SignaturePrivate',
    ccf: 'accepts',
    write: (w) => w.sign({ privateMaps: [sealedRows] }),
  },
  {
    name: 'a signature transaction with claims',
    reason: 'SignatureClaims',
    ccf: 'accepts',
    write: (w) => w.sign({ claimsDigest: sha256Text('claims') }),
  },
  {
    name: 'a signature transaction that writes something else',
    reason: 'SignatureTables',
    ccf: 'accepts',
    write: (w) => w.sign({ extra: [table('public:records', { k: 'v' })] }),
  },
  {
    name: 'a signature by a node of another service',
    reason: 'RawSignature',
    ccf: 'refuses',
    write: (w) =>
      w.sign({ kind: 'raw', raw: { sig: other.nodeKey.signSha256Der(Buffer.from('root')) } }),
  },
  {
    name: 'a signature by another service',
    reason: 'CoseSignature',
    ccf: 'refuses',
    write: (w) => w.sign({ coseKey: other.serviceKey }),
  },
  {
    name: 'a node certificate of another service',
    reason: 'NodeEndorsement',
    ccf: 'accepts',
    write: (w) =>
      w.transaction([
        table(NODES, { [other.nodeId]: JSON.stringify({ status: 'Trusted' }) }),
        table(NODE_CERTIFICATES, { [other.nodeId]: other.nodeCert }),
      ]),
  },
  {
    name: 'a node that joins with its own certificate',
    reason: 'good',
    ccf: 'accepts',
    write: async (w) => {
      const joiner = await makeNode(keys.serviceKey, keys.serviceCert);
      w.transaction([
        table(NODES, { [joiner.nodeId]: JSON.stringify({ status: 'Trusted' }) }),
        table(NODE_CERTIFICATES, { [joiner.nodeId]: joiner.nodeCert }),
      ]);
      w.transaction([table(NODES, { [joiner.nodeId]: JSON.stringify({ status: 'Retired' }) })]);
      w.transaction([
        table(NODES, {}, [joiner.nodeId]),
        table(NODE_CERTIFICATES, {}, [joiner.nodeId]),
      ]);
    },
  },
  {
    name: 'a retired node that comes back',
    reason: 'NodeTransition',
    ccf: 'accepts',
    write: (w) => {
      for (const status of ['Retired', 'Trusted']) {
        w.transaction([table(NODES, { [keys.nodeId]: JSON.stringify({ status }) })]);
      }
    },
  },
  {
    name: 'an unknown node that is removed',
    reason: 'NodeUnknown',
    ccf: 'refuses',
    write: (w) => w.transaction([table(NODES, {}, ['ab'.repeat(32)])]),
  },
  {
    name: 'a node with two kinds of certificate',
    reason: 'NodeCertificateTwice',
    ccf: 'refuses',
    write: (w) =>
      w.transaction([
        table(NODES, {
          [keys.nodeId]: JSON.stringify({ status: 'Trusted', cert: keys.nodeCert }),
        }),
        table(NODE_CERTIFICATES, { [keys.nodeId]: keys.nodeCert }),
      ]),
  },
  {
    name: 'a service that changes its key while it is open',
    reason: 'ServiceKey',
    ccf: 'refuses',
    write: (w) =>
      w.transaction([jsonTable(SERVICE, { cert: other.serviceCert, status: 'Open' })]),
  },
  {
    name: 'a service row under another key',
    reason: 'ServiceRow',
    ccf: 'refuses',
    write: (w) => w.transaction([table(SERVICE, { '': '{}' })]),
  },
  {
    name: 'a recovery by another service that names what was before',
    reason: 'good',
    ccf: 'accepts',
    write: async (w) => await recovered(w, {}),
  },
  {
    name: 'a recovery that names another root',
    reason: 'PreviousRoot',
    ccf: 'accepts',
    write: async (w) => {
      await recovered(w, { root: jsonTable(PREVIOUS_ROOT, 'ab'.repeat(32)) });
    },
  },
  {
    name: 'a recovery that names another service before it',
    reason: 'PreviousIdentity',
    ccf: 'accepts',
    write: async (w) => {
      await recovered(w, { identity: jsonTable(PREVIOUS_IDENTITY, other.serviceCert) });
    },
  },
  {
    name: 'an endorsement of its own identity',
    reason: 'good',
    ccf: 'accepts',
    write: async (w) => w.transaction([await identity(keys, keys.serviceKey.publicKeyDer)]),
  },
  {
    name: 'an identity endorsement by another key',
    reason: 'IdentityKey',
    ccf: 'accepts',
    write: async (w) => w.transaction([await identity(other, other.serviceKey.publicKeyDer)]),
  },
  {
    name: 'an identity endorsement of another key',
    reason: 'IdentityPayload',
    ccf: 'accepts',
    write: async (w) => w.transaction([await identity(keys, other.serviceKey.publicKeyDer)]),
  },
  {
    name: 'an identity endorsement whose row tells another epoch',
    reason: 'IdentityEpoch',
    ccf: 'accepts',
    write: async (w) => {
      const row = { endorsement_epoch_begin: '2.2' };
      w.transaction([await identity(keys, keys.serviceKey.publicKeyDer, row)]);
    },
  },
  {
    name: 'an identity endorsement that names one before the first',
    reason: 'IdentityPrevious',
    ccf: 'accepts',
    write: async (w) => {
      const row = { previous_version: 1 };
      w.transaction([await identity(keys, keys.serviceKey.publicKeyDer, row)]);
    },
  },
  {
    name: 'an identity endorsement with another signature',
    reason: 'IdentitySignature',
    ccf: 'accepts',
    write: async (w) => {
      const forged = { ...keys, serviceKey: other.serviceKey };
      const own = Buffer.from(keys.serviceKey.publicKeyDer).toString('base64');
      const row = { endorsing_key: own };
      w.transaction([await identity(forged, keys.serviceKey.publicKeyDer, row)]);
    },
  },
  {
    name: 'an identity endorsement that is no COSE message',
    reason: 'IdentityRow',
    ccf: 'accepts',
    write: async (w) => {
      const row = { endorsement: 'AAAA' };
      w.transaction([await identity(keys, keys.serviceKey.publicKeyDer, row)]);
    },
  },
  {
    name: 'ledger secrets in a chain',
    reason: 'good',
    ccf: 'accepts',
    write: (w) => {
      w.transaction([historical({ next_version: 1 })]);
      const rekey = w.next;
      w.transaction([
        historical({ previous_ledger_secret: { encrypted_data: wrapped, version: 1 } }),
      ]);
      const version = rekey + 1;
      w.transaction([
        historical({ previous_ledger_secret: { encrypted_data: wrapped, version } }),
      ]);
    },
  },
  {
    name: 'a former ledger secret of another time',
    reason: 'SecretChain',
    ccf: 'accepts',
    write: (w) => {
      w.transaction([historical({ next_version: 1 })]);
      w.transaction([
        historical({ previous_ledger_secret: { encrypted_data: wrapped, version: 2 } }),
      ]);
    },
  },
  {
    name: 'recovery shares that are not base64',
    reason: 'SecretRow',
    ccf: 'accepts',
    write: (w) =>
      w.transaction([
        jsonTable(SHARES, {
          encrypted_shares: { m: '*' },
          wrapped_latest_ledger_secret: wrapped,
        }),
      ]),
  },
  {
    name: 'evidence of a snapshot to come',
    reason: 'SnapshotEvidence',
    ccf: 'accepts',
    write: (w) => {
      const digest = sha256Text('snapshot');
      const row = { hash: digest.toString('hex'), version: w.next };
      w.transaction([jsonTable(EVIDENCE, row)], { claimsDigest: digest });
    },
  },
  {
    name: 'an entry of a former release',
    reason: 'EntryType',
    ccf: 'accepts',
    write: (w) => w.append(formerEntry(w)),
  },
  {
    name: 'an entry of a former release, where that is allowed',
    reason: 'good',
    ccf: 'accepts',
    deprecated: true,
    write: (w) => w.append(formerEntry(w)),
  },
];

async function recovered(
  writer: LedgerWriter,
  changes: Parameters<typeof recovery>[2],
): Promise<void> {
  writer.transaction([rows]);
  const { root } = writer;
  await writer.sign({ flags: 1 });
  const heir = await makeService();
  writer.view += 2;
  writer.transaction(recovery(heir, root, changes), { flags: 2 });
  // From here on the new service and its node sign.
  Object.assign(writer.keys, heir);
  await writer.sign();
}

/** An entry of type 0: no claims, no evidence. */
function formerEntry(writer: LedgerWriter): Buffer {
  const publicDomain = Buffer.alloc(17);
  publicDomain.writeUInt32LE(writer.next, 1);
  return sealEntry({
    secret: ledgerSecretOf(writer.secretBytes),
    view: writer.view,
    seqno: writer.next,
    flags: 0,
    publicDomain: Buffer.concat([publicDomain, encodeMaps([rows])]),
    privateMaps: [],
  });
}

/** Swaps the rows `a` and `b` of the one table that begins at `at`. */
function swapRowsIn(bytes: Buffer, at: number, name: string): void {
  const first = at + 8 + name.length + 24;
  const row = 8 + 1 + 8 + 1;
  const copy = Buffer.from(bytes.subarray(first, first + 2 * row));
  copy.copy(bytes, first, row, 2 * row);
  copy.copy(bytes, first + row, 0, row);
}

function swapRows(maps: Buffer, name: string): Buffer {
  swapRowsIn(maps, 0, name);
  return maps;
}

/** Seals a private domain that `encodeMaps` would not make. */
function sealPlain(writer: LedgerWriter, plaintext: Buffer): void {
  writer.transaction([], { privateMaps: [sealedRows] });
  const chunk = writer.chunks.at(-1);
  const entry = chunk?.entries.at(-1);
  if (entry === undefined) throw new Error('an entry was written');
  writer.replaceLast(resealed(entry, writer.secretBytes, plaintext));
}

function resealed(entry: Buffer, secretBytes: Uint8Array, plaintext: Buffer): Buffer {
  const { key } = ledgerSecretOf(secretBytes);
  const publicEnd = 44 + entry.readUInt32LE(36);
  const whole = Buffer.concat([entry.subarray(0, publicEnd), plaintext]);
  whole.writeUIntLE(whole.length - 8, 2, 6);
  const sealed = sealGcm(key, whole.subarray(24, 36), whole.subarray(44, publicEnd), plaintext);
  whole.set(sealed.tag, 8);
  whole.set(sealed.ciphertext, publicEnd);
  return whole;
}

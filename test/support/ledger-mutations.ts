// Single changes to a ledger, each of which breaks one rule. They are written against places that
// both the reference ledger and a real CCF ledger have.

import type { Reason } from '../../src/audit/fault.ts';
import { decodeSign1, encodeSign1 } from '../../src/crypto/cose.ts';
import { encodeMaps } from '../../src/kv/write-set.ts';
import { tableOffset } from '../../src/ledger/chunk.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { SINGLETON_KEY } from '../../src/ledger/signature.ts';
import type { LedgerFiles } from './ledger-files.ts';
import { fromHex, VECTORS } from './ledger-vectors.ts';

/** Where in a ledger things are that the changes need. */
export interface Landmarks {
  /** Committed chunks, and the last one. */
  readonly first: string;
  readonly middle: string;
  readonly last: string;
  /** A transaction with a public application table, not the first or last of its chunk. */
  readonly plain: number;
  /** One with sealed tables, neither. */
  readonly sealed: number;
  /** A signature within a chunk, with a node's signature. */
  readonly inner: number;
  /** One signed by the service too. */
  readonly dual: number;
  /** The evidence of a snapshot. */
  readonly evidence: number;
  /** The transaction that opens the service. */
  readonly opening: number;
}

export interface Mutation {
  readonly name: string;
  readonly reason: Reason;
  /** PyPI `ccf` does not look: why. */
  readonly ccfAccepts?: string;
  readonly change: (files: LedgerFiles, at: Landmarks) => void;
}

const SIGNATURES = 'public:ccf.internal.signatures';
const TREE = 'public:ccf.internal.tree';
const EVIDENCE = 'public:ccf.internal.snapshot_evidence';
const SERVICE = 'public:ccf.gov.service.info';
const NODES = 'public:ccf.gov.nodes.info';
const CERTIFICATES = 'public:ccf.gov.nodes.endorsed_certificates';

const flip = (bytes: Buffer, at: number, bit = 1): void => {
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ bit;
};

/** Another digit in the place of one. */
const turn = (text: string, at: number): string =>
  text.slice(0, at) + (text[at] === '1' ? '2' : '1') + text.slice(at + 1);

export const MUTATIONS: readonly Mutation[] = [
  // The folder.
  {
    name: 'the first chunk is gone',
    reason: 'LedgerStart',
    change: (files, { first }) => files.files.delete(first),
  },
  {
    name: 'a chunk in the middle is gone',
    reason: 'ChunkGap',
    change: (files, { middle }) => files.files.delete(middle),
  },
  {
    name: 'a stray file',
    reason: 'StrayFile',
    change: (files) => files.files.set('ledger_1.tmp', Buffer.alloc(8)),
  },
  {
    name: 'every chunk is ignored',
    reason: 'FolderEmpty',
    ccfAccepts: 'to it a folder without chunks is a ledger without transactions',
    change: (files) => {
      for (const name of [...files.files.keys()]) files.rename(name, `${name}.ignored`);
    },
  },
  {
    name: 'a name that overlaps the chunk before',
    reason: 'ChunkOverlap',
    change: (files, { middle }) => {
      const [, start, rest] = /^ledger_(\d+)(.*)$/.exec(middle) ?? [];
      files.rename(middle, `ledger_${Number(start) - 1}${rest}`);
    },
  },
  {
    name: 'a name without an end before the last',
    reason: 'ChunkOpenInside',
    change: (files, { middle }) => files.rename(middle, middle.replace(/-.*$/, '')),
  },
  {
    name: 'a name with another end',
    reason: 'ChunkCount',
    change: (files, { middle, last }) => {
      files.files.delete(last);
      files.rename(
        middle,
        middle.replace(/-(\d+)/, (_, end) => `-${Number(end) + 1}`),
      );
    },
  },
  // The layout of a chunk.
  {
    name: 'a header word beyond the file',
    reason: 'ChunkHeader',
    change: (files, { middle }) => files.file(middle).writeUInt32LE(0x7fff_ffff, 0),
  },
  {
    name: 'a committed chunk without a table',
    reason: 'ChunkIncomplete',
    ccfAccepts:
      'it walks the sizes of a chunk whose first word is zero, whatever its name says',
    change: (files, { middle }) => {
      const bytes = files.file(middle);
      const table = tableOffset(bytes, bytes.length);
      bytes.writeUInt32LE(0, 0);
      files.files.set(middle, bytes.subarray(0, table));
    },
  },
  {
    name: 'an offset in the table beside its entry',
    reason: 'ChunkTable',
    change: (files, { middle }) => {
      const bytes = files.file(middle);
      const at = tableOffset(bytes, bytes.length) + 4;
      bytes.writeUInt32LE(bytes.readUInt32LE(at) + 1, at);
    },
  },
  {
    name: 'a last entry that reaches into the table',
    reason: 'ChunkTorn',
    change: (files, { middle }) => {
      const end = Number(/-(\d+)/.exec(middle)?.[1]);
      const entry = files.entry(end);
      entry.writeUIntLE(entry.length - 8 + 2, 2, 6);
    },
  },
  {
    name: 'a chunk that ends before its signature',
    reason: 'ChunkEnd',
    change: (files, { middle, last }) => {
      files.files.delete(last);
      files.rebuild(middle, (entries) => entries.slice(0, -1));
      files.rename(
        middle,
        middle.replace(/-(\d+)/, (_, end) => `-${Number(end) - 1}`),
      );
    },
    ccfAccepts: 'a ledger may end with anything',
  },
  // The framing of an entry.
  {
    name: 'version 0',
    reason: 'EntryVersion',
    change: (files, { plain }) => files.entry(plain).writeUInt8(0, 0),
  },
  {
    name: 'flag 4',
    reason: 'EntryFlags',
    change: (files, { plain }) => files.entry(plain).writeUInt8(4, 1),
  },
  {
    name: 'a size too small',
    reason: 'EntrySize',
    change: (files, { plain }) => files.entry(plain).writeUIntLE(35, 2, 6),
  },
  {
    name: 'a nonce with another seqno',
    reason: 'EntryPublicSeqno',
    change: (files, { plain }) => flip(files.entry(plain), 24),
  },
  {
    name: 'an entry that is missing',
    reason: 'EntrySeqno',
    change: (files, { plain }) => {
      const { name, index } = files.locate(plain);
      files.rebuild(name, (entries) => entries.toSpliced(index, 1));
      files.rename(
        name,
        name.replace(/-(\d+)/, (_, end) => `-${Number(end) - 1}`),
      );
      for (const other of [...files.files.keys()]) {
        const start = Number(/^ledger_(\d+)/.exec(other)?.[1]);
        if (start > plain) files.files.delete(other);
      }
    },
  },
  {
    name: 'view 1',
    reason: 'EntryView',
    change: (files, { plain }) => files.entry(plain).writeUInt32LE(1, 32),
  },
  {
    name: 'an entry of a later view before an earlier one',
    reason: 'EntryView',
    change: (files, { plain }) => files.entry(plain).writeUInt32LE(3, 32),
  },
  {
    name: 'a snapshot entry',
    reason: 'EntrySnapshot',
    change: (files, { plain }) => {
      const { name, index } = files.locate(plain);
      const snapshot = fromHex(VECTORS.snapshot_entry_seqno8);
      files.rebuild(name, (entries) => entries.with(index, snapshot));
    },
  },
  {
    name: 'a public domain longer than its entry',
    reason: 'EntryPublicLength',
    change: (files, { plain }) => files.entry(plain).writeUInt32LE(0xffff, 36),
  },
  {
    name: 'type 5',
    reason: 'EntryType',
    change: (files, { plain }) => files.entry(plain).writeUInt8(5, 44),
  },
  {
    name: 'another seqno in the public domain',
    reason: 'EntryPublicSeqno',
    change: (files, { plain }) => flip(files.entry(plain), 45),
  },
  {
    name: 'a max_conflict_version',
    reason: 'EntryConflictVersion',
    change: (files, { plain }) => files.entry(plain).writeUInt8(1, 44 + 73),
  },
  {
    name: 'a flag that ends the chunk on a transaction',
    reason: 'FlagAfterUnsigned',
    change: (files, { plain }) => files.entry(plain).writeUInt8(1, 1),
  },
  {
    name: 'a flag that ends the chunk within it',
    reason: 'FlagAfterInside',
    change: (files, { inner }) => files.entry(inner).writeUInt8(1, 1),
  },
  {
    name: 'a flag that begins a chunk within it',
    reason: 'FlagBeforeInside',
    change: (files, { plain }) => files.entry(plain).writeUInt8(2, 1),
  },
  // Write sets.
  {
    name: 'a name length beyond the domain',
    reason: 'WriteSet',
    change: (files, { plain }) => files.entry(plain).writeUInt32LE(0xffff, 44 + 81),
  },
  {
    name: 'tables out of order',
    reason: 'MapOrder',
    change: (files) =>
      files.remap(1, (maps) => Buffer.concat(maps.reverse().map((map) => encodeMaps([map])))),
  },
  {
    name: 'a private name in the public domain',
    reason: 'MapDomain',
    change: (files, { plain }) => files.replace(plain, 'public:', 'pubLic:'),
  },
  {
    name: 'a reserved name',
    reason: 'MapReserved',
    change: (files, { evidence }) => files.replace(evidence, 'ccf.internal.', 'ccf.external.'),
  },
  {
    name: 'an entry that writes nothing',
    reason: 'EntryEmpty',
    change: (files, { evidence }) => files.remap(evidence, () => Buffer.alloc(0)),
  },
  // What a signature covers.
  {
    name: 'another value in a public table',
    reason: 'RawRoot',
    change: (files, { plain }) => flip(files.entry(plain), 44 + 81 + 8 + 14 + 24 + 8, 0x01),
  },
  {
    name: 'another byte of a seal',
    reason: 'RawRoot',
    change: (files, { sealed }) => flip(files.entry(sealed), 8),
  },
  {
    name: 'another byte of a private domain',
    reason: 'RawRoot',
    change: (files, { sealed }) => flip(files.entry(sealed), -1),
  },
  {
    name: 'other claims',
    reason: 'RawRoot',
    change: (files, { plain }) => flip(files.entry(plain), 44 + 9),
  },
  {
    name: 'other commit evidence',
    reason: 'RawRoot',
    change: (files, { plain }) => flip(files.entry(plain), 44 + 41),
  },
  // Signature transactions.
  {
    name: 'a signature transaction that writes something else',
    reason: 'SignatureTables',
    change: (files, { inner }) => files.replace(inner, TREE, TREE.replace('tree', 'trex')),
  },
  {
    name: 'a signature row that is not JSON',
    reason: 'SignatureRow',
    change: (files, { inner }) => files.replace(inner, '{"cert":', '{"cert"!'),
  },
  {
    name: 'a signature with claims',
    reason: 'SignatureClaims',
    change: (files, { inner }) => flip(files.entry(inner), 44 + 9),
  },
  {
    name: 'a signature without its tree',
    reason: 'TreeMissing',
    change: (files, { inner }) =>
      files.remap(inner, (maps) => encodeMaps(maps.filter((map) => map.name !== TREE))),
  },
  {
    name: 'another leaf in the tree of a signature',
    reason: 'TreeRow',
    change: (files, { dual }) => flip(files.entry(dual), -20),
  },
  {
    name: 'a raw signature of another transaction',
    reason: 'RawTxId',
    change: (files, { inner }) =>
      files.refield(inner, SIGNATURES, (row) => Object.assign(row, { seqno: inner + 1 })),
  },
  {
    name: 'a raw signature over another root',
    reason: 'RawRoot',
    change: (files, { inner }) =>
      files.refield(inner, SIGNATURES, (row) =>
        Object.assign(row, { root: turn(String(row.root), 0) }),
      ),
  },
  {
    name: 'a raw signature by an unknown node',
    reason: 'RawNode',
    change: (files, { inner }) =>
      files.refield(inner, SIGNATURES, (row) => Object.assign(row, { node: 'ab'.repeat(32) })),
  },
  {
    name: 'a raw signature with another certificate',
    reason: 'RawCertificate',
    change: (files, { inner }) =>
      files.refield(inner, SIGNATURES, (row) => {
        return Object.assign(row, { cert: serviceCertificateOf(files) });
      }),
  },
  {
    name: 'another raw signature',
    reason: 'RawSignature',
    change: (files, { inner }) =>
      files.refield(inner, SIGNATURES, (row) => {
        const sig = Buffer.from(String(row.sig), 'base64');
        flip(sig, -1);
        return Object.assign(row, { sig: sig.toString('base64') });
      }),
  },
  {
    name: 'a COSE signature without its tag',
    reason: 'CoseForm',
    change: (files, { dual }) => files.recose(dual, (bytes) => bytes.subarray(1)),
  },
  {
    name: 'a COSE signature with its payload in it',
    reason: 'CosePayload',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) =>
        encodeSign1({ ...decodeSign1(bytes), payload: new Uint8Array(32) }),
      ),
  },
  {
    name: 'a COSE signature with something unprotected',
    reason: 'CoseUnprotected',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) =>
        encodeSign1({ ...decodeSign1(bytes), unprotected: new Map([[1, 1]]) }),
      ),
  },
  {
    name: "a COSE signature whose algorithm is another curve's",
    reason: 'CoseAlgorithm',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        const at = bytes.indexOf(Buffer.of(0x01, 0x38, 0x22));
        bytes.writeUInt8(0x23, at + 2);
        return bytes;
      }),
  },
  {
    name: 'a COSE signature that names another key',
    reason: 'CoseKeyId',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        const at = bytes.indexOf(Buffer.of(0x04, 0x58, 0x40)) + 3;
        bytes.write(bytes[at] === 0x30 ? '1' : '0', at, 'latin1');
        return bytes;
      }),
  },
  {
    name: 'a COSE signature over another structure',
    reason: 'CoseStructure',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        bytes.writeUInt8(1, bytes.indexOf(Buffer.of(0x19, 0x01, 0x8b)) + 3);
        return bytes;
      }),
  },
  {
    name: 'a COSE signature that does not say when it was made',
    reason: 'CoseClaims',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        bytes.writeUInt8(7, bytes.indexOf(Buffer.of(0x0f, 0xa3, 0x06)) + 2);
        return bytes;
      }),
  },
  {
    name: 'a COSE signature of another transaction',
    reason: 'CoseTxId',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        bytes.write('3', bytes.indexOf('txid') + 5, 'latin1');
        return bytes;
      }),
  },
  {
    name: 'another COSE signature',
    reason: 'CoseSignature',
    change: (files, { dual }) =>
      files.recose(dual, (bytes) => {
        flip(bytes, -1);
        return bytes;
      }),
  },
  // Nodes, service, evidence.
  {
    name: 'a node row that is not JSON',
    reason: 'NodeRow',
    change: (files) => files.replace(1, '"status":"Trusted"', '"status";"Trusted"'),
  },
  {
    name: 'a node of an unknown status',
    reason: 'NodeStatus',
    change: (files) => files.replace(1, '"status":"Trusted"', '"status":"Truster"'),
  },
  {
    name: 'a signature by a pending node',
    reason: 'RawNode',
    change: (files) => files.replace(1, '"status":"Trusted"', '"status":"Pending"'),
  },
  {
    name: 'a certificate for a node that is unknown',
    reason: 'NodeUnknown',
    change: (files) => rekey(files, NODES),
  },
  {
    name: "a certificate that holds another node's key",
    reason: 'NodeCertificateKey',
    change: (files) => rekey(files, CERTIFICATES),
  },
  {
    name: 'a node certificate that cannot be read',
    reason: 'NodeCertificate',
    change: (files) => certificateOf(files, (pem) => pem.replace('BEGIN', 'BEGUN')),
  },
  {
    name: 'a node certificate that the service did not sign',
    reason: 'NodeEndorsement',
    change: (files) =>
      certificateOf(files, (pem) => {
        const der = Buffer.from(pem.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
        flip(der, -1);
        const lines = der.toString('base64').replace(/(.{64})/g, '$1\n');
        return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
      }),
  },
  {
    name: 'a service row that is not JSON',
    reason: 'ServiceRow',
    change: (files) => files.rerow(1, SERVICE, (row) => row.slice(1)),
  },
  {
    name: 'a service of an unknown status',
    reason: 'ServiceStatus',
    change: (files) =>
      files.refield(1, SERVICE, (row) => Object.assign(row, { status: 'New' })),
  },
  {
    name: 'a service that is recovered before it was open',
    reason: 'ServiceTransition',
    change: (files, { opening }) =>
      files.refield(opening, SERVICE, (row) => Object.assign(row, { status: 'Recovering' })),
  },
  {
    name: 'a service certificate that cannot be read',
    reason: 'ServiceCertificate',
    change: (files) => files.refield(1, SERVICE, (row) => Object.assign(row, { cert: 'none' })),
  },
  {
    name: 'evidence of another snapshot than claimed',
    reason: 'SnapshotEvidence',
    change: (files, { evidence }) =>
      files.refield(evidence, EVIDENCE, (row) =>
        Object.assign(row, { hash: turn(String(row.hash), 5) }),
      ),
  },
  {
    name: 'only transactions that nobody signed',
    reason: 'NoSignature',
    ccfAccepts: 'it verifies what is signed, be it nothing',
    change: (files, { first }) => {
      const [entry] = [files.entry(1)];
      const bytes = Buffer.concat([Buffer.alloc(8), entry]);
      files.files.clear();
      files.files.set('ledger_1', bytes);
      if (first === '') throw new Error('a ledger has a first chunk');
    },
  },
];

function serviceCertificateOf(files: LedgerFiles): string {
  const map = parseEntry(files.entry(1)).publicMaps.find(({ name }) => name === SERVICE);
  return JSON.parse(Buffer.from(map?.writes.get(SINGLETON_KEY) ?? '').toString()).cert;
}

function rekey(files: LedgerFiles, table: string): void {
  files.remap(1, (maps) =>
    encodeMaps(
      maps.map((map) => {
        const [value] = map.writes.values();
        if (map.name !== table || value === undefined) return map;
        return { ...map, writes: new Map([['ab'.repeat(32), value]]) };
      }),
    ),
  );
}

function certificateOf(files: LedgerFiles, change: (pem: string) => string): void {
  files.remap(1, (maps) =>
    encodeMaps(
      maps.map((map) => {
        const [row] = map.writes;
        if (map.name !== CERTIFICATES || row === undefined) return map;
        const [id, pem] = row;
        const changed = Buffer.from(change(Buffer.from(pem).toString()));
        return { ...map, writes: new Map([[id, changed]]) };
      }),
    ),
  );
}

// Writes small ledgers that are right, or wrong in exactly one respect: whatever is changed, all
// that follows (leaf, tree, signatures) is made to fit, as somebody with the keys could.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endorsedCertificate, serviceCertificate } from '../../src/crypto/certificates.ts';
import {
  ledgerSignature,
  ledgerSignatureHeader,
  signatureStructure,
} from '../../src/crypto/cose.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { SigningKey } from '../../src/crypto/keys.ts';
import { encodePositions, formatChunkName } from '../../src/ledger/chunk.ts';
import {
  type MapWrites,
  NO_CLAIMS,
  parseEntry,
  sealTransaction,
} from '../../src/ledger/entry.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { type LedgerSecret, ledgerSecretOf } from '../../src/ledger/secret.ts';
import { type RawSignature, SINGLETON_KEY, signatureMaps } from '../../src/ledger/signature.ts';

const VALIDITY = { fromMs: Date.UTC(2026, 0, 1), days: 3650 };

export interface ServiceKeys {
  readonly serviceKey: SigningKey;
  readonly serviceCert: string;
  readonly nodeKey: SigningKey;
  readonly nodeCert: string;
  readonly nodeId: string;
}

/** The keys and certificates of a service with one node. */
export async function makeService(curve: 'P-256' | 'P-384' = 'P-384'): Promise<ServiceKeys> {
  const serviceKey = SigningKey.generate(curve);
  const serviceCert = await serviceCertificate(serviceKey, 'CN=Test Service', VALIDITY);
  return { serviceKey, serviceCert, ...(await makeNode(serviceKey, serviceCert)) };
}

/** A node that this service endorses. */
export async function makeNode(
  serviceKey: SigningKey,
  serviceCert: string,
): Promise<Pick<ServiceKeys, 'nodeKey' | 'nodeCert' | 'nodeId'>> {
  const nodeKey = SigningKey.generate('P-256');
  const nodeCert = await endorsedCertificate(
    nodeKey.publicKeyDer,
    'CN=Test Node',
    ['127.0.0.1'],
    VALIDITY,
    { key: serviceKey, certificatePem: serviceCert },
  );
  return { nodeKey, nodeCert, nodeId: nodeKey.fingerprint };
}

/** Rows of one table, from text. */
export function table(
  name: string,
  rows: Readonly<Record<string, string | Uint8Array>>,
  removes: readonly string[] = [],
): MapWrites {
  const writes = new Map(
    Object.entries(rows).map(([key, value]) => [
      key,
      typeof value === 'string' ? Buffer.from(value) : value,
    ]),
  );
  return { name, writes, removes: new Set(removes) };
}

/** The row of a table that has one, as JSON. */
export function jsonTable(name: string, value: unknown): MapWrites {
  return table(name, { [SINGLETON_KEY]: JSON.stringify(value) });
}

export interface EntryChanges {
  readonly flags?: number;
  readonly view?: number;
  readonly seqno?: number;
  readonly claimsDigest?: Uint8Array;
  readonly privateMaps?: readonly MapWrites[];
  readonly secret?: LedgerSecret;
  /** Changes the sealed bytes; the leaf is made of what comes out. */
  readonly bytes?: (entry: Buffer) => void;
}

export interface SignatureChanges extends EntryChanges {
  readonly kind?: 'raw' | 'cose' | 'dual';
  readonly raw?: Partial<RawSignature>;
  /** Changes the tree's row, or leaves it out. */
  readonly tree?: (row: Buffer) => Uint8Array | undefined;
  readonly cose?: (signature: Uint8Array) => Uint8Array;
  readonly coseTxId?: string;
  readonly coseKey?: SigningKey;
  readonly extra?: readonly MapWrites[];
}

export class LedgerWriter {
  readonly keys: ServiceKeys;
  readonly secretBytes: Uint8Array;
  readonly chunks: { start: number; entries: Buffer[]; closed: boolean }[] = [];
  view = 2;
  private readonly secret: LedgerSecret;
  private readonly tree = new MerkleTree();
  private signedAt = 0;

  constructor(keys: ServiceKeys, secretBytes: Uint8Array = sha256Text('ledger secret')) {
    this.keys = keys;
    this.secretBytes = secretBytes;
    this.secret = ledgerSecretOf(secretBytes);
  }

  /** The seqno that comes next. */
  get next(): number {
    return this.tree.size;
  }

  get root(): Uint8Array {
    return this.tree.root();
  }

  transaction(publicMaps: readonly MapWrites[], changes: EntryChanges = {}): void {
    const { bytes } = sealTransaction({
      secret: changes.secret ?? this.secret,
      view: changes.view ?? this.view,
      seqno: changes.seqno ?? this.next,
      flags: changes.flags ?? 0,
      claimsDigest: changes.claimsDigest ?? NO_CLAIMS,
      publicMaps,
      privateMaps: changes.privateMaps ?? [],
    });
    changes.bytes?.(bytes);
    this.append(bytes);
  }

  /** Appends an entry as it is. */
  append(bytes: Buffer): void {
    let chunk = this.chunks.at(-1);
    if (chunk === undefined || chunk.closed) {
      chunk = { start: this.next, entries: [], closed: false };
      this.chunks.push(chunk);
    }
    chunk.entries.push(bytes);
    this.tree.append(leafOf(bytes));
  }

  /** Puts another entry in the place of the last one. */
  replaceLast(bytes: Buffer): void {
    this.chunks.at(-1)?.entries.pop();
    this.tree.truncate(this.tree.size - 1);
    this.append(bytes);
  }

  /** Signs everything so far; `flags: 1` closes the chunk. */
  async sign(changes: SignatureChanges = {}): Promise<void> {
    const { keys, next: seqno } = this;
    const view = changes.view ?? this.view;
    const children = this.tree.rootChildren();
    if (children === undefined) throw new Error('there is something to sign');
    const kind = changes.kind ?? 'dual';
    const raw = {
      cert: keys.nodeCert,
      node: keys.nodeId,
      root: this.tree.root(),
      view,
      seqno,
      sig: keys.nodeKey.signSha256Der(Buffer.concat([children.left, children.right])),
      ...changes.raw,
    };
    const cose = kind === 'raw' ? undefined : await this.coseSignature(seqno, view, changes);
    this.tree.flushTo(this.signedAt);
    const row = this.tree.serialise();
    const tree = changes.tree === undefined ? row : changes.tree(row);
    const maps = signatureMaps({
      ...(kind === 'cose' ? {} : { raw }),
      ...(cose === undefined ? {} : { cose: changes.cose?.(cose) ?? cose }),
      ...(tree === undefined ? {} : { tree }),
    });
    this.transaction([...maps, ...(changes.extra ?? [])], changes);
    this.signedAt = seqno;
    if (((changes.flags ?? 0) & 1) === 1) this.closeChunk();
  }

  private async coseSignature(
    seqno: number,
    view: number,
    changes: SignatureChanges,
  ): Promise<Uint8Array> {
    const key = changes.coseKey ?? this.keys.serviceKey;
    const header = ledgerSignatureHeader({
      algorithm: key.algorithm,
      keyFingerprint: this.keys.serviceKey.fingerprint,
      issuedAt: 1_800_000_000,
      issuer: 'test',
      subject: 'ledger',
      txId: changes.coseTxId ?? `${view}.${seqno}`,
    });
    return ledgerSignature(
      header,
      await key.sign(signatureStructure(header, this.tree.root())),
    );
  }

  closeChunk(): void {
    const chunk = this.chunks.at(-1);
    if (chunk !== undefined) chunk.closed = true;
  }

  /** The rows that make a service: the write set of the first transaction. */
  genesis(): MapWrites[] {
    const { keys } = this;
    return [
      table(NODES, { [keys.nodeId]: JSON.stringify({ status: 'Trusted' }) }),
      table(NODE_CERTIFICATES, { [keys.nodeId]: keys.nodeCert }),
      this.service('Opening'),
    ];
  }

  service(status: string): MapWrites {
    return jsonTable(SERVICE, { cert: this.keys.serviceCert, status });
  }

  /** 2.1 to 2.4: created, signed, opened, signed; the first chunk is closed. */
  async open(): Promise<this> {
    this.transaction(this.genesis());
    await this.sign();
    this.transaction([this.service('Open')]);
    await this.sign({ flags: 1 });
    return this;
  }

  /** Writes the chunk files. */
  write(folder: string): string {
    mkdirSync(folder, { recursive: true });
    for (const { start, entries, closed } of this.chunks) {
      const end = start + entries.length - 1;
      const range = closed ? { end } : {};
      const name = formatChunkName({ start, ...range, committed: closed });
      writeFileSync(join(folder, name), chunkBytes(entries, closed));
    }
    return folder;
  }
}

export const NODES = 'public:ccf.gov.nodes.info';
export const NODE_CERTIFICATES = 'public:ccf.gov.nodes.endorsed_certificates';
export const SERVICE = 'public:ccf.gov.service.info';

/** A chunk file's bytes. */
export function chunkBytes(entries: readonly Buffer[], closed: boolean): Buffer {
  const positions: number[] = [];
  let at = 8;
  for (const entry of entries) {
    positions.push(at);
    at += entry.length;
  }
  const header = Buffer.alloc(8);
  if (closed) header.writeUInt32LE(at, 0);
  return Buffer.concat([header, ...entries, ...(closed ? [encodePositions(positions)] : [])]);
}

/** The leaf of whatever was made of an entry; a stand-in for what has none. */
function leafOf(bytes: Buffer): Uint8Array {
  try {
    return parseEntry(bytes).leaf();
  } catch {
    return sha256Text('no entry');
  }
}

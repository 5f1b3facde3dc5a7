// A service that is joined, without sockets: nodes that answer by functions, and a ledger with true
// signatures.

import { base64Of, textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, type TxId } from '../../src/base/ids.ts';
import { endorseRequest, readCertificateRequest } from '../../src/crypto/endorsement.ts';
import { sha256, sha256Hex, sha256Text } from '../../src/crypto/hash.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { pemOf } from '../../src/crypto/pem.ts';
import type { JoinRequestBody } from '../../src/http/join-wire.ts';
import { parseChunkName } from '../../src/ledger/chunk.ts';
import type { TxStatus } from '../../src/ledger/view-history.ts';
import {
  type JoinReply,
  type JoinSource,
  type JoinSources,
  type OfferedDownload,
  unreachable,
} from '../../src/node/joining/join-source.ts';
import { chunkBytes, LedgerWriter, type ServiceKeys, table } from '../support/ledger-writer.ts';

export type Files = Map<string, Buffer>;

/** The chunk files of a ledger, as a node would offer them. */
export function closedChunks({ chunks }: LedgerWriter): Files {
  const closed = chunks.filter((chunk) => chunk.closed);
  return new Map(
    closed.map(({ start, entries }) => [
      `ledger_${start}-${start + entries.length - 1}.committed`,
      chunkBytes(entries, true),
    ]),
  );
}

/** A ledger of a service with so many closed chunks and one that is open. */
export async function writeLedger(
  keys: ServiceKeys,
  chunkCount: number,
): Promise<LedgerWriter> {
  const writer = await new LedgerWriter(keys).open();
  for (let chunk = 1; chunk < chunkCount; chunk += 1) {
    for (let each = 0; each < 3; each += 1) {
      writer.transaction([table('public:records', { key: `${chunk} ${each}` })], {
        privateMaps: [table('records', { key: `${chunk} ${each}` })],
      });
      if (each === 1) await writer.sign({ kind: 'raw' });
    }
    await writer.sign({ flags: 1 });
  }
  writer.transaction([table('public:records', { key: 'not closed' })]);
  return writer;
}

/** One node, and what a test may turn on it. */
export class FakeNode implements JoinSource {
  readonly address: string;
  files: Files;
  snapshots: Files = new Map();
  /** Bytes that it serves before it falls silent, once. */
  servesBytes = Number.POSITIVE_INFINITY;
  isSilent = false;
  others: readonly string[] = [];
  /** What it is asked, in order. */
  readonly calls: string[] = [];
  status: (txId: TxId) => TxStatus = () => 'Committed';
  /** Asked in order; the last one for ever. */
  replies: ((body: JoinRequestBody) => Promise<JoinReply> | JoinReply)[] = [];
  /** Changes what is offered. */
  offers: (download: OfferedDownload) => OfferedDownload = (download) => download;

  constructor(address: string, files: Files) {
    this.address = address;
    this.files = new Map(files);
  }

  async join(body: Uint8Array): Promise<JoinReply> {
    this.#answer('join');
    const [reply] = this.replies.length > 1 ? this.replies.splice(0, 1) : this.replies;
    if (reply === undefined) throw unreachable(this.address, 'it lets nobody in');
    return await reply(JSON.parse(textOf(body)) as JoinRequestBody);
  }

  async addresses(): Promise<readonly string[]> {
    this.#answer('addresses');
    return this.others;
  }

  async statusOf(txId: TxId): Promise<TxStatus> {
    this.#answer(`status of ${txId.view}.${txId.seqno}`);
    return this.status(txId);
  }

  async newestSnapshot(): Promise<OfferedDownload | undefined> {
    this.#answer('snapshot');
    const [name] = this.snapshots.keys();
    return name === undefined ? undefined : this.#offer(name, this.snapshots);
  }

  async chunkWith(seqno: number): Promise<OfferedDownload | undefined> {
    this.#answer(`chunk with ${seqno}`);
    for (const name of this.files.keys()) {
      const { start = 0, end = 0 } = parseChunkName(name) ?? {};
      if (start <= seqno && seqno <= end) return this.#offer(name, this.files);
    }
    return undefined;
  }

  #offer(name: string, files: Files): OfferedDownload {
    const bytes = files.get(name) ?? Buffer.alloc(0);
    return this.offers({
      name,
      bytes: bytes.length,
      sha256: sha256(bytes),
      read: async (from, to) => {
        this.#answer(`${name} ${from}`);
        this.servesBytes -= to - from;
        if (this.servesBytes < 0) {
          this.servesBytes = Number.POSITIVE_INFINITY;
          throw unreachable(this.address, 'the line broke');
        }
        return bytes.subarray(from, to);
      },
    });
  }

  #answer(call: string): void {
    this.calls.push(call);
    if (this.isSilent) throw unreachable(this.address, 'it is silent');
  }
}

export class FakeService implements JoinSources {
  readonly keys: ServiceKeys;
  readonly nodes = new Map<string, FakeNode>();
  isClosed = false;

  constructor(keys: ServiceKeys) {
    this.keys = keys;
  }

  node(address: string, files: Files): FakeNode {
    const node = new FakeNode(address, files);
    this.nodes.set(address, node);
    return node;
  }

  at(address: string): JoinSource {
    const node = this.nodes.get(address);
    if (node !== undefined) return node;
    const nobody = new FakeNode(address, new Map());
    nobody.isSilent = true;
    return nobody;
  }

  close(): void {
    this.isClosed = true;
  }

  /** A reply that tells the joiner to wait. */
  readonly pending = (body: JoinRequestBody): JoinReply =>
    answer({ node_id: nodeIdOf(body), node_status: 'Pending' });

  /** One that lets it in. */
  readonly trusted = async (body: JoinRequestBody): Promise<JoinReply> =>
    answer(await this.welcome(body));

  async welcome(body: JoinRequestBody, secret = sha256Text('ledger secret')): Promise<object> {
    const { serviceKey, serviceCert } = this.keys;
    const validity = { fromMs: Date.UTC(2026, 0, 1), days: 3650 };
    const issuer = { key: serviceKey, certificatePem: serviceCert };
    const request = body.certificate_signing_request ?? '';
    return {
      node_id: nodeIdOf(body),
      node_status: 'Trusted',
      network_info: {
        public_only: false,
        last_recovered_signed_idx: 0,
        ledger_secrets: { 1: { raw_key: base64Of(secret), concordat_view: 2 } },
        identity: { cert: serviceCert, priv_key: pemOf('PRIVATE KEY', serviceKey.pkcs8()) },
        service_status: 'Open',
        endorsed_certificate: await endorseRequest(systemKeys, request, validity, issuer),
        cose_signatures_config: { issuer: 'us', subject: 'ledger' },
        concordat_nodes: [
          { node_id: nodeIdOf(body), address: '127.0.0.1:7009' },
          { node_id: 'ab'.repeat(32), address: '127.0.0.1:7001', service_address: 'a:1' },
        ],
      },
    };
  }
}

export function answer(body: object): JoinReply {
  return { kind: 'answer', body: utf8(JSON.stringify(body)) };
}

export function nodeIdOf(body: JoinRequestBody): string {
  return sha256Hex(readCertificateRequest(body.certificate_signing_request ?? '').publicKeyDer);
}

/** The seqno after the last closed chunk. */
export function endOf(files: Files): number {
  return seqnoOf(
    Math.max(0, ...[...files.keys()].map((name) => parseChunkName(name)?.end ?? 0)),
  );
}

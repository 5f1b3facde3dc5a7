// Downloads: what `/node/snapshot` and `/node/ledger-chunk` answer, header by header, and that no
// name leads anywhere but to what is offered.

import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DigestName, OfferedFile } from '../../src/apps/interface.ts';
import { NO_BYTES, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { jsonRow, NODE_INFO } from '../../src/governance/tables.ts';
import type { NodeFiles } from '../../src/http/backend.ts';
import { byteRangeOf } from '../../src/http/byte-range.ts';
import { wantedDigest } from '../../src/http/file-digests.ts';
import { fileEndpoints, OPERATOR_FEATURES } from '../../src/http/file-endpoints.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';
import { withSeeds } from '../support/seeded-random.ts';
import { askOnce, codeOf, jsonOf, RawClient, type Reply } from './client.ts';
import { type House, openHouse } from './house.ts';

const SNAPSHOT = Buffer.from(Array.from({ length: 1000 }, (_, at) => (at * 7) % 251));
const CHUNK = Buffer.alloc(700_000, 'chunk of a ledger ');
const SNAPSHOT_NAME = 'snapshot_92_103.committed';
const CHUNK_NAME = 'ledger_11-40.committed';
const HASHES = { 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' } as const;

/** Files in memory; `opened` and `closed` count readers. */
class Files implements NodeFiles {
  snapshot: { name: string; seqno: number } | undefined = { name: SNAPSHOT_NAME, seqno: 92 };
  firstSeqno = 11;
  opened = 0;
  closed = 0;
  /** Bytes after which a read fails. */
  failsAfter = Number.POSITIVE_INFINITY;
  readonly asked: string[] = [];

  newestSnapshot(): { name: string; seqno: number } | undefined {
    return this.snapshot;
  }

  chunkWith(seqno: number): string | undefined {
    return seqno >= 11 && seqno <= 40 ? CHUNK_NAME : undefined;
  }

  async look({ folder, name, digests }: Parameters<NodeFiles['look']>[0]) {
    this.asked.push(name);
    const all = { snapshots: [SNAPSHOT_NAME, SNAPSHOT], ledger: [CHUNK_NAME, CHUNK] } as const;
    const [known, bytes] = all[folder];
    return name === known ? this.#offer(bytes, digests) : undefined;
  }

  #offer(bytes: Buffer, digests: readonly DigestName[]): OfferedFile {
    return {
      bytes: bytes.length,
      digests: new Map(digests.map((name) => [name, hash(name, bytes)])),
      part: (from, to) => ({ bytes: to - from, pieces: () => this.#pieces(bytes, from, to) }),
    };
  }

  async *#pieces(bytes: Buffer, from: number, to: number): AsyncGenerator<Uint8Array> {
    this.opened += 1;
    try {
      for (let at = from; at < to; at += 50_000) {
        if (at - from >= this.failsAfter) throw new Error('EIO');
        yield bytes.subarray(at, Math.min(to, at + 50_000));
      }
    } finally {
      this.closed += 1;
    }
  }
}

function hash(name: DigestName, bytes: Buffer): Buffer {
  return createHash(HASHES[name]).update(bytes).digest();
}

let house: House;
let files: Files;

beforeAll(async () => {
  files = new Files();
  house = await openHouse({}, { files });
});

afterAll(() => house.close());

type Headers = Readonly<Record<string, string>>;

const ask = (method: string, path: string, headers: Headers = {}): Promise<Reply> =>
  askOnce(house, undefined, method, path, { headers });

const SNAPSHOT_PATH = `/node/snapshot/${SNAPSHOT_NAME}`;
const CHUNK_PATH = `/node/ledger-chunk/${CHUNK_NAME}`;

describe('where to go', () => {
  test.each<[path: string, status: number, location: string | RegExp]>([
    ['/node/snapshot', 308, `https://127.0.0.1:8000${SNAPSHOT_PATH}`],
    ['/node/snapshot?since=50', 308, `https://127.0.0.1:8000${SNAPSHOT_PATH}`],
    ['/node/snapshot?since=91', 308, `https://127.0.0.1:8000${SNAPSHOT_PATH}`],
    ['/node/snapshot?since=92', 404, 'ResourceNotFound'],
    ['/node/snapshot?since=999999', 404, 'ResourceNotFound'],
    ['/node/snapshot?since=x', 400, 'InvalidQueryParameterValue'],
    ['/node/snapshot?since=-1', 400, 'InvalidQueryParameterValue'],
    ['/node/ledger-chunk?since=11', 308, `https://127.0.0.1:8000${CHUNK_PATH}`],
    ['/node/ledger-chunk?since=40', 308, `https://127.0.0.1:8000${CHUNK_PATH}`],
    ['/node/ledger-chunk?since=41', 404, 'ResourceNotFound'],
    ['/node/ledger-chunk?since=10', 404, 'ResourceNotFound'],
    ['/node/ledger-chunk?since=0', 400, 'InvalidQueryParameterValue'],
    ['/node/ledger-chunk?since=', 400, 'InvalidQueryParameterValue'],
    ['/node/ledger-chunk', 400, 'InvalidQueryParameterValue'],
  ])('%s: %i', async (path, status, what) => {
    const reply = await ask('GET', path);
    expect(reply.status).toBe(status);
    expect(status === 308 ? reply.headers.get('location') : codeOf(reply)).toBe(what);
    if (status === 308) expect(reply.headers.get('content-length')).toBe('0');
    const head = await ask('HEAD', path);
    expect(head.status).toBe(status);
    expect(head.headers.get('location')).toBe(reply.headers.get('location'));
  });

  test('CCF says in these words that there is no newer snapshot', async () => {
    expect(jsonOf(await ask('GET', '/node/snapshot?since=999999'))).toEqual({
      error: {
        code: 'ResourceNotFound',
        message: 'This node has no committed snapshots since 999999',
      },
    });
  });

  test('a backup that does not know where its primary is answers for itself', async () => {
    house.service.role = 'backup';
    try {
      const reply = await ask('GET', '/node/snapshot');
      expect(reply.status).toBe(308);
      expect(reply.headers.get('location')).toContain(SNAPSHOT_NAME);
    } finally {
      house.service.role = 'primary';
    }
  });
});

describe('with other nodes', () => {
  const ids = ['aa', 'bb', 'cc'].map((two) => two.repeat(32));
  const [, own = '', third = ''] = ids;
  const urlOfNode = (id: string): string => `https://node-${id.slice(0, 2)}:8000`;

  /** Node bb of three, with the endpoints of a node that has entries from 11 on. */
  function where(
    verb: 'GET' | 'HEAD',
    path: string,
    query: string,
    primaryId: string,
  ): unknown {
    const store = new Store([]);
    const tx = new StoreTransaction(store, 'service');
    for (const id of ids) {
      const published_address = urlOfNode(id).slice('https://'.length);
      const rpc_interfaces = { main: { bind_address: '0.0.0.0:8000', published_address } };
      tx.table(NODE_INFO).put(utf8(id), jsonRow({ status: 'Trusted', rpc_interfaces }));
    }
    store.apply(seqnoOf(1), tx.writeSet());
    const backend = Object.assign(Object.create(house.service) as typeof house.service, {
      files,
      node: () => ({ ...house.service.node(), nodeId: own, primaryId }),
    });
    const endpoint = fileEndpoints(backend, OPERATOR_FEATURES).find(
      (one) => one.verb === verb && one.path === path,
    );
    const request = { verb, path, query, params: {}, body: NO_BYTES, header: () => undefined };
    const step = endpoint?.handle({ ...request, caller: { policy: 'no_auth' } }, store.current);
    if (step?.kind !== 'answer') throw new Error('no answer');
    return step.response.headers?.location ?? step.response.status;
  }

  test.each<[what: string, path: string, query: string, primary: string, expected: unknown]>([
    ['a backup sends to the primary', '/snapshot', '', third, '/node/snapshot'],
    ['and says since when', '/snapshot', 'since=7', third, '/node/snapshot?since=7'],
    ['entries of later', '/ledger-chunk', 'since=41', third, '/node/ledger-chunk?since=41'],
    [
      'entries of before its start',
      '/ledger-chunk',
      'since=3',
      own,
      '/node/ledger-chunk?since=3',
    ],
  ])('%s', (_what, path, query, primary, expected) => {
    for (const verb of ['GET', 'HEAD'] as const) {
      expect(where(verb, path, query, primary)).toBe(`${urlOfNode(third)}${expected}`);
    }
  });

  test('what it has itself, and what the primary does not have', () => {
    expect(where('GET', '/ledger-chunk', 'since=20', third)).toBe(urlOfNode(own) + CHUNK_PATH);
    expect(where('GET', '/snapshot', '', own)).toBe(urlOfNode(own) + SNAPSHOT_PATH);
    expect(where('GET', '/ledger-chunk', 'since=41', own)).toBe(404);
  });
});

describe('a whole file', () => {
  test.each([
    [SNAPSHOT_PATH, SNAPSHOT, 'x-ms-ccf-snapshot-name', SNAPSHOT_NAME],
    [CHUNK_PATH, CHUNK, 'x-ms-ccf-ledger-chunk-name', CHUNK_NAME],
  ])('%s', async (path, bytes, header, name) => {
    const reply = await ask('GET', path);
    expect(reply.status).toBe(200);
    expect(reply.body.equals(bytes)).toBe(true);
    expect(reply.headers.get('content-type')).toBe('application/octet-stream');
    expect(reply.headers.get('accept-ranges')).toBe('bytes');
    expect(reply.headers.get(header)).toBe(name);
    expect(reply.headers.has('content-range')).toBe(false);
    expect(reply.headers.has('x-ms-ccf-transaction-id')).toBe(false);
    const head = await ask('HEAD', path, { range: 'bytes=0-9' });
    expect(head.status).toBe(200);
    expect(head.headers).toEqual(reply.headers);
    expect(files.opened).toBe(files.closed);
  });

  test('many of them on one session, with other requests between', async () => {
    const client = await RawClient.connect(house);
    for (let round = 0; round < 5; round += 1) {
      expect((await client.ask('GET', CHUNK_PATH)).body.equals(CHUNK)).toBe(true);
      expect((await client.ask('GET', '/node/version')).status).toBe(200);
    }
    const get = `GET ${CHUNK_PATH} HTTP/1.1\r\nhost: test\r\n\r\n`;
    client.send(`${get}GET /node/version HTTP/1.1\r\nhost: test\r\n\r\n${get}`);
    expect((await client.reply()).body.equals(CHUNK)).toBe(true);
    expect((await client.reply()).headers.get('content-type')).toBe('application/json');
    expect((await client.reply()).body.equals(CHUNK)).toBe(true);
    client.close();
  });

  test('a client that goes away in the middle leaves no open file', async () => {
    const client = await RawClient.connect(house);
    client.send(`GET ${CHUNK_PATH} HTTP/1.1\r\nhost: test\r\n\r\n`);
    client.socket.once('data', () => client.close());
    await client.closed();
    await expect.poll(() => files.opened - files.closed).toBe(0);
  });

  test('a disk that fails in the middle ends the connection', async () => {
    files.failsAfter = 100_000;
    try {
      await expect(ask('GET', CHUNK_PATH)).rejects.toThrow(/closed before a whole reply/);
    } finally {
      files.failsAfter = Number.POSITIVE_INFINITY;
    }
    expect(files.opened).toBe(files.closed);
    expect((await ask('GET', '/node/version')).status).toBe(200);
  });
});

describe('ranges', () => {
  test.each<[range: string, from: number, to: number]>([
    ['bytes=0-0', 0, 1],
    ['bytes=0-99', 0, 100],
    ['bytes=990-', 990, 1000],
    ['bytes=990-5000', 990, 1000],
    ['bytes=-10', 990, 1000],
    ['bytes=-5000', 0, 1000],
    ['bytes=999-999', 999, 1000],
    ['bytes = 5-6', 5, 7],
  ])('%s is of both ends inclusive', async (range, from, to) => {
    const reply = await ask('GET', SNAPSHOT_PATH, { range });
    expect(reply.status).toBe(206);
    expect(reply.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/1000`);
    expect(reply.headers.get('content-length')).toBe(String(to - from));
    expect(reply.body.equals(SNAPSHOT.subarray(from, to))).toBe(true);
  });

  test.each([
    ['items=0-1', /Only 'bytes'/],
    ['bytes=0-1,5-6', /Multiple/],
    ['bytes', /malformed/],
    ['bytes=', /malformed/],
    ['bytes=-', /malformed/],
    ['bytes=a-b', /malformed/],
    ['bytes=1-2-3', /malformed/],
    ['bytes=0x1-2', /malformed/],
    ['bytes=99999999999999999-', /malformed/],
    ['bytes=1000-', /^Start of range 1000 is larger than total file size 1000$/],
    ['bytes=99999999-', /^Start of range 99999999 is larger than total file size 1000$/],
    ['bytes=10-9', /before its start/],
    ['bytes=-0', /no bytes/],
  ])('%s is refused', async (range, message) => {
    const reply = await ask('GET', SNAPSHOT_PATH, { range });
    expect(reply.status).toBe(400);
    expect(codeOf(reply)).toBe('InvalidHeaderValue');
    expect((jsonOf(reply) as { error: { message: string } }).error.message).toMatch(message);
    expect(reply.headers.get('accept-ranges')).toBe('bytes');
    expect(reply.headers.get('x-ms-ccf-snapshot-name')).toBe(SNAPSHOT_NAME);
  });

  test('parts put together are the whole, whatever the parts', () =>
    withSeeds(200, (random) => {
      const size = 1 + random.below(50);
      let at = 0;
      while (at < size) {
        const last = at + random.below(20);
        const range = byteRangeOf(`bytes=${at}-${last}`, size);
        if (typeof range === 'string') throw new Error(range);
        expect(range.from).toBe(at);
        at = range.to;
      }
      expect(at).toBe(size);
    }));
});

describe('digests', () => {
  test.each<[wanted: string, name: DigestName | undefined]>([
    ['sha-256=1', 'sha-256'],
    ['sha-512=3', 'sha-512'],
    ['sha-256=1, sha-512=10', 'sha-512'],
    ['sha-256=10,sha-384=3', 'sha-256'],
    ['sha-256=0', undefined],
    ['md5=5', undefined],
    ['md5=10, sha-384=1', 'sha-384'],
    ['nonsense', undefined],
  ])('Want-Repr-Digest: %s', async (wanted, name) => {
    for (const range of [undefined, 'bytes=1-5']) {
      const headers = { 'want-repr-digest': wanted, ...(range === undefined ? {} : { range }) };
      const reply = await ask('GET', SNAPSHOT_PATH, headers);
      const said = reply.headers.get('repr-digest');
      const digest = name === undefined ? undefined : hash(name, SNAPSHOT).toString('base64');
      expect(said).toBe(digest === undefined ? undefined : `${name}=:${digest}:`);
    }
    expect(wantedDigest(wanted)).toBe(name);
  });

  const tag = (name: DigestName): string => `"${name}:${hash(name, CHUNK).toString('hex')}"`;

  test.each<[noneMatch: string, status: number]>([
    [tag('sha-256'), 304],
    [tag('sha-384'), 304],
    [tag('sha-512'), 304],
    [`W/${tag('sha-256')}`, 304],
    [`"other", ${tag('sha-512')}`, 304],
    ['*', 304],
    ['"sha-256:00"', 200],
    [tag('sha-256').replaceAll('"', ''), 200],
    ['', 200],
  ])('If-None-Match: %s', async (noneMatch, status) => {
    for (const method of ['GET', 'HEAD']) {
      const reply = await ask(method, CHUNK_PATH, { 'if-none-match': noneMatch });
      expect(reply.status).toBe(status);
      expect(reply.headers.get('etag')).toBe(tag('sha-256'));
      if (status === 304) expect(reply.body).toHaveLength(0);
    }
  });

  test('a snapshot has no entity tag', async () => {
    const reply = await ask('GET', SNAPSHOT_PATH, { 'if-none-match': '*' });
    expect(reply.status).toBe(200);
    expect(reply.headers.has('etag')).toBe(false);
  });
});

describe('names', () => {
  test.each([
    '/node/snapshot/../x',
    '/node/snapshot/snapshot_92_103',
    '/node/snapshot/snapshot_092_103.committed',
    `/node/snapshot/${CHUNK_NAME}`,
    `/node/ledger-chunk/${SNAPSHOT_NAME}`,
    '/node/snapshot/..%2fledger%2fledger_1',
    '/node/snapshot/%2e%2e%2fsealed%2fservice-key.sealed',
    '/node/snapshot/..',
    '/node/snapshot/.',
    '/node/snapshot/',
    '/node/ledger-chunk/..\\..\\x',
    '/node/ledger-chunk/ledger_11',
  ])('%s is not found', async (path) => {
    const reply = await ask('GET', path);
    expect(reply.status).toBe(404);
    expect(codeOf(reply)).toBe('ResourceNotFound');
  });

  test('chance finds nothing either', () =>
    withSeeds(3, async (random) => {
      const client = await RawClient.connect(house);
      const pieces = ['..', '%2e', '%2f', '%00', 'snapshot_', '92', '_103', '.committed', '~'];
      pieces.push('ledger_', '-', '\\', '%5c', ';', 'a', ':', '%c0%af', '%252e');
      for (let tries = 0; tries < 60; tries += 1) {
        const name = Array.from({ length: 1 + random.below(6) }, () => random.pick(pieces));
        const folder = random.oneIn(2) ? 'snapshot' : 'ledger-chunk';
        const path = `/node/${folder}/${name.join('')}`;
        if (path === SNAPSHOT_PATH || path === CHUNK_PATH) continue;
        expect((await client.ask('GET', path)).status, path).toBe(404);
      }
      client.close();
      return undefined;
    }));
});

test('an interface without a feature does not have its endpoints', async () => {
  const closed = await openHouse({ operatorFeatures: ['LedgerChunkRead'] }, { files });
  try {
    expect((await askOnce(closed, undefined, 'GET', SNAPSHOT_PATH)).status).toBe(404);
    expect((await askOnce(closed, undefined, 'GET', CHUNK_PATH)).status).toBe(200);
  } finally {
    await closed.close();
  }
});

test('the OpenAPI document does not list them', async () => {
  const { paths } = jsonOf(await ask('GET', '/node/api')) as { paths: object };
  expect(Object.keys(paths).filter((path) => /snapshot|ledger-chunk/.test(path))).toEqual([]);
  expect(Object.keys(paths).length).toBeGreaterThan(10);
});

// A node of the service, asked over HTTP: redirects, digests and ranges, and what makes no sense.

import { expect, test } from 'vitest';
import { textOf, utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, viewOf } from '../../src/base/ids.ts';
import { sha256 } from '../../src/crypto/hash.ts';
import { httpSources } from '../../src/node/joining/http-join-source.ts';
import type { JoinSource } from '../../src/node/joining/join-source.ts';
import type { HttpAnswer, HttpQuestion } from '../../src/node/joining/pinned-http.ts';
import { codeOf } from '../support/crashing-disk.ts';

type Answering = (address: string, question: HttpQuestion) => Partial<HttpAnswer>;

interface Asked {
  readonly source: JoinSource;
  /** `address METHOD target`, in order. */
  readonly asked: string[];
}

function sourceWith(answering: Answering): Asked {
  const asked: string[] = [];
  const sources = httpSources({
    ask: async (address, question) => {
      asked.push(`${address} ${question.method} ${question.target}`);
      return {
        status: 200,
        headers: {},
        body: new Uint8Array(),
        ...answering(address, question),
      };
    },
    close: () => undefined,
  });
  return { source: sources.at('a.example:1'), asked };
}

const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value));
const redirect = (location: string): Partial<HttpAnswer> => ({
  status: 308,
  headers: { location },
});
const FILE = utf8('the bytes of a file');
const CHUNK = '/node/ledger-chunk/ledger_1-9.committed';

/** Offers one chunk, at `b.example:2`. */
const offering: Answering = (address, { method, target, headers }) => {
  if (address === 'a.example:1') return redirect(`https://b.example:2${CHUNK}`);
  if (target !== CHUNK) return { status: 404 };
  const length = { 'content-length': String(FILE.length) };
  if (method === 'HEAD') {
    const digest = Buffer.from(sha256(FILE)).toString('base64');
    return { headers: { ...length, 'repr-digest': `sha-256=:${digest}:` } };
  }
  const [, from = 0, last = 0] = /^bytes=(\d+)-(\d+)$/.exec(headers?.range ?? '') ?? [];
  const to = Number(last) + 1;
  return {
    status: 206,
    headers: { 'content-range': `bytes ${from}-${last}/${FILE.length}` },
    body: FILE.subarray(Number(from), to),
  };
};

test('a chunk is found where the node sends one, and read in parts', async () => {
  const { source, asked } = sourceWith(offering);
  const offered = await source.chunkWith(seqnoOf(7));
  expect(offered).toMatchObject({ name: 'ledger_1-9.committed', bytes: FILE.length });
  expect(offered?.sha256).toEqual(sha256(FILE));
  expect(textOf((await offered?.read(4, 9)) ?? new Uint8Array())).toBe('bytes');
  expect(asked).toEqual([
    'a.example:1 HEAD /node/ledger-chunk?since=7',
    `b.example:2 HEAD ${CHUNK}`,
    `b.example:2 GET ${CHUNK}`,
  ]);
});

test('the digest may be in the entity tag, or missing', async () => {
  const tag = `"sha-256:${sha256(FILE).toString('hex')}"`;
  for (const [etag, expected] of [
    [tag, sha256(FILE)],
    ['"other"', undefined],
  ] as const) {
    const { source } = sourceWith((_address, { target }) =>
      target.includes('?') ? redirect(CHUNK) : { headers: { 'content-length': '19', etag } },
    );
    const offered = await source.chunkWith(seqnoOf(1));
    expect(offered?.sha256).toEqual(expected);
    expect(offered?.name).toBe('ledger_1-9.committed');
  }
});

test('what is not there is not offered', async () => {
  const { source } = sourceWith(() => ({ status: 404, body: json({ error: {} }) }));
  expect(await source.chunkWith(seqnoOf(7))).toBeUndefined();
  expect(await source.newestSnapshot()).toBeUndefined();
});

test.each<[string, Answering]>([
  ['another status', () => ({ status: 200, body: FILE })],
  [
    'another place',
    (_address, { headers }) => ({
      status: 206,
      headers: { 'content-range': `${headers?.range?.replace('=', ' ')}/99` },
      body: FILE.subarray(0, 5),
    }),
  ],
  [
    'fewer bytes',
    () => ({
      status: 206,
      headers: { 'content-range': `bytes 0-4/${FILE.length}` },
      body: FILE.subarray(0, 4),
    }),
  ],
])('a part with %s is not taken', async (_title, part) => {
  const { source } = sourceWith((address, question) =>
    question.method === 'GET' ? part(address, question) : offering(address, question),
  );
  const offered = await source.chunkWith(seqnoOf(7));
  expect(await offered?.read(0, 5).catch(codeOf)).toBe('SourceUnreachable');
});

test.each([
  ['plain HTTP', 'http://b.example:2/node/ledger-chunk/ledger_1-9.committed'],
  ['a file', 'file:///etc/passwd'],
  ['somebody else with a password', 'https://user:secret@b.example:2/x'],
  ['nowhere', ''],
])('a redirect to %s is not followed', async (_title, location) => {
  const { source, asked } = sourceWith(() =>
    location === '' ? { status: 308 } : redirect(location),
  );
  expect(await source.chunkWith(seqnoOf(7)).catch(codeOf)).toBe('SourceUnreachable');
  if (location !== '') expect(asked).toHaveLength(1);
});

test('redirects are followed five times, and no more', async () => {
  const { source, asked } = sourceWith((_address, { target }) => redirect(`${target}0`));
  expect(await source.chunkWith(seqnoOf(7)).catch(codeOf)).toBe('SourceUnreachable');
  expect(asked).toHaveLength(6);
});

test('a joiner is told where the primary is, and it is asked by the joiner itself', async () => {
  const { source, asked } = sourceWith(() => redirect('https://[::1]:443/node/join'));
  expect(await source.join(json({}))).toEqual({ kind: 'elsewhere', address: '[::1]:443' });
  expect(asked).toEqual(['a.example:1 POST /node/join']);
  const elsewhere = sourceWith(() => redirect('https://b.example:2/app/log'));
  expect(await elsewhere.source.join(json({})).catch(codeOf)).toBe('SourceUnreachable');
});

test.each<[string, Uint8Array, { code: string; message: string }]>([
  [
    "CCF's form",
    json({ error: { code: 'InvalidQuote', message: 'no' } }),
    { code: 'InvalidQuote', message: 'no' },
  ],
  ['text', utf8('Bad gateway'), { code: '', message: 'Bad gateway' }],
  ['another JSON', json({ error: 'x' }), { code: '', message: '{"error":"x"}' }],
])('a refusal in %s is told', async (_title, body, said) => {
  const { source } = sourceWith(() => ({ status: 400, body }));
  expect(await source.join(json({}))).toEqual({ kind: 'refused', status: 400, ...said });
});

test('an answer is handed on as it is', async () => {
  const { source } = sourceWith(() => ({ body: json({ node_status: 'Pending' }) }));
  const reply = await source.join(json({}));
  expect(reply).toEqual({ kind: 'answer', body: json({ node_status: 'Pending' }) });
});

test('the nodes of the service are heard of by their first interface', async () => {
  const nodes = [
    { rpc_interfaces: { one: { published_address: 'b.example:2' }, two: {} } },
    { rpc_interfaces: { one: { bind_address: 'c.example:3' } } },
    { rpc_interfaces: {} },
    {},
  ];
  const { source } = sourceWith(() => ({ body: json({ nodes }) }));
  expect(await source.addresses()).toEqual(['b.example:2', 'c.example:3']);
});

test('the status of a transaction is one of four', async () => {
  const txId = { view: viewOf(2), seqno: seqnoOf(9) };
  const said = (status: unknown): Promise<unknown> =>
    sourceWith(() => ({ body: json({ status }) }))
      .source.statusOf(txId)
      .catch(codeOf);
  expect(await said('Committed')).toBe('Committed');
  expect(await said('Fine')).toBe('SourceUnreachable');
  const { source, asked } = sourceWith(() => ({ status: 503, body: json({}) }));
  expect(await source.statusOf(txId).catch(codeOf)).toBe('SourceUnreachable');
  expect(asked).toEqual(['a.example:1 GET /node/tx?transaction_id=2.9']);
});

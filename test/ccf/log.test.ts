// The log where the recorded exchanges are silent: input that is refused, conditions on entity
// tags, claims, and rows as CCF's sample writes them.

import { describe, expect, test } from 'vitest';
import type { AppRequest, AppResponse, Verb } from '../../src/apps/interface.ts';
import { createLogApplication } from '../../src/apps/log/application.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import { Store } from '../../src/kv/store.ts';
import { StoreTransaction } from '../../src/kv/transaction.ts';

const log = createLogApplication();

/** The log over a store of its own. */
class Notebook {
  readonly store = new Store([]);
  claims: Uint8Array | undefined;

  ask(
    verb: Verb,
    path: string,
    options: {
      readonly query?: string;
      readonly body?: string | Uint8Array;
      readonly headers?: Readonly<Record<string, string>>;
      readonly params?: Readonly<Record<string, string>>;
    } = {},
  ): AppResponse {
    const { query = '', body = '', headers = {}, params = {} } = options;
    const endpoint = log.endpoints.find((one) => one.verb === verb && one.path === path);
    if (endpoint === undefined) throw new Error(`there is no ${verb} ${path}`);
    const request: AppRequest = {
      verb,
      path,
      params,
      query,
      header: (name) => headers[name],
      body: Buffer.from(body),
      caller: { policy: 'no_auth' },
    };
    const step = endpoint.handle(request, this.store.current);
    if (step.kind === 'answer') return step.response;
    if (step.kind !== 'write') throw new Error(`an unexpected step: ${step.kind}`);
    const tx = new StoreTransaction(this.store, 'application');
    const response = step.apply(tx);
    if (response.status === 200) {
      this.claims = tx.claimsDigest;
      this.store.apply(seqnoOf(this.store.newest + 1), tx.writeSet());
    }
    return response;
  }

  rows(table: string): readonly (readonly [string, string])[] {
    const page = this.store.current.table(table).page();
    return page.map(({ key, value }) => [
      Buffer.from(key).toString(),
      Buffer.from(value).toString(),
    ]);
  }
}

function errorOf({ status, body }: AppResponse): readonly unknown[] {
  const parsed = JSON.parse(String(body)) as { error: { code: string; message: string } };
  return [status, parsed.error.code, parsed.error.message];
}

describe('a message', () => {
  test('lies under its id in decimal, as a JSON string, in the table of its kind', () => {
    const notebook = new Notebook();
    notebook.ask('POST', '/log/private', { body: '{"id":7,"msg":"said \\"so\\""}' });
    notebook.ask('POST', '/log/public', { body: '{"msg":"é","id":0}' });
    notebook.ask('POST', '/log/private/raw_text/{id}', {
      params: { id: '8' },
      headers: { 'content-type': 'text/plain' },
      body: 'raw\ntext',
    });
    expect(notebook.rows('records')).toEqual([
      ['7', '"said \\"so\\""'],
      ['8', '"raw\\ntext"'],
    ]);
    expect(notebook.rows('public:records')).toEqual([['0', '"é"']]);
  });

  test('is vouched for by its receipt only when that was asked for', () => {
    const notebook = new Notebook();
    notebook.ask('POST', '/log/public', { body: '{"id":1,"msg":"a"}' });
    expect(notebook.claims).toEqual(new Uint8Array(32));
    notebook.ask('POST', '/log/public', { body: '{"id":1,"msg":"a","record_claim":true}' });
    expect(Buffer.from(notebook.claims ?? []).toString('hex')).toBe(
      sha256Hex(Buffer.from('a')),
    );
  });

  test('is removed once, and the second time there is nothing to remove', () => {
    const notebook = new Notebook();
    notebook.ask('POST', '/log/private', { body: '{"id":7,"msg":"x"}' });
    const remove = (): unknown =>
      notebook.ask('DELETE', '/log/private', { query: 'id=7' }).body;
    expect([remove(), remove()]).toEqual(['true', 'false']);
    expect(errorOf(notebook.ask('GET', '/log/private', { query: 'id=7' }))).toEqual([
      400,
      'ResourceNotFound',
      'No such record: 7.',
    ]);
  });
});

describe('a body that is refused', () => {
  const type = (expected: string, found: string): string =>
    `[json.exception.type_error.302] type must be ${expected}, but is ${found}`;

  test.each([
    ['{"id":1}', `At #/: Missing required field 'msg' in object: {"id":1}`],
    ['{"msg":"x"}', `At #/: Missing required field 'id' in object: {"msg":"x"}`],
    ['[]', 'At #/: Expected object, found: []'],
    ['null', 'At #/: Expected object, found: null'],
    ['{"id":null,"msg":"x"}', type('number', 'null')],
    ['{"id":[],"msg":"x"}', type('number', 'array')],
    ['{"id":1,"msg":2}', type('string', 'number')],
    ['{"id":1,"msg":"x","record_claim":"yes"}', type('boolean', 'string')],
    ['{"id":1,"msg":""}', 'Cannot record an empty log message.'],
    ['{"id":-1,"msg":"x"}', 'At #/id: expected a whole number from 0 to 2^53 - 1, found: -1'],
    ['{"id":1.5,"msg":"x"}', 'At #/id: expected a whole number from 0 to 2^53 - 1, found: 1.5'],
    [Uint8Array.of(0x22, 0xff, 0x22), 'The body is not UTF-8 text.'],
    ['{"__proto__":{"id":1,"msg":"x"}}', /^At #\/: Missing required field 'id'/],
  ])('%j', (body, message) => {
    const notebook = new Notebook();
    expect(errorOf(notebook.ask('POST', '/log/private', { body }))).toEqual([
      400,
      'InvalidInput',
      typeof message === 'string' ? message : expect.stringMatching(message),
    ]);
    expect(notebook.rows('records')).toEqual([]);
  });

  test('is repeated in the error only as far as it is short', () => {
    const body = JSON.stringify({ other: 'x'.repeat(100_000) });
    const [, , message] = errorOf(new Notebook().ask('POST', '/log/private', { body }));
    expect(String(message).length).toBeLessThan(300);
  });

  test.each([
    ['application/json', 200],
    ['application/json; charset=utf-8', 200],
    ['APPLICATION/JSON', 200],
    [undefined, 200],
    ['application/jsonish', 415],
    ['text/plain', 415],
  ])('of type %s: %i', (contentType, status) => {
    const headers = contentType === undefined ? {} : { 'content-type': contentType };
    const body = '{"id":1,"msg":"x"}';
    expect(new Notebook().ask('POST', '/log/private', { body, headers }).status).toBe(status);
  });
});

describe('raw text', () => {
  test.each([
    ['7', 'text/plain', 'x', 200],
    ['7', 'application/json', 'x', 415],
    ['seven', 'text/plain', 'x', 400],
    ['7', 'text/plain', Uint8Array.of(0xc3), 400],
    ['99999999999999999999', 'text/plain', 'x', 400],
  ])('under %s of type %s: %j is %i', (id, contentType, body, status) => {
    const response = new Notebook().ask('POST', '/log/private/raw_text/{id}', {
      params: { id },
      headers: { 'content-type': contentType },
      body,
    });
    expect(response.status).toBe(status);
  });
});

describe('conditions on a public message', () => {
  const tag = sha256Hex(Buffer.from('first'));
  const other = sha256Hex(Buffer.from('second'));

  // Verb, headers, then the status when the message is there, and when there is none.
  test.each([
    ['GET', { 'if-match': `"${tag}"` }, 200, 412],
    ['GET', { 'if-match': `"${other}"` }, 412, 412],
    ['GET', { 'if-match': `"${other}", W/"${tag}"` }, 200, 412],
    ['GET', { 'if-match': '*' }, 200, 412],
    ['GET', { 'if-none-match': `"${tag}"` }, 304, 400],
    ['GET', { 'if-none-match': '*' }, 304, 400],
    ['GET', { 'if-none-match': `"${other}"` }, 200, 400],
    ['GET', { 'if-match': tag }, 400, 400],
    ['GET', { 'if-none-match': '"a" "b"' }, 400, 400],
    ['POST', { 'if-match': `"${tag}"` }, 200, 412],
    ['POST', { 'if-match': `"${other}"` }, 412, 412],
    ['POST', { 'if-none-match': '*' }, 412, 200],
    ['POST', { 'if-none-match': `"${tag}"` }, 412, 200],
    ['DELETE', { 'if-match': `"${other}"` }, 412, 412],
    ['DELETE', { 'if-match': `"${tag}"` }, 200, 412],
    ['DELETE', { 'if-none-match': `"${other}"` }, 200, 200],
  ] as const)('%s with %j: %i, and %i where nothing is', (verb, headers, present, absent) => {
    const body = verb === 'POST' ? '{"id":1,"msg":"second"}' : '';
    const query = verb === 'POST' ? '' : 'id=1';
    const full = new Notebook();
    full.ask('POST', '/log/public', { body: '{"id":1,"msg":"first"}' });
    const asked = { headers, body, query };
    expect(full.ask(verb, '/log/public', asked).status).toBe(present);
    expect(new Notebook().ask(verb, '/log/public', asked).status).toBe(absent);
  });

  test('its tag comes with every answer that shows or writes it', () => {
    const notebook = new Notebook();
    const written = notebook.ask('POST', '/log/public', { body: '{"id":1,"msg":"first"}' });
    expect(written.headers?.etag).toBe(tag);
    expect(notebook.ask('GET', '/log/public', { query: 'id=1' }).headers?.etag).toBe(tag);
  });

  test('a private message has neither', () => {
    const notebook = new Notebook();
    const written = notebook.ask('POST', '/log/private', { body: '{"id":1,"msg":"first"}' });
    expect(written.headers?.etag).toBeUndefined();
    const asked = { query: 'id=1', headers: { 'if-match': '"x"' } };
    expect(notebook.ask('GET', '/log/private', asked).status).toBe(200);
  });
});

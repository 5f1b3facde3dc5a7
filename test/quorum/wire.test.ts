/** How texts, media types and JSON fields are read: tables of what Tessera was seen to do. */
import { describe, expect, test } from 'vitest';
import type { AppRequest } from '../../src/apps/interface.ts';
import { Refusal } from '../../src/apps/quorum/wire/answers.ts';
import { decodeLenient, decodeStrict } from '../../src/apps/quorum/wire/base64.ts';
import { Body } from '../../src/apps/quorum/wire/body.ts';
import { chooseForm, JSON_TYPE } from '../../src/apps/quorum/wire/media.ts';

describe('base64 of keys and hashes is read strictly, in the words of Java', () => {
  test.each([
    ['', ''],
    ['AAAA', '000000'],
    ['aGVsbG8=', '68656c6c6f'],
    ['aGVsbG8', '68656c6c6f'],
    ['/+8=', 'ffef'],
  ])('%j is taken', (text, hex) => {
    const decoded = decodeStrict(text);
    expect(decoded.ok && decoded.bytes.toString('hex')).toBe(hex);
  });

  test.each([
    ['not*base64', 'Illegal base64 character 2a'],
    ['!!!', 'Illegal base64 character 21'],
    ['oqQ_PPTJ', 'Illegal base64 character 5f'],
    ['AA AA', 'Illegal base64 character 20'],
    ['AAAAA', 'Last unit does not have enough valid bits'],
    ['AA=', 'Input byte array has wrong 4-byte ending unit'],
    ['AAAA=', 'Input byte array has wrong 4-byte ending unit'],
    ['AA==AA', 'Input byte array has incorrect ending byte at 4'],
  ])('%j is refused', (text, sentence) => {
    expect(decodeStrict(text)).toEqual({ ok: false, sentence });
  });
});

describe('base64 of byte fields is read leniently, but never in part', () => {
  test.each([
    ['aGVsbG8', 'hello'],
    ['aGVs\nbG8=', 'hello'],
    ['***', ''],
    ['-_-_', ''],
    ['aGVsbG8*', ''],
    ['aGVsb', ''],
  ])('%j gives %j', (text, value) => {
    expect(decodeLenient(text).toString()).toBe(value);
  });

  test('a number is read as its text, as Tessera does', () => {
    expect(new Body({ payload: 12 }).bytes('payload')?.toString('base64')).toBe('1w==');
  });
});

describe('the form of an endpoint follows Content-Type and Accept', () => {
  const older = ['v2', 'v3'];
  const forms = [
    { consumes: [JSON_TYPE], produces: [JSON_TYPE], name: 'plain' },
    { consumes: older, produces: older, name: 'older' },
    { consumes: ['v4'], produces: ['v4'], name: 'newest' },
  ];

  test.each([
    ['application/json', undefined, 'plain', 'application/json'],
    ['application/json; charset=utf-8', '*/*', 'plain', 'application/json'],
    ['Application/JSON', 'application/*', 'plain', 'application/json'],
    ['v2', 'v3', 'older', 'v3'],
    ['v3', undefined, 'older', 'v2'],
    ['v3', 'v2;q=0.1, v3;q=0.9', 'older', 'v3'],
    ['v4', 'text/html, v4', 'newest', 'v4'],
  ])('%s with Accept %s', (contentType, accept, name, type) => {
    const chosen = chooseForm(requestWith(contentType, accept), forms);
    expect([chosen.form.name, chosen.type]).toEqual([name, type]);
  });

  test.each([
    [undefined, undefined, 415],
    ['text/plain', undefined, 415],
    ['v5', 'v5', 415],
    ['v4', 'application/json', 406],
    ['application/json', 'v4', 406],
    ['v4', 'v4;q=0', 406],
  ])('%s with Accept %s is refused with %d', (contentType, accept, status) => {
    expect(statusOf(() => chooseForm(requestWith(contentType, accept), forms))).toBe(status);
  });
});

describe('JSON fields', () => {
  test.each([
    ['1', 1],
    [3, 3],
    [null, 0],
    [-1, -1],
  ])('a whole number may be %j', (value, number) => {
    expect(new Body({ privacyFlag: value }).integer('privacyFlag', 0)).toBe(number);
  });

  test.each([[1.5], ['one'], [[1]], [{}]])('a whole number may not be %j', (value) => {
    expect(statusOf(() => new Body({ flag: value }).integer('flag', 0))).toBe(400);
  });

  test('a list may be missing, null, or a single value', () => {
    const body = new Body({ nothing: null, one: 'a', two: ['a', 'b'] });
    expect(['none', 'nothing', 'one', 'two'].map((name) => body.texts(name))).toEqual([
      [],
      [],
      ['a'],
      ['a', 'b'],
    ]);
  });

  test('names of the prototype are no fields', () => {
    expect(new Body({}).text('constructor')).toBeUndefined();
  });
});

function requestWith(contentType?: string, accept?: string): AppRequest {
  const headers = new Map([
    ['content-type', contentType],
    ['accept', accept],
  ]);
  return {
    verb: 'POST',
    path: '',
    params: {},
    query: '',
    header: (name) => headers.get(name),
    body: Buffer.from('{}'),
    caller: { policy: 'no_auth' },
  };
}

function statusOf(act: () => unknown): number | undefined {
  try {
    act();
    return undefined;
  } catch (thrown) {
    return thrown instanceof Refusal ? thrown.response.status : -1;
  }
}

// How queries, headers and wishes are read: raw text, first value, and nothing by which somebody
// else would vouch for a caller.

import { describe, expect, test } from 'vitest';
import { headerValue, scanHeaders } from '../../src/http/headers.ts';
import { queryValue, wholeNumber } from '../../src/http/query.ts';
import { NO_WISHES, runOptionsOf } from '../../src/http/run-options.ts';
import { randomOf } from './random.ts';

describe('query parameters', () => {
  test.each([
    ['id=42', 'id', '42'],
    ['a=1&id=42&id=43', 'id', '42'],
    ['id', 'id', ''],
    ['id=', 'id', ''],
    ['id=a=b', 'id', 'a=b'],
    ['id=%34+2', 'id', '%34+2'],
    ['xid=1', 'id', undefined],
    ['idx=1', 'id', undefined],
    ['', 'id', undefined],
    ['&&&id=7', 'id', '7'],
    ['=id', 'id', undefined],
  ])('of %j, %s is %j', (query, name, value) => {
    expect(queryValue(query, name)).toBe(value);
  });

  test('any text is read as splitting on & and = would read it', () => {
    const random = randomOf('query');
    for (let round = 0; round < 20_000; round += 1) {
      const length = random.below(12);
      const query = Array.from({ length }, () => random.pick([...'ab&=&=i', 'id'])).join('');
      const pairs = query.split('&').map((pair) => pair.split(/=(.*)/s));
      const expected = pairs.find(([name]) => name === 'id');
      expect(queryValue(query, 'id'), query).toBe(
        expected === undefined ? undefined : (expected[1] ?? ''),
      );
    }
  });

  test.each([
    ['0', 0],
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    [' 1', undefined],
    ['', undefined],
  ])('the number %j is %j', (text, value) => {
    expect(wholeNumber(text)).toBe(value);
  });
});

describe('headers', () => {
  test('the first value counts, whatever its case', () => {
    expect(headerValue(['If-Match', '"a"', 'if-match', '"b"'], 'if-match')).toBe('"a"');
  });

  test.each([
    'x-forwarded-client-cert',
    'x-ssl-client-cert',
    'client-cert',
    'x-ms-client-principal',
    'x-concordat-caller',
    'x-concordat-organisation',
  ])('%s is not shown: it would vouch for a caller', (name) => {
    expect(headerValue([name, 'user0'], name)).toBeUndefined();
  });

  test('headers of ours that a client may send are shown', () => {
    expect(headerValue(['X-Concordat-Request-Id', '5.00'], 'x-concordat-request-id')).toBe(
      '5.00',
    );
  });

  test.each([
    [['x-big', 'a'.repeat(16_385)], "Header value for 'x-big' is too large"],
    [['a', 'b'.repeat(9_000), 'c', 'd'.repeat(9_000)], 'HTTP request headers are too large'],
    [Array.from({ length: 514 }, () => 'a'), 'Too many headers (max number allowed: 256)'],
    [['x-big', 'a'.repeat(16_000)], undefined],
    [Array.from({ length: 512 }, () => 'a'), undefined],
  ])('bounds, case %#', (raw, sentence) => {
    const { tooLarge } = scanHeaders(raw);
    if (sentence === undefined) expect(tooLarge).toBeUndefined();
    else expect(tooLarge).toContain(sentence);
  });
});

describe('wishes', () => {
  test.each([
    [[], NO_WISHES],
    [['x-concordat-wait', 'commit'], { waitForCommit: true, linearizable: false }],
    [['X-Concordat-Read', 'linearizable'], { waitForCommit: false, linearizable: true }],
    [
      ['x-concordat-min-txid', '2.15'],
      { waitForCommit: false, linearizable: false, minTxId: { view: 2, seqno: 15 } },
    ],
  ])('%j is understood', (raw, options) => {
    expect(runOptionsOf(raw)).toEqual(options);
  });

  test.each([
    ['x-concordat-wait', 'Commit'],
    ['x-concordat-wait', ''],
    ['x-concordat-read', 'fresh'],
    ['x-concordat-min-txid', '2'],
    ['x-concordat-min-txid', '2.15.1'],
    ['x-concordat-min-txid', '4294967296.1'],
    ['x-concordat-min-txid', '-2.1'],
  ])('%s: %j is refused, and named', (name, value) => {
    expect(runOptionsOf([name, value])).toMatchObject({
      status: 400,
      code: 'InvalidHeaderValue',
      message: expect.stringContaining(`'${value}' of header '${name}'`),
    });
  });
});

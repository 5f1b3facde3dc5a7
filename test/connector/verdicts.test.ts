/** What answers mean for the request, and which requests may have an effect. */
import { describe, expect, test } from 'vitest';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import { purposeOf } from '../../src/connector/effects.ts';
import { errorCodeOf, verdictOn } from '../../src/connector/verdict.ts';

const CCF = { 'content-type': 'application/json; charset=utf-8' };

function answer(status: number, headers: Readonly<Record<string, string>> = {}, body = '') {
  return {
    status,
    headers: Object.entries(headers).flat(),
    body: Buffer.from(body),
    closes: false,
  };
}

const coded = (code: string) => ({ 'X-Concordat-Error': code });
const again = (acted: boolean, unable: boolean) => ({ kind: 'again', acted, unable });
const FINAL = { kind: 'final' };

describe('a verdict', () => {
  test.each([
    ['a success', answer(201), FINAL],
    ['absence', answer(404, { 'content-type': 'text/plain' }), FINAL],
    ["a client's mistake", answer(400, coded('InvalidInput')), FINAL],
    ["an application's 503", answer(503, CCF, 'Multiple private state …'), FINAL],
    ["an application's 503 for now", answer(503, { 'retry-after': '1' }), again(false, false)],
    ['too much to do', answer(503, coded('TooManyPendingTransactions')), again(false, false)],
    ['not open yet', answer(503, coded('FrontendNotOpen')), again(false, true)],
    ['no primary', answer(503, coded('NotPrimary')), again(false, true)],
    [
      'stopping, perhaps after it was done',
      answer(503, coded('NodeStopping')),
      again(true, true),
    ],
    ['perhaps done', answer(503, coded('TransactionPendingOrUnknown')), again(true, true)],
    ['a code that is new', answer(503, coded('SomethingElse')), again(true, true)],
    ['a forwarded request without answer', answer(504), again(true, true)],
    ['rolled back', answer(500, coded('TransactionInvalid')), again(false, true)],
    ['a fault', answer(500), { kind: 'fault' }],
    ['a lost session', answer(500, coded('SessionConsistencyLost')), { kind: 'lost' }],
    ['an id too old', answer(409, coded('RequestIdTooOld')), { kind: 'too old' }],
    ['another conflict', answer(409), FINAL],
    [
      'a redirection',
      answer(307, { location: 'https://[::1]:8/x?y' }),
      { kind: 'moved', url: 'https://[::1]:8' },
    ],
    ['one to nowhere', answer(308, { location: '/x' }), FINAL],
    ['one to no TLS', answer(308, { location: 'http://h/x' }), FINAL],
  ])('on %s', (_, given, verdict) => {
    expect(verdictOn(given, 'write')).toEqual(verdict);
  });

  test("finds CCF's code in a body, and none in what is no such body", () => {
    const body = '{"error":{"code":"SessionCapExhausted","message":"busy"}}';
    expect(errorCodeOf(answer(503, CCF, body))).toBe('SessionCapExhausted');
    expect(verdictOn(answer(503, CCF, body), 'read')).toEqual(again(false, false));
    for (const other of ['', '{', '[]', 'null', '{"error":7}', '{"error":{"code":7}}']) {
      expect(errorCodeOf(answer(503, CCF, other))).toBeUndefined();
    }
    expect(errorCodeOf(answer(503, { 'content-type': 'text/plain' }, body))).toBeUndefined();
  });
});

describe('what may have an effect', () => {
  const application = createQuorumApplication({ random: { bytes: (n) => new Uint8Array(n) } });

  test.each(application.endpoints.map((one) => [`${one.verb} ${one.path}`, one] as const))(
    'is what the transaction manager says: %s',
    (_, { verb, path, effect }) => {
      const target = `/app${path.replaceAll(/\{\w+\}/g, 'receive')}`;
      const request = { method: verb, headerLines: '', body: Buffer.alloc(0) };
      const expected = effect === 'write' ? 'write' : 'read';
      expect(purposeOf({ ...request, target })).toBe(expected);
      expect(purposeOf({ ...request, target: `${target}?a=/receive` })).toBe(expected);
    },
  );

  test('is anything that is not known', () => {
    const request = { target: '/app/quorum/q2t/new', headerLines: '', body: Buffer.alloc(0) };
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      expect(purposeOf({ ...request, method })).toBe('write');
    }
  });
});

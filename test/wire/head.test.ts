// What counts as an ordinary request, and that all else is left to Node's parser.

import { describe, expect, test } from 'vitest';
import { type Head, readHead } from '../../src/wire/head.ts';

const read = (text: string): ReturnType<typeof readHead> =>
  readHead(Buffer.from(text, 'latin1'), 0);

function headOf(text: string): Head {
  const head = read(text);
  if (typeof head === 'string') throw new Error(`${head}: ${JSON.stringify(text)}`);
  return head;
}

describe('an ordinary request', () => {
  test('is read with its headers as they came, without white space around values', () => {
    const text =
      'POST /send?x=1 HTTP/1.1\r\nHost: a:1\r\nX-One:  two words\t\r\nX-Empty:\r\n' +
      'content-length: 4\r\n\r\nbody';
    expect(headOf(text)).toEqual({
      method: 'POST',
      target: '/send?x=1',
      rawHeaders: ['Host', 'a:1', 'X-One', 'two words', 'X-Empty', '', 'content-length', '4'],
      bodyBytes: 4,
      namesHost: true,
      end: text.length - 'body'.length,
    });
  });

  test('may have no headers at all, and begin anywhere', () => {
    const text = 'GET / HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n';
    const first = headOf(text);
    expect([first.target, first.rawHeaders, first.namesHost]).toEqual(['/', [], false]);
    const second = readHead(Buffer.from(text), first.end);
    expect(second).toMatchObject({ target: '/b', end: text.length });
  });

  test('is partial until its last byte, wherever it is cut', () => {
    const text = 'DELETE /one/two HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n';
    for (let bytes = 1; bytes < text.length; bytes += 1) {
      expect([bytes, read(text.slice(0, bytes))]).toEqual([bytes, 'partial']);
    }
    expect(headOf(text).method).toBe('DELETE');
  });
});

describe('is left to the parser of Node', () => {
  const line = 'GET / HTTP/1.1\r\n';
  test.each([
    ['another version', 'GET / HTTP/1.0\r\n\r\n'],
    ['another verb', 'OPTIONS / HTTP/1.1\r\n\r\n'],
    ['a verb in lower case', 'get / HTTP/1.1\r\n\r\n'],
    ['a target that is no path', 'GET http://a/ HTTP/1.1\r\n\r\n'],
    ['a target with a space', 'GET /a b HTTP/1.1\r\n\r\n'],
    ['a target beyond ASCII', 'GET /\u00e9 HTTP/1.1\r\n\r\n'],
    ['a line break before it', '\r\nGET / HTTP/1.1\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n'],
    ['lines that end in half a line break', 'GET / HTTP/1.1\nHost: a\n\n\r\n\r\n'],
    ['half a line break in a value', `${line}a: b\rc: d\r\n\r\n`],
    ['a line feed in a value', `${line}a: b\nc: d\r\n\r\n`],
    ['a zero byte', `${line}a: \0\r\n\r\n`],
    ['a value beyond ASCII', `${line}a: \u00e9\r\n\r\n`],
    ['a folded header', `${line}a: b\r\n c\r\n\r\n`],
    ['a header without a colon', `${line}a\r\n\r\n`],
    ['a header without a name', `${line}: b\r\n\r\n`],
    ['white space before a colon', `${line}a : b\r\n\r\n`],
    [
      'a length twice, though the same',
      `${line}Content-Length: 1\r\ncontent-length: 1\r\n\r\n`,
    ],
    ['a length with a sign', `${line}Content-Length: +1\r\n\r\n`],
    ['a list of lengths', `${line}Content-Length: 1, 1\r\n\r\n`],
    ['an empty length', `${line}Content-Length:\r\n\r\n`],
    ['a large body', `${line}Content-Length: 65537\r\n\r\n`],
    ['chunks', `${line}Transfer-Encoding: chunked\r\n\r\n`],
    ['chunks and a length', `${line}Content-Length: 1\r\ntransfer-encoding: x\r\n\r\n`],
    ['a wish to continue', `${line}Expect: 100-continue\r\n\r\n`],
    ['an upgrade', `${line}Upgrade: websocket\r\n\r\n`],
    ['a connection that is to be closed', `${line}Connection: close\r\n\r\n`],
    ['a connection header of several', `${line}Connection: keep-alive, x\r\n\r\n`],
    ['two hosts', `${line}Host: a\r\nhost: a\r\n\r\n`],
    ['a large head', `${line}a: ${'b'.repeat(9000)}\r\n\r\n`],
  ])('%s', (_what, text) => {
    expect(read(text)).toBe('unusual');
  });

  test.each([
    ['no HTTP', '\u0016\u0003\u0001'],
    ['no verb', 'hello, '],
    ['a verb of no end', 'GETGETGETGET'],
    ['another version', 'GET / HTTP/1.0\r\nHost'],
    ['half a line break', 'GET / HTTP/1.1\nHost: a'],
    ['a head of no end', `${line}a: ${'b'.repeat(9000)}`],
  ])('%s, as soon as it shows', (_what, text) => {
    expect(read(text)).toBe('unusual');
  });
});

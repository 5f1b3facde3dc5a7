/** Answers are read however they are cut into packets, and nonsense is refused. */
import { describe, expect, test } from 'vitest';
import { AnswerReader } from '../../src/client/answer-reader.ts';

const ANSWER = 'HTTP/1.1 201 Created\r\ncontent-length: 5\r\nX-A:  b \r\n\r\nhello';

describe('an answer', () => {
  test.each([1, 2, 3, 7, 40, 1000])('cut into pieces of %d bytes', (size) => {
    const reader = new AnswerReader();
    const bytes = Buffer.from(ANSWER);
    const answers = [];
    for (let at = 0; at < bytes.length; at += size) {
      const answer = reader.take(bytes.subarray(at, at + size), false);
      if (answer !== undefined) answers.push(answer);
    }
    expect(answers).toHaveLength(1);
    expect(answers[0]?.status).toBe(201);
    expect(answers[0]?.headers).toEqual(['content-length', '5', 'X-A', 'b']);
    expect(answers[0]?.body.toString()).toBe('hello');
    expect(reader.started).toBe(false);
  });

  test.each([
    ['to HEAD', 'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n', true],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', false],
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n', false],
  ])('%s has no body', (_, text, bodiless) => {
    expect(new AnswerReader().take(Buffer.from(text), bodiless)?.body.length).toBe(0);
  });

  test('follows an interim one', () => {
    const text = `HTTP/1.1 100 Continue\r\n\r\n${ANSWER}`;
    expect(new AnswerReader().take(Buffer.from(text), false)?.status).toBe(201);
  });

  test('that ends the connection says so', () => {
    const text = 'HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';
    expect(new AnswerReader().take(Buffer.from(text), false)?.closes).toBe(true);
  });

  test('with more behind it leaves the reader started', () => {
    const reader = new AnswerReader();
    reader.take(Buffer.from(`${ANSWER}HTTP`), false);
    expect(reader.started).toBe(true);
  });

  test.each([
    ['SSH-2.0-x\r\n\r\n', 'begins with "SSH-2.0-x"'],
    ['HTTP/1.1 200 OK\r\n\r\n', 'does not state its length'],
    ['HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n', 'states a length of -1 bytes'],
    ['HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n', 'states a length'],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n', 'is encoded as chunked'],
    ['HTTP/1.1 200 OK\r\nnonsense\r\n\r\n', 'has the header line "nonsense"'],
    ['x'.repeat(70_000), 'has a head of over'],
  ])('%# that is none is refused', (text, sentence) => {
    expect(() => new AnswerReader().take(Buffer.from(text), false)).toThrow(sentence);
  });
});

// A session with a node that gives tags back is asked many things at once; each answer goes to who
// asked for it, and one that cannot be told ends the session.

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Answer } from '../../src/client/answer-reader.ts';
import { mayHaveActed, Session, type WireRequest } from '../../src/client/session.ts';
import { systemTimers } from '../../src/client/system-timers.ts';
import { selfSignedCertificate } from '../../src/crypto/certificates.ts';
import { SigningKey } from '../../src/crypto/keys.ts';

const NO_BODY = Buffer.alloc(0);
const LATER_MS = 60_000;

let server: Server;
let node: TLSSocket;
let session: Session;
/** What the node has been sent, one piece for each time that bytes came. */
let pieces: string[];

beforeEach(async () => {
  const sent: string[] = [];
  pieces = sent;
  const key = SigningKey.generate('P-256');
  const validity = { fromMs: Date.now() - 60_000, days: 1 };
  const cert = await selfSignedCertificate(key, 'CN=Node', validity, ['127.0.0.1']);
  server = createServer({ key: key.privateKeyPem(), cert, ALPNProtocols: ['http/1.1'] });
  const connected = new Promise<TLSSocket>((resolve) => {
    server.once('secureConnection', resolve);
  });
  server.on('secureConnection', (socket) => {
    socket.on('data', (bytes: Buffer) => sent.push(bytes.toString('latin1')));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const address = { host: '127.0.0.1', port };
  const trust = createSecureContext({ ca: cert });
  session = await Session.open(address, trust, 5_000, systemTimers);
  node = await connected;
});

afterEach(() => {
  session.close();
  server.close();
});

const getting = (target: string): WireRequest => ({
  method: 'GET',
  target,
  headerLines: '',
  body: NO_BODY,
});

function ask(request: WireRequest, inMs = LATER_MS): Promise<Answer> {
  const answer = session.exchange(request, systemTimers.elapsedMs() + inMs);
  answer.catch(() => undefined);
  return answer;
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** The tag under which the node was asked for a target, once it was. */
async function tagOf(target: string): Promise<string> {
  const asked = new RegExp(`${target} HTTP/1.1\r\nhost: [^\r]*\r\nx-concordat-tag: (\\d+)\r\n`);
  await until(() => asked.test(pieces.join('')));
  return asked.exec(pieces.join(''))?.[1] ?? '';
}

function answered(body: string, tag?: string): string {
  const line = tag === undefined ? '' : `x-concordat-tag: ${tag}\r\n`;
  return `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${line}\r\n${body}`;
}

/** Lets the session learn that its node knows tags. */
async function learnTags(): Promise<void> {
  const first = ask(getting('/first'));
  node.write(answered('', await tagOf('/first')));
  await first;
}

describe('before a tag has come back', () => {
  test('one thing is asked at a time', async () => {
    expect(session.hasRoomFor(true)).toBe(true);
    const one = ask(getting('/one'));
    expect([session.takesMany, session.hasRoomFor(true)]).toEqual([false, false]);
    await tagOf('/one');
    node.write(answered('1'));
    expect((await one).body.toString()).toBe('1');
    expect([session.takesMany, session.hasRoomFor(true)]).toEqual([false, true]);
  });

  test('an answer that is late ends the session', async () => {
    const one = ask(getting('/one'), 0);
    session.endOverdue(systemTimers.elapsedMs() + 1);
    await expect(one).rejects.toThrow(/no answer in time/);
    expect(session.closed).toBe(true);
  });
});

describe('a node that knows tags', () => {
  beforeEach(learnTags);

  test('is asked in one write, and answers in any order, in pieces or together', async () => {
    const targets = ['/a', '/b', '/c', '/d'];
    const answers = targets.map((target) => ask(getting(target)));
    const tags = [];
    for (const target of targets) tags.push(await tagOf(target));
    expect(pieces).toHaveLength(2);
    const [a = '', b = '', c = '', d = ''] = tags;
    const bytes = answered('for d', d) + answered('for b', b) + answered('for a', a);
    node.write(bytes.slice(0, 70));
    await new Promise((resolve) => setTimeout(resolve, 10));
    node.write(bytes.slice(70) + answered('for c', c));
    const bodies = (await Promise.all(answers)).map(({ body }) => body.toString());
    expect(bodies).toEqual(['for a', 'for b', 'for c', 'for d']);
    expect(session.idle).toBe(true);
  });

  test('is given what is large, or has no body to its answer, alone', async () => {
    const small = ask(getting('/small'));
    expect([session.hasRoomFor(true), session.hasRoomFor(false)]).toEqual([true, false]);
    node.write(answered('', await tagOf('/small')));
    await small;
    const head = ask({ ...getting('/head'), method: 'HEAD' });
    expect(session.hasRoomFor(true)).toBe(false);
    const tag = await tagOf('/head');
    node.write(`HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx-concordat-tag: ${tag}\r\n\r\n`);
    expect((await head).status).toBe(200);
  });

  test.each([
    ['a tag that nobody has', () => answered('?', '999')],
    ['no tag, where there is a choice', () => answered('?')],
  ])('gives %s: nobody gets that answer', async (_what, bytes) => {
    const both = [ask(getting('/a')), ask(getting('/b'))];
    await tagOf('/b');
    node.write(bytes());
    const outcomes = await Promise.allSettled(both);
    const reasons = outcomes.map((one) => (one.status === 'rejected' ? one.reason : undefined));
    expect(reasons.map(mayHaveActed)).toEqual([true, true]);
    expect(session.closed).toBe(true);
  });

  test('that is late with one thing goes on with the others, and may yet answer', async () => {
    const late = ask(getting('/late'), 0);
    const other = ask(getting('/other'));
    const [lateTag, otherTag] = [await tagOf('/late'), await tagOf('/other')];
    const heard = ask(getting('/heard'));
    node.write(answered('', await tagOf('/heard')));
    await heard;
    session.endOverdue(systemTimers.elapsedMs() + 1);
    await expect(late).rejects.toThrow(/no answer in time/);
    expect([session.closed, session.idle]).toEqual([false, false]);
    node.write(answered('too late', lateTag) + answered('in time', otherTag));
    expect((await other).body.toString()).toBe('in time');
    expect(session.idle).toBe(true);
  });

  test('that has said nothing since is left', async () => {
    const late = ask(getting('/late'), 0);
    await tagOf('/late');
    session.endOverdue(systemTimers.elapsedMs() + 1);
    await expect(late).rejects.toThrow(/no answer in time/);
    expect(session.closed).toBe(true);
  });

  test('that speaks without being asked is left', async () => {
    node.write('HTTP/1.1 200');
    await until(() => session.closed);
  });
});

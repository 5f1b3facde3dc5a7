/**
 * A checker that has never caught a planted bug proves nothing by passing. Each bug here changes
 * the answers of a transaction manager that is right; the replay must notice it.
 */
import { describe, expect, test } from 'vitest';
import { serviceTarget } from '../../src/connector/addresses.ts';
import { callerOfOrganisation, quorumInMemory } from '../support/quorum-network.ts';
import type { Answer } from './replay/compare.ts';
import { type Recorded, recordedScenarios } from './replay/recordings.ts';
import { Replay, wrongOnes } from './replay/replay.ts';
import { recordedKeys } from './replay/setting.ts';

type Bug = (answer: Answer, recorded: Recorded) => Answer;

const BUGS: Readonly<Record<string, Bug>> = {
  'a status that is another': (answer) =>
    answer.status === 404 ? { ...answer, status: 500 } : answer,
  'a field that is missing': (answer) =>
    withText(answer, (text) => text.replace('senderKey', 'x')),
  'a field too many': (answer) =>
    withText(answer, (text) => text.replace(/^\{"key"/, '{"more":1,"key"')),
  'a value of another kind': (answer) =>
    withText(answer, (text) => text.replace(/"privacyFlag":(\d)/, '"privacyFlag":"$1"')),
  'a payload that is another': (answer) =>
    withText(answer, (text) => text.replace(/"payload":"./, '"payload":"Q')),
  'a key that is too short': (answer) =>
    withText(answer, (text) => text.replace(/("key":")[^"]{8}/, '$1')),
  'a party too many': (answer) =>
    withText(answer, (text) => text.replace('"managedParties":[', '"managedParties":["x",')),
  'a text that differs': (answer) => withText(answer, (text) => text.replace('found', 'there')),
  'another media type': (answer) => ({
    ...answer,
    headers: answer.headers.map(([name, value]) =>
      name === 'content-type' ? [name, 'text/html'] : [name, value],
    ),
  }),
  'no location': (answer) => ({
    ...answer,
    headers: answer.headers.filter(([name]) => name !== 'location'),
  }),
  'participants in another order': (answer, { request }) =>
    request.path.endsWith('/participants')
      ? withText(answer, (text) => text.split(',').reverse().join())
      : answer,
  'a decision that is not kept': (answer) =>
    answer.status === 406 ? { ...answer, status: 500 } : answer,
};

describe('the replay notices', () => {
  test.each(Object.entries(BUGS))('%s', async (_, bug) => {
    expect(await replayedWith(bug)).not.toEqual([]);
  });

  test('nothing where there is no bug', async () => {
    expect(await replayedWith((answer) => answer)).toEqual([]);
  });
});

async function replayedWith(bug: Bug): Promise<readonly string[]> {
  const runtime = quorumInMemory(recordedKeys(false), 3);
  const replay = new Replay(async (recorded, request) => {
    const target = serviceTarget(recorded.surface, request.path);
    if (target === undefined || request.path === '/metrics') return undefined;
    const response = runtime.request({
      verb: request.method,
      target,
      headers: request.headers,
      body: request.body,
      caller: callerOfOrganisation(recorded.organisation),
    });
    const { status, headers = {}, body = '' } = response;
    return bug({ status, headers: Object.entries(headers), body: Buffer.from(body) }, recorded);
  });
  for (const scenario of recordedScenarios()) {
    if (/^(02|05|direct-q2t-receive)/.test(scenario[0]?.scenario ?? '')) {
      await replay.play(scenario);
    }
  }
  return wrongOnes(replay.judged);
}

function withText(answer: Answer, change: (text: string) => string): Answer {
  return { ...answer, body: Buffer.from(change(answer.body.toString('utf8'))) };
}

/**
 * To show: whatever a Quorum node was recorded to write, asked twice under one id it gets the first
 * answer twice and leaves one entry. Each recorded exchange with a writing endpoint carries an id
 * and is put twice; the first answer is still judged against what Tessera said.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createQuorumApplication } from '../../src/apps/quorum/application.ts';
import type { PlainRequest } from '../support/memory-runtime.ts';
import { type Ask, exchangeInMemory } from './replay/in-memory.ts';
import { recordedScenarios } from './replay/recordings.ts';
import { Replay, wrongOnes } from './replay/replay.ts';
import { usesResidents } from './replay/setting.ts';

const writing = createQuorumApplication({ random: { bytes: (n) => new Uint8Array(n) } })
  .endpoints.filter(({ effect }) => effect === 'write')
  .map(({ verb, path }) => ({
    name: `${verb} ${path}`,
    verb,
    path: new RegExp(`^/app${path.replace(/\{\w+\}/, '[^/]+')}$`),
  }));

function endpointOf({ verb, target }: PlainRequest): string | undefined {
  const [path = ''] = target.split('?');
  return writing.find((one) => one.verb === verb && one.path.test(path))?.name;
}

/** Writes that succeeded in no recording: `request-ids.test.ts` makes some. */
const NOT_RECORDED = [
  ...['/sendraw', '/createPrivacyGroup', '/deletePrivacyGroup'].map((path) => `q2t${path}`),
  // Ours, for those who move over.
  ...['transaction', 'raw', 'group', 'key'].map((what) => `import/${what}`),
].map((path) => `POST /quorum/${path}`);

/** Successes by endpoint and media type, and refusals, that were asked for twice. */
class Twice {
  readonly done = new Map<string, number>();
  refused = 0;

  readonly ask: Ask = (runtime, request) => {
    const name = endpointOf(request);
    if (name === undefined) return runtime.request(request);
    const id = `${runtime.store.committed}.${randomBytes(16).toString('hex')}`;
    const headers = [...(request.headers ?? []), ['x-concordat-request-id', id] as const];
    const before = runtime.store.newest;
    const response = runtime.request({ ...request, headers });
    const after = runtime.store.newest;
    expect(runtime.request({ ...request, headers })).toEqual(response);
    expect(runtime.store.newest, 'entries after the second time').toBe(after);
    if (response.status < 300) {
      const type = response.headers?.['content-type'] ?? '-';
      const effect = after > before ? 'written' : 'nothing to write';
      const kind = `${name} ${type} ${response.status}, ${effect}`;
      this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
    } else {
      expect(after, 'entries after a refusal').toBe(before);
      this.refused += 1;
    }
    return response;
  };
}

describe('each recorded write, twice under one id', () => {
  const twice = new Twice();

  test.each([false, true])('with residents: %s', async (withResidents) => {
    const replay = new Replay(exchangeInMemory(withResidents, twice.ask));
    for (const scenario of recordedScenarios()) {
      if (usesResidents(scenario) === withResidents) await replay.play(scenario);
    }
    expect(wrongOnes(replay.judged)).toEqual([]);
  });

  test('was of every writing endpoint that a recording has, and some were refused', () => {
    const lines = [...twice.done].map(([kind, count]) => `${count} × ${kind}`).sort();
    console.log(`${lines.join('\n')}\n${twice.refused} × refused`);
    expect(twice.refused).toBeGreaterThan(20);
    const kinds = [...twice.done.keys()];
    const missing = writing.filter(
      ({ name }) => !kinds.some((kind) => kind.startsWith(`${name} `)),
    );
    expect(missing.map(({ name }) => name)).toEqual(NOT_RECORDED);
  });
});

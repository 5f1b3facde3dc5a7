/**
 * The recorded exchanges replayed against the application alone: the real store in memory, the
 * connector's addressing, no network. `replay-sandbox.test.ts` plays them over sockets.
 */
import { describe, expect, test } from 'vitest';
import { absoluteLocation, serviceTarget } from '../../src/connector/addresses.ts';
import {
  callerOfOrganisation,
  type PartyKeyPair,
  quorumInMemory,
} from '../support/quorum-network.ts';
import type { Answer } from './replay/compare.ts';
import { headerOf, type Recorded, recordedScenarios } from './replay/recordings.ts';
import { type Exchange, Replay, summary, wrongOnes } from './replay/replay.ts';
import { recordedKeys, residentsOfScenario19, usesResidents } from './replay/setting.ts';

/** What only the connector or Node's own parser answers. */
function needsNetwork({ request }: Recorded): boolean {
  const has = (name: string): boolean => headerOf(request.headers, name) !== undefined;
  return (
    request.path === '/metrics' ||
    request.method === 'OPTIONS' ||
    has('origin') ||
    (has('transfer-encoding') && has('content-length'))
  );
}

function exchangeWith(keys: readonly PartyKeyPair[], withResidents: boolean): Exchange {
  const residents = withResidents ? residentsOfScenario19 : undefined;
  const runtime = quorumInMemory(keys, 3, residents);
  return async (recorded, request): Promise<Answer | undefined> => {
    if (needsNetwork(recorded)) return undefined;
    const target = serviceTarget(recorded.surface, request.path);
    if (target === undefined) {
      return { status: 400, headers: [['content-type', 'text/plain']], body: Buffer.from('-') };
    }
    const response = runtime.request({
      verb: request.method,
      target,
      headers: request.headers,
      body: request.body,
      caller: callerOfOrganisation(recorded.organisation),
    });
    const host = headerOf(request.headers, 'host');
    const headers = Object.entries(response.headers ?? {}).map(([name, value]) => [
      name,
      name === 'location' ? absoluteLocation(host, value) : value,
    ]) as [string, string][];
    const body = request.method === 'HEAD' ? '' : (response.body ?? '');
    return { status: response.status, headers, body: Buffer.from(body) };
  };
}

describe('the recorded exchanges, against the application in memory', () => {
  const scenarios = recordedScenarios();

  test.each([false, true])('with residents: %s', async (withResidents) => {
    const replay = new Replay(exchangeWith(recordedKeys(withResidents), withResidents));
    for (const scenario of scenarios) {
      if (usesResidents(scenario) === withResidents) await replay.play(scenario);
    }
    console.log(summary(replay.judged));
    expect(wrongOnes(replay.judged)).toEqual([]);
    expect(replay.judged.length).toBeGreaterThan(withResidents ? 8 : 400);
  });
});

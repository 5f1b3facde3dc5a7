/**
 * The recorded exchanges replayed against the application alone: the real store in memory, the
 * connector's addressing, no network. `replay-sandbox.test.ts` plays them over sockets.
 */
import { describe, expect, test } from 'vitest';
import { textIn } from '../support/quorum-client.ts';
import { type Ask, exchangeInMemory } from './replay/in-memory.ts';
import { recordedScenarios } from './replay/recordings.ts';
import { Replay, summary, wrongOnes } from './replay/replay.ts';
import { usesResidents } from './replay/setting.ts';

/** What Jersey says of a path or a method that it does not have: no question of state. */
const NO_SUCH_PATH = 'HTTP 404 Not Found';

describe('the recorded exchanges, against the application in memory', () => {
  const scenarios = recordedScenarios();

  test.each([false, true])('with residents: %s', async (withResidents) => {
    const unproven: string[] = [];
    let absences = 0;
    const ask: Ask = (runtime, request) => {
      const response = runtime.request(request);
      if (runtime.last.absence) absences += 1;
      else if (response.status === 404 && textIn(response) !== NO_SUCH_PATH) {
        unproven.push(`${request.verb} ${request.target}: ${textIn(response)}`);
      }
      return response;
    };
    const replay = new Replay(exchangeInMemory(withResidents, ask));
    for (const scenario of scenarios) {
      if (usesResidents(scenario) === withResidents) await replay.play(scenario);
    }
    console.log(`${summary(replay.judged)}\n${absences} said that something is not there`);
    expect(wrongOnes(replay.judged)).toEqual([]);
    expect(replay.judged.length).toBeGreaterThan(withResidents ? 8 : 400);
    expect(unproven, 'a 404 leaves only when it is proven').toEqual([]);
    if (!withResidents) expect(absences).toBeGreaterThan(20);
  });
});

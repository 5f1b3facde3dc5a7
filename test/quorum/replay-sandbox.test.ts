/**
 * The recorded exchanges replayed against real sandboxes, over their sockets and ports: one with
 * the recorded keys, and one with residents for scenario 19.
 */
import { afterAll, describe, expect, test } from 'vitest';
import { type QuorumSandbox, startQuorumSandbox } from '../support/quorum-sandbox.ts';
import { exchangeOverHttp } from './replay/over-http.ts';
import { type Recorded, recordedScenarios } from './replay/recordings.ts';
import { Replay, summary, wrongOnes } from './replay/replay.ts';
import { recordedKeys, residentsOfScenario19, usesResidents } from './replay/setting.ts';

describe('the recorded exchanges, against a sandbox', () => {
  const running: QuorumSandbox[] = [];
  afterAll(async () => {
    await Promise.all(running.map((sandbox) => sandbox.stop()));
  });

  test.each([false, true])(
    'with residents: %s',
    async (withResidents) => {
      const residents = withResidents ? residentsOfScenario19 : undefined;
      const sandbox = await startQuorumSandbox(recordedKeys(withResidents), residents);
      running.push(sandbox);
      const replay = new Replay(exchangeOverHttp((recorded) => targetOf(sandbox, recorded)));
      for (const scenario of recordedScenarios()) {
        if (usesResidents(scenario) === withResidents) await replay.play(scenario);
      }
      console.log(summary(replay.judged));
      expect(wrongOnes(replay.judged)).toEqual([]);
      expect(replay.judged.length).toBeGreaterThan(withResidents ? 8 : 400);
      await sandbox.stop();
    },
    120_000,
  );
});

function targetOf(sandbox: QuorumSandbox, recorded: Recorded): string {
  const organisation = sandbox.organisations[recorded.organisation - 1];
  if (organisation === undefined) throw new Error(`no organisation ${recorded.organisation}`);
  if (recorded.surface === 'third-party') return organisation.thirdParty.url;
  const { url, socket } = organisation.transactionManager;
  return recorded.overSocket ? `unix:${socket}` : url;
}

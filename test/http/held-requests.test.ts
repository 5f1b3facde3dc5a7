// Requests that wait for a primary: tried when there is one, ever more slowly when that does not
// help, and never after their time.

import { describe, expect, test } from 'vitest';
import { HELD_REQUESTS_LOOK_MS, REQUEST_WAIT_MS_MAX } from '../../src/base/limits.ts';
import { type HeldRequest, HeldRequests } from '../../src/http/held-requests.ts';
import { ManualTime } from '../support/manual-time.ts';

interface Waiting {
  readonly time: ManualTime;
  readonly requests: HeldRequests;
  hasPrimary: boolean;
}

function waiting(): Waiting {
  const time = new ManualTime(0);
  const one: { time: ManualTime; requests: HeldRequests; hasPrimary: boolean } = {
    time,
    hasPrimary: false,
    requests: new HeldRequests(
      { lookMs: HELD_REQUESTS_LOOK_MS, waitMsMax: REQUEST_WAIT_MS_MAX },
      { timers: time, hasPrimary: () => one.hasPrimary },
    ),
  };
  return one;
}

/** Times at which a request that never succeeds is tried, and when it ends. */
async function timesOf(rig: Waiting, held: HeldRequest): Promise<readonly number[]> {
  const times: number[] = [];
  let over = false;
  const attempts = async (): Promise<void> => {
    while (await held.again()) times.push(rig.time.nowMs());
    times.push(rig.time.nowMs());
    held.end();
    over = true;
  };
  const done = attempts();
  while (!over) await rig.time.advance(HELD_REQUESTS_LOOK_MS);
  await done;
  return times;
}

describe('a held request', () => {
  test('is not tried while there is nobody to try, and ends after 4 s', async () => {
    const rig = waiting();
    expect(await timesOf(rig, rig.requests.hold())).toEqual([4_000]);
    expect([rig.requests.count, rig.time.pending]).toEqual([0, 0]);
  });

  test('is tried ever more slowly when it does not help, to ten times a second', async () => {
    const rig = waiting();
    rig.hasPrimary = true;
    const times = await timesOf(rig, rig.requests.hold());
    expect(times.slice(0, 5)).toEqual([25, 75, 175, 275, 375]);
    expect(times.at(-1)).toBe(4_000);
  });

  test('is tried within one look of there being a primary', async () => {
    const rig = waiting();
    const again = rig.requests.hold().again();
    await rig.time.advance(1_000);
    rig.hasPrimary = true;
    await rig.time.advance(HELD_REQUESTS_LOOK_MS);
    expect(await again).toBe(true);
  });

  test('whose client is gone ends at once, and the timer with the last', async () => {
    const rig = waiting();
    const [first, second] = [rig.requests.hold(), rig.requests.hold()];
    expect([rig.requests.count, rig.time.pending]).toEqual([2, 1]);
    const again = first.again();
    first.end();
    expect(await again).toBe(false);
    expect([rig.requests.count, rig.time.pending]).toEqual([1, 1]);
    second.end();
    expect([rig.requests.count, rig.time.pending]).toEqual([0, 0]);
  });

  test('after it can come another', async () => {
    const rig = waiting();
    rig.requests.hold().end();
    rig.hasPrimary = true;
    const again = rig.requests.hold().again();
    await rig.time.advance(HELD_REQUESTS_LOOK_MS);
    expect(await again).toBe(true);
  });
});

/** What every story has: its title, the consortium it plays in, and a few ways to look at it. */
import { expect } from 'vitest';
import type { Consortium } from './consortium.ts';
import type { QuorumNode } from './quorum-node.ts';

export interface Story {
  readonly title: string;
  /** Registers its tests. The consortium is there when they run. */
  tell(consortium: () => Consortium): void;
}

/** A party key that nobody has. */
export const STRANGER = { partyKey: Buffer.alloc(32, 7).toString('base64') };
export const NOTHING = undefined;

/** What a contract holds at each of the three: a number, or nothing. */
export async function expectValues(
  { one, two, three }: Pick<Consortium, 'one' | 'two' | 'three'>,
  contract: string,
  values: readonly (number | undefined)[],
): Promise<void> {
  expect(await Promise.all([one, two, three].map((node) => node.value(contract)))).toEqual(
    values,
  );
}

/** Whether a transaction succeeded, as some nodes see it. */
export async function expectSuccess(
  transaction: string,
  ...seen: readonly (readonly [QuorumNode, boolean])[]
): Promise<void> {
  for (const [node, succeeded] of seen) {
    expect([node.name, await node.succeeded(transaction)]).toEqual([node.name, succeeded]);
  }
}

const UNTIL_MS_MAX = 60_000;
const LOOK_MS = 100;

/** Waits for what takes its time; rejects with what is missing. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const endMs = Date.now() + UNTIL_MS_MAX;
  while (!(await holds().catch(() => false))) {
    if (Date.now() > endMs) throw new Error(`after ${UNTIL_MS_MAX} ms: not yet that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

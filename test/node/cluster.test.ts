// Several nodes as one service: what one commits all hold, whoever leads, stops or comes back.

import { afterEach, expect, test } from 'vitest';
import { cluster, type Member, primaryOf, restart } from '../support/cluster-rig.ts';
import { holdsRow, writeRow } from '../support/node-rig.ts';

let members: Member[] = [];

afterEach(async () => {
  await Promise.all(members.map(({ node }) => node.stop()));
  members = [];
});

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let waitedMs = 0; waitedMs < 10_000; waitedMs += 10) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`after 10 s: not ${what}`);
}

const committedOf = ({ node }: Member): number => node.committed().seqno;

async function allAgree(): Promise<void> {
  await eventually('all at the same seqno', () => new Set(members.map(committedOf)).size === 1);
}

test('three nodes hold what one of them commits', async () => {
  members = await cluster(3);
  const primary = await primaryOf(members);
  for (let number = 0; number < 30; number += 1) await writeRow(primary.node, number);
  await allAgree();
  for (const { node } of members) {
    expect(holdsRow(node, 29)).toBe(true);
    expect(node.node().configurations.at(-1)?.nodeIds).toHaveLength(3);
  }
});

test('when the primary stops, another takes over and nothing is lost', async () => {
  members = await cluster(3);
  const first = await primaryOf(members);
  for (let number = 0; number < 10; number += 1) await writeRow(first.node, number);
  await first.node.stop();
  const rest = members.filter((each) => each !== first);
  members = rest;
  const second = await primaryOf(rest);
  for (let number = 10; number < 20; number += 1) await writeRow(second.node, number);
  members = [...rest, await restart(first)];
  await allAgree();
  for (const { node } of members) {
    for (let number = 0; number < 20; number += 1) expect(holdsRow(node, number)).toBe(true);
  }
});

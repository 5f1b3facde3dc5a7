// A joiner is killed at every operation on its disk, and whatever the crash leaves, the next
// attempt ends as the first would have: as the same node, with a ledger whose every file is good.

import { expect, test } from 'vitest';
import { OPENED_MARK } from '../../src/node/new-service.ts';
import {
  type CrashKind,
  codeOf,
  describeOperation,
  type Operation,
} from '../support/crashing-disk.ts';
import { type Files, nodeIdOf } from './fake-service.ts';
import { byName, CHUNKS, JoinerRig, LEDGER } from './joiner-rig.ts';

interface Attempt {
  readonly rig: JoinerRig;
  /** Ids under which the service was asked. */
  readonly ids: Set<string>;
}

function attempt(ids: Set<string> = new Set()): Attempt {
  const rig = new JoinerRig();
  const node = rig.service.node('a:1', TWO_CHUNKS);
  node.replies = [
    (body) => {
      ids.add(nodeIdOf(body));
      return rig.service.pending(body);
    },
    (body) => {
      ids.add(nodeIdOf(body));
      return rig.service.trusted(body);
    },
  ];
  return { rig, ids };
}

const TWO_CHUNKS: Files = new Map([...CHUNKS].slice(0, 2));

/** What the crash may leave that differs from what it leaves one operation later. */
function kindsAt({ kind }: Operation): readonly CrashKind[] {
  switch (kind) {
    case 'write':
      return ['kept', 'lost', 'torn-half', 'zeros'];
    case 'rename':
    case 'sync':
    case 'sync-folder':
      return ['kept', 'lost', 'names', 'contents'];
    default:
      return ['kept'];
  }
}

test('killed at every operation, left with any part of what was not synced', async () => {
  const whole = attempt();
  await whole.rig.join();
  const operations = [...whole.rig.disk.operations];
  expect(operations.length).toBeGreaterThan(60);
  const marked = operations.findIndex(
    ({ kind, path }) => kind === 'rename' && path.includes(OPENED_MARK),
  );
  for (const [at, operation] of operations.entries()) {
    for (const kind of kindsAt(operation)) {
      const what = `${kind} at ${at}, ${describeOperation(operation)}`;
      const { rig, ids } = attempt();
      rig.disk.crashAt({ at, kind });
      await Promise.race([rig.join(), rig.disk.crashed]);

      const next = attempt(ids);
      next.rig.disk = rig.disk.survivor(kind);
      for (const [name, bytes] of next.rig.files(LEDGER)) {
        expect(bytes.equals(CHUNKS.get(name) ?? Buffer.alloc(0)), `${what}: ${name}`).toBe(
          true,
        );
      }
      const ended = await next.rig.join().then(() => 'joined', codeOf);
      // Once the mark is there, the folder is a node's: it is started, and joins no more.
      expect(at > marked ? ['joined', 'AlreadyJoined'] : ['joined'], what).toContain(ended);
      expect(byName(next.rig.files(LEDGER)), what).toEqual(byName(TWO_CHUNKS));
      expect(ids.size, what).toBe(1);
      expect(next.rig.warnings, what).toEqual([]);
    }
  }
}, 600_000);

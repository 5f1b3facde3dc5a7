// A recovery whose process dies at any of its disk operations: run again, it brings the service
// back all the same, with all that was acknowledged.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually } from '../support/cluster-rig.ts';
import { Service } from '../support/cluster-service.ts';
import { CrashingDisk, type CrashKind, describeOperation } from '../support/crashing-disk.ts';
import { allowOpening, Disaster, opened, submitOwn, withMembers } from '../support/disaster.ts';
import { afterCrash, holdsRow, newWorld, type World } from '../support/node-rig.ts';
import { recoveryMembers } from '../support/recovery-members.ts';

const isLong = process.env.CONCORDAT_LONG === '1';
const POINTS = isLong ? 200 : 16;
const KINDS: readonly CrashKind[] = ['lost', 'kept', 'names', 'contents'];
const members = recoveryMembers(['Participant', 'Participant']);

let disaster: Disaster;

beforeEach(async () => {
  disaster = await Disaster.begin();
});

afterEach(async () => {
  await disaster.end();
});

test(
  'a recovery may die at any operation',
  async () => {
    const service = await Service.of(1);
    await withMembers(service, members, 2);
    await service.write(12);
    const certificate = (await service.primary()).node.serviceCertificatePem;
    const [only] = service.members;
    if (only === undefined) throw new Error('there is one');
    await service.end();
    const ledgers = [await disaster.leftOf(only, 'left')];

    const recover = async (world: World): Promise<void> => {
      const request = { ledgers, previousCertificatePem: certificate };
      const { node, choice } = await disaster.recover(request, world);
      if (choice !== undefined) {
        await allowOpening(node, certificate);
        for (const member of members) await submitOwn(node, member);
      }
      await opened(node);
      const mark = '/node/sealed/service-opened.sealed';
      await eventually('noted', () => world.disk.files().has(mark));
      const missing = [...service.acknowledged.keys()].filter(
        (number) => !holdsRow(node, number),
      );
      expect(missing).toEqual([]);
    };

    const whole = newWorld();
    await recover(whole);
    const count = whole.disk.operations.length;
    expect(count).toBeGreaterThan(50);
    const died = new Set<string>();
    for (let point = 0; point < POINTS; point += 1) {
      const at = Math.floor((point * count) / POINTS);
      const kind = KINDS[point % KINDS.length] ?? 'lost';
      const world = newWorld(new CrashingDisk());
      world.disk.crashAt({ at, kind });
      const running = recover(world).catch(() => undefined);
      await Promise.race([running, world.disk.crashed]);
      const where = describeOperation(world.disk.operations[at]);
      died.add(where);
      disaster.abandonAll();
      const again = afterCrash(world, kind);
      await recover(again).catch((error: unknown) => {
        throw new Error(`after a crash (${kind}) at ${at}, ${where}`, { cause: error });
      });
      expect(again.fatal, where).toEqual([]);
    }
    expect(died.size).toBeGreaterThan(POINTS / 4);
  },
  isLong ? 600_000 : 120_000,
);

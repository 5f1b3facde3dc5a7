// The simulated disk keeps what was synced and nothing else for certain, and each of its faults
// happens.

import { describe, expect, test } from 'vitest';
import type { Disk } from '../../src/base/environment.ts';
import { Chance } from './chance.ts';
import { DiskState } from './disk-state.ts';
import { EventHash } from './event-hash.ts';
import { FaultCounts } from './fault-counts.ts';
import { MachineClock, Process } from './process.ts';
import { GOOD_MOOD, SimulatedDisk } from './simulated-disk.ts';
import { Timeline } from './timeline.ts';

class Machine {
  readonly timeline = new Timeline();
  readonly faults = new FaultCounts();
  readonly chance: Chance;
  readonly disk: SimulatedDisk;
  process = this.boot();

  constructor(seed = 1) {
    this.chance = new Chance(seed);
    this.disk = new SimulatedDisk({
      name: 'm',
      chance: this.chance,
      faults: this.faults,
      hash: new EventHash(),
    });
  }

  boot(): Process {
    return new Process('m', this.timeline, new MachineClock(this.timeline, 0));
  }

  session(): Disk {
    const { process } = this;
    return this.disk.session({
      after: (ms, action) => void process.after(ms, action),
      get isDead() {
        return process.isDead;
      },
      onOperation: () => undefined,
    });
  }

  async run<Result>(work: (disk: Disk) => Promise<Result>): Promise<Result> {
    const result = work(this.session());
    result.catch(() => undefined);
    await this.timeline.play(this.timeline.nowMs() + 1_000);
    return await result;
  }

  losePower(): void {
    this.process.die();
    this.disk.state.losePower(this.chance, this.faults);
    this.process = this.boot();
  }

  read(path: string): string | undefined {
    return this.disk.state.find(path)?.current.toString();
  }
}

async function write(disk: Disk, name: string, text: string): Promise<void> {
  await disk.makeFolder('/f');
  const file = await disk.open(`/f/${name}`, 'create');
  await file.write(0, Buffer.from(text));
}

describe('what survives', () => {
  test('a synced file under a synced name survives any loss of power', async () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const machine = new Machine(seed);
      await machine.run(async (disk) => {
        await write(disk, 'a', 'kept');
        const file = await disk.open('/f/a', 'write');
        await file.sync();
        await disk.syncFolder('/f');
        await file.write(4, Buffer.from(' or not'));
      });
      machine.losePower();
      expect(machine.read('/f/a')?.slice(0, 4)).toBe('kept');
    }
  });

  test('what was not synced survives sometimes, and sometimes in part', async () => {
    const seen = new Set<string | undefined>();
    const faults = new FaultCounts();
    for (let seed = 1; seed <= 200; seed += 1) {
      const machine = new Machine(seed);
      await machine.run(async (disk) => {
        await write(disk, 'a', 'abc');
        const file = await disk.open('/f/a', 'write');
        await file.write(3, Buffer.from('def'));
        await disk.rename('/f/a', '/f/b');
      });
      machine.losePower();
      seen.add(machine.read('/f/a'));
      seen.add(machine.read('/f/b'));
      faults.add(machine.faults);
    }
    for (const left of [undefined, '', 'a', 'abc', 'abcdef', '\0\0\0def']) {
      expect(seen).toContain(left);
    }
    for (const fault of ['torn write', 'unwritten zeros', 'reordered writes', 'rename lost']) {
      expect(faults.of(`disk: ${fault}`), fault).toBeGreaterThan(0);
    }
  });

  test('the death of a process alone leaves what it wrote, still in danger', async () => {
    const machine = new Machine();
    await machine.run((disk) => write(disk, 'a', 'abc'));
    machine.process.die();
    machine.process = machine.boot();
    expect(machine.read('/f/a')).toBe('abc');
    expect(machine.disk.state.hasUnsynced).toBe(true);
  });

  test('an image put back is the disk as it was', async () => {
    const machine = new Machine();
    await machine.run(async (disk) => {
      await write(disk, 'a', 'old');
      await (await disk.open('/f/a', 'write')).sync();
      await disk.syncFolder('/f');
    });
    const image = machine.disk.state.image();
    await machine.run(async (disk) => {
      await (await disk.open('/f/a', 'write')).write(0, Buffer.from('new'));
      await write(disk, 'b', 'more');
    });
    machine.disk.state.restore(image);
    expect([machine.read('/f/a'), machine.read('/f/b')]).toEqual(['old', undefined]);
  });
});

test('nothing reaches a process after its death, and nothing of it the disk', async () => {
  const machine = new Machine();
  await machine.run((disk) => write(disk, 'a', 'abc'));
  let isTold = false;
  const late = machine.session();
  void late.remove('/f/a').then(() => {
    isTold = true;
  });
  machine.process.die();
  void late.remove('/f/a');
  await machine.timeline.play(machine.timeline.nowMs() + 100);
  expect([isTold, machine.read('/f/a')]).toEqual([false, 'abc']);
});

describe('a disk in a bad mood', () => {
  test.each([
    ['fails to read', { readFails: 1 }, 'EIO'],
    ['fails to write', { writeFails: 1 }, 'EIO'],
    ['fails to sync', { syncFails: 1 }, 'EIO'],
    ['is full', { isFull: true }, 'ENOSPC'],
  ])('%s', async (_what, mood, code) => {
    const machine = new Machine();
    await machine.run((disk) => write(disk, 'a', 'abc'));
    machine.disk.mood = { ...GOOD_MOOD, ...mood };
    const failing = machine.run(async (disk) => {
      const file = await disk.open('/f/a', 'write');
      await file.read(0, 1);
      await file.write(0, Buffer.from('x'));
      await file.sync();
    });
    await expect(failing).rejects.toMatchObject({ code });
  });

  test('writes somewhere else', async () => {
    const machine = new Machine();
    machine.disk.mood = { ...GOOD_MOOD, misdirects: 1 };
    for (const name of ['a', 'b', 'c']) {
      await machine.run((disk) => write(disk, name, 'abc'));
    }
    const found = ['a', 'b', 'c'].map((name) => machine.read(`/f/${name}`));
    expect(found.some((text) => text !== 'abc')).toBe(true);
    expect(machine.faults.of('disk: misdirected write')).toBe(3);
  });
});

test('a file system state knows no folder that nobody made', () => {
  expect(() => new DiskState().namesIn('/none')).toThrow('ENOENT');
});

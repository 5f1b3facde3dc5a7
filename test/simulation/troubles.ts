// What befalls a simulated service while troubles last: processes die and pause, links break,
// clocks go wrong, disks fail and forget, nodes come and go. Each is counted.

import { isCoded } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { majorityOf } from '../../src/consensus/configurations.ts';
import type { Chance } from './chance.ts';
import { CRASH_POINTS, type CrashPoint, pointsOf } from './crash-points.ts';
import { damageFiles } from './damage.ts';
import type { FaultCounts } from './fault-counts.ts';
import { type Fleet, isDiskFault } from './fleet.ts';
import type { Machine, MachineImage } from './machine.ts';
import { GOOD_MOOD, type Operation } from './simulated-disk.ts';
import { require as mustHold } from './violation.ts';
import { FAIR_WEATHER } from './wires.ts';
import type { World } from './world.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 366 * 24 * HOUR_MS;

export class Troubles {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #chance: Chance;
  readonly #faults: FaultCounts;
  /** An older state of each machine's disk, and the voters of then. */
  readonly #images = new Map<
    Machine,
    { readonly disk: MachineImage; readonly known: ReadonlySet<NodeId> }
  >();
  /** Machines whose disks forgot, until their nodes have learned what they missed. */
  readonly forgetful = new Set<Machine>();
  /** Machines whose nodes will never start again; they are to be replaced. */
  readonly broken = new Set<Machine>();
  #armed: { readonly point: CrashPoint; readonly machine: Machine } | undefined;

  constructor(world: World, fleet: Fleet) {
    this.#world = world;
    this.#fleet = fleet;
    this.#chance = world.chance.fork();
    this.#faults = world.faults;
    fleet.watchers.push({
      onOperation: (machine, operation, when) => this.#onOperation(machine, operation, when),
      onSigned: (machine) => this.#pass(machine, 'signature made'),
      onFatal: (machine) => this.#restartLater(machine),
      onRefused: (machine, error) => this.#onRefused(machine, error),
      onRetired: (machine) => this.#onRetired(machine),
      onStarted: (machine) => this.#onStarted(machine),
    });
  }

  begin(): void {
    const { troubles, weather } = this.#world.settings;
    this.#world.wires.weather = weather;
    const often = (everyMs: number | undefined, action: () => void): void => {
      if (everyMs !== undefined) this.#world.every(everyMs / 4, everyMs * 1.5, action);
    };
    often(troubles.crashMs, () => this.#crash());
    often(troubles.pointCrashMs, () => this.#arm());
    often(troubles.partitionMs, () => this.#partition());
    often(troubles.pauseMs, () => this.#pause());
    often(troubles.changeMs, () => this.#change());
    often(troubles.clockMs, () => this.#confuseClock());
    often(troubles.diskMoodMs, () => this.#spoilDisk());
    if (troubles.oldDisks) {
      often(700, () => this.#saveImage());
      often(5_000, () => this.#meetInIgnorance());
    }
    if (this.#chance.flip(0.3)) often(2_000, () => this.#startTwice());
  }

  /** Everything that can be is made good; nodes that are down start again. */
  end(): void {
    const { wires } = this.#world;
    this.#world.isPeace = true;
    this.#armed = undefined;
    wires.healAll();
    wires.weather = FAIR_WEATHER;
    for (const machine of this.#fleet.machines) {
      machine.disk.mood = GOOD_MOOD;
      machine.clock.thaw();
      machine.process?.resume();
      this.#restart(machine);
    }
  }

  /** A commit moved on at a node. */
  onCommit(machine: Machine): void {
    this.#pass(machine, 'commit advanced');
  }

  // Processes.

  #crash(): void {
    const victims = this.#fleet.machines.filter(({ isUp }) => isUp);
    if (victims.length === 0) return;
    const isMassive = !this.#world.settings.troubles.oldDisks && this.#chance.flip(0.1);
    const { primary } = this.#fleet;
    const one =
      primary !== undefined && this.#chance.flip(0.4) ? primary : this.#chance.pick(victims);
    const chosen = isMassive ? victims.filter(() => this.#chance.flip(0.6)) : [one];
    if (isMassive) this.#faults.count('crash: several at once');
    for (const machine of chosen) if (this.#mayCrash()) this.#kill(machine);
  }

  /** Where disks forget, one node at a time is away: the others are to prove what it missed. */
  #mayCrash(): boolean {
    if (!this.#world.settings.troubles.oldDisks) return true;
    const voters = new Set(this.#fleet.voters());
    return this.#fleet.machines.every((machine) => {
      const id = this.#fleet.idOf(machine);
      if (id === undefined || !voters.has(id)) return true;
      return machine.node?.node().state === 'PartOfNetwork';
    });
  }

  #kill(machine: Machine): void {
    this.#world.say(`${machine.name} is killed`);
    machine.kill(this.#chance.flip(0.5) ? 'power' : 'process');
    this.#restartLater(machine);
  }

  #restartLater(machine: Machine): void {
    this.#world.timeline.after(20 + this.#chance.next() * 2_500, () => this.#restart(machine));
  }

  #restart(machine: Machine): void {
    if (this.#fleet.joining.has(machine)) {
      this.#faults.count('membership: interrupted join goes on');
      this.#fleet.resumeJoining(machine);
      return;
    }
    const isKnown = this.#fleet.idOf(machine) !== undefined;
    if (machine.isUp || !isKnown || this.broken.has(machine)) return;
    if (machine.isRetired && this.#world.isPeace) return;
    if (machine.isRetired) this.#faults.count('membership: retired node returns');
    if (!this.#world.isPeace) this.#changeDisk(machine);
    this.#faults.count('restart');
    machine.start();
  }

  #arm(): void {
    const { machines } = this.#fleet;
    const up = machines.filter(({ isUp }) => isUp);
    if (up.length === 0) return;
    this.#armed = { point: this.#chance.pick(CRASH_POINTS), machine: this.#chance.pick(up) };
  }

  #onOperation(machine: Machine, operation: Operation, when: 'before' | 'after'): void {
    if (this.#armed?.machine !== machine) return;
    for (const point of pointsOf(operation, when)) this.#pass(machine, point);
  }

  #pass(machine: Machine, point: CrashPoint): void {
    if (this.#armed?.machine !== machine || this.#armed.point !== point) return;
    if (!this.#mayCrash()) return;
    this.#armed = undefined;
    this.#faults.count(`crash at: ${point}`);
    this.#kill(machine);
  }

  #pause(): void {
    const awake = this.#fleet.machines.filter(({ isAwake }) => isAwake);
    if (awake.length === 0) return;
    const { primary } = this.#fleet;
    const machine =
      primary !== undefined && this.#chance.flip(0.5) ? primary : this.#chance.pick(awake);
    const { process } = machine;
    this.#faults.count(machine === primary ? 'pause: primary' : 'pause');
    this.#world.say(`${machine.name} is paused`);
    process?.pause();
    const ms = this.#chance.pick([100, 500, 2_000, 30_000]) * this.#chance.next();
    this.#world.timeline.after(100 + ms, () => process?.resume());
  }

  #startTwice(): void {
    const { machines } = this.#fleet;
    const machine = machines.find(({ isAwake }) => isAwake);
    const first = machine?.process;
    if (machine === undefined || first === undefined) return;
    this.#world.background('a second start on one folder', async () => {
      const refusal = await machine.startTwin();
      if (first.isDead || isDiskFault(refusal)) return;
      this.#faults.count('double start');
      mustHold(
        isCoded(refusal, 'FolderInUse'),
        'OneProcessAFolder',
        () => `a second process on ${machine.name} was not refused: ${String(refusal)}`,
      );
    });
  }

  #onStarted(machine: Machine): void {
    const { node } = machine;
    void node?.ready().then(
      () => {
        if (machine.node === node) this.forgetful.delete(machine);
      },
      () => undefined,
    );
  }

  #onRefused(machine: Machine, error: unknown): void {
    if (!this.#world.isPeace && machine.disk.mood !== GOOD_MOOD) {
      this.#restartLater(machine);
      return;
    }
    mustHold(
      machine.blemishes.size > 0,
      'RestartsInPlace',
      () =>
        `${machine.name} does not start, and nothing was done to its disk: ${String(error)}`,
    );
    this.#faults.count(`refused start: ${isCoded(error) ? error.code : 'other'}`);
    this.broken.add(machine);
  }

  #onRetired(machine: Machine): void {
    const { process } = machine;
    this.#world.timeline.after(100, () => {
      if (process !== machine.process) return;
      machine.stopProcess();
      if (!this.#world.isPeace && this.#chance.flip(0.3)) this.#restartLater(machine);
    });
  }

  // Links.

  #partition(): void {
    const { machines, primary } = this.#fleet;
    if (machines.length < 2) return;
    const kind = this.#chance.pick([
      'halves',
      'isolate',
      'primary',
      'one way',
      'bridge',
    ] as const);
    this.#faults.count(`partition: ${kind}`);
    const addresses = machines.map(({ address }) => address);
    const alone =
      kind === 'primary' && primary !== undefined
        ? primary.address
        : this.#chance.pick(addresses);
    const side = new Set(addresses.filter(() => this.#chance.flip(0.5)));
    const isCut = (from: string, to: string): boolean => {
      switch (kind) {
        case 'halves':
          return side.has(from) !== side.has(to);
        case 'bridge':
          return from !== alone && to !== alone && side.has(from) !== side.has(to);
        case 'one way':
          return from === alone && this.#chance.flip(0.7);
        default:
          return from === alone || to === alone;
      }
    };
    for (const from of addresses) {
      for (const to of addresses) {
        if (from !== to && isCut(from, to)) this.#world.wires.cut(from, to);
      }
    }
    this.#world.say(`partition: ${kind}`);
    this.#world.timeline.after(100 + this.#chance.next() * 4_000, () => {
      this.#world.wires.healAll();
    });
  }

  // Clocks.

  #confuseClock(): void {
    const machine = this.#chance.pick(this.#fleet.machines);
    const kind = this.#chance.pick(['jump', 'jump back', 'freeze', 'years'] as const);
    this.#faults.count(`clock: ${kind}`);
    const { clock } = machine;
    if (kind === 'jump') clock.offsetMs += this.#chance.next() * HOUR_MS;
    else if (kind === 'jump back') clock.offsetMs -= this.#chance.next() * HOUR_MS;
    // Certificates of nodes are good for one.
    else if (kind === 'years') clock.offsetMs += 2 * YEAR_MS;
    else {
      clock.freeze();
      this.#world.timeline.after(this.#chance.next() * 3_000, () => clock.thaw());
    }
  }

  // Disks.

  #spoilDisk(): void {
    const machine = this.#chance.pick(this.#fleet.machines);
    // A node that a failing disk stops could not vouch for one that forgot.
    if (this.#world.settings.troubles.oldDisks && this.forgetful.size > 0) return;
    const kinds = ['slow', 'full', 'read', 'write', 'sync'] as const;
    const isSpared = this.#world.settings.troubles.damage && this.#canBeLost(machine);
    const kind = this.#chance.pick(isSpared ? ([...kinds, 'misdirect'] as const) : kinds);
    const rate = this.#chance.next() * 0.2;
    const mood = {
      slow: { slowness: this.#chance.pick([10, 100]) },
      full: { isFull: true },
      read: { readFails: rate },
      write: { writeFails: rate },
      sync: { syncFails: rate },
      misdirect: { misdirects: rate },
    }[kind];
    if (kind === 'misdirect') {
      machine.blemishes.add('misdirected');
      this.forgetful.add(machine);
    }
    if (kind === 'slow') this.#faults.count('disk: slow');
    machine.disk.mood = { ...GOOD_MOOD, ...mood };
    this.#world.timeline.after(200 + this.#chance.next() * 2_000, () => {
      machine.disk.mood = GOOD_MOOD;
    });
  }

  #saveImage(machine = this.#chance.pick(this.#fleet.machines)): void {
    if (machine.isAwake && machine.node?.node().state === 'PartOfNetwork') {
      const known = new Set(this.#fleet.voters());
      this.#images.set(machine, { disk: machine.image(), known });
    }
  }

  /**
   * A quorum of nodes that do not know what was committed: some were cut off meanwhile, one forgot
   * it with its disk, and those that know are cut off now. Only a restart that waits for its proof
   * (node-lifecycle.md §3) keeps them from leading the service astray.
   */
  #meetInIgnorance(): void {
    const { machines, primary } = this.#fleet;
    const voters = this.#fleet.voters().map((id) => this.#fleet.machineOf(id));
    const others = voters.filter((machine) => machine !== undefined && machine !== primary);
    const [one, ...rest] = this.#chance.shuffled(others);
    if (primary === undefined || one === undefined || !this.#mayCrash()) return;
    const late = rest.slice(majorityOf(voters.length) - 2);
    if (late.length === 0) return;
    const { wires } = this.#world;
    const cutOff = (side: readonly (Machine | undefined)[]): void => {
      wires.healAll();
      for (const { address } of machines.filter((machine) => side.includes(machine))) {
        for (const other of machines.filter((machine) => !side.includes(machine))) {
          wires.cut(address, other.address);
          wires.cut(other.address, address);
        }
      }
    };
    this.#faults.count('partition: the late, then those that know');
    this.#saveImage(one);
    cutOff(late);
    this.#world.timeline.after(200 + this.#chance.next() * 1_000, () => {
      const isSame = primary === this.#fleet.primary && one.isUp;
      if (this.#world.isPeace || !isSame || !this.#mayCrash()) return wires.healAll();
      this.#world.say(`${one.name} is killed, and is to meet those that know nothing`);
      one.kill('process');
      this.#fetchOldDisk(one);
      cutOff([one, ...late]);
      one.start();
      this.#world.timeline.after(2_000 + this.#chance.next() * 4_000, () => wires.healAll());
    });
  }

  /** Whether it was given an older state of its disk. */
  #fetchOldDisk(machine: Machine): boolean {
    const image = this.#images.get(machine);
    if (image === undefined || !this.#canBeSpared(machine)) return false;
    if (!this.#canBeVouchedFor(machine, image.known)) return false;
    this.#faults.count('restart: old disk');
    this.#world.say(`${machine.name} gets an old disk`);
    machine.restore(image.disk);
    this.forgetful.add(machine);
    machine.blemishes.add('old disk');
    return true;
  }

  /** What may happen to the disk of a machine that is off. */
  #changeDisk(machine: Machine): void {
    const { troubles } = this.#world.settings;
    if (!this.#canBeSpared(machine)) return;
    if (troubles.oldDisks && this.#chance.flip(0.5) && this.#fetchOldDisk(machine)) return;
    if (troubles.damage && this.#chance.flip(0.2) && this.#canBeLost(machine)) {
      this.#damage(machine);
    }
  }

  /**
   * Whether all others can say what this one forgets. A joiner that has not yet held what its
   * leader committed cannot, and an older disk may not even name it: only an operator helps then.
   */
  #canBeVouchedFor(machine: Machine, known: ReadonlySet<NodeId>): boolean {
    return this.#fleet.machines.every((other) => {
      if (other === machine || other.isRetired) return true;
      const id = this.#fleet.idOf(other);
      if (id === undefined) return true;
      const isSound = other.disk.mood === GOOD_MOOD;
      return isSound && known.has(id) && other.node?.node().state === 'PartOfNetwork';
    });
  }

  #damage(machine: Machine): void {
    const { machines } = this.#fleet;
    const kind = this.#chance.pick(['files', 'files', 'empty', 'foreign'] as const);
    const other = this.#chance.pick(machines);
    if (kind === 'files') {
      const what = damageFiles(machine.disk.state, this.#chance);
      if (what === undefined) return;
      this.#faults.count(`disk: ${what.kind}`);
      this.#world.say(`${machine.name}: ${what.kind} in ${what.path}`);
      machine.blemishes.add(what.kind);
    } else if (kind === 'empty') {
      this.#faults.count('restart: empty disk');
      machine.restore({ disk: new Map(), index: new Map() });
      machine.blemishes.add('empty');
    } else if (other !== machine) {
      this.#faults.count("restart: another node's disk");
      machine.restore(other.image());
      machine.blemishes.add('foreign');
    }
    this.forgetful.add(machine);
  }

  /** Whether those that know will be able to prove to a machine what it missed. */
  #isProvable(
    machine: Machine,
    knows: (other: Machine) => boolean,
    quorumOf: (nodes: number) => number = (nodes) => majorityOf(nodes - 1),
  ): boolean {
    const { running } = this.#fleet;
    const configurations = running.flatMap(({ node }) => node.node().configurations);
    const id = this.#fleet.idOf(machine);
    return (
      configurations.length > 0 &&
      configurations.every(({ nodeIds }) => {
        const others = nodeIds.filter((other) => other !== id);
        const knowing = others.filter((other) => {
          const owner = this.#fleet.machineOf(other as NodeId);
          return owner !== undefined && knows(owner);
        });
        return knowing.length >= quorumOf(nodeIds.length);
      })
    );
  }

  /** Whether its disk may forget: the others are there, and forgot nothing. */
  #canBeSpared(machine: Machine): boolean {
    return this.#isProvable(machine, (other) => this.#isWhole(other));
  }

  /** Whether it may never come back: the others are a quorum without it. */
  #canBeLost(machine: Machine): boolean {
    return this.#isProvable(machine, (other) => this.#isWhole(other), majorityOf);
  }

  #isWhole(machine: Machine): boolean {
    return !this.forgetful.has(machine) && machine.node?.node().state === 'PartOfNetwork';
  }

  #isBroken(id: NodeId): boolean {
    const machine = this.#fleet.machineOf(id);
    return machine !== undefined && this.broken.has(machine);
  }

  // Membership.

  #change(): void {
    const { primary } = this.#fleet;
    const voters = this.#fleet.voters();
    if (primary === undefined || voters.length === 0) return;
    const id = this.#fleet.idOf(primary);
    // Nobody sends more nodes away while one of them will never come back.
    const hasLost = voters.some((voter) => this.#isBroken(voter));
    const kind = hasLost
      ? 'add'
      : this.#chance.pick(['add', 'add', 'remove', 'remove primary', 'swap'] as const);
    const gone = kind === 'remove primary' && id !== undefined ? id : this.#chance.pick(voters);
    if (this.#chance.flip(0.3)) {
      this.#faults.count('membership: change during a partition');
      this.#partition();
    }
    this.#world.background('a change of nodes', async () => {
      if (kind === 'add' || kind === 'swap') await this.#fleet.join();
      if (kind === 'add' || voters.length < 2) return;
      if (await this.#fleet.remove(gone)) this.#faults.count(`membership: ${kind}`);
    });
  }
}

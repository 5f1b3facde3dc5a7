// All machines of a service are lost at a moment of its troubles, and the ledgers of some survive:
// what a recovery would take from them holds what it promises (`node/recovering/choosing.ts`). The
// moments are noted as they pass, and nothing in the service's life is otherwise than without them;
// they are judged when that life is over. Of true keys and certificates the stand-ins know nothing:
// that a changed ledger is refused, `test/node/recovery.test.ts` shows.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { isCoded } from '../../src/base/errors.ts';
import { chooseLedger } from '../../src/node/recovering/choosing.ts';
import {
  judgeLedger,
  OWNER_FILE,
  type SurvivingLedger,
} from '../../src/node/recovering/surviving-ledger.ts';
import { Chance } from './chance.ts';
import type { DiskImage } from './disk-state.ts';
import type { Fleet } from './fleet.ts';
import { NODE_FOLDER } from './machine.ts';
import { require as mustHold } from './violation.ts';
import type { World } from './world.ts';

/** Moments of one life that are noted. */
const MOMENTS = 2;
/** Chance of its own, so that no other draw is another than before. */
const STREAM = 0xd15a57e5;
const LEDGER = `${NODE_FOLDER}/ledger/`;

interface Left {
  readonly name: string;
  readonly owner: string;
  readonly disk: DiskImage;
}

interface Moment {
  readonly atMs: number;
  /** Entries that somebody knew to be committed. */
  readonly committed: number;
  readonly left: readonly Left[];
}

export class Disaster {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #chance: Chance;
  /** When, the earliest last. */
  #atMs: number[] = [];
  readonly #moments: Moment[] = [];

  constructor(world: World, fleet: Fleet, seed: number) {
    this.#world = world;
    this.#fleet = fleet;
    this.#chance = new Chance(seed, STREAM);
  }

  /** Troubles begin now: the moments are some of theirs. */
  begin(): void {
    const { nowMs, settings } = this.#world;
    this.#atMs = Array.from(
      { length: MOMENTS },
      () => nowMs + this.#chance.next() * settings.faultsMs,
    ).sort((left, right) => right - left);
  }

  /** Called after every event. */
  look(): void {
    const { nowMs, ledger } = this.#world;
    if (nowMs < (this.#atMs.at(-1) ?? Number.POSITIVE_INFINITY)) return;
    this.#atMs.pop();
    const left = this.#fleet.machines.flatMap((machine): Left[] => {
      const owner = this.#fleet.idOf(machine);
      // A disk that was tampered with is no honest witness, and nobody can tell.
      if (owner === undefined || machine.blemishes.size > 0) return [];
      return [{ name: machine.name, owner, disk: machine.disk.state.image() }];
    });
    this.#moments.push({ atMs: nowMs, committed: ledger.committedCount, left });
  }

  /** Judges what a recovery would have made of each. */
  async judge(): Promise<void> {
    const root = mkdtempSync(join(tmpdir(), 'concordat-simulated-disaster-'));
    try {
      for (const [number, moment] of this.#moments.entries()) {
        const ledgers: SurvivingLedger[] = [];
        for (const left of moment.left) {
          const ledger = await this.#judged(join(root, `${number}-${left.name}`), left);
          if (ledger !== undefined) ledgers.push(ledger);
        }
        this.#judgeChoices(ledgers, moment);
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  }

  /** Whichever of them survive, and whichever of those is given twice. */
  #judgeChoices(ledgers: readonly SurvivingLedger[], moment: Moment): void {
    for (let chosen = 1; chosen < 2 ** ledgers.length; chosen += 1) {
      const some = ledgers.filter((_, index) => (chosen & (1 << index)) !== 0);
      this.#judgeChoice(some, moment);
      const [first] = some;
      if (first === undefined) continue;
      this.#world.faults.count('disaster: a copy among the survivors');
      this.#judgeChoice([...some, { ...first, given: `${first.given}-copy` }], moment);
    }
  }

  async #judged(home: string, left: Left): Promise<SurvivingLedger | undefined> {
    const folder = join(home, 'ledger');
    mkdirSync(folder, { recursive: true });
    for (const [path, bytes] of left.disk) {
      if (path.startsWith(LEDGER)) writeFileSync(join(folder, basename(path)), bytes);
    }
    writeFileSync(join(home, OWNER_FILE), JSON.stringify({ node_id: left.owner }));
    try {
      return await judgeLedger(folder, { level: 'headers' });
    } catch (error) {
      if (!isCoded(error, 'LedgerRefused')) throw error;
      // A node that has only just joined, or that began from a snapshot, has no ledger to recover.
      this.#world.faults.count('disaster: a ledger of no use');
      return undefined;
    }
  }

  #judgeChoice(good: readonly SurvivingLedger[], { committed, atMs }: Moment): void {
    const { faults, ledger } = this.#world;
    const choice = chooseLedger(good);
    const { end, committed: known } = choice.ledger;
    const where = `${good.length} ledgers at ${atMs.toFixed(0)} ms`;
    mustHold(
      (known?.seqno ?? 0) <= ledger.committedCount,
      'RecoveryCommitted',
      () => `${where}: ${known?.seqno} is taken for committed, and never was`,
    );
    faults.count(`disaster: ${choice.isComplete ? 'a majority survives' : 'too few survive'}`);
    if (!choice.isComplete) return;
    mustHold(
      end.seqno >= committed,
      'RecoveryComplete',
      () => `${where} are said to miss nothing, and end at ${end.seqno} of ${committed}`,
    );
    // Whoever holds a committed entry of this view and seqno holds all that is before it.
    const at = Math.min(end.seqno, committed);
    const view = viewIn(choice.ledger, at);
    mustHold(
      view === ledger.committedViewAt(at),
      'RecoveryComplete',
      () => `${where}: entry ${at} is of view ${view}, not ${ledger.committedViewAt(at)}`,
    );
  }
}

/** The view of one of its entries; throws for a ledger that cannot tell. */
function viewIn({ views }: SurvivingLedger, seqno: number): number {
  const start = views.findLast((each) => each.seqno <= seqno);
  if (start === undefined) throw new Error(`no view has an entry ${seqno}`);
  return start.view;
}

// A process that hosts one consensus node: its ledger in memory, its disk with what is synced and
// what is not, and the messages that wait for the disk. It keeps the obligations of
// `src/consensus/consensus.ts`; a test may make it break one.

import { invariant } from '../../src/base/assert.ts';
import { type NodeId, type Seqno, seqnoOf, type View } from '../../src/base/ids.ts';
import type { Beginning, Consensus } from '../../src/consensus/consensus.ts';
import type { Entry, Message } from '../../src/consensus/messages.ts';
import type {
  Event,
  Input,
  LedgerPoint,
  Outgoing,
  Outputs,
  VoteRecord,
} from '../../src/consensus/outputs.ts';
import { NOWHERE } from '../../src/consensus/positions.ts';
import type { ConsensusDependencies, ConsensusOptions } from '../../src/consensus/replica.ts';

/** The code under test; a mutant of it when a bug is planted. */
export interface Implementation {
  readonly Consensus: typeof Consensus;
}

/** An entry with its bytes, which here are a text of its own. */
export interface Written {
  readonly entry: Entry;
  readonly payload: string;
}

/** A message with the bytes of the entries it names. */
export interface Packet {
  readonly message: Message;
  readonly written: readonly Written[];
}

/** What is on stable storage. */
export interface DiskImage {
  readonly record: VoteRecord;
  readonly point: LedgerPoint;
  /** Entries after the point. */
  readonly written: readonly Written[];
}

export const EMPTY_POINT: LedgerPoint = {
  oldest: NOWHERE,
  views: [],
  committed: seqnoOf(0),
  retirements: [],
};

export interface HostDependencies {
  readonly implementation: Implementation;
  readonly consensus: ConsensusDependencies;
  /** A message leaves. */
  readonly transmit: (host: Host, to: NodeId, packet: Packet) => void;
  /** There is something to sync. */
  readonly onUnsynced: (host: Host) => void;
  /** A step was made. */
  readonly onStep: (host: Host, input: Input | undefined, outputs: Outputs) => void;
  /** Breaks an obligation: changes outputs before they are carried out. */
  readonly distort?: (outputs: Outputs) => Outputs;
}

type Options = Omit<ConsensusOptions, 'self' | 'incarnation' | 'nonce'>;

export class Host {
  readonly id: NodeId;
  readonly #options: Options;
  readonly #deps: HostDependencies;
  #lives = 0;
  #node: Consensus | undefined;
  #disk: DiskImage;
  #point: LedgerPoint;
  #written: Written[];
  #pending: { readonly operation: number; readonly change: (disk: DiskImage) => DiskImage }[] =
    [];
  #held: { readonly to: NodeId; readonly packet: Packet; readonly after: number }[] = [];

  constructor(id: NodeId, options: Options, dependencies: HostDependencies) {
    this.id = id;
    this.#options = options;
    this.#deps = dependencies;
    this.#point = EMPTY_POINT;
    this.#written = [];
    this.#disk = { record: { view: NOWHERE.view }, point: EMPTY_POINT, written: [] };
  }

  /** The running node; asking a stopped one is a mistake of the test. */
  get node(): Consensus {
    invariant(this.#node !== undefined, `${this.id} runs`);
    return this.#node;
  }

  get isRunning(): boolean {
    return this.#node !== undefined;
  }

  get lives(): number {
    return this.#lives;
  }

  get disk(): DiskImage {
    return this.#disk;
  }

  get point(): LedgerPoint {
    return this.#point;
  }

  /** Entries after the point, in memory. */
  get written(): readonly Written[] {
    return this.#written;
  }

  get isUnsynced(): boolean {
    return this.#pending.length > 0;
  }

  get last(): Seqno {
    return seqnoOf(this.#point.committed + this.#written.length);
  }

  at(seqno: Seqno): Written | undefined {
    return this.#written[seqno - this.#point.committed - 1];
  }

  found(view: View): void {
    this.#begin({ kind: 'found', point: EMPTY_POINT, view });
  }

  /** Joins with a snapshot, or with nothing. */
  join(point: LedgerPoint): void {
    this.#disk = {
      record: { view: (point.views.at(-1) ?? point.oldest).view },
      point,
      written: [],
    };
    this.#begin({ kind: 'join', point });
  }

  /** Starts again with what the disk has, or with an older image of it. */
  restart(image: DiskImage = this.#disk): void {
    invariant(this.#node === undefined, `${this.id} has stopped`);
    this.#disk = image;
    const { point, record, written } = image;
    const entries = written.map(({ entry }) => entry);
    this.#begin({ kind: 'restart', point, record, entries });
  }

  /** Loses what was not synced, and everything in memory. */
  crash(): void {
    this.#node = undefined;
    this.#pending = [];
    this.#held = [];
  }

  /** Crashes after the disk took some more operations that nobody was told of. */
  loseMemoryAfter(count: number): void {
    const done = this.#pending.splice(0, count);
    for (const { change } of done) this.#disk = change(this.#disk);
    this.crash();
  }

  /** Broken on purpose: says that all is stored, and lets messages go, before it is so. */
  pretendSynced(): void {
    const operation = this.#pending.at(-1)?.operation;
    if (operation === undefined) return;
    for (const { to, packet } of this.#held.splice(0)) this.#deps.transmit(this, to, packet);
    this.step({ kind: 'stored', operation });
  }

  /** Makes the oldest `count` operations durable; the rest stays in danger. */
  sync(count = this.#pending.length): void {
    const done = this.#pending.splice(0, count);
    for (const { change } of done) this.#disk = change(this.#disk);
    const operation = done.at(-1)?.operation;
    if (operation === undefined) return;
    const free = this.#held.filter(({ after }) => after <= operation);
    this.#held = this.#held.filter(({ after }) => after > operation);
    for (const { to, packet } of free) this.#deps.transmit(this, to, packet);
    this.step({ kind: 'stored', operation });
  }

  receive(from: NodeId, packet: Packet): void {
    const { message, written } = packet;
    const entries = written.map(({ entry }) => entry);
    const input = { kind: 'message', from, message } as const;
    this.#run(message.kind === 'append' ? { ...input, entries } : input, written);
  }

  /** Writes entries as the leader; false when consensus refuses them. */
  write(written: readonly Written[]): boolean {
    const entries = written.map(({ entry }) => entry);
    const { events } = this.#run({ kind: 'replicate', entries }, written);
    return !events.some(({ kind }) => kind === 'refused');
  }

  /** Replaces the ledger by a snapshot that is on stable storage already. */
  install(point: LedgerPoint): void {
    if (point.committed <= this.node.commit) return;
    // What waited for the disk belonged to the old ledger; the record alone is carried over.
    const { view, votedFor } = this.node;
    const record = votedFor === undefined ? { view } : { view, votedFor };
    this.#pending = [];
    this.#held = [];
    this.#point = point;
    this.#written = [];
    this.#disk = { record, point, written: [] };
    this.step({ kind: 'install', point });
  }

  step(input: Input): readonly Event[] {
    return this.#run(input, []).events;
  }

  /** A snapshot of what is committed here. */
  get snapshot(): LedgerPoint {
    const { committedPoint } = this.node;
    const { committed } = committedPoint;
    const view = this.node.viewAt(committed);
    invariant(view !== undefined, 'the newest committed entry is in the log');
    return { ...committedPoint, oldest: { view, seqno: committed }, views: [] };
  }

  #begin(beginning: Beginning): void {
    this.#lives += 1;
    const incarnation = this.#lives;
    const { implementation, consensus } = this.#deps;
    this.#point = beginning.point;
    this.#written = beginning.kind === 'restart' ? [...this.#disk.written] : [];
    this.#node = new implementation.Consensus(
      { ...this.#options, self: this.id, incarnation, nonce: incarnation },
      consensus,
      beginning,
    );
    this.#carryOut(undefined, this.#node.start(), []);
  }

  #run(input: Input, written: readonly Written[]): Outputs {
    return this.#carryOut(input, this.node.step(input), written);
  }

  #carryOut(input: Input | undefined, real: Outputs, written: readonly Written[]): Outputs {
    const outputs = this.#deps.distort?.(real) ?? real;
    for (const operation of outputs.storage) {
      if (operation.kind === 'record') {
        const { record } = operation;
        this.#queue(operation.operation, (disk) => ({ ...disk, record }));
      } else if (operation.kind === 'truncate') {
        const count = operation.seqno - this.#point.committed;
        this.#written.splice(count);
        this.#queue(operation.operation, (disk) => ({
          ...disk,
          written: disk.written.slice(0, count),
        }));
      } else {
        const [first] = operation.entries;
        const start = written.findIndex(({ entry }) => entry.seqno === first?.seqno);
        const added = written.slice(start, start + operation.entries.length);
        this.#written.push(...added);
        this.#queue(operation.operation, (disk) => ({
          ...disk,
          written: [...disk.written, ...added],
        }));
      }
    }
    const packets = outputs.messages.map((outgoing) => this.#pack(outgoing));
    this.#deps.onStep(this, input, outputs);
    for (const { to, packet, after } of packets) {
      const isDurable = (this.#pending[0]?.operation ?? Number.POSITIVE_INFINITY) > after;
      if (isDurable) this.#deps.transmit(this, to, packet);
      else this.#held.push({ to, packet, after });
    }
    if (outputs.storage.length > 0) this.#deps.onUnsynced(this);
    return outputs;
  }

  #queue(operation: number, change: (disk: DiskImage) => DiskImage): void {
    this.#pending.push({ operation, change });
  }

  /** Adds the bytes; the point's own entries are in the ledger of nobody who began with it. */
  #pack({ to, message, after }: Outgoing): { to: NodeId; packet: Packet; after: number } {
    if (message.kind !== 'append') return { to, packet: { message, written: [] }, after };
    const { previous, last } = message;
    const from = previous.seqno - this.#point.committed;
    invariant(from >= 0 || last === previous.seqno, 'a node sends what it has');
    const written =
      last === previous.seqno ? [] : this.#written.slice(from, last - this.#point.committed);
    return { to, packet: { message, written }, after };
  }
}

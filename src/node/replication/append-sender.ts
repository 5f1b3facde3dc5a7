/**
 * Adds the bytes to the entries that a leader's messages name (obligation 4 of consensus). What was
 * written lately is at hand; older entries are read from the chunk files, and what is meant for the
 * same node waits behind them, so that a follower far behind slows nobody else.
 */
import { CodedError } from '../../base/errors.ts';
import { type NodeId, type Seqno, seqnoAfter, type View, viewOf } from '../../base/ids.ts';
import { APPEND_BYTES_MAX } from '../../base/limits.ts';
import type { Append } from '../../consensus/messages.ts';
import type { ChunkStore } from '../../ledger/chunk-store.ts';
import { parseHeader } from '../../ledger/entry.ts';
import type { RecentEntries } from '../../ledger/recent-entries.ts';
import type { AppendWithEntries } from '../peers/messages.ts';

export interface SenderDependencies {
  readonly chunks: ChunkStore;
  readonly recent: RecentEntries;
  readonly send: (to: NodeId, message: AppendWithEntries) => boolean;
}

/** Messages that may wait for one node's older entries; more are dropped, and asked for again. */
const WAITING_MAX = 64;

export class AppendSender {
  readonly #deps: SenderDependencies;
  readonly #waiting = new Map<NodeId, Append[]>();

  constructor(dependencies: SenderDependencies) {
    this.#deps = dependencies;
  }

  send(to: NodeId, message: Append): void {
    const waiting = this.#waiting.get(to);
    if (waiting !== undefined) {
      // Heartbeats need no entries and keep the node from electing another leader.
      if (message.last === message.previous.seqno)
        this.#deps.send(to, { ...heartbeatBefore(message, waiting[0]), entries: [] });
      else if (waiting.length < WAITING_MAX) waiting.push(message);
      return;
    }
    const rest = this.#sendRecent(to, message);
    if (rest === undefined) return;
    this.#waiting.set(to, [rest]);
    void this.#sendOlder(to);
  }

  /** Sends what is at hand; gives back what must be read first. */
  #sendRecent(to: NodeId, message: Append): Append | undefined {
    const { recent } = this.#deps;
    const parts = new Parts(message);
    for (let at = seqnoAfter(message.previous.seqno); at <= message.last; at = seqnoAfter(at)) {
      const entry = recent.get(at);
      if (entry === undefined) return parts.left;
      const full = parts.add(at, entry);
      if (full !== undefined && !this.#deps.send(to, full)) return undefined;
    }
    this.#deps.send(to, parts.end());
    return undefined;
  }

  async #sendOlder(to: NodeId): Promise<void> {
    const waiting = this.#waiting.get(to);
    for (let next = waiting?.[0]; next !== undefined; next = waiting?.[0]) {
      await this.#readAndSend(to, next).catch(() => {
        // Rolled back meanwhile, or not readable: what is missing will be asked for again.
      });
      waiting?.shift();
    }
    this.#waiting.delete(to);
  }

  async #readAndSend(to: NodeId, message: Append): Promise<void> {
    const { recent, chunks } = this.#deps;
    const parts = new Parts(message);
    for (let at = seqnoAfter(message.previous.seqno); at <= message.last; at = seqnoAfter(at)) {
      const full = parts.add(at, recent.get(at) ?? (await chunks.read(at)));
      if (full !== undefined && !this.#deps.send(to, full)) return;
    }
    this.#deps.send(to, parts.end());
  }
}

/**
 * A heartbeat that overtakes what waits speaks of the place before it: of a later one the node
 * would say that it has nothing there yet, and be sent everything again.
 */
function heartbeatBefore(heartbeat: Append, waiting: Append | undefined): Append {
  if (waiting === undefined || waiting.view !== heartbeat.view) return heartbeat;
  const { previous } = waiting;
  if (previous.seqno >= heartbeat.previous.seqno) return heartbeat;
  return { ...heartbeat, previous, last: previous.seqno };
}

/** One message cut into as many as its bytes need: each is one that the leader might have sent. */
class Parts {
  readonly #message: Append;
  #previous: Append['previous'];
  #entries: Uint8Array[] = [];
  #bytes = 0;
  #last: Seqno;
  #view: View | undefined;

  constructor(message: Append) {
    this.#message = message;
    this.#previous = message.previous;
    this.#last = message.previous.seqno;
  }

  /** What is not sent yet. */
  get left(): Append {
    return { ...this.#message, previous: this.#previous };
  }

  /** Takes an entry in; gives back a message that it no longer fits into. */
  add(seqno: Seqno, entry: Buffer): AppendWithEntries | undefined {
    const view = viewOf(parseHeader(entry, 0).view);
    if (view !== (this.#view ?? view) || view > this.#message.view) {
      // The log was cut while older entries were being read: the message is of no use any more.
      throw new CodedError('LedgerChanged', `entry ${seqno} is now of view ${view}`);
    }
    this.#view = view;
    const isFull = this.#entries.length > 0 && this.#bytes + entry.length > APPEND_BYTES_MAX;
    const full = isFull ? this.#take() : undefined;
    this.#entries.push(entry);
    this.#bytes += entry.length;
    this.#last = seqno;
    return full;
  }

  end(): AppendWithEntries {
    return this.#take();
  }

  #take(): AppendWithEntries {
    const previous = this.#previous;
    const message = { ...this.#message, previous, last: this.#last, entries: this.#entries };
    this.#previous = { view: this.#view ?? previous.view, seqno: this.#last };
    this.#entries = [];
    this.#bytes = 0;
    return message;
  }
}

// What a leader sends: the bytes of the entries that its messages name, cut into frames, the older
// ones from the disk, and nothing of a log that is not its log any more (obligation 4).

import { beforeEach, describe, expect, test } from 'vitest';
import { type NodeId, seqnoOf, viewOf } from '../../../src/base/ids.ts';
import { APPEND_BYTES_MAX } from '../../../src/base/limits.ts';
import type { Append } from '../../../src/consensus/messages.ts';
import { ChunkStore } from '../../../src/ledger/chunk-store.ts';
import { NO_CLAIMS, parseEntry, sealTransaction } from '../../../src/ledger/entry.ts';
import { ledgerSecretOf } from '../../../src/ledger/secret.ts';
import type { AppendWithEntries } from '../../../src/node/peers/messages.ts';
import { AppendSender } from '../../../src/node/replication/append-sender.ts';
import { endOfBatch } from '../../../src/node/replication/batch-end.ts';
import { CrashingDisk } from '../../support/crashing-disk.ts';
import { settle } from '../../support/manual-time.ts';

const FOLDER = '/ledger';
const HERE = 'a'.repeat(64) as NodeId;
const THERE = 'b'.repeat(64) as NodeId;
const secret = ledgerSecretOf(Buffer.alloc(32, 1));

let chunks: ChunkStore;
let disk: CrashingDisk;
let sender: AppendSender;
/** What left, and for whom. */
let sent: { readonly to: NodeId; readonly message: AppendWithEntries }[];
/** Whether the connection takes more. */
let isUp: boolean;

beforeEach(async () => {
  disk = new CrashingDisk();
  await disk.makeFolder(FOLDER);
  chunks = await ChunkStore.open(disk, FOLDER, true, [], undefined);
  sent = [];
  isUp = true;
  sender = new AppendSender({
    chunks,
    recent: chunks.recent,
    send: (to, message) => {
      if (isUp) sent.push({ to, message });
      return isUp;
    },
  });
});

function sealed(view: number, seqno: number, bytes = 50, flags = 0): Buffer {
  const writes = new Map([['row', Buffer.alloc(bytes, seqno)]]);
  return sealTransaction({
    ...{ secret, view, seqno, flags, claimsDigest: NO_CLAIMS },
    publicMaps: [{ name: 'public:rows', writes, removes: new Set() }],
    privateMaps: [],
  }).bytes;
}

/** Writes entries `from` to `to`; memory keeps those from `atHand` on. */
async function write(
  view: number,
  from: number,
  to: number,
  { bytes = 50, atHand = from } = {},
): Promise<void> {
  const entries: Buffer[] = [];
  for (let seqno = from; seqno <= to; seqno += 1) {
    const entry = sealed(view, seqno, bytes);
    entries.push(entry);
    if (seqno >= atHand) chunks.recent.add(seqnoOf(seqno), entry);
  }
  await chunks.append(entries, seqnoOf(from));
}

/** The log is cut, as a replica cuts it. */
async function cut(seqno: number): Promise<void> {
  chunks.recent.truncate(seqnoOf(seqno));
  await chunks.truncate(seqnoOf(seqno));
}

const at = (view: number, seqno: number): Append['previous'] => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
});

/** A leader's message of entries (previous, last]. */
function append(previous: Append['previous'], last: number, leaderView = 2): Append {
  const rest = { commit: seqnoOf(0), round: 0 };
  return { kind: 'append', view: viewOf(leaderView), previous, last: seqnoOf(last), ...rest };
}

/** What each message for a node named, and that it held just that: `previous-last`. */
function ranges(to = THERE): readonly string[] {
  return sent
    .filter((each) => each.to === to)
    .map(({ message: { previous, last, entries } }) => {
      const seqnos = entries.map((bytes) => parseEntry(bytes).seqno);
      const named = Array.from(
        { length: last - previous.seqno },
        (_, i) => previous.seqno + 1 + i,
      );
      expect(seqnos).toEqual(named);
      return `${previous.seqno}-${last}`;
    });
}

/** Holds all reads of the disk up until it is opened. */
function holdReads(): () => void {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { read } = chunks;
  chunks.read = async (seqno) => {
    await opened;
    return await read.call(chunks, seqno);
  };
  return open;
}

describe('what is at hand', () => {
  test('leaves at once, as one message', async () => {
    await write(2, 1, 5);
    sender.send(THERE, append(at(2, 2), 5));
    expect(ranges()).toEqual(['2-5']);
    expect(sent[0]?.message).toMatchObject({ view: 2, commit: 0, round: 0 });
  });

  test('is cut into messages of which each might have been sent alone', async () => {
    const bytes = Math.floor(APPEND_BYTES_MAX / 3);
    await write(2, 1, 7, { bytes });
    sender.send(THERE, append(at(0, 0), 7));
    expect(ranges()).toEqual(['0-2', '2-4', '4-6', '6-7']);
    for (const { message } of sent) {
      const length = message.entries.reduce((sum, entry) => sum + entry.length, 0);
      expect(length).toBeLessThanOrEqual(APPEND_BYTES_MAX);
    }
    expect(sent.map(({ message }) => message.previous.view)).toEqual([0, 2, 2, 2]);
  });

  test('an entry larger than that goes alone', async () => {
    await write(2, 1, 1);
    await write(2, 2, 2, { bytes: APPEND_BYTES_MAX + 1 });
    await write(2, 3, 3);
    sender.send(THERE, append(at(0, 0), 3));
    expect(ranges()).toEqual(['0-1', '1-2', '2-3']);
  });

  test('is dropped when the connection takes no more, and so is the rest', async () => {
    await write(2, 1, 4, { bytes: APPEND_BYTES_MAX });
    isUp = false;
    sender.send(THERE, append(at(0, 0), 4));
    isUp = true;
    sender.send(THERE, append(at(2, 3), 4));
    expect(ranges()).toEqual(['3-4']);
  });
});

describe('older entries', () => {
  test('are read from the disk, and what comes later for the same node waits', async () => {
    await write(2, 1, 9, { atHand: 7 });
    const open = holdReads();
    sender.send(THERE, append(at(0, 0), 8));
    sender.send(THERE, append(at(2, 8), 9));
    sender.send(HERE, append(at(2, 7), 9));
    await settle();
    expect(ranges(), 'it waits').toEqual([]);
    expect(ranges(HERE), 'nobody else does').toEqual(['7-9']);
    open();
    await settle();
    expect(ranges()).toEqual(['0-8', '8-9']);
    sender.send(THERE, append(at(2, 8), 9));
    expect(ranges(), 'and nothing waits any more').toEqual(['0-8', '8-9', '8-9']);
  });

  test('are cut into messages as well, across chunk files', async () => {
    const bytes = Math.floor(APPEND_BYTES_MAX / 3);
    await write(2, 1, 3, { bytes, atHand: 99 });
    await chunks.append([sealed(2, 4, bytes, 1)], seqnoOf(4));
    await write(2, 5, 7, { bytes, atHand: 7 });
    sender.send(THERE, append(at(0, 0), 7));
    await settle();
    expect(ranges()).toEqual(['0-2', '2-4', '4-6', '6-7']);
  });

  test('do not keep heartbeats from passing, which speak of the place before them', async () => {
    await write(2, 1, 9, { atHand: 7 });
    const open = holdReads();
    sender.send(THERE, append(at(2, 2), 6));
    sender.send(THERE, append(at(2, 6), 9));
    // The leader takes all this for sent: its heartbeat speaks of the end.
    sender.send(THERE, { ...append(at(2, 9), 9), commit: seqnoOf(7), round: 3 });
    expect(ranges()).toEqual(['2-2']);
    expect(sent[0]?.message).toMatchObject({ previous: at(2, 2), commit: 7, round: 3 });
    open();
    await settle();
    expect(ranges()).toEqual(['2-2', '2-6', '6-9']);
    sender.send(THERE, append(at(2, 9), 9));
    expect(ranges().at(-1), 'now the end has been sent').toBe('9-9');
  });

  test('a heartbeat of another view, or of an earlier place, passes as it is', async () => {
    await write(2, 1, 9, { atHand: 7 });
    holdReads();
    sender.send(THERE, append(at(2, 2), 6));
    sender.send(THERE, append(at(2, 9), 9, 3));
    sender.send(THERE, append(at(2, 1), 1));
    expect(ranges()).toEqual(['9-9', '1-1']);
  });

  test('wait in a bounded number of messages, and nothing is out of order', async () => {
    await write(2, 1, 200, { atHand: 150 });
    const open = holdReads();
    for (let seqno = 1; seqno < 200; seqno += 1) {
      sender.send(THERE, append(at(2, seqno), seqno + 1));
    }
    open();
    await settle(2_000);
    expect(ranges()).toEqual(Array.from({ length: 64 }, (_, i) => `${i + 1}-${i + 2}`));
  });

  test('that cannot be read are not sent, and what comes after them is', async () => {
    await write(2, 1, 9, { atHand: 7 });
    const { read } = chunks;
    chunks.read = async (seqno) => {
      if (seqno === 3) throw new Error('a bad sector');
      return await read.call(chunks, seqno);
    };
    sender.send(THERE, append(at(0, 0), 4));
    sender.send(THERE, append(at(2, 4), 6));
    await settle();
    expect(ranges()).toEqual(['4-6']);
  });

  test('are read no further once the connection takes no more', async () => {
    const bytes = Math.floor(APPEND_BYTES_MAX / 3);
    await write(2, 1, 9, { bytes, atHand: 99 });
    isUp = false;
    let reads = 0;
    disk.onRead = () => {
      reads += 1;
    };
    sender.send(THERE, append(at(0, 0), 9));
    await settle();
    expect(reads).toBeLessThan(6);
  });
});

describe('when the log is cut while older entries are read', () => {
  test('what is gone is not sent', async () => {
    await write(2, 1, 9, { atHand: 9 });
    const open = holdReads();
    sender.send(THERE, append(at(2, 2), 8));
    await cut(4);
    open();
    await settle();
    expect(ranges()).toEqual([]);
  });

  test('no message holds entries of two views', async () => {
    await write(2, 1, 9, { atHand: 9 });
    const open = holdReads();
    sender.send(THERE, append(at(2, 2), 8));
    await cut(5);
    await write(4, 6, 9);
    open();
    await settle();
    expect(ranges()).toEqual([]);
  });

  test('nor entries of a later view than its own: the receiver would hang up', async () => {
    await write(2, 1, 9, { atHand: 9 });
    const open = holdReads();
    sender.send(THERE, append(at(2, 4), 8));
    await cut(4);
    await write(4, 5, 9);
    open();
    await settle();
    expect(ranges()).toEqual([]);
  });

  test('a leader of the later view is served as ever', async () => {
    await write(2, 1, 9, { atHand: 9 });
    const open = holdReads();
    sender.send(THERE, append(at(2, 2), 8));
    await cut(5);
    await write(4, 6, 9);
    sender.send(THERE, append(at(2, 2), 5, 4));
    sender.send(THERE, append(at(2, 5), 9, 4));
    open();
    await settle();
    expect(ranges()).toEqual(['2-5', '5-9']);
  });
});

describe('how much one message names', () => {
  const closed = [
    { name: 'ledger_1-10.committed', start: seqnoOf(1), end: seqnoOf(10) },
    { name: 'ledger_11-30.committed', start: seqnoOf(11), end: seqnoOf(30) },
  ];
  const end = (first: number, last: number): number =>
    endOfBatch({ recent: chunks.recent, closed }, seqnoOf(first), seqnoOf(last));

  test('as many bytes as one carries, but one entry at least', async () => {
    await write(2, 1, 9, { bytes: Math.floor(APPEND_BYTES_MAX / 3) });
    expect(end(1, 9)).toBe(2);
    expect(end(3, 3)).toBe(3);
    chunks.recent.add(seqnoOf(10), Buffer.alloc(APPEND_BYTES_MAX + 1));
    expect(end(10, 12)).toBe(10);
    expect(end(9, 12)).toBe(9);
  });

  test('of older entries, what their chunk holds', () => {
    chunks.recent.add(seqnoOf(35), Buffer.alloc(10));
    expect(end(3, 35)).toBe(10);
    expect(end(3, 7)).toBe(7);
    expect(end(11, 35)).toBe(30);
    expect(end(31, 35), 'they lie in the chunk that grows').toBe(35);
  });
});

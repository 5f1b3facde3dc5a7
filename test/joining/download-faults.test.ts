// Whatever a node offers, only what is good gets into the ledger folder: each fault is refused with
// its reason, and the next node is asked.

import { expect, test } from 'vitest';
import { sha256 } from '../../src/crypto/hash.ts';
import { layoutOf } from '../../src/ledger/chunk.ts';
import { type OfferedDownload, unreachable } from '../../src/node/joining/join-source.ts';
import { codeOf } from '../support/crashing-disk.ts';
import { chunkBytes, LedgerWriter, makeNode, table } from '../support/ledger-writer.ts';
import { closedChunks, type FakeNode, type Files, writeLedger } from './fake-service.ts';
import {
  byName,
  CHUNKS,
  FOLDER,
  JoinerRig,
  KEYS,
  LEDGER,
  NAMES,
  PARTS,
  STRANGER,
} from './joiner-rig.ts';

const [FIRST = '', SECOND = '', THIRD = ''] = NAMES;

/** The entries of a chunk file. */
function entriesOf(bytes: Buffer): Buffer[] {
  const { positions, end } = layoutOf(bytes);
  return positions.map((at, i) => Buffer.from(bytes.subarray(at, positions[i + 1] ?? end)));
}

function changed(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

const flip = (at: number) => (copy: Buffer) => {
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 1;
};

const foreign: Files = closedChunks(await writeLedger(STRANGER, 4));

/** A writer that goes on behind the first chunk, with a history of its own. */
function goingOn(): LedgerWriter {
  const writer = new LedgerWriter({ ...KEYS });
  for (const entry of entriesOf(CHUNKS.get(FIRST) ?? Buffer.alloc(0))) writer.append(entry);
  writer.closeChunk();
  return writer;
}

/** What a primary has signed that was voted out before anybody else had it. */
async function fork(): Promise<Buffer> {
  const writer = goingOn();
  writer.view = 4;
  for (const key of ['a', 'b', 'c', 'd']) {
    writer.transaction([table('public:records', { [key]: 'forked' })]);
  }
  await writer.sign({ flags: 1 });
  return closedChunks(writer).get(SECOND) ?? Buffer.alloc(0);
}

/** A second chunk that ends with a signature by a node that the ledger does not name. */
async function signedByStranger(): Promise<Buffer> {
  const writer = goingOn();
  const { nodeId, nodeCert } = await makeNode(KEYS.serviceKey, KEYS.serviceCert);
  for (const key of ['a', 'b', 'c', 'd']) {
    writer.transaction([table('public:records', { [key]: 'signed by nobody' })]);
  }
  await writer.sign({ flags: 1, kind: 'raw', raw: { node: nodeId, cert: nodeCert } });
  return closedChunks(writer).get(SECOND) ?? Buffer.alloc(0);
}

interface Case {
  readonly title: string;
  readonly reason: RegExp;
  /** Makes the bad node offer something bad in the place of the second chunk. */
  readonly fault: (bad: FakeNode) => Promise<void> | void;
}

const offering =
  (make: (bytes: Buffer) => Buffer) =>
  (bad: FakeNode): void => {
    bad.files.set(SECOND, make(CHUNKS.get(SECOND) ?? Buffer.alloc(0)));
  };

const saying =
  (change: (offered: OfferedDownload) => OfferedDownload) =>
  (bad: FakeNode): void => {
    bad.offers = (offered) => (offered.name === SECOND ? change(offered) : offered);
  };

const CASES: readonly Case[] = [
  {
    title: 'a byte of a transaction is another',
    reason: /over the root of all entries before it|tree over all entries/,
    fault: offering((bytes) => changed(bytes, flip(200))),
  },
  {
    title: 'a byte of the last signature is another',
    reason: /signature|tree|certificate|root/,
    fault: offering((bytes) => {
      const entries = entriesOf(bytes);
      const last = entries.pop() ?? Buffer.alloc(0);
      const at = last.indexOf('"sig":"') + 20;
      last[at] = last[at] === 65 ? 66 : 65;
      return chunkBytes([...entries, last], true);
    }),
  },
  {
    title: 'the last signature is by a stranger',
    reason: /by a node of the network/,
    fault: async (bad) => {
      bad.files.set(SECOND, await signedByStranger());
    },
  },
  {
    title: 'an entry is missing',
    reason: /as many entries as its name says/,
    fault: offering((bytes) => chunkBytes(entriesOf(bytes).toSpliced(1, 1), true)),
  },
  {
    title: 'two entries changed places',
    reason: /entries follow each other without a gap/,
    fault: offering((bytes) => {
      const [first, second, ...rest] = entriesOf(bytes);
      return chunkBytes(
        [second, first, ...rest].filter((each) => each !== undefined),
        true,
      );
    }),
  },
  {
    title: 'it ends before its signature',
    reason: /ends with a signature/,
    fault: (bad) => {
      const entries = entriesOf(CHUNKS.get(SECOND) ?? Buffer.alloc(0)).slice(0, -1);
      bad.files.delete(SECOND);
      bad.files.set(`ledger_5-${4 + entries.length}.committed`, chunkBytes(entries, true));
    },
  },
  {
    title: 'it is cut short',
    reason: /needs|table|cannot begin/,
    fault: offering((bytes) => bytes.subarray(0, bytes.length - 7)),
  },
  {
    title: 'something trails',
    reason: /table|cannot begin/,
    fault: offering((bytes) => Buffer.concat([bytes, Buffer.alloc(4)])),
  },
  {
    title: 'it is not complete',
    reason: /whose name has an end is complete/,
    fault: offering((bytes) => chunkBytes(entriesOf(bytes), false)),
  },
  {
    title: 'its table points elsewhere',
    reason: /entry 1 begins at/,
    fault: offering((bytes) => changed(bytes, flip(-8 - 4 * 2))),
  },
  {
    title: 'its first word points elsewhere',
    reason: /not a ledger chunk/,
    fault: offering((bytes) => changed(bytes, flip(0))),
  },
  {
    title: 'nothing but zeros',
    reason: /complete|not a ledger chunk/,
    fault: offering((bytes) => Buffer.alloc(bytes.length)),
  },
  {
    title: 'it is the next chunk under its name',
    reason: /entries follow each other|as many entries/,
    fault: offering(() => CHUNKS.get(THIRD) ?? Buffer.alloc(0)),
  },
  {
    title: 'it is of another service',
    reason: /tree|root|certificate|node/,
    fault: offering(() => foreign.get(SECOND) ?? Buffer.alloc(0)),
  },
  {
    title: 'its bytes are not those of its digest',
    reason: /not those of its SHA-256/,
    fault: saying((offered) => ({ ...offered, sha256: sha256(Buffer.of(1)) })),
  },
  {
    title: 'its name leads elsewhere',
    reason: /no name for a file/,
    fault: saying((offered) => ({ ...offered, name: '../sealed/node-key.sealed' })),
  },
  {
    title: 'its name is that of an open chunk',
    reason: /not the name of a closed chunk/,
    fault: saying((offered) => ({ ...offered, name: 'ledger_5' })),
  },
  {
    title: 'its name is that of a chunk that does not count',
    reason: /not the name of a closed chunk/,
    fault: saying((offered) => ({ ...offered, name: `${offered.name}.ignored` })),
  },
  {
    title: 'its name begins earlier',
    reason: /begins with entry 1, and 5 comes next/,
    fault: saying((offered) => ({ ...offered, name: 'ledger_1-9.committed' })),
  },
  {
    title: 'it is empty',
    reason: /would have 0 bytes/,
    fault: saying((offered) => ({ ...offered, bytes: 0 })),
  },
  {
    title: 'it is larger than a chunk can be',
    reason: /would have 4294967296 bytes/,
    fault: saying((offered) => ({ ...offered, bytes: 2 ** 32 })),
  },
  {
    title: 'the service says that its end is not committed',
    reason: /does not say that 4.9 is committed/,
    fault: async (bad) => {
      bad.files.set(SECOND, await fork());
      bad.status = ({ view }) => (view === 2 ? 'Committed' : 'Invalid');
    },
  },
  {
    title: 'nobody knows of its end yet',
    reason: /does not say that 4.9 is committed/,
    fault: async (bad) => {
      bad.files.set(SECOND, await fork());
      bad.status = ({ view }) => (view === 2 ? 'Committed' : 'Unknown');
    },
  },
];

/** Two nodes: the first one offers what is bad, the second one what is good. */
function rigOf(): { rig: JoinerRig; bad: FakeNode; good: FakeNode } {
  const rig = new JoinerRig();
  const bad = rig.service.node('bad:1', CHUNKS);
  const good = rig.service.node('good:2', CHUNKS);
  good.status = ({ view }) => (view === 2 ? 'Committed' : 'Pending');
  good.replies = [rig.service.trusted];
  bad.replies = [rig.service.trusted];
  bad.others = ['bad:1', 'good:2'];
  return { rig, bad, good };
}

test.each(CASES)(
  '$title: refused, and fetched from another node',
  async ({ reason, fault }) => {
    const { rig, bad } = rigOf();
    await fault(bad);
    await rig.join();
    expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS));
    expect(rig.files(PARTS).size).toBe(0);
    const warning = rig.warnings.find((text) => text.startsWith('bad:1 offers a bad chunk'));
    expect(warning).toMatch(reason);
  },
);

test.each(CASES)('$title: refused, and given up when there is no other', async (each) => {
  const { rig, bad, good } = rigOf();
  await each.fault(bad);
  rig.service.nodes.delete(good.address);
  bad.others = [];
  const refused = await rig.join().catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('LedgerRefused');
  expect(String(refused)).toMatch(each.reason);
  // What was good is kept; nothing bad has a name among it.
  expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS).slice(0, 1));
  expect(rig.files(PARTS).size).toBe(0);
});

test('a line that breaks is taken up where it broke, with another node if need be', async () => {
  const { rig, bad, good } = rigOf();
  const large = Buffer.alloc(2_500_000, 7);
  const writer = goingOn();
  writer.transaction([table('public:records', { large })]);
  await writer.sign({ flags: 1 });
  const files = closedChunks(writer);
  const [name = ''] = [...files.keys()].slice(1);
  bad.files = new Map(files);
  good.files = new Map(files);
  bad.servesBytes = 2_000_000;
  await rig.join();
  expect(byName(rig.files(LEDGER))).toEqual(byName(files));
  // The first piece of the large chunk came from the one, the rest from the other.
  expect(bad.calls).toContain(`${name} 0`);
  expect(good.calls).not.toContain(`${name} 0`);
  expect(good.calls).toContain(`${name} 1048576`);
  expect(rig.warnings).toEqual([]);
});

test('a part that a bad node left does not spoil the file of a good one', async () => {
  const { rig, good } = rigOf();
  rig.service.nodes.delete('bad:1');
  await rig.disk.makeFolder(PARTS);
  const size = CHUNKS.get(SECOND)?.length ?? 0;
  rig.disk.tamper(`${PARTS}/${SECOND}.part`, Buffer.alloc(size - 10, 1));
  rig.disk.tamper(`${PARTS}/${THIRD}.part`, Buffer.alloc(9_000_000, 1));
  await rig.join({ targets: ['good:2'] });
  expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS));
  expect(good.calls.filter((call) => call.startsWith(`${SECOND} `))).toHaveLength(2);
  expect(rig.warnings).toEqual([]);
});

test('what lies in the ledger folder is verified again, and set aside if it is bad', async () => {
  const { rig, bad } = rigOf();
  bad.replies = [
    (body) => {
      rig.stop.abort();
      return rig.service.pending(body);
    },
  ];
  await rig.join().catch(codeOf);
  const next = rigOf();
  next.rig.disk = rig.disk;
  const path = `${LEDGER}/${SECOND}`;
  rig.disk.tamper(path, changed(CHUNKS.get(SECOND) ?? Buffer.alloc(0), flip(300)));
  await next.rig.join();
  expect(byName(next.rig.files(LEDGER))).toEqual(byName(CHUNKS));
  expect([...next.rig.files(`${FOLDER}/set-aside`).keys()]).toEqual(NAMES.slice(1).toSorted());
  expect(next.rig.warnings[0]).toMatch(/set ledger_5-9.committed, .* aside/);
});

test('a ledger of its own that the service has gone on without is set aside whole', async () => {
  const { rig, bad, good } = rigOf();
  await rig.disk.makeFolder(LEDGER);
  rig.disk.tamper(`${LEDGER}/${FIRST}`, CHUNKS.get(FIRST));
  rig.disk.tamper(`${LEDGER}/${SECOND}`, await fork());
  for (const node of [bad, good]) {
    node.status = ({ view }) => (view === 2 ? 'Committed' : 'Invalid');
  }
  await rig.join();
  expect(byName(rig.files(LEDGER))).toEqual(byName(CHUNKS));
  expect(rig.warnings[0]).toContain('the service does not know 4.9 as committed');
});

test('a ledger of another service is never given a name among those that count', async () => {
  const { rig, bad, good } = rigOf();
  for (const node of [bad, good]) node.files = new Map(foreign);
  const refused = await rig.join().catch((thrown: unknown) => thrown);
  expect(codeOf(refused)).toBe('ForeignLedger');
  expect(rig.files(LEDGER).size).toBe(0);
});

test('while nobody confirms a chunk it waits, unnamed', async () => {
  const { rig, bad, good } = rigOf();
  for (const node of [bad, good]) {
    node.statusOf = async ({ seqno }) => {
      node.calls.push(`asked about ${seqno}`);
      if (seqno > 4) throw unreachable(node.address, 'it says nothing about that');
      return 'Committed';
    };
  }
  const joining = rig.join();
  while (!good.calls.includes('asked about 9')) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect([...rig.files(LEDGER).keys()]).toEqual([FIRST]);
  rig.stop.abort();
  expect(await joining.catch(codeOf)).toBe('JoinStopped');
});

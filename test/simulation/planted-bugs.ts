// Bugs to be caught in whole services, each planted in the source as it is loaded. What consensus
// alone catches sooner is planted in `test/consensus/planted-bugs.ts`.

import type { PlantedChange } from './planting.ts';

export interface PlantedBug {
  readonly name: string;
  readonly changes: readonly PlantedChange[];
  /** It takes at most so many seeds. */
  readonly seedsMax: number;
}

const change = (file: string, from: string, to: string): readonly PlantedChange[] => [
  { file, from, to },
];

// Bugs of consensus alone are planted in `test/consensus/planted-bugs.ts` too, where a seed shows
// most of them; here are those that a whole service shows in as few seeds as a test can live.
export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    // Not a bug of the service but of the simulation: two lives of a seed differ.
    name: 'chance from elsewhere',
    changes: change(
      'node/replica.ts',
      'spread: () => fractionOf(random)',
      'spread: () => Math.random() * fractionOf(random)',
    ),
    seedsMax: 100,
  },
  {
    name: 'vote without comparing logs',
    changes: change(
      'consensus/elections.ts',
      'comparePositions(message.position, replica.votingPosition) >= 0',
      'comparePositions(message.position, message.position) >= 0',
    ),
    seedsMax: 200,
  },
  {
    name: 'retiring too early',
    changes: change(
      'consensus/retirement.ts',
      "if (recorded !== undefined && recorded <= log.commit) return 'RetiredCommitted';",
      "if (ordered <= log.commit) return 'RetiredCommitted';",
    ),
    seedsMax: 200,
  },
  {
    name: 'a restarting node trusts its disk',
    changes: change('consensus/consensus.ts', '      beginInquest(replica);\n', ''),
    seedsMax: 100,
  },
  {
    name: 'a leader that lost its quorum goes on',
    changes: change(
      'consensus/consensus.ts',
      '    if (!hasQuorum) {',
      '    if (!hasQuorum && false) {',
    ),
    seedsMax: 400,
  },
  {
    name: 'read served by a leader that was not confirmed',
    changes: change('consensus/reads.ts', 'if (!isConfirmed) return;', 'void isConfirmed;'),
    seedsMax: 400,
  },
  {
    name: 'vote not synced',
    changes: change(
      'node/durable-disk.ts',
      '    await file.sync();\n  } finally',
      '  } finally',
    ),
    seedsMax: 400,
  },
  {
    name: 'vote not written',
    changes: change(
      'node/replication/storage-queue.ts',
      '        await writeRecord(job.record);\n',
      '        void writeRecord;\n',
    ),
    seedsMax: 400,
  },
  {
    name: 'acknowledged before sync',
    changes: change(
      'ledger/chunk-store.ts',
      'if (this.#flush) await file.sync();',
      'void file;',
    ),
    seedsMax: 100,
  },
  {
    name: 'rename without directory sync',
    changes: change(
      'node/durable-disk.ts',
      '  await disk.rename(unfinished, join(folder, name));\n  await disk.syncFolder(folder);',
      '  await disk.rename(unfinished, join(folder, name));',
    ),
    seedsMax: 400,
  },
  {
    name: 'new chunk without directory sync',
    changes: change(
      'ledger/chunk-store.ts',
      'if (isNew && this.#flush) await this.#disk.syncFolder(this.#folder);',
      'void isNew;',
    ),
    seedsMax: 200,
  },
  {
    name: 'uncommitted state in a snapshot',
    changes: [
      ...change(
        'kv/store.ts',
        'return new Capture(this, this.#committed, () => {',
        'return new Capture(this, this.#newest, () => {',
      ),
    ],
    seedsMax: 100,
  },
  {
    name: 'Merkle siblings swapped in a receipt',
    changes: change(
      'ledger/merkle.ts',
      "const side = sibling < at ? 'left' : 'right';",
      "const side = sibling < at ? 'right' : 'left';",
    ),
    seedsMax: 20,
  },
  {
    name: 'receipt for the wrong seqno',
    changes: change(
      'node/receipt-builder.ts',
      'const entry = await this.#deps.archive.entry(seqno);\n    const txId',
      'const entry = await this.#deps.archive.entry(seqnoAfter(seqno, -1));\n    const txId',
    ),
    seedsMax: 20,
  },
  {
    name: 'wrong associated data on a sealed entry',
    changes: change(
      'ledger/entry.ts',
      'const aad = target.subarray(PUBLIC_AT, privateAt);',
      'const aad = target.subarray(PUBLIC_AT + 1, privateAt);',
    ),
    seedsMax: 5,
  },
  {
    name: '404 on a time-out',
    changes: change(
      'node/runner.ts',
      'proven ??= await this.#deps.replica.readIndex();',
      'proven ??= await this.#deps.replica.readIndex().catch(() => seen);',
    ),
    seedsMax: 400,
  },
  {
    name: 'absence said without asking the leader',
    changes: change(
      'node/runner.ts',
      'proven ??= await this.#deps.replica.readIndex();',
      'proven ??= seen;',
    ),
    seedsMax: 100,
  },
  {
    name: 'a repeated request done twice',
    changes: [
      ...change(
        'apps/quorum/request-ids.ts',
        'if (rows.length === 0) return first(',
        'if (rows.length >= 0) return first(',
      ),
      ...change(
        'apps/quorum/request-ids.ts',
        '.some(({ seqno }) => !others.has(seqno)))',
        '.some(({ seqno }) => seqno < others.size))',
      ),
    ],
    seedsMax: 50,
  },
  {
    name: 'private values written as they are',
    changes: change(
      'kv/write-set.ts',
      "return name.startsWith('public:');",
      "return name.startsWith('public:') || name === 'records';",
    ),
    seedsMax: 20,
  },
  {
    name: 'a checkpoint ahead of the disk',
    changes: change('node/running-node.ts', '      await this.#replica.stored();\n', ''),
    seedsMax: 400,
  },
  {
    name: 'a recovery that asks for one ledger too few',
    changes: change(
      'node/recovering/choosing.ts',
      'return Math.floor(nodes.length / 2) + 1;',
      'return Math.max(1, Math.floor(nodes.length / 2));',
    ),
    seedsMax: 20,
  },
  {
    name: 'a recovery that counts a copy',
    changes: change(
      'node/recovering/choosing.ts',
      'const counted = owners.size + Math.min(nobodys.length, unnamed);',
      'const counted = ledgers.length + Math.min(nobodys.length, unnamed);',
    ),
    seedsMax: 20,
  },
  {
    name: 'a fresh secret kept from nodes on their way out',
    changes: change(
      'node/unproven-restart.ts',
      "status === 'Trusted' || (status === 'Retired' && !retiredCommitted);",
      "status === 'Trusted' && !retiredCommitted;",
    ),
    seedsMax: 400,
  },
];

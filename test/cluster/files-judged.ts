// What lies on the nodes' disks in the end, judged: by PyPI `ccf`, ledger and snapshots of every
// node at FULL, and by comparison: committed chunks have the same bytes on all.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CHUNK_HEADER_BYTES, layoutOf } from '../../src/ledger/chunk.ts';
import { parseEntry } from '../../src/ledger/entry.ts';
import { judgeLedgers } from '../support/judge-ledgers.ts';
import { ccfPython, runCcf } from '../support/judges.ts';
import { chunksOf } from './ledger-rows.ts';

export interface FilesJudged {
  /** What is wrong; a line each. */
  readonly faults: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
  /** Judges that were not there. */
  readonly skipped: readonly string[];
}

/** Judges the folders of all nodes, none of which may run. */
export async function judgeFiles(
  nodeFolders: readonly string[],
  committed: number,
): Promise<FilesJudged> {
  const compared = await compare(nodeFolders, committed);
  if (ccfPython() === undefined) {
    const skipped = ['PyPI ccf: set CONCORDAT_CCF_PYTHON'];
    console.warn(`SKIPPED the judgement of the nodes' files by ${skipped[0]}`);
    return { ...compared, skipped };
  }
  const faults = [...compared.faults];
  let transactions = 0;
  const ledgers = nodeFolders.map((folder) => join(folder, 'ledger'));
  for (const [index, outcome] of (await judgeLedgers(ledgers)).entries()) {
    transactions += outcome.transactions;
    if (!outcome.ok || outcome.transactions < committed) {
      faults.push(
        `PyPI ccf, ledger of ${nodeFolders[index]}: ${outcome.detail} ` +
          `after ${outcome.transactions} of ${committed} transactions`,
      );
    }
  }
  const snapshots = await judgeSnapshots(nodeFolders);
  return {
    faults: [...faults, ...snapshots.faults],
    figures: {
      ...compared.figures,
      'transactions verified at FULL': transactions,
      'snapshots verified': snapshots.count,
    },
    skipped: [],
  };
}

const SNAPSHOTS = `
import sys, os, ccf.ledger
for folder in sys.argv[1:]:
    for name in sorted(os.listdir(folder)):
        if not name.endswith('.committed'): continue
        with ccf.ledger.Snapshot(os.path.join(folder, name)) as snapshot:
            assert snapshot.is_committed(), name
            assert "public:ccf.gov.service.info" in snapshot.get_public_domain().get_tables()
            print(name)
`;

async function judgeSnapshots(
  nodeFolders: readonly string[],
): Promise<{ readonly faults: readonly string[]; readonly count: number }> {
  const folders = nodeFolders.map((folder) => join(folder, 'snapshots'));
  const { code, stdout, stderr } = await runCcf(['-c', SNAPSHOTS, ...folders]);
  const count = stdout.split('\n').filter((line) => line !== '').length;
  return { faults: code === 0 ? [] : [`PyPI ccf, snapshots: ${stderr.slice(-2000)}`], count };
}

interface Held {
  readonly folder: string;
  /** Digests of closed chunks, by their names. */
  readonly closed: ReadonlyMap<string, string>;
  /** Digests of entries, by their seqnos. */
  readonly entries: ReadonlyMap<number, string>;
  readonly snapshots: ReadonlyMap<string, string>;
}

async function compare(
  nodeFolders: readonly string[],
  committed: number,
): Promise<Pick<FilesJudged, 'faults' | 'figures'>> {
  const faults: string[] = [];
  const held = await Promise.all(nodeFolders.map((folder) => heldBy(folder)));
  const [first, ...others] = held;
  if (first === undefined) return { faults: ['there are no nodes'], figures: {} };
  for (let seqno = 1; seqno <= committed; seqno += 1) {
    const digest = first.entries.get(seqno);
    for (const { folder, entries } of others) {
      if (entries.get(seqno) === digest && digest !== undefined) continue;
      faults.push(`entry ${seqno} is not the same in ${first.folder} and in ${folder}`);
      break;
    }
    if (faults.length > 0) break;
  }
  const chunks = sameByName(held, 'closed', faults);
  const snapshots = sameByName(held, 'snapshots', faults);
  return {
    faults,
    figures: {
      'entries equal on all nodes': faults.length > 0 ? 0 : committed,
      'chunks compared': chunks,
      'snapshots compared': snapshots,
    },
  };
}

/** Files of one name have the same bytes wherever they lie; gives back how many were compared. */
function sameByName(
  held: readonly Held[],
  kind: 'closed' | 'snapshots',
  faults: string[],
): number {
  const met = new Map<string, { readonly digest: string; readonly folder: string }>();
  let compared = 0;
  for (const each of held) {
    for (const [name, digest] of each[kind]) {
      const before = met.get(name);
      if (before === undefined) {
        met.set(name, { digest, folder: each.folder });
        continue;
      }
      compared += 1;
      if (before.digest !== digest) {
        faults.push(`${name} differs between ${before.folder} and ${each.folder}`);
      }
    }
  }
  return compared;
}

async function heldBy(folder: string): Promise<Held> {
  const closed = new Map<string, string>();
  const entries = new Map<number, string>();
  for (const path of await chunksOf(join(folder, 'ledger'))) {
    const bytes = await readFile(path);
    if (path.endsWith('.committed')) closed.set(basename(path), digestOf(bytes));
    if (bytes.length < CHUNK_HEADER_BYTES) continue;
    for (const position of layoutOf(bytes).positions) {
      const entry = parseEntry(bytes, position);
      const end = position + 8 + entry.size;
      entries.set(entry.seqno, digestOf(bytes.subarray(position, end)));
    }
  }
  const snapshots = new Map<string, string>();
  for (const name of await readdir(join(folder, 'snapshots')).catch(() => [])) {
    const path = join(folder, 'snapshots', name);
    if (name.endsWith('.committed')) snapshots.set(name, digestOf(await readFile(path)));
  }
  return { folder, closed, entries, snapshots };
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

// Bugs to be caught. Most are planted in a copy of the source by changing one passage of it, which
// must be there exactly once, so that a bug cannot silently stop being planted; others break an
// obligation of the caller by changing what consensus put out.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Outgoing, Outputs } from '../../src/consensus/outputs.ts';
import type { Implementation } from './host.ts';
import { type SimulationOptions, simulate } from './simulation.ts';

export interface PlantedBug {
  readonly name: string;
  /** In the source: this passage of this file becomes that. */
  readonly change?: { readonly file: string; readonly from: string; readonly to: string };
  /** In the harness. */
  readonly distort?: (outputs: Outputs) => Outputs;
  readonly acknowledgesEarly?: boolean;
  /** It takes at most so many seeds. */
  readonly seedsMax: number;
  /** It takes too many for every run of the tests. */
  readonly isRare?: boolean;
}

/** Lets messages of a kind leave before what they promise is on stable storage. */
const unsynced =
  (isMeant: (outgoing: Outgoing) => boolean) =>
  (outputs: Outputs): Outputs => ({
    ...outputs,
    messages: outputs.messages.map((outgoing) =>
      isMeant(outgoing) ? { ...outgoing, after: 0 } : outgoing,
    ),
  });

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'votes counted over a union of configurations',
    change: {
      file: 'elections.ts',
      from: '  return isQuorumOfEach(\n    votingConfigurations,',
      to: `  const union = new Set(votingConfigurations.flatMap(({ nodes }) => nodes));
  const [any] = votingConfigurations;
  return isQuorumOfEach(
    any === undefined ? [] : [{ ...any, nodes: [...union] }],`,
    },
    seedsMax: 1_000,
    isRare: true,
  },
  {
    name: 'commit of an entry of an earlier view by count alone',
    change: {
      file: 'committing.ts',
      from: 'log.viewAt(signature) === view ? signature : undefined;',
      to: 'view > 0 ? signature : undefined;',
    },
    seedsMax: 20,
  },
  {
    name: 'match going backwards on a negative answer',
    change: {
      file: 'progress.ts',
      from: '    this.#sent = guess;',
      to: '    this.#match = lower(this.#match, estimate);\n    this.#sent = guess;',
    },
    seedsMax: 50,
  },
  {
    name: 'truncation on a stale append',
    change: {
      file: 'accepting.ts',
      from: '  if (first === undefined) return;\n',
      to: `  const end = entries.at(-1)?.seqno;
  if (first === undefined && end !== undefined && end > log.commit) replica.truncate(end);
  if (first === undefined) return;
`,
    },
    seedsMax: 100,
  },
  {
    name: 'acknowledging beyond what was appended',
    change: {
      file: 'accepting.ts',
      from: 'answer(replica, from, message, true, log.positionAt(agreed));',
      to: 'answer(replica, from, message, true, log.lastPosition);',
    },
    seedsMax: 100,
  },
  {
    name: 'committing beyond what the message showed to agree',
    change: {
      file: 'accepting.ts',
      from: 'commitKnown(replica, lower(message.commit, agreed));',
      to: 'commitKnown(replica, lower(message.commit, log.last));',
    },
    seedsMax: 400,
  },
  {
    name: 'retiring too early',
    change: {
      file: 'retirement.ts',
      from: "if (recorded !== undefined && recorded <= log.commit) return 'RetiredCommitted';",
      to: "if (ordered <= log.commit) return 'RetiredCommitted';",
    },
    seedsMax: 20,
  },
  {
    name: 'vote not synced',
    distort: unsynced(({ message }) => message.kind === 'vote-answer'),
    seedsMax: 400,
  },
  {
    name: 'acknowledged before sync',
    distort: unsynced(({ message }) => message.kind === 'append-answer'),
    seedsMax: 20,
  },
  { name: 'the leader counts itself before sync', acknowledgesEarly: true, seedsMax: 20 },
  {
    name: 'election timer not reset',
    change: {
      file: 'accepting.ts',
      from: '  replica.resetPatience();\n',
      to: '',
    },
    seedsMax: 20,
  },
  {
    name: 'read served by a leader that was not confirmed',
    change: { file: 'reads.ts', from: 'if (!isConfirmed) return;', to: 'void isConfirmed;' },
    seedsMax: 100,
  },
  {
    name: 'read served before a signature of the view is committed',
    change: {
      file: 'reads.ts',
      from: 'if (log.viewAt(log.commit) !== view) return;',
      to: 'void view;',
    },
    seedsMax: 200,
  },
  {
    name: 'vote without comparing logs',
    change: {
      file: 'elections.ts',
      from: 'comparePositions(message.position, replica.votingPosition) >= 0',
      to: 'comparePositions(message.position, message.position) >= 0',
    },
    seedsMax: 50,
  },
  {
    name: 'a restarting node trusts its disk',
    change: { file: 'consensus.ts', from: '      beginInquest(replica);\n', to: '' },
    seedsMax: 200,
  },
  {
    name: 'what a former life acknowledged still counts',
    change: {
      file: 'progress.ts',
      from: '    const known = this.#incarnation ?? incarnation;\n',
      to: '    const known = incarnation;\n',
    },
    seedsMax: 1_000,
    isRare: true,
  },
  {
    name: 'a node alone leads before its own vote would survive a crash',
    change: {
      file: 'elections.ts',
      from: "  requestVotes(replica, 'regular');\n}",
      to: `  requestVotes(replica, 'regular');
  const { self, votingConfigurations } = replica;
  if (isQuorumOfEach(votingConfigurations, (node) => node === self)) lead(replica, 0);
}`,
    },
    seedsMax: 400,
  },
  {
    name: 'a leader that lost its quorum goes on',
    change: {
      file: 'consensus.ts',
      from: '    if (!hasQuorum) {',
      to: '    if (!hasQuorum && false) {',
    },
    seedsMax: 50,
  },
  {
    name: 'a completed retirement keeps a node from standing',
    change: {
      file: 'elections.ts',
      from: "phase === 'Completed' ||",
      to: 'phase === undefined &&',
    },
    seedsMax: 1_000,
    isRare: true,
  },
];

const root = resolve(import.meta.dirname, '../..');

/** Runs `use` with the bug planted. */
export async function withPlanted<Result>(
  bug: PlantedBug,
  use: (options: Omit<SimulationOptions, 'seed'>) => Result,
): Promise<Result> {
  const { change, distort, acknowledgesEarly = false } = bug;
  const harness = { acknowledgesEarly, ...(distort === undefined ? {} : { distort }) };
  if (change === undefined) return use(harness);
  const folder = mkdtempSync(join(tmpdir(), 'concordat-planted-'));
  try {
    for (const room of ['base', 'consensus']) {
      cpSync(join(root, 'src', room), join(folder, room), { recursive: true });
    }
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const path = join(folder, 'consensus', change.file);
    const pieces = readFileSync(path, 'utf8').split(change.from);
    if (pieces.length !== 2) {
      throw new Error(
        `"${bug.name}": its passage is ${pieces.length - 1} times in ${change.file}`,
      );
    }
    writeFileSync(path, pieces.join(change.to));
    const url = pathToFileURL(join(folder, 'consensus', 'consensus.ts')).href;
    const implementation = (await import(url)) as Implementation;
    return use({ ...harness, implementation });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** After how many seeds a bug is caught, and by what. */
export async function seedsToCatch(
  bug: PlantedBug,
  seedsMax = bug.seedsMax,
): Promise<{ readonly seeds: number; readonly by: string } | undefined> {
  return withPlanted(bug, (options) => {
    for (let seed = 1; seed <= seedsMax; seed += 1) {
      const { violation } = simulate({ ...options, seed });
      if (violation === undefined) continue;
      return { seeds: seed, by: violation.message };
    }
    return undefined;
  });
}

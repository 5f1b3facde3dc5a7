// A service of several nodes as its clients and its auditor see it: what was acknowledged, what is
// there, and whether all nodes hold the same ledger, byte for byte.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { verifyLedger } from '../../src/audit/ledger.ts';
import { type TxId, textOfTxId } from '../../src/base/ids.ts';
import { NOWHERE } from '../../src/consensus/positions.ts';
import { RESTARTS } from '../../src/governance/tables.ts';
import { NODE_DEFAULTS, type NodeOptions } from '../../src/node/node-options.ts';
import { cluster, eventually, type Member, onPrimary, primaryOf } from './cluster-rig.ts';
import { holdsRow, LEDGER, writeRow } from './node-rig.ts';

/** Short times, small chunks. */
export const QUICK: Partial<NodeOptions> = {
  consensus: { messageTimeoutMs: 30, electionTimeoutMs: 300 },
  chunkBytes: 12_000,
  signatures: { ...NODE_DEFAULTS.signatures, serviceSignatureMs: 100 },
};

type LedgerFiles = ReadonlyMap<string, Buffer>;

export class Service {
  readonly members: Member[];
  /** Those whose process runs. */
  readonly up: Set<Member>;
  /** What clients were told to be committed: the number of a row, and its transaction. */
  readonly acknowledged = new Map<number, TxId>();
  #next = 0;

  constructor(members: readonly Member[], up: readonly Member[] = members) {
    this.members = [...members];
    this.up = new Set(up);
  }

  static async of(count: number, options: Partial<NodeOptions> = {}): Promise<Service> {
    return new Service(await cluster(count, { ...QUICK, ...options }));
  }

  /** Goes on with what was acknowledged in a former life of the service. */
  goOn(acknowledged: ReadonlyMap<number, TxId>): void {
    for (const [number, txId] of acknowledged) this.acknowledged.set(number, txId);
    this.#next = Math.max(this.#next, ...acknowledged.keys()) + 1;
  }

  /** Puts the members in another order. */
  inOrder(members: readonly Member[]): this {
    this.members.splice(0, this.members.length, ...members);
    return this;
  }

  primary(): Promise<Member> {
    return primaryOf([...this.up]);
  }

  async backups(): Promise<readonly Member[]> {
    const primary = await this.primary();
    return [...this.up].filter((member) => member !== primary);
  }

  /** Writes rows until so many are acknowledged, `parallel` at a time. */
  async write(count: number, parallel = 1): Promise<void> {
    const goal = this.acknowledged.size + count;
    const writer = async (): Promise<void> => {
      while (this.acknowledged.size < goal) await this.#writeOne();
    };
    await Promise.all(Array.from({ length: parallel }, writer));
  }

  /** What was acknowledged and is not there any more. */
  missing({ node }: Member): readonly number[] {
    return [...this.acknowledged.keys()].filter((number) => !holdsRow(node, number));
  }

  async stop(member: Member): Promise<void> {
    this.up.delete(member);
    await member.stop();
  }

  async crash(member: Member, kind: Parameters<Member['crash']>[0] = 'lost'): Promise<void> {
    this.up.delete(member);
    await member.crash(kind);
  }

  /** Another node belongs to the service; it runs, unless it was not started yet. */
  async add(member: Member): Promise<void> {
    this.members.push(member);
    if (member.isStarted) this.up.add(member);
  }

  /** Starts a node again; it is not ready yet. */
  async start(member: Member, options: Partial<NodeOptions> = {}): Promise<void> {
    await member.start(options);
    this.up.add(member);
  }

  async ready(members: Iterable<Member> = this.up): Promise<void> {
    await Promise.all([...members].map(({ node }) => node.ready()));
  }

  /** Ends all that runs, without a word; nothing may have gone wrong unnoticed. */
  async end(): Promise<void> {
    const fatal = this.members.flatMap((member) => member.fatal);
    await Promise.all([...this.up].map((member) => this.crash(member, 'kept')));
    expect(fatal, 'nothing failed unnoticed').toEqual([]);
  }

  /** Stops all that runs in good order. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.up].map((member) => this.stop(member)));
  }

  /**
   * Waits until all that run hold the same ledger, to its very bytes, and nothing is on its way;
   * our auditor accepts it, and each of them holds what was acknowledged.
   */
  async settle(): Promise<void> {
    let files: LedgerFiles = new Map();
    let last = '';
    const members = [...this.up];
    await this.ready();
    await eventually('one ledger on all nodes', () => {
      const ends = members.map(({ node }) => endOf(node.figures()));
      if (new Set(ends).size > 1 || ends.includes(undefined)) return false;
      const [first, ...others] = members.map(ledgerOf);
      files = first ?? files;
      last = textOfTxId(members[0]?.node.committed() ?? NOWHERE);
      return others.every((other) => isSame(files, other));
    });
    expect(await audited(files, await this.primary())).toBe(last);
    for (const member of members) expect(this.missing(member), 'acknowledged').toEqual([]);
  }

  /** The restarts that could not be proven, as the ledger tells them: their TxIDs, and by whom. */
  async unprovenRestarts(): Promise<ReadonlyMap<string, string>> {
    const { node } = await this.primary();
    const rows = node.current().table(RESTARTS).page();
    return new Map(
      rows.map(({ key, value }) => {
        const row: { proven: unknown; node_id: unknown } = JSON.parse(
          Buffer.from(value).toString(),
        );
        expect(row.proven).toBe(false);
        return [Buffer.from(key).toString(), String(row.node_id)];
      }),
    );
  }

  async #writeOne(): Promise<void> {
    await onPrimary([...this.up], async ({ node }) => {
      // Another attempt is another row: of this one nobody knows whether it is there.
      const number = this.#next;
      this.#next += 1;
      this.acknowledged.set(number, await writeRow(node, number));
    });
  }
}

/** Where a ledger ends, if all of it is committed. */
function endOf(figures: { committedSeqno: number; newestSeqno: number }): number | undefined {
  return figures.committedSeqno === figures.newestSeqno ? figures.newestSeqno : undefined;
}

/** The chunk files of a node's disk, by name. */
export function ledgerOf({ world }: Member): LedgerFiles {
  const files = [...world.disk.files()].filter(([path]) => path.startsWith(`${LEDGER}/`));
  return new Map(files.map(([path, bytes]) => [path.slice(LEDGER.length + 1), bytes]));
}

function isSame(left: LedgerFiles, right: LedgerFiles): boolean {
  if (left.size !== right.size) return false;
  return [...left].every(([name, bytes]) => right.get(name)?.equals(bytes) === true);
}

/** The last transaction of a ledger, all of which our auditor accepts, the sealed parts too. */
async function audited(files: LedgerFiles, { node }: Member): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'concordat-cluster-'));
  try {
    for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
    const verdict = await verifyLedger(folder, {
      secrets: node.secretsForJoiners().ledgerSecrets,
      serviceCertificate: node.serviceCertificatePem,
    });
    expect(verdict).toMatchObject({ ok: true, uncovered: 0 });
    expect(verdict.torn).toBeUndefined();
    return verdict.lastVerified;
  } finally {
    await rm(folder, { recursive: true });
  }
}

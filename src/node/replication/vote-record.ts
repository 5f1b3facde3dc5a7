/**
 * The vote record on disk: the newest view this node took part in, whom it voted for there, and
 * which of its lives that was. Its loss or its age is survived: a restart trusts the quorum, not
 * the disk (design decision 11). It is sealed, because all nodes move on to the views that one of
 * them knows of: a host that could write any number there could use them all up.
 */
import { utf8 } from '../../base/bytes.ts';
import type { Disk, Random } from '../../base/environment.ts';
import { isCoded } from '../../base/errors.ts';
import { type NodeId, type Seqno, seqnoOf, type View, viewOf } from '../../base/ids.ts';
import type { VoteRecord } from '../../consensus/outputs.ts';
import { type AeadKey, GCM_IV_BYTES, openWhole, sealWhole } from '../../crypto/aead.ts';
import { writeDurably } from '../durable-disk.ts';

const NAME = 'vote.sealed';

export interface Life {
  readonly record: VoteRecord | undefined;
  /** Larger than any before it that this disk knows of. */
  readonly incarnation: number;
  /** An entry up to which everything was committed; 0 when none was noted. */
  readonly committed: Seqno;
}

export class VoteRecordFile {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #key: AeadKey;
  readonly #random: Random;
  #incarnation = 0;
  #record: VoteRecord = { view: viewOf(0) };
  #committed: Seqno = seqnoOf(0);

  constructor(disk: Disk, folder: string, key: AeadKey, random: Random) {
    this.#disk = disk;
    this.#folder = folder;
    this.#key = key;
    this.#random = random;
  }

  /** Begins another life; `nowMs` sets it apart from those that a lost file would not show. */
  async begin(nowMs: number): Promise<Life> {
    const known = await this.known();
    this.#incarnation = Math.max(nowMs, (known?.incarnation ?? 0) + 1);
    this.#committed = known?.committed ?? this.#committed;
    const { incarnation } = this;
    const record = known?.record;
    await this.write(record ?? { view: viewOf(0) });
    return { record, incarnation, committed: this.#committed };
  }

  get incarnation(): number {
    return this.#incarnation;
  }

  /** On stable storage when it resolves. */
  async write(record: VoteRecord): Promise<void> {
    this.#record = record;
    await this.#write();
  }

  /**
   * Notes that everything up to an entry, which the ledger on this disk holds, is committed: a
   * configuration before it is out of effect, and none of its nodes need ever be asked again.
   */
  async noteCommitted(seqno: Seqno): Promise<void> {
    this.#committed = seqno;
    await this.#write();
  }

  async #write(): Promise<void> {
    const { view, votedFor } = this.#record;
    const committed = this.#committed;
    const incarnation = this.#incarnation;
    const text = utf8(JSON.stringify({ view, votedFor, incarnation, committed }));
    const sealed = sealWhole(this.#key, this.#random.bytes(GCM_IV_BYTES), utf8(NAME), text);
    await writeDurably(this.#disk, this.#folder, NAME, sealed);
  }

  /** What a former life left; undefined when there is nothing that can be read. */
  async known(): Promise<Life | undefined> {
    const path = `${this.#folder}/${NAME}`;
    if (!(await this.#disk.exists(path))) return undefined;
    const file = await this.#disk.open(path, 'read');
    try {
      const sealed = await file.read(0, await file.size());
      return lifeOf(JSON.parse(openWhole(this.#key, utf8(NAME), sealed).toString()));
    } catch (error) {
      // What cannot be read counts as lost.
      if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
      if (isCoded(error)) return undefined;
      throw error;
    } finally {
      await file.close();
    }
  }
}

function lifeOf(value: unknown): Life | undefined {
  const field = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const incarnation = field('incarnation');
  const votedFor = field('votedFor');
  const committed = seqnoOf(Number(field('committed') ?? 0));
  if (!Number.isSafeInteger(incarnation)) return undefined;
  const view: View = viewOf(Number(field('view')));
  const record =
    typeof votedFor === 'string' ? { view, votedFor: votedFor as NodeId } : { view };
  return { record, incarnation: incarnation as number, committed };
}

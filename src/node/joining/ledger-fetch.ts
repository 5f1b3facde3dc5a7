/**
 * Fetches all closed chunks of a service's ledger that a joiner lacks, from any of its nodes, and
 * verifies them as they come. A file that is bad is refused with a reason, and another node is
 * asked. No file gets a name that ends in `.committed` before it was verified, all entries before
 * it as well, and the service itself has said that its last one is committed: a signature alone may
 * be of a primary that was voted out.
 */
import { bufferOf } from '../../base/bytes.ts';
import type { Disk, Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { type TxId, textOfTxId } from '../../base/ids.ts';
import { CHUNK_BYTES_MAX, FETCH_ROUNDS_MAX } from '../../base/limits.ts';
import { parseChunkName } from '../../ledger/chunk.ts';
import type { NodeLog } from '../node-options.ts';
import { moveAside } from '../tail-cut.ts';
import { fetchFile, finishFile, type UnfinishedFile } from './file-fetch.ts';
import type { JoinSource, JoinSources, OfferedDownload } from './join-source.ts';
import type { LedgerVerifier } from './ledger-verifier.ts';
import { mustGoOn, pause } from './pause.ts';

export interface LedgerFetchOptions {
  /** Nodes that may be asked, `host:port` each; the first is asked first. */
  readonly addresses: () => readonly string[];
  readonly retryMs: number;
  readonly ledgerFolder: string;
  /** Holds files that are not finished. */
  readonly partFolder: string;
  readonly asideFolder: string;
}

export interface LedgerFetchDependencies {
  readonly disk: Disk;
  readonly timers: Timers;
  readonly log: NodeLog;
  readonly sources: JoinSources;
  /** Of an empty ledger; it makes a new one for each beginning. */
  readonly newVerifier: () => LedgerVerifier;
  readonly signal?: AbortSignal;
}

/** What came of asking all nodes for one chunk. */
type Round =
  | { readonly kind: 'taken' }
  /** A node that answered has none, so there is none yet. */
  | { readonly kind: 'none' }
  | { readonly kind: 'bad'; readonly reasons: readonly string[] }
  | { readonly kind: 'silence'; readonly reasons: readonly string[] };

export class LedgerFetch {
  readonly #options: LedgerFetchOptions;
  readonly #deps: LedgerFetchDependencies;
  #verifier: LedgerVerifier;
  #last: TxId | undefined;
  #bytes = 0;
  /** Verified, but of a service before the one that is trusted. */
  #untrusted: UnfinishedFile[] = [];
  /** The node that gave the last good chunk is asked first. */
  #best: string | undefined;
  /** The service was asked about what was taken from the disk. */
  #isConfirmed = false;

  constructor(options: LedgerFetchOptions, dependencies: LedgerFetchDependencies) {
    this.#options = options;
    this.#deps = dependencies;
    this.#verifier = dependencies.newVerifier();
  }

  /** The last entry that was fetched and verified. */
  get last(): TxId | undefined {
    return this.#last;
  }

  /**
   * Takes in what a former attempt has left: it is verified again, since the disk is not trusted.
   * What does not pass is set aside, with all that follows it.
   */
  async resume(): Promise<void> {
    const { disk, log } = this.#deps;
    const { ledgerFolder } = this.#options;
    const names = (await disk.list(ledgerFolder)).toSorted(byStart);
    const stranger = names.find((name) => parseChunkName(name)?.committed !== true);
    if (stranger !== undefined) {
      throw new CodedError(
        'ForeignLedger',
        `${ledgerFolder} holds ${stranger}, which is no closed chunk: this folder is not that of ` +
          'a node that has yet to join. Choose an empty one',
        { ledgerFolder, name: stranger },
      );
    }
    for (const [index, name] of names.entries()) {
      mustGoOn(this.#deps.signal);
      try {
        const bytes = await this.#readBack(`${ledgerFolder}/${name}`);
        const judged = await this.#verifier.judge(name, bytes);
        judged.accept();
        this.#note(judged.last, bytes.length);
      } catch (thrown) {
        if (!isCoded(thrown, 'ChunkRefused')) throw thrown;
        await this.#setAside(names.slice(index), messageOf(thrown));
        break;
      }
    }
    if (this.#last !== undefined) log.info(`${ledgerFolder} is good up to ${this.#end}`);
  }

  /** Fetches until there is nothing more to fetch. */
  async fetchAll(): Promise<void> {
    await this.#mustStillHold();
    for (let badRounds = 0; ; ) {
      mustGoOn(this.#deps.signal);
      const round = await this.#oneChunk();
      if (round.kind === 'none') break;
      if (round.kind === 'taken') {
        badRounds = 0;
        continue;
      }
      if (round.kind === 'bad') badRounds += 1;
      if (badRounds >= FETCH_ROUNDS_MAX && round.kind === 'bad')
        throw this.#gaveUp(round.reasons);
      const { log, timers, signal } = this.#deps;
      log.progress(`fetching the ledger: ${round.reasons[0]}`, this.#bytes, undefined, 'B');
      await pause(timers, this.#options.retryMs, signal);
    }
    if (this.#untrusted.length > 0) {
      throw new CodedError(
        'ForeignLedger',
        `the ledger up to ${this.#end} is of another service than the one to be joined`,
      );
    }
  }

  get #end(): string {
    return this.#last === undefined ? 'nothing' : textOfTxId(this.#last);
  }

  /** What was taken from the disk is part of the service's history, or it is set aside. */
  async #mustStillHold(): Promise<void> {
    while (!this.#isConfirmed && this.#last !== undefined) {
      mustGoOn(this.#deps.signal);
      const verdict = await this.#confirmed(this.#last);
      this.#isConfirmed = verdict !== 'silence';
      if (verdict === 'committed') return;
      if (verdict === 'silence') {
        const { log, timers, signal } = this.#deps;
        log.progress('fetching the ledger: nobody answers', this.#bytes, undefined, 'B');
        await pause(timers, this.#options.retryMs, signal);
        continue;
      }
      const { disk } = this.#deps;
      const names = (await disk.list(this.#options.ledgerFolder)).toSorted(byStart);
      await this.#setAside(names, `the service does not know ${this.#end} as committed`);
      this.#verifier = this.#deps.newVerifier();
      this.#last = undefined;
      this.#bytes = 0;
    }
  }

  async #oneChunk(): Promise<Round> {
    const bad: string[] = [];
    const silent: string[] = [];
    let none = false;
    for (const source of this.#sources()) {
      mustGoOn(this.#deps.signal);
      try {
        const offered = await source.chunkWith(this.#verifier.next);
        if (offered === undefined) {
          none = true;
          continue;
        }
        await this.#take(source, offered);
        this.#best = source.address;
        return { kind: 'taken' };
      } catch (thrown) {
        const isBad = isCoded(thrown, 'ChunkRefused') || isCoded(thrown, 'BadDownload');
        if (!isBad && !isCoded(thrown, 'SourceUnreachable')) throw thrown;
        if (!isBad) {
          silent.push(messageOf(thrown));
          continue;
        }
        const reason = `${source.address} offers a bad chunk: ${messageOf(thrown)}`;
        this.#deps.log.warn(reason);
        bad.push(reason);
      }
    }
    if (none) return { kind: 'none' };
    if (bad.length > 0) return { kind: 'bad', reasons: bad };
    return { kind: 'silence', reasons: silent };
  }

  async #take(source: JoinSource, offered: OfferedDownload): Promise<void> {
    const { disk, log } = this.#deps;
    const { partFolder, ledgerFolder } = this.#options;
    const before = this.#bytes;
    const fetched = await fetchFile(offered, {
      disk,
      folder: partFolder,
      bytesMax: CHUNK_BYTES_MAX,
      onPiece: (done) => {
        mustGoOn(this.#deps.signal);
        log.progress(`fetching the ledger (${offered.name})`, before + done, undefined, 'B');
      },
    });
    try {
      const judged = await this.#verifier.judge(fetched.name, fetched.bytes);
      const verdict = await this.#confirmed(judged.last);
      if (verdict !== 'committed') {
        throw new CodedError(
          verdict === 'silence' ? 'SourceUnreachable' : 'ChunkRefused',
          `${fetched.name}: the service does not say that ${textOfTxId(judged.last)} is committed`,
          { name: fetched.name, from: source.address },
        );
      }
      judged.accept();
      this.#note(judged.last, fetched.bytes.length);
      this.#untrusted.push({ name: fetched.name, path: fetched.path });
      if (!judged.isTrusted) return;
      for (const file of this.#untrusted.splice(0)) await finishFile(disk, file, ledgerFolder);
    } catch (thrown) {
      if (isCoded(thrown, 'ChunkRefused')) await disk.remove(fetched.path);
      throw thrown;
    }
  }

  #note(last: TxId, bytes: number): void {
    this.#last = last;
    this.#bytes += bytes;
  }

  /** What the nodes say of a transaction; the first that knows decides. */
  async #confirmed(txId: TxId): Promise<'committed' | 'not' | 'silence'> {
    let answered = false;
    for (const source of this.#sources()) {
      try {
        const status = await source.statusOf(txId);
        if (status === 'Committed') return 'committed';
        if (status === 'Invalid') return 'not';
        answered = true;
      } catch (thrown) {
        if (!isCoded(thrown, 'SourceUnreachable')) throw thrown;
      }
    }
    return answered ? 'not' : 'silence';
  }

  #sources(): readonly JoinSource[] {
    const all = this.#options.addresses();
    const best = this.#best;
    const first = best !== undefined && all.includes(best) ? [best] : [];
    return [...new Set([...first, ...all])].map((address) => this.#deps.sources.at(address));
  }

  async #readBack(path: string): Promise<Buffer> {
    const file = await this.#deps.disk.open(path, 'read');
    try {
      return bufferOf(await file.read(0, await file.size()));
    } finally {
      await file.close();
    }
  }

  async #setAside(names: readonly string[], why: string): Promise<void> {
    const { disk, log } = this.#deps;
    const { ledgerFolder, asideFolder } = this.#options;
    await disk.makeFolder(asideFolder);
    for (const name of names) {
      await moveAside(disk, `${ledgerFolder}/${name}`, `${asideFolder}/${name}`);
    }
    await disk.syncFolder(asideFolder);
    await disk.syncFolder(ledgerFolder);
    log.warn(`set ${names.join(', ')} aside in ${asideFolder}: ${why}`);
  }

  #gaveUp(reasons: readonly string[]): CodedError {
    return new CodedError(
      'LedgerRefused',
      `no node of the service has a good chunk with entry ${this.#verifier.next}. ` +
        `${reasons.join('. ')}. Repair one of them, and start again`,
      { next: this.#verifier.next, reasons },
    );
  }
}

function byStart(left: string, right: string): number {
  return (parseChunkName(left)?.start ?? 0) - (parseChunkName(right)?.start ?? 0);
}

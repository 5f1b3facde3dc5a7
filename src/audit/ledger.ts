/**
 * Verifies a ledger folder, offline: every check that PyPI `ccf` makes at its levels and those it
 * leaves out (ledger-format.md §15). Files are read in windows, so memory stays bounded; each entry
 * is hashed once; signatures are verified on other threads meanwhile.
 */
import { equalBytes } from '../base/bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { nodeVerifier } from '../crypto/verifier-node.ts';
import { certificateOfPem } from '../crypto/x509.ts';
import { FLAG_CHUNK_AFTER, type MapWrites, type ParsedEntry } from '../ledger/entry.ts';
import { MerkleTree } from '../ledger/merkle.ts';
import type { ReadSignature } from '../ledger/signature.ts';
import { ChunkReader, type TornTail } from './chunk-file.ts';
import { DeferredChecks } from './deferred.ts';
import {
  auditedEntry,
  auditedPublicMaps,
  mustEndWithSignature,
  mustFitPlace,
} from './entry-rules.ts';
import { type Fault, FaultError, type Place, type Reason, rule } from './fault.ts';
import { type ChunkFile, chunkFiles, type FolderOptions } from './folder.ts';
import { Network } from './network.ts';
import { type DatedSecret, SealChecks } from './sealed.ts';
import { SecretRules } from './secret-rules.ts';
import { auditedSignature, mustHoldTree, readTree, SignatureChecks } from './signing.ts';

/** How much is checked; each includes those before it. */
export const LEVELS = ['offsets', 'headers', 'merkle', 'full'] as const;
export type Level = (typeof LEVELS)[number];

export interface VerifyOptions extends FolderOptions {
  /** `full` when absent. */
  readonly level?: Level;
  /** Opens and judges private domains and commit evidence. */
  readonly secrets?: readonly DatedSecret[];
  /** PEM of the certificate that the ledger's service must have in the end. */
  readonly serviceCertificate?: string;
  /** Accept entries of former releases' types 0 and 3. */
  readonly deprecated?: boolean;
  readonly onProgress?: (totals: LedgerTotals) => void;
  readonly signal?: AbortSignal;
  /** Sees each entry that passed, in order. */
  readonly onEntry?: (entry: AuditedEntry) => void;
}

export interface AuditedEntry {
  readonly entry: ParsedEntry;
  readonly file: string;
  readonly offset: number;
  readonly publicMaps: readonly MapWrites[];
  readonly privateMaps?: readonly MapWrites[];
}

export interface LedgerTotals {
  readonly chunks: number;
  readonly bytes: number;
  readonly transactions: number;
  readonly signatures: number;
  /** Signatures by nodes and by the service; one transaction may hold both. */
  readonly nodeSignatures: number;
  readonly serviceSignatures: number;
  /** Private domains opened. */
  readonly opened: number;
}

export interface LedgerVerdict {
  readonly ok: boolean;
  readonly level: Level;
  readonly folder: string;
  /** The first fault in the order of the ledger. */
  readonly fault?: Fault;
  readonly totals: LedgerTotals;
  /** The last transaction whose signature was verified: everything up to it is proven. */
  readonly lastVerified?: string;
  /** The last transaction read. */
  readonly last?: string;
  /** Entries behind the last signature: sound in form, but nobody has signed them yet. */
  readonly uncovered: number;
  /** An open chunk's cut-off last write, which a node will cut off too. */
  readonly torn?: TornTail & { readonly file: string };
  /** Chunk boundaries without a flag: where a node began from a snapshot, for instance. */
  readonly unflaggedBoundaries: number;
  readonly service?: {
    readonly status: string;
    readonly recoveries: number;
    /** PEM of every certificate that the service had, oldest first. */
    readonly certificates: readonly string[];
  };
}

/** Verifies the ledger in `folder`. Rejects with `LedgerUnreadable` when it cannot be read. */
export async function verifyLedger(
  folder: string,
  options: VerifyOptions = {},
): Promise<LedgerVerdict> {
  return await new LedgerAudit(folder, options, nodeVerifier).run();
}

class LedgerAudit {
  private readonly folder: string;
  private readonly options: VerifyOptions;
  private readonly level: Level;
  private readonly network: Network;
  private readonly signatureChecks: SignatureChecks;
  private readonly secretRules = new SecretRules();
  private readonly seals: SealChecks | undefined;
  private readonly deferred = new DeferredChecks();

  /** Undefined until it can begin: at level `merkle` a first signature brings it along. */
  private tree: MerkleTree | undefined;
  private lastRoot: Uint8Array | undefined;
  private flushable = 0;
  private next = 0;
  private view = 0;
  private place: Place = {};
  private unsettled: string | undefined;
  private lastVerified: string | undefined;
  private last: string | undefined;
  private uncovered = 0;
  private torn: LedgerVerdict['torn'];
  private unflaggedBoundaries = 0;
  private lastFlags = 0;
  private lastWasSignature = false;
  private readonly totals = {
    chunks: 0,
    bytes: 0,
    transactions: 0,
    signatures: 0,
    nodeSignatures: 0,
    serviceSignatures: 0,
  };

  constructor(folder: string, options: VerifyOptions, verifier: Verifier) {
    this.folder = folder;
    this.options = options;
    this.level = options.level ?? 'full';
    this.network = new Network(verifier);
    this.signatureChecks = new SignatureChecks(this.network, verifier);
    if (options.secrets !== undefined) this.seals = new SealChecks(options.secrets);
  }

  async run(): Promise<LedgerVerdict> {
    let fault: Fault | undefined;
    try {
      fault = await this.chunks();
    } catch (thrown) {
      if (!(thrown instanceof FaultError)) throw thrown;
      // A signature before this place may turn out bad as well; the first one counts.
      fault = (await this.settle()) ?? thrown.at(this.place);
    }
    return this.verdict(fault);
  }

  private async chunks(): Promise<Fault | undefined> {
    const files = await chunkFiles(this.folder, this.options);
    const start = files[0]?.parsed.start ?? 1;
    this.next = start;
    if (start === 1) this.tree = new MerkleTree();
    else if (this.at('full'))
      throw new FaultError('LedgerStart', `this one begins at ${start}`);
    for (const file of files) {
      const fault = await this.chunk(file);
      if (fault !== undefined) return fault;
    }
    this.place = {};
    const signed = this.totals.signatures > 0 || !this.at('full');
    rule(signed, 'NoSignature', () => `${this.totals.transactions} transactions, none signed`);
    this.mustBeTrusted();
    return await this.settle();
  }

  private mustBeTrusted(): void {
    const { serviceCertificate } = this.options;
    if (serviceCertificate === undefined || !this.at('full')) return;
    const trusted = certificateOfPem(serviceCertificate);
    const { service } = this.network;
    const same =
      service !== undefined && equalBytes(service.publicKeyDer, trusted.publicKeyDer);
    rule(same, 'ServiceTrust', () => 'this ledger is of another service');
  }

  private async chunk(file: ChunkFile): Promise<Fault | undefined> {
    this.place = { file: file.name, seqno: this.next };
    const reader = await ChunkReader.open(file, this.options.afterCrash === true);
    try {
      let isFirst = true;
      for await (const window of reader.windows(file.path)) {
        for (const at of window.positions) {
          this.entry(file.name, window.bytes, at, window.fileOffset, isFirst);
          isFirst = false;
          this.place = { file: file.name, seqno: this.next };
          if (this.deferred.isFull) {
            const fault = await this.settle();
            if (fault !== undefined) return fault;
          }
        }
        const inWindow = window.fileOffset + window.end;
        this.options.onProgress?.(this.totalsAt(this.totals.bytes + inWindow));
        this.options.signal?.throwIfAborted();
      }
      this.place = { file: file.name, offset: reader.size };
      this.endOfChunk(reader, isFirst);
      this.totals.chunks += 1;
      this.totals.bytes += reader.size;
    } finally {
      await reader.close();
    }
    return await this.settle();
  }

  private endOfChunk(reader: ChunkReader, isEmpty: boolean): void {
    if (reader.torn !== undefined) this.torn = { ...reader.torn, file: reader.name };
    if (!reader.complete || isEmpty || !this.at('full')) return;
    rule(this.lastWasSignature, 'ChunkEnd', () => 'this one ends with another transaction');
    if ((this.lastFlags & FLAG_CHUNK_AFTER) === 0) this.unflaggedBoundaries += 1;
  }

  private entry(
    file: string,
    bytes: Buffer,
    at: number,
    fileOffset: number,
    isFirst: boolean,
  ): void {
    const seqno = this.next;
    const offset = fileOffset + at;
    this.place = { file, offset, seqno };
    this.totals.transactions += 1;
    if (!this.at('headers')) {
      this.next += 1;
      return;
    }
    const entry = auditedEntry(bytes, at, fileOffset);
    this.place = { file, offset, seqno, view: entry.view };
    const afterEnd = !isFirst && (this.lastFlags & FLAG_CHUNK_AFTER) !== 0;
    const position = { seqno, view: this.view, isFirstInChunk: isFirst, afterEnd };
    mustFitPlace(entry, position, this.options.deprecated === true);
    const publicMaps = auditedPublicMaps(entry);
    const signature = this.signature(entry, publicMaps);
    const privateMaps = this.seals?.check(entry);
    this.tree?.append(entry.leaf());
    this.passed(entry, signature !== undefined);
    this.options.onEntry?.({
      entry,
      file,
      offset,
      publicMaps,
      ...(privateMaps === undefined ? {} : { privateMaps }),
    });
  }

  private signature(
    entry: ParsedEntry,
    publicMaps: readonly MapWrites[],
  ): ReadSignature | undefined {
    if (!this.at('merkle')) return undefined;
    const signature = auditedSignature(entry, publicMaps);
    if (this.at('full')) {
      this.network.apply(publicMaps, entry.seqno, this.lastRoot, this.defer);
      this.secretRules.apply(publicMaps, entry);
      mustEndWithSignature(entry, signature !== undefined);
    }
    if (signature !== undefined) this.signed(entry, signature);
    return signature;
  }

  private signed(entry: ParsedEntry, signature: ReadSignature): void {
    this.totals.signatures += 1;
    if (signature.raw !== undefined) this.totals.nodeSignatures += 1;
    if (signature.cose !== undefined) this.totals.serviceSignatures += 1;
    if (this.tree === undefined) this.tree = firstTree(entry, signature);
    if (this.at('full')) this.signatureChecks.check(entry, signature, this.tree, this.defer);
    // Rows of two primaries may differ in how far they were flushed: keep one signature's more.
    const flushed = mustHoldTree(this.tree, signature.tree);
    this.tree.flushTo(Math.min(this.flushable, this.tree.size - 1));
    this.flushable = Math.max(this.flushable, flushed);
    this.lastRoot = this.tree.root();
    this.unsettled = `${entry.view}.${entry.seqno}`;
  }

  private passed(entry: ParsedEntry, isSignature: boolean): void {
    this.next += 1;
    this.view = entry.view;
    this.last = `${entry.view}.${entry.seqno}`;
    this.lastFlags = entry.flags;
    this.lastWasSignature = isSignature;
    this.uncovered = isSignature ? 0 : this.uncovered + 1;
  }

  private readonly defer = (reason: Reason, outcome: Promise<string | undefined>): void => {
    this.deferred.add(this.place, reason, outcome);
  };

  private async settle(): Promise<Fault | undefined> {
    const fault = await this.deferred.settle();
    if (fault === undefined && this.unsettled !== undefined) this.lastVerified = this.unsettled;
    return fault;
  }

  private at(level: Level): boolean {
    return LEVELS.indexOf(this.level) >= LEVELS.indexOf(level);
  }

  private totalsAt(bytes: number): LedgerTotals {
    return { ...this.totals, bytes, opened: this.seals?.opened ?? 0 };
  }

  private verdict(fault: Fault | undefined): LedgerVerdict {
    const { lastVerified, last, torn, network } = this;
    return {
      ok: fault === undefined,
      level: this.level,
      folder: this.folder,
      ...(fault === undefined ? {} : { fault }),
      totals: this.totalsAt(this.totals.bytes),
      ...(lastVerified === undefined ? {} : { lastVerified }),
      ...(last === undefined ? {} : { last }),
      uncovered: this.uncovered,
      ...(torn === undefined ? {} : { torn }),
      unflaggedBoundaries: this.unflaggedBoundaries,
      ...(network.status === undefined
        ? {}
        : {
            service: {
              status: network.status,
              recoveries: network.recoveries,
              certificates: network.serviceCertificates,
            },
          }),
    };
  }
}

/** Where nothing before is at hand, a first signature's own row is believed. */
function firstTree(entry: ParsedEntry, signature: ReadSignature): MerkleTree {
  rule(signature.tree !== undefined, 'TreeMissing', () => 'this one does not');
  const tree = readTree(signature.tree);
  rule(tree.size === entry.seqno, 'TreeRow', () => `it has ${tree.size} leaves`);
  return tree;
}

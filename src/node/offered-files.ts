/**
 * The files that a node offers for download: its snapshots and the closed chunks of its ledger. A
 * name is looked up among those that the node itself gave, so none can lead anywhere else.
 */
import type { ByteStream, DigestName, FileRequest, OfferedFile } from '../apps/interface.ts';
import type { Disk } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { DIGESTS_CACHED_MAX, STREAM_PIECE_BYTES } from '../base/limits.ts';
import { RunningDigest } from '../crypto/hash.ts';
import type { NodeFiles } from '../http/backend.ts';
import { parseChunkName } from '../ledger/chunk.ts';
import type { ChunkStore } from '../ledger/chunk-store.ts';
import type { SnapshotFolder } from './snapshot-folder.ts';

const ALGORITHMS = { 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' } as const;

export interface OfferedFilesDependencies {
  readonly disk: Disk;
  readonly snapshotFolder: string;
  readonly snapshots: SnapshotFolder;
  readonly ledgerFolder: string;
  readonly chunks: ChunkStore;
}

export class OfferedFiles implements NodeFiles {
  readonly #deps: OfferedFilesDependencies;
  /** By algorithm and path: these files never change. */
  readonly #digests = new Map<string, Promise<Uint8Array>>();

  constructor(dependencies: OfferedFilesDependencies) {
    this.#deps = dependencies;
  }

  newestSnapshot(): { readonly name: string; readonly seqno: number } | undefined {
    return this.#deps.snapshots.newest;
  }

  chunkWith(seqno: number): string | undefined {
    const chunk = this.#deps.chunks.closed.find(({ end }) => end >= seqno);
    return chunk !== undefined && chunk.start <= seqno ? chunk.name : undefined;
  }

  get firstSeqno(): number {
    return this.#deps.chunks.closed[0]?.start ?? 1;
  }

  async look({ folder, name, digests }: FileRequest): Promise<OfferedFile | undefined> {
    const path = folder === 'snapshots' ? this.#snapshotPath(name) : this.#chunkPath(name);
    if (path === undefined) return undefined;
    const bytes = await this.#sizeOf(path);
    const found = new Map<DigestName, Uint8Array>();
    for (const digest of digests) found.set(digest, await this.#digestOf(path, digest, bytes));
    return { bytes, digests: found, part: (from, to) => this.#part(path, from, to) };
  }

  #snapshotPath(name: string): string | undefined {
    const { snapshots, snapshotFolder } = this.#deps;
    return snapshots.find(name) === undefined ? undefined : `${snapshotFolder}/${name}`;
  }

  #chunkPath(name: string): string | undefined {
    const start = parseChunkName(name)?.start;
    if (start === undefined || this.chunkWith(start) !== name) return undefined;
    return `${this.#deps.ledgerFolder}/${name}`;
  }

  async #sizeOf(path: string): Promise<number> {
    const file = await this.#deps.disk.open(path, 'read');
    try {
      return await file.size();
    } finally {
      await file.close();
    }
  }

  #digestOf(path: string, name: DigestName, bytes: number): Promise<Uint8Array> {
    const key = `${name} ${path}`;
    const known = this.#digests.get(key);
    if (known !== undefined) return known;
    const made = this.#makeDigest(path, name, bytes);
    made.catch(() => this.#digests.delete(key));
    this.#digests.set(key, made);
    if (this.#digests.size > DIGESTS_CACHED_MAX) {
      for (const oldest of this.#digests.keys()) {
        this.#digests.delete(oldest);
        break;
      }
    }
    return made;
  }

  async #makeDigest(path: string, name: DigestName, bytes: number): Promise<Uint8Array> {
    const digest = new RunningDigest(ALGORITHMS[name]);
    for await (const piece of this.#part(path, 0, bytes).pieces()) digest.add(piece);
    return digest.digest();
  }

  #part(path: string, from: number, to: number): ByteStream {
    const { disk } = this.#deps;
    const pieces = async function* (): AsyncGenerator<Uint8Array, void, void> {
      const file = await disk.open(path, 'read');
      try {
        for (let at = from; at < to; ) {
          const piece = await file.read(at, Math.min(STREAM_PIECE_BYTES, to - at));
          if (piece.length === 0) {
            throw new CodedError('FileShortened', `${path} ends at byte ${at}`, { path, at });
          }
          yield piece;
          at += piece.length;
        }
      } finally {
        await file.close();
      }
    };
    return { bytes: to - from, pieces };
  }
}

/**
 * Where copies of a backup go besides its folder: an object store that takes files by HTTP PUT, as
 * those of Azure (with a shared access signature in the address), Amazon (presigned by a gateway)
 * and plain WebDAV servers do. A file that was taken never changes, so each is sent once.
 */
import { readFile } from 'node:fs/promises';
import { CodedError, messageOf } from '../../base/errors.ts';

export interface BackupStore {
  /** Files that were taken so far. */
  readonly kept: number;
  /** Sends a file unless it was sent before; rejects with `StoreRefused`. */
  keep(name: string, path: string): Promise<void>;
}

/** What of `fetch` a store needs. */
export type Put = (
  url: string,
  init: {
    readonly method: 'PUT' | 'HEAD';
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: Uint8Array<ArrayBuffer>;
    readonly signal: AbortSignal;
  },
) => Promise<{ readonly status: number; readonly headers: Headers }>;

const ANSWER_MS_MAX = 120_000;

export class HttpStore implements BackupStore {
  readonly #base: URL;
  readonly #put: Put;
  readonly #names = new Set<string>();

  /** `base` ends where names begin; what stands behind its `?` is sent with each. */
  constructor(base: string, put: Put = fetch) {
    if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol)) {
      throw new CodedError('Usage', `${base} is no http or https address of an object store`);
    }
    this.#base = new URL(base);
    this.#put = put;
  }

  get kept(): number {
    return this.#names.size;
  }

  async keep(name: string, path: string): Promise<void> {
    if (this.#names.has(name)) return;
    const bytes = Buffer.from(await readFile(path));
    if (!(await this.#has(name, bytes.length))) await this.#send(name, new Uint8Array(bytes));
    this.#names.add(name);
  }

  /** Whether a former run has sent it: these names stand for one content each. */
  async #has(name: string, length: number): Promise<boolean> {
    const { status, headers } = await this.#ask(name, { method: 'HEAD', headers: {} });
    return status === 200 && headers.get('content-length') === String(length);
  }

  async #send(name: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
    // Azure asks for the kind of blob; others pass over a header that they do not know.
    const headers = {
      'content-type': 'application/octet-stream',
      'x-ms-blob-type': 'BlockBlob',
    };
    const { status } = await this.#ask(name, { method: 'PUT', headers, body });
    if (status >= 200 && status < 300) return;
    throw refused(name, `it answers ${status}`);
  }

  async #ask(name: string, init: Omit<Parameters<Put>[1], 'signal'>): ReturnType<Put> {
    const url = new URL(this.#base);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${name}`;
    try {
      return await this.#put(url.href, { ...init, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    } catch (cause) {
      throw refused(name, messageOf(cause), cause);
    }
  }
}

function refused(name: string, why: string, cause?: unknown): CodedError {
  const message = `the object store did not take ${name}: ${why}`;
  return new CodedError('StoreRefused', message, { name }, { cause });
}

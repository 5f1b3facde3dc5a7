// The kernel's configfs-tsm in memory: a folder per request with the kernel's attributes, which may
// be read or written as the kernel allows, and a counter of writes.

import { basename, dirname } from 'node:path';
import type { TsmFiles } from '../../../src/attestation/sources/configfs-tsm.ts';

export interface FakeTsmOptions {
  /** What the security processor answers. */
  readonly report: (reportData: Uint8Array) => Uint8Array;
  readonly table?: Uint8Array;
  readonly provider?: string;
}

interface Request {
  generation: number;
  inblob: Uint8Array | undefined;
  privlevel: string | undefined;
}

const READABLE = ['provider', 'generation', 'outblob', 'auxblob', 'privlevel_floor'];

export class FakeTsm implements TsmFiles {
  readonly requests = new Map<string, Request>();
  readonly writes: string[] = [];
  readonly made: string[] = [];
  /** Called at each operation; what it throws, or a number of bytes, is what comes back. */
  disturb: (operation: string, request: Request | undefined) => undefined | number = () =>
    undefined;
  readonly #options: FakeTsmOptions;

  constructor(options: FakeTsmOptions) {
    this.#options = options;
  }

  async make(folder: string): Promise<void> {
    this.disturb('make', undefined);
    if (this.requests.has(folder)) throw systemError('EEXIST');
    this.made.push(folder);
    this.requests.set(folder, { generation: 0, inblob: undefined, privlevel: undefined });
  }

  async remove(folder: string): Promise<void> {
    if (!this.requests.delete(folder)) throw systemError('ENOENT');
  }

  async read(path: string): Promise<Uint8Array> {
    const [request, name] = this.#at(path);
    this.disturb(`read ${name}`, request);
    if (!READABLE.includes(name)) throw systemError('EACCES');
    switch (name) {
      case 'provider':
        return Buffer.from(`${this.#options.provider ?? 'sev_guest'}\n`);
      case 'generation':
        return Buffer.from(`${request.generation}\n`);
      case 'auxblob':
        return this.#options.table ?? new Uint8Array(0);
      default:
        if (request.inblob === undefined) throw systemError('EINVAL');
        return this.#options.report(request.inblob);
    }
  }

  async write(path: string, bytes: Uint8Array): Promise<number> {
    const [request, name] = this.#at(path);
    const short = this.disturb(`write ${name}`, request);
    if (name !== 'inblob' && name !== 'privlevel') throw systemError('EACCES');
    if (name === 'inblob') {
      if (bytes.length > 64) throw systemError('EFBIG');
      request.inblob = bytes.slice();
    } else request.privlevel = Buffer.from(bytes).toString();
    request.generation += 1;
    this.writes.push(`${name} ${bytes.length}`);
    return short ?? bytes.length;
  }

  #at(path: string): readonly [Request, string] {
    const request = this.requests.get(dirname(path));
    if (request === undefined) throw systemError('ENOENT');
    return [request, basename(path)];
  }
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: as the kernel says it`), { code });
}

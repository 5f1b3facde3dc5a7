/**
 * What a node keeps secret between two starts: its keys, the service's, and the ledger secrets,
 * each in a file of `sealed/` that only this node's sealer opens.
 */
import type { Disk, Sealer } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { seqnoOf, viewOf } from '../base/ids.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';
import { writeDurably } from './durable-disk.ts';

export const SEALED_ENDING = '.sealed';
const SECRET_NAME = /^ledger-secret-(\d+)\.(\d+)$/;

export class SealedFolder {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #sealer: Sealer;

  constructor(disk: Disk, folder: string, sealer: Sealer) {
    this.#disk = disk;
    this.#folder = folder;
    this.#sealer = sealer;
  }

  /** Names of what is kept. */
  async names(): Promise<readonly string[]> {
    const names = await this.#disk.list(this.#folder);
    return names
      .filter((name) => name.endsWith(SEALED_ENDING))
      .map((name) => name.slice(0, -SEALED_ENDING.length));
  }

  async has(name: string): Promise<boolean> {
    return await this.#disk.exists(this.#path(name));
  }

  /** Seals a secret; it is on stable storage when this resolves. Never replaces another. */
  async put(name: string, secret: Uint8Array): Promise<void> {
    if (await this.has(name)) {
      throw new CodedError('AlreadySealed', `${this.#path(name)} is there already`, { name });
    }
    const sealed = await this.#sealer.seal(name, secret);
    await writeDurably(this.#disk, this.#folder, `${name}${SEALED_ENDING}`, sealed);
  }

  /** Opens a secret; throws `SealBroken`, or `NotSealed` when there is none of that name. */
  async get(name: string): Promise<Uint8Array> {
    const path = this.#path(name);
    if (!(await this.#disk.exists(path))) {
      throw new CodedError(
        'NotSealed',
        `${path} is missing; without it this node cannot continue. Restore it, or join as a ` +
          'new node',
        { name },
      );
    }
    const file = await this.#disk.open(path, 'read');
    try {
      return await this.#sealer.unseal(name, await file.read(0, await file.size()));
    } finally {
      await file.close();
    }
  }

  async putLedgerSecret(secret: DatedSecret): Promise<void> {
    await this.put(`ledger-secret-${secret.view}.${secret.from}`, secret.bytes);
  }

  /** All ledger secrets ever made here, also such as a crash kept from being used. */
  async ledgerSecrets(): Promise<readonly DatedSecret[]> {
    const secrets: DatedSecret[] = [];
    for (const name of await this.names()) {
      const match = SECRET_NAME.exec(name);
      if (match === null) continue;
      const bytes = await this.get(name);
      const view = viewOf(Number(match[1]));
      secrets.push({ view, from: seqnoOf(Number(match[2])), bytes });
    }
    return secrets.sort((left, right) => left.from - right.from || left.view - right.view);
  }

  #path(name: string): string {
    return `${this.#folder}/${name}${SEALED_ENDING}`;
  }
}

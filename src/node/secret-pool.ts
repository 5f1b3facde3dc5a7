/**
 * Every ledger secret that this node may come to need: those sealed on its disk, and those that an
 * entry brings along for it, encrypted to its own key (ledger-format.md §11). Which of them are in
 * force, and from where on, only the ledger says.
 */
import { bytesOfBase64, textOf } from '../base/bytes.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { type Seqno, seqnoOf, type View, viewOf } from '../base/ids.ts';
import { ENCRYPTED_SECRETS } from '../governance/tables.ts';
import type { MapWrites } from '../kv/write-set.ts';
import type { ParsedEntry } from '../ledger/entry.ts';
import { LEDGER_SECRET_BYTES } from '../ledger/secret.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';
import { SINGLETON_KEY } from '../ledger/signature.ts';

/** Opens what was encrypted to this node's own key. */
export interface Unwrapper {
  unwrap(wrapped: Uint8Array): Uint8Array;
}

export class SecretPool {
  readonly #nodeId: string;
  readonly #key: Unwrapper | undefined;
  readonly #secrets: DatedSecret[];

  /** Without a key it knows what it is given, and learns nothing. */
  constructor(secrets: readonly DatedSecret[], nodeId = '', key?: Unwrapper) {
    this.#secrets = [...secrets];
    this.#nodeId = nodeId;
    this.#key = key;
  }

  get all(): readonly DatedSecret[] {
    return this.#secrets;
  }

  add(secret: DatedSecret): void {
    this.#secrets.push(secret);
  }

  /** The secret made for just this place, if there is one. */
  madeFor(view: View, seqno: Seqno): DatedSecret | undefined {
    return this.#secrets.find((secret) => secret.from === seqno && secret.view === view);
  }

  /** The secret that begins with an entry, which may itself bring it; undefined for most. */
  beginningWith(entry: ParsedEntry): DatedSecret | undefined {
    const [view, seqno] = [viewOf(entry.view), seqnoOf(entry.seqno)];
    const known = this.madeFor(view, seqno);
    if (known !== undefined || entry.isSignature()) return known;
    const brought = this.#broughtBy(entry.publicMaps, seqno);
    if (brought === undefined) return undefined;
    const secret = { from: seqno, view, bytes: brought };
    this.#secrets.push(secret);
    return secret;
  }

  #broughtBy(maps: readonly MapWrites[], seqno: Seqno): Uint8Array | undefined {
    const row = maps.find(({ name }) => name === ENCRYPTED_SECRETS)?.writes.get(SINGLETON_KEY);
    if (row === undefined || this.#key === undefined) return undefined;
    try {
      const rows = JSON.parse(textOf(row)) as Record<string, readonly EncryptedSecret[]>;
      const mine = rows[this.#nodeId]?.find(({ version }) => version === seqno);
      const wrapped = mine && bytesOfBase64(mine.encrypted_secret);
      if (wrapped === undefined) return undefined;
      const secret = this.#key.unwrap(wrapped);
      if (secret.length === LEDGER_SECRET_BYTES) return secret;
      throw new CodedError('SealBroken', `a ledger secret has ${secret.length} bytes`);
    } catch (cause) {
      if (isCoded(cause)) throw cause;
      throw new CodedError(
        'SealBroken',
        `the ledger secret that entry ${seqno} brings for this node cannot be opened`,
        { seqno },
        { cause },
      );
    }
  }
}

interface EncryptedSecret {
  readonly version: number | null;
  readonly encrypted_secret: string;
}

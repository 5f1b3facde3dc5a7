/**
 * Every ledger secret that this node may come to need: those sealed on its disk, and those that an
 * entry brings along for it, encrypted to its own key (ledger-format.md §11). Which of them are in
 * force, and from where on, only the ledger says.
 */
import { bytesOfBase64, textOf } from '../base/bytes.ts';
import { CodedError, isCoded } from '../base/errors.ts';
import { type Seqno, seqnoAfter, seqnoOf, type View, viewOf } from '../base/ids.ts';
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
    return this.#secrets.findLast((secret) => secret.from === seqno && secret.view === view);
  }

  /**
   * The secret that begins with an entry, which may itself bring it; undefined for most. One that
   * the entry brings for its successor is kept until that comes.
   */
  beginningWith(entry: ParsedEntry): DatedSecret | undefined {
    const [view, seqno] = [viewOf(entry.view), seqnoOf(entry.seqno)];
    const known = this.madeFor(view, seqno);
    if (entry.isSignature()) return known;
    const row = secretsRow(entry.publicMaps);
    if (row === undefined) return known;
    this.#learnNext(row, view, seqno);
    return known ?? this.#learn(row, seqno, view, seqno);
  }

  /**
   * Keeps what a transaction about to be written at this place brings for the one after it. Throws
   * when it has a new secret for other nodes and none for this one.
   */
  learnNext(maps: readonly MapWrites[], view: View, seqno: Seqno): void {
    const row = secretsRow(maps);
    if (row !== undefined) this.#learnNext(row, view, seqno);
  }

  #learnNext(row: Uint8Array, view: View, seqno: Seqno): void {
    const from = seqnoAfter(seqno);
    if (this.madeFor(view, from) === undefined) this.#learn(row, null, view, from);
  }

  /** The secret in a row that says this version, as it is from `from` on. */
  #learn(
    row: Uint8Array,
    version: number | null,
    view: View,
    from: Seqno,
  ): DatedSecret | undefined {
    if (this.#key === undefined) return undefined;
    const bytes = openedFor(this.#nodeId, this.#key, row, version, from);
    if (bytes === undefined) return undefined;
    const secret = { from, view, bytes };
    this.#secrets.push(secret);
    return secret;
  }
}

function secretsRow(maps: readonly MapWrites[]): Uint8Array | undefined {
  return maps.find(({ name }) => name === ENCRYPTED_SECRETS)?.writes.get(SINGLETON_KEY);
}

function openedFor(
  nodeId: string,
  key: Unwrapper,
  row: Uint8Array,
  version: number | null,
  from: Seqno,
): Uint8Array | undefined {
  try {
    const rows = JSON.parse(textOf(row)) as Record<string, readonly EncryptedSecret[]>;
    const isIt = (secret: EncryptedSecret): boolean => (secret.version ?? null) === version;
    const wrapped = rows[nodeId]?.find(isIt);
    if (wrapped === undefined) {
      if (version !== null || !Object.values(rows).flat().some(isIt)) return undefined;
      throw new CodedError(
        'SecretMissing',
        `nobody tells this node the secret from ${from} on`,
      );
    }
    const secret = key.unwrap(bytesOfBase64(wrapped.encrypted_secret) ?? new Uint8Array());
    if (secret.length === LEDGER_SECRET_BYTES) return secret;
    throw new CodedError('SealBroken', `a ledger secret has ${secret.length} bytes`);
  } catch (cause) {
    if (isCoded(cause)) throw cause;
    throw new CodedError(
      'SealBroken',
      `the ledger secret from entry ${from} on, encrypted to this node, cannot be opened`,
      { seqno: from },
      { cause },
    );
  }
}

interface EncryptedSecret {
  readonly version?: number | null;
  readonly encrypted_secret: string;
}

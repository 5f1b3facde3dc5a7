/**
 * The ledger secrets of a service, each with the seqno from which on it applies
 * (ledger-format.md §11.1).
 */
import { invariant } from '../base/assert.ts';
import type { Seqno, View } from '../base/ids.ts';
import { type LedgerSecret, ledgerSecretOf } from './secret.ts';

/** A ledger secret with its place in the ledger. */
export interface DatedSecret {
  /** The first seqno that it seals: the secret's version. */
  readonly from: Seqno;
  /** The view in which it was made. */
  readonly view: View;
  readonly bytes: Uint8Array;
}

interface ReadySecret extends DatedSecret {
  readonly ready: LedgerSecret;
}

export class SecretHistory {
  readonly #secrets: ReadySecret[] = [];

  /** Adds the secret that applies from `secret.from` on; later than all before it. */
  add(secret: DatedSecret): void {
    const last = this.#secrets.at(-1);
    invariant(last === undefined || last.from < secret.from, 'secrets are added in order');
    this.#secrets.push({ ...secret, ready: ledgerSecretOf(secret.bytes) });
  }

  /** Adds secrets that apply before all that are here, oldest first: those of a former service. */
  addFormer(secrets: readonly DatedSecret[]): void {
    const all = [...secrets, ...this.all];
    this.#secrets.length = 0;
    for (const secret of all) this.add(secret);
  }

  /** Forgets secrets that apply only after `seqno`. */
  rollback(seqno: Seqno): void {
    while ((this.#secrets.at(-1)?.from ?? 0) > seqno) this.#secrets.pop();
  }

  /** The secret that seals the entry at `seqno`, or undefined before the first. */
  at(seqno: Seqno): LedgerSecret | undefined {
    return this.#findAt(seqno)?.ready;
  }

  /** The same with its place. */
  datedAt(seqno: Seqno): DatedSecret | undefined {
    return this.#findAt(seqno);
  }

  /** All of them, oldest first. */
  get all(): readonly DatedSecret[] {
    return this.#secrets.map(({ from, view, bytes }) => ({ from, view, bytes }));
  }

  /** From where on the newest applies; 0 when there is none. */
  get latestFrom(): number {
    return this.#secrets.at(-1)?.from ?? 0;
  }

  get latest(): DatedSecret {
    const last = this.#secrets.at(-1);
    invariant(last !== undefined, 'there is a ledger secret');
    return last;
  }

  #findAt(seqno: Seqno): ReadySecret | undefined {
    for (let index = this.#secrets.length - 1; index >= 0; index -= 1) {
      const secret = this.#secrets[index] as ReadySecret;
      if (secret.from <= seqno) return secret;
    }
    return undefined;
  }
}

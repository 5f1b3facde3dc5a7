/**
 * The public chain between the doubles: private transactions as everybody sees them, with a hash in
 * the place of their payload. Each block holds one of them, and is taken in by all nodes before
 * anything goes on.
 */
import { createHash } from 'node:crypto';

export interface ChainTransaction {
  readonly hash: string;
  /** Base64: what the manager knows the payload by, or that of the marked transaction. */
  readonly payloadHash: string;
  /** The transaction is to the privacy precompile: the payload holds the private one. */
  readonly isMarker: boolean;
  /** The contract that is called; absent where one is made. */
  readonly to?: string;
  /** The contract that is made, if one is. */
  readonly creates: string;
}

export interface ChainNode {
  take(transaction: ChainTransaction): Promise<void>;
}

export class PublicChain {
  readonly transactions: ChainTransaction[] = [];
  readonly #nodes: ChainNode[] = [];
  readonly #nonces = new Map<string, number>();
  readonly #later: (() => Promise<void>)[] = [];
  #isSettling = false;

  join(node: ChainNode): void {
    this.#nodes.push(node);
  }

  leave(node: ChainNode): void {
    this.#nodes.splice(this.#nodes.indexOf(node), 1);
  }

  /** Where the next contract of an account will be. */
  nextContract(account: string): string {
    return `0x${digest(`${account} ${this.#nonces.get(account) ?? 0}`).slice(0, 40)}`;
  }

  /** Appends a transaction of an account; done when every node has taken it in. */
  async append(
    account: string,
    { isMarker = false, ...some }: Partial<ChainTransaction> & { readonly payloadHash: string },
  ): Promise<ChainTransaction> {
    const creates = some.creates ?? this.nextContract(account);
    const nonce = this.#nonces.get(account) ?? 0;
    this.#nonces.set(account, nonce + 1);
    const hash = `0x${digest(`${account} ${nonce} ${some.payloadHash}`)}`;
    const transaction = { ...some, isMarker, creates, hash };
    this.transactions.push(transaction);
    await Promise.all(this.#nodes.map((node) => node.take(transaction)));
    await this.#settle();
    return transaction;
  }

  /** What a node does because of a block, once all have taken it in. */
  afterwards(work: () => Promise<void>): void {
    this.#later.push(work);
  }

  async #settle(): Promise<void> {
    if (this.#isSettling) return;
    this.#isSettling = true;
    try {
      for (let work = this.#later.shift(); work !== undefined; work = this.#later.shift()) {
        await work();
      }
    } finally {
      this.#isSettling = false;
    }
  }

  find(hash: string): ChainTransaction {
    const found = this.transactions.find((one) => one.hash === hash);
    if (found === undefined) throw new Error(`no transaction ${hash} is on the chain`);
    return found;
  }
}

export function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

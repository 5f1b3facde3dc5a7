/**
 * Keeps the keys of token issuers fresh (governance.md §6, `set_jwt_issuer` with `auto_refresh`):
 * the primary reads each issuer's discovery document and its keys (OpenID Connect Discovery 1.0
 * §4), from a server that the members' own bundle of authorities vouches for, and puts what has
 * changed into the ledger. An issuer that does not answer keeps the keys it had.
 */
import type { HttpAsker } from '../attestation/sources/http-asker.ts';
import { textOf } from '../base/bytes.ts';
import type { Timers } from '../base/environment.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import {
  type RefreshedIssuer,
  refreshedIssuers,
  setTokenKeys,
} from '../governance/token-keys.ts';
import type { Store } from '../kv/store.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { StoreTransaction } from '../kv/transaction.ts';
import type { NodeDependencies, NodeLog, NodeOptions } from './node-options.ts';
import type { Replica } from './replica.ts';

export interface TokenKeyRefresherOptions {
  /** Between two readings of an issuer's keys. */
  readonly intervalMs: number;
}

export interface TokenKeyRefresherDependencies {
  readonly ask: HttpAsker;
  readonly timers: Timers;
  readonly log: Pick<NodeLog, 'warn'>;
  /** Whether this node is the one that writes, in a service that is open. */
  readonly leads: () => boolean;
  readonly committed: () => ReadView;
  readonly commit: (write: (transaction: Transaction) => void) => Promise<unknown>;
}

export interface TokenRefreshCounts {
  readonly attempts: number;
  readonly successes: number;
  readonly failures: number;
}

/** How soon an issuer that members have just named is asked. */
const LOOK_MS = 1_000;
/** An issuer that failed is asked again no later than this. */
const RETRY_MS_MAX = 60_000;
const WELL_KNOWN = '/.well-known/openid-configuration';

export class TokenKeyRefresher {
  readonly #options: TokenKeyRefresherOptions;
  readonly #deps: TokenKeyRefresherDependencies;
  readonly #counts = { attempts: 0, successes: 0, failures: 0 };
  /** When each issuer is due, by what the ledger says of it; a new one is due at once. */
  #due = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  constructor(options: TokenKeyRefresherOptions, dependencies: TokenKeyRefresherDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  get counts(): TokenRefreshCounts {
    return this.#counts;
  }

  start(): void {
    this.#wait();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#running;
  }

  #wait(): void {
    if (this.#stopped) return;
    this.#cancel = this.#deps.timers.after(LOOK_MS, () => {
      this.#running = this.#look().finally(() => this.#wait());
    });
  }

  async #look(): Promise<void> {
    const { leads, committed, timers } = this.#deps;
    if (!leads()) {
      // Whoever leads later begins with all of them.
      this.#due.clear();
      return;
    }
    const issuers = refreshedIssuers(committed());
    const nowMs = timers.elapsedMs();
    const due = new Map<string, number>();
    for (const each of issuers) {
      const name = JSON.stringify(each);
      const at = this.#due.get(name) ?? nowMs;
      due.set(name, at > nowMs ? at : nowMs + (await this.#refresh(each)));
      if (this.#stopped) return;
    }
    this.#due = due;
  }

  /** Reads one issuer's keys; gives back after how many milliseconds that is due again. */
  async #refresh(issuer: RefreshedIssuer): Promise<number> {
    const { intervalMs } = this.#options;
    this.#counts.attempts += 1;
    try {
      const jwks = await this.#keysOf(issuer);
      // What has not changed is written nowhere.
      if (this.#deps.leads()) await this.#write(issuer.issuer, jwks);
      this.#counts.successes += 1;
      return intervalMs;
    } catch (error) {
      this.#counts.failures += 1;
      this.#deps.log.warn(
        `the keys of the token issuer ${issuer.issuer} are not fresh: ${messageOf(error)}`,
      );
      return Math.min(intervalMs, RETRY_MS_MAX);
    }
  }

  async #write(issuer: string, jwks: unknown): Promise<void> {
    await this.#deps.commit((transaction) => {
      // Members may have taken it back while it was asked.
      const isWanted = refreshedIssuers(transaction).some((each) => each.issuer === issuer);
      if (isWanted) setTokenKeys(transaction, issuer, jwks);
    });
  }

  async #keysOf({ issuer, authorities }: RefreshedIssuer): Promise<unknown> {
    const document = await this.#read(
      `${issuer.replace(/\/+$/, '')}${WELL_KNOWN}`,
      authorities,
    );
    const url: unknown = Reflect.get(Object(document), 'jwks_uri');
    if (typeof url !== 'string' || !/^https:\/\/[^/]/.test(url)) {
      throw noKeys(`its discovery document names no jwks_uri by https, but ${shown(url)}`);
    }
    return await this.#read(url, authorities);
  }

  async #read(url: string, authorities: string): Promise<unknown> {
    const { status, body } = await this.#deps.ask({ url, authorities });
    if (status !== 200) throw noKeys(`${url} answered ${status}`);
    try {
      return JSON.parse(textOf(body));
    } catch (cause) {
      throw noKeys(`${url} answered what is not JSON: ${messageOf(cause)}`);
    }
  }
}

/** The refresher of a node; none for a node that asks nobody. */
export function tokenKeyRefresherOf(
  { tokenKeyRefreshMs: intervalMs = INTERVAL_MS }: Pick<NodeOptions, 'tokenKeyRefreshMs'>,
  { askIssuer: ask, timers, log }: Pick<NodeDependencies, 'askIssuer' | 'timers' | 'log'>,
  node: {
    readonly store: Store;
    readonly replica: Pick<Replica, 'submit' | 'whenCommitted'>;
    readonly leads: () => boolean;
  },
): TokenKeyRefresher | undefined {
  if (ask === undefined) return undefined;
  const { store, replica, leads } = node;
  return new TokenKeyRefresher(
    { intervalMs },
    {
      ...{ ask, timers, log, leads },
      committed: () => store.committedView,
      commit: async (write) => {
        const transaction = new StoreTransaction(store, 'service');
        write(transaction);
        const writes = transaction.writeSet();
        if (writes.length === 0) return;
        await replica.whenCommitted(replica.submit(writes, transaction.claimsDigest));
      },
    },
  );
}

/** `jwt.key_refresh_interval` of node-lifecycle.md §2. */
const INTERVAL_MS = 30 * 60_000;

function noKeys(why: string): CodedError {
  return new CodedError('NoTokenKeys', why);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 200);
}

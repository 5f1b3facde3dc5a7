/**
 * The peers that are known, from the configuration or from what others say, and how each was when
 * it was last spoken to. Only in memory: what must last, whose key is where, lies in the ledger.
 */
import { peerUrlOf } from './party-info.ts';

/** Peers that others may tell of, beyond those that are configured. */
const DISCOVERED_MAX = 1_000;

export interface PeerRules {
  /** How the others reach this service. */
  readonly url: string;
  readonly configured: readonly string[];
  /** Whether peers are taken in that are not configured. */
  readonly discovery: boolean;
  /** Hosts that may be peers; all when empty. */
  readonly whitelist: readonly string[];
}

export interface PeerState {
  readonly url: string;
  /** When it last answered, by the clock of `elapsedMs`. */
  readonly answeredMs?: number;
  /** What went wrong last; absent when it answered since. */
  readonly error?: string;
}

export class Peers {
  readonly own: string;
  readonly #rules: PeerRules;
  readonly #states = new Map<string, PeerState>();

  constructor(rules: PeerRules) {
    this.#rules = rules;
    this.own = peerUrlOf(rules.url) ?? rules.url;
    for (const text of rules.configured) {
      const url = peerUrlOf(text);
      if (url !== undefined && url !== this.own) this.#states.set(url, { url });
    }
  }

  get all(): readonly PeerState[] {
    return [...this.#states.values()];
  }

  get urls(): readonly string[] {
    return [...this.#states.keys()];
  }

  /** Why a peer at this url is not spoken to, if it is not. */
  refusalOf(url: string): string | undefined {
    const { whitelist, discovery } = this.#rules;
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    if (whitelist.length > 0 && !whitelist.includes(host)) {
      return `the host ${host} is not on the whitelist`;
    }
    if (discovery || this.#states.has(url)) return undefined;
    return `the peer ${url} is not one of federation.peers, and discovery is off`;
  }

  /** Takes in a peer that another told of, if that is allowed. */
  learn(text: string): void {
    const url = peerUrlOf(text);
    if (url === undefined || url === this.own || this.#states.has(url)) return;
    if (this.refusalOf(url) !== undefined || this.#states.size >= DISCOVERED_MAX) return;
    this.#states.set(url, { url });
  }

  answered(url: string, nowMs: number): void {
    if (this.#states.has(url)) this.#states.set(url, { url, answeredMs: nowMs });
  }

  failed(url: string, error: string): void {
    const state = this.#states.get(url);
    if (state !== undefined) this.#states.set(url, { ...state, error });
  }
}

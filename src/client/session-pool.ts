/**
 * Warm sessions with the nodes of a service. A request goes to the node that stands best; which
 * nodes there are, who is the primary and who is up to date again is found out in the background.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import type { Attempt, Purpose, ServiceNodes, Wish } from './attempt.ts';
import { changesOf } from './membership.ts';
import { addressOf, urlOfAddress } from './node-address.ts';
import type { NodeJudge } from './node-judge.ts';
import {
  type Asking,
  NODES_MAX,
  provenPosition,
  type Sighting,
  sightingBy,
} from './node-probe.ts';
import type { SeenTransactions } from './seen-transactions.ts';
import {
  compareStanding,
  type NodeOptions,
  ServiceNode,
  type Standing,
} from './service-node.ts';
import type { WireRequest } from './session.ts';

export interface PoolOptions {
  /**
   * Nodes of the service, `https://host:port`, the one to read from first. They are where it
   * begins: the service's own list tells of the others.
   */
  readonly nodeUrls: readonly string[];
  /** The only trust anchor (PEM). */
  readonly serviceCertificate: string;
  /** The client's certificate and key (PEM); without them requests are anonymous. */
  readonly certificate?: string;
  readonly key?: string;
  /** Sessions that may be open at once to a node; its front door allows 1000 of all clients. */
  readonly sessionsMax?: number;
  /** Sessions that are kept open to each node while nothing is asked. */
  readonly sessionsWarm?: number;
}

export interface PoolDependencies {
  readonly timers: Timers;
  readonly seen: SeenTransactions;
  /** Decides which nodes may be spoken to. */
  readonly judge: NodeJudge;
  /** Told when the service proves to have committed less than was seen (design decision 11). */
  readonly onLoss: () => void;
}

const SESSIONS_MAX_DEFAULT = 64;
const SESSIONS_WARM_DEFAULT = 2;
/** How often overdue and idle sessions are looked for, and nodes that are to be probed. */
const SWEEP_MS = 100;
/** A probe that takes longer has failed. */
const PROBE_MS_MAX = 700;
/** How often a node is probed that stands well. */
const PROBE_EVERY_MS = 2_000;
/** How soon one is probed again that does not; it doubles up to the above. */
const PROBE_AGAIN_MS = 200;
/** So many more requests a node is given than the next before that one takes its share. */
const READS_AHEAD_MAX = 16;

/** What a client knows the service by, and what it shows of itself. */
export type Identity = Pick<PoolOptions, 'serviceCertificate' | 'certificate' | 'key'>;

function secureContextOf({ serviceCertificate, certificate, key }: Identity): SecureContext {
  return createSecureContext({
    ca: serviceCertificate,
    minVersion: 'TLSv1.2',
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  });
}

/** A node and when to look at it. */
interface Place {
  readonly node: ServiceNode;
  probing: boolean;
  probeDueMs: number;
  probeAgainMs: number;
}

export class SessionPool implements ServiceNodes {
  readonly #options: NodeOptions;
  #secureContext: SecureContext;
  readonly #timers: Timers;
  readonly #seen: SeenTransactions;
  readonly #onLoss: () => void;
  /** By URL, in order of preference for reads. */
  readonly #places = new Map<string, Place>();
  /** Nodes that were left, until they have answered what they were asked. */
  readonly #left = new Set<ServiceNode>();
  #cancelSweep: () => void;
  #view = 0;
  #primaryId: string | undefined;
  #closed = false;

  constructor(options: PoolOptions, { timers, seen, judge, onLoss }: PoolDependencies) {
    const { nodeUrls } = options;
    this.#timers = timers;
    this.#seen = seen;
    this.#onLoss = onLoss;
    this.#secureContext = secureContextOf(options);
    this.#options = {
      judge,
      secureContext: () => this.#secureContext,
      sessionsMax: options.sessionsMax ?? SESSIONS_MAX_DEFAULT,
      sessionsWarm: options.sessionsWarm ?? SESSIONS_WARM_DEFAULT,
    };
    if (nodeUrls.length === 0 || nodeUrls.length > NODES_MAX) {
      throw new CodedError(
        'BadServiceUrl',
        `${nodeUrls.length} nodes are named; name 1 to ${NODES_MAX}`,
      );
    }
    for (const url of nodeUrls) this.#add(urlOfAddress(addressOf(url)), 'good');
    this.#cancelSweep = timers.after(SWEEP_MS, () => this.#sweep());
  }

  /** Sessions from now on show another certificate; those that are open keep theirs. */
  present(identity: Identity): void {
    this.#secureContext = secureContextOf(identity);
  }

  /** Opens the warm sessions; rejects when no node can be reached. */
  async warmUp(): Promise<void> {
    await Promise.any([...this.#places.values()].map(({ node }) => node.warmUp())).catch(
      (thrown: unknown) => {
        throw thrown instanceof AggregateError ? thrown.errors[0] : thrown;
      },
    );
  }

  begin(request: WireRequest, wish: Wish, deadlineMs: number): Attempt | undefined {
    if (this.#closed) return undefined;
    return this.#best(wish)?.node.begin(request, deadlineMs);
  }

  #best({ purpose, avoid, prefer }: Wish): Place | undefined {
    const named = prefer === undefined ? undefined : this.#named(prefer);
    if (named !== undefined && !avoid.has(named.node.url)) return named;
    const ranked = [...this.#places.values()].filter(({ node }) => !avoid.has(node.url));
    // Sorting is stable: what is equal stays in order of preference.
    return ranked.sort(
      (left, right) =>
        compareStanding(left.node.standing, right.node.standing) ||
        this.#cost(left.node, purpose) - this.#cost(right.node, purpose),
    )[0];
  }

  #cost(node: ServiceNode, purpose: Purpose): number {
    if (purpose === 'read') return Math.floor(node.asked / READS_AHEAD_MAX);
    return node.nodeId !== undefined && node.nodeId === this.#primaryId ? 0 : 1;
  }

  /** A node that another has named; its certificate will show whether it is one. */
  #named(url: string): Place | undefined {
    const known = this.#places.get(url);
    if (known !== undefined || this.#places.size >= NODES_MAX) return known;
    return this.#add(url, 'behind');
  }

  noteSlow(attempt: Attempt, purpose: Purpose): boolean {
    const place = this.#places.get(attempt.url);
    if (place === undefined) return true;
    const silent = place.node.silentSince(attempt.startedMs);
    if (silent) place.node.doubt('silent');
    // A write may be slow for reasons that are not the node's, one that waits here for ours.
    else if (purpose === 'read' && attempt.progress() === 'sent') place.node.doubt('behind');
    return silent;
  }

  noteUnable(attempt: Attempt, purpose: Purpose): void {
    if (purpose === 'read') this.#places.get(attempt.url)?.node.doubt('behind');
    // Perhaps there is another primary.
    else for (const place of this.#places.values()) this.#probeSoon(place);
  }

  /** How many nodes are known, and how many of them stand well. */
  count(): { readonly known: number; readonly good: number } {
    const standings = [...this.#places.values()].map(({ node }) => node.standing);
    return {
      known: standings.length,
      good: standings.filter((standing) => standing === 'good').length,
    };
  }

  /** Closes all sessions; exchanges under way fail. */
  close(): void {
    this.#closed = true;
    this.#cancelSweep();
    for (const { node } of this.#places.values()) node.close();
    for (const node of this.#left) node.close();
  }

  #add(url: string, standing: Standing): Place {
    const node = new ServiceNode(url, standing, this.#options, this.#timers);
    const place: Place = { node, probing: false, probeDueMs: 0, probeAgainMs: PROBE_AGAIN_MS };
    node.onWorse = () => {
      place.probeDueMs = 0;
      place.probeAgainMs = PROBE_AGAIN_MS;
    };
    this.#places.set(url, place);
    return place;
  }

  #probeSoon(place: Place): void {
    const soonMs = this.#timers.elapsedMs() + PROBE_AGAIN_MS;
    place.probeDueMs = Math.min(place.probeDueMs, soonMs);
  }

  #sweep(): void {
    if (this.#closed) return;
    const nowMs = this.#timers.elapsedMs();
    for (const place of this.#places.values()) {
      place.node.sweep(nowMs);
      if (!place.probing && place.probeDueMs <= nowMs) void this.#probe(place);
    }
    for (const node of this.#left) {
      if (node.asked > 0) node.sweep(nowMs);
      else {
        this.#left.delete(node);
        node.close();
      }
    }
    this.#cancelSweep = this.#timers.after(SWEEP_MS, () => this.#sweep());
  }

  async #probe(place: Place): Promise<void> {
    const { node } = place;
    place.probing = true;
    const standing = await this.#look(node);
    place.probing = false;
    const nowMs = this.#timers.elapsedMs();
    if (standing === 'good') place.probeAgainMs = PROBE_AGAIN_MS;
    else place.probeAgainMs = Math.min(place.probeAgainMs * 2, PROBE_EVERY_MS);
    node.stand(standing);
    place.probeDueMs = nowMs + (standing === 'good' ? PROBE_EVERY_MS : place.probeAgainMs);
  }

  async #look(node: ServiceNode): Promise<Standing> {
    const ask = (): Asking => {
      const deadlineMs = this.#timers.elapsedMs() + PROBE_MS_MAX;
      return (request) => node.probe(request, deadlineMs);
    };
    let sighting: Sighting | undefined;
    try {
      sighting = await sightingBy(ask(), node.url);
    } catch {
      return 'silent';
    }
    if (sighting !== undefined) this.#learn(node, sighting);
    // One that stands well is not asked for proof: that would cost each time a round of votes.
    if (node.standing === 'good') return 'good';
    const seen = this.#seen.newest?.seqno ?? 0;
    const proven = await provenPosition(ask()).catch(() => undefined);
    if (proven !== undefined && proven < seen) this.#onLoss();
    return proven === undefined || proven < seen ? 'behind' : 'good';
  }

  #learn(by: ServiceNode, sighting: Sighting): void {
    by.nodeId = sighting.nodeId;
    // One that knows no primary, or an older one, has not heard the latest.
    if (sighting.primaryId === undefined || sighting.view < this.#view) return;
    this.#view = sighting.view;
    this.#primaryId = sighting.primaryId;
    const known = [...this.#places.values()].map(({ node }) => node);
    const { named, joined, left } = changesOf(known, by.url, sighting);
    for (const { url, nodeId } of named) this.#identify(url, nodeId);
    for (const { url, nodeId } of joined) {
      if (this.#places.size >= NODES_MAX) break;
      // Nobody has spoken to it yet: it is asked last until it has answered a probe.
      this.#add(url, 'silent');
      this.#identify(url, nodeId);
    }
    for (const url of left) this.#leave(url);
  }

  #identify(url: string, nodeId: string): void {
    const place = this.#places.get(url);
    if (place !== undefined) place.node.nodeId = nodeId;
  }

  #leave(url: string): void {
    const place = this.#places.get(url);
    if (place === undefined) return;
    this.#places.delete(url);
    this.#left.add(place.node);
  }
}

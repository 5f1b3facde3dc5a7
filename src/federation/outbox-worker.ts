/**
 * Delivers what the outbox holds: on the primary alone, to each peer one payload after the other in
 * the order they were sent, until there is a receipt (a push is idempotent). A peer that fails is
 * left alone for a while, and longer each time; a payload that a peer refuses waits by itself and
 * holds up no other. Nothing of this lasts: whoever is primary next begins from the outbox.
 */
import { base64Of, binaryTextOf } from '../base/bytes.ts';
import type { Timers } from '../base/environment.ts';
import { messageOf } from '../base/errors.ts';
import { payloadKeyOf } from '../crypto/payload.ts';
import { encodeFor, OWN_VERSIONS, unsupported, VERSIONS_HEADER } from './api-versions.ts';
import type { FederationCounters } from './counters.ts';
import type { EncodedPayload } from './encoded-payload.ts';
import { OutboxQueue } from './outbox-queue.ts';
import type { PeerClient } from './peer-client.ts';
import { encodePrivacyGroup, type PushedGroup } from './privacy-group.ts';
import type { Delivery, DueDelivery, FederationService } from './service.ts';

export interface OutboxTimes {
  /** How long one push may take. */
  readonly pushMs: number;
  /** How often the outbox is looked at when nobody says that it has grown. */
  readonly lookMs: number;
  /** Pause after a failure, at first and at most. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
}

export const OUTBOX_TIMES: OutboxTimes = {
  pushMs: 10_000,
  lookMs: 500,
  retryMsMin: 250,
  retryMsMax: 10_000,
};

/** Listing the outbox takes no more than one part in so many of the time. */
const SCAN_SHARE = 50;
/** So often it is listed in any case. */
const SCAN_MS_MAX = 30_000;
/** Deliveries to one peer that are readied at once: their payloads lie in memory. */
const BATCH_MAX = 8;

export interface OutboxDependencies {
  readonly service: FederationService;
  readonly client: PeerClient;
  readonly timers: Timers;
  readonly counters: FederationCounters;
  readonly log: { info(text: string): void; warn(text: string): void };
  /** How a peer was, for whoever keeps account of that. */
  readonly onPeer: (url: string, error: string | undefined) => void;
}

interface Pause {
  readonly untilMs: number;
  readonly lengthMs: number;
  readonly error: string;
}

/** How the delivery of one payload stands. */
export interface Settlement {
  /** Recipients that have no receipt for it yet, and why if a peer said why. */
  readonly missing: readonly { readonly recipient: Uint8Array; readonly refusal?: string }[];
}

export class OutboxWorker {
  readonly #deps: OutboxDependencies;
  readonly #times: OutboxTimes;
  readonly #queue = new OutboxQueue();
  readonly #busy = new Set<string>();
  /** By peer's url. */
  readonly #peerPauses = new Map<string, Pause>();
  /** By row of the outbox. */
  readonly #refusals = new Map<string, Pause>();
  readonly #watchers = new Set<() => void>();
  #cancel: (() => void) | undefined;
  #isStopped = false;
  #scanNotBeforeMs = 0;
  #scanDueMs = 0;
  #lastError: string | undefined;

  constructor(dependencies: OutboxDependencies, times: OutboxTimes = OUTBOX_TIMES) {
    this.#deps = dependencies;
    this.#times = times;
  }

  start(): void {
    this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    for (const watcher of this.#watchers) watcher();
  }

  /** The outbox has grown, perhaps by this payload: no need to wait for the next look. */
  poke(payload?: Uint8Array): void {
    const { service } = this.#deps;
    if (payload !== undefined && service.isPrimary()) {
      for (const row of service.outbox(payload)) this.#queue.add(row);
    }
    this.#cancel?.();
    this.#look();
  }

  /** What went wrong last, until something goes right. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  /** Waits until a payload is delivered to all who do not refuse it, or the time is over. */
  async settled(payload: Uint8Array, timeoutMs: number): Promise<Settlement> {
    const { timers, service } = this.#deps;
    this.poke(payload);
    const untilMs = timers.elapsedMs() + timeoutMs;
    for (;;) {
      const missing = service.outbox(payload).map((one) => {
        const refusal = this.#refusals.get(rowOf(one))?.error;
        return { recipient: one.recipient, ...(refusal === undefined ? {} : { refusal }) };
      });
      const isOver = timers.elapsedMs() >= untilMs || this.#isStopped;
      const isDecided = missing.every(({ refusal }) => refusal !== undefined);
      if (isDecided || isOver) return { missing };
      await this.#changed(untilMs);
    }
  }

  #changed(untilMs: number): Promise<void> {
    const { timers } = this.#deps;
    return new Promise((resolve) => {
      const done = (): void => {
        this.#watchers.delete(done);
        cancel();
        resolve();
      };
      const cancel = timers.after(Math.max(0, untilMs - timers.elapsedMs()), done);
      this.#watchers.add(done);
    });
  }

  #look(): void {
    if (this.#isStopped) return;
    this.#cancel = this.#deps.timers.after(this.#times.lookMs, () => this.#look());
    const { service } = this.#deps;
    if (!service.isPrimary() || service.outboxLength() === 0) {
      this.#queue.clear();
      this.#refusals.clear();
      return;
    }
    this.#scan();
    for (const [url, recipients] of this.#recipientsByPeer()) {
      if (this.#busy.has(url) || isPaused(this.#peerPauses.get(url), this.#nowMs())) continue;
      const deliveries = this.#dueFor(recipients);
      if (deliveries.length === 0) continue;
      this.#busy.add(url);
      this.#serve(url, deliveries)
        .catch((error: unknown) => this.#note(url, error))
        .finally(() => {
          this.#busy.delete(url);
          for (const watcher of [...this.#watchers]) watcher();
          // What came meanwhile has waited for its turn; what failed has its pause.
          this.poke();
        });
    }
  }

  /** Lists the whole outbox when it holds what nobody told of; seldom, because that takes long. */
  #scan(): void {
    const { service } = this.#deps;
    const nowMs = this.#nowMs();
    const isDue = nowMs >= this.#scanDueMs || service.outboxLength() !== this.#queue.size;
    if (!isDue || nowMs < this.#scanNotBeforeMs) return;
    const rows = service.outbox();
    this.#queue.clear();
    for (const row of rows) this.#queue.add(row);
    const tookMs = this.#nowMs() - nowMs;
    this.#scanNotBeforeMs = this.#nowMs() + Math.max(this.#times.lookMs, SCAN_SHARE * tookMs);
    this.#scanDueMs = this.#nowMs() + SCAN_MS_MAX;
  }

  /** Recipients by where they are; those who are nowhere under ''. */
  #recipientsByPeer(): ReadonlyMap<string, readonly string[]> {
    const known = this.#deps.service.outsideKeys();
    const urls = new Map(known.map(({ key, url }) => [binaryTextOf(key), url] as const));
    const byPeer = new Map<string, string[]>();
    for (const recipient of this.#queue.recipients) {
      const url = urls.get(recipient) ?? '';
      const same = byPeer.get(url);
      if (same === undefined) byPeer.set(url, [recipient]);
      else same.push(recipient);
    }
    return byPeer;
  }

  #dueFor(recipients: readonly string[]): readonly Delivery[] {
    const nowMs = this.#nowMs();
    return this.#queue
      .waitingFor(recipients)
      .filter((one) => !isPaused(this.#refusals.get(rowOf(one)), nowMs));
  }

  async #serve(url: string, deliveries: readonly Delivery[]): Promise<void> {
    const { service } = this.#deps;
    for (let at = 0; at < deliveries.length && !this.#isStopped; at += BATCH_MAX) {
      const batch = await service.due(deliveries.slice(at, at + BATCH_MAX));
      const done: Delivery[] = [];
      let goesOn = true;
      for (const one of batch) {
        const outcome = await this.#deliver(one);
        if (outcome !== 'refused' && outcome !== 'failed') done.push(one);
        goesOn = outcome !== 'failed';
        if (!goesOn) break;
      }
      if (done.length > 0) await service.delivered(done);
      for (const one of done) this.#queue.remove(one);
      for (const watcher of [...this.#watchers]) watcher();
      if (!goesOn) return;
      if (done.length > 0) this.#peerPauses.delete(url);
    }
  }

  async #deliver(
    one: DueDelivery,
  ): Promise<'delivered' | 'nothing due' | 'refused' | 'failed'> {
    const { due, recipient, subject } = one;
    const { client, counters, log, onPeer } = this.#deps;
    if (due === undefined) {
      const what = base64Of(subject);
      log.info(`nothing is left to deliver of ${what} to ${base64Of(recipient)}`);
      return 'nothing due';
    }
    const { url, versions } = due.to;
    const parcel =
      'group' in due ? groupParcel(due.group) : payloadParcel(due.payload, versions);
    if ('lack' in parcel) return this.#refused(one, url, parcel.lack);
    const { path, body, header, status, receipt } = parcel;
    try {
      const answer = await client.ask({
        method: 'POST',
        url,
        path,
        headers: { 'content-type': 'application/octet-stream', [VERSIONS_HEADER]: header },
        body,
        timeoutMs: this.#times.pushMs,
      });
      onPeer(url, undefined);
      const text = answer.body.toString('utf8').slice(0, 200);
      if (answer.status >= 400 && answer.status < 500) {
        return this.#refused(one, url, `status ${answer.status}: ${text}`);
      }
      if (answer.status !== status) throw new Error(`status ${answer.status}: ${text}`);
      if (receipt !== undefined && text.trim() !== receipt) {
        return this.#refused(one, url, `its receipt is for ${text}, not for ${receipt}`);
      }
      counters.delivered += 1;
      this.#refusals.delete(rowOf(one));
      this.#lastError = undefined;
      return 'delivered';
    } catch (error) {
      counters.failed += 1;
      this.#note(url, error);
      return 'failed';
    }
  }

  /** The peer does not want this payload: others go on, and this one is tried more seldom. */
  #refused({ subject, recipient }: Delivery, url: string, why: string): 'refused' {
    const row = rowOf({ subject, recipient });
    const pause = this.#paused(this.#refusals.get(row), why);
    this.#refusals.set(row, pause);
    this.#deps.counters.refusedByPeers += 1;
    const what = `payload ${base64Of(subject)} for ${base64Of(recipient)}`;
    this.#lastError = `${url} refuses ${what}: ${why}`;
    this.#deps.log.warn(`${this.#lastError}; it is tried again in ${pause.lengthMs} ms`);
    return 'refused';
  }

  #note(url: string, error: unknown): void {
    const why = messageOf(error);
    const before = this.#peerPauses.get(url);
    this.#peerPauses.set(url, this.#paused(before, why));
    this.#lastError = why;
    this.#deps.onPeer(url, why);
    if (before?.error !== why)
      this.#deps.log.warn(`deliveries to ${url || 'nobody'} wait: ${why}`);
  }

  #paused(before: Pause | undefined, error: string): Pause {
    const { retryMsMin, retryMsMax } = this.#times;
    const lengthMs =
      before === undefined ? retryMsMin : Math.min(2 * before.lengthMs, retryMsMax);
    return { untilMs: this.#nowMs() + lengthMs, lengthMs, error };
  }

  #nowMs(): number {
    return this.#deps.timers.elapsedMs();
  }
}

function isPaused(pause: Pause | undefined, nowMs: number): boolean {
  return pause !== undefined && nowMs < pause.untilMs;
}

function rowOf({ subject, recipient }: Delivery): string {
  return binaryTextOf(subject) + binaryTextOf(recipient);
}

/** What goes to a peer, and what it answers when it has taken it. */
interface Parcel {
  readonly path: string;
  readonly body: Uint8Array;
  readonly header: string;
  readonly status: number;
  readonly receipt?: string;
}

function payloadParcel(
  payload: EncodedPayload,
  versions: readonly string[],
): Parcel | { readonly lack: string } {
  const lack = unsupported(payload, versions);
  if (lack !== undefined) return { lack };
  const receipt = payloadKeyOf(payload.cipherText).toString('base64');
  return { path: 'push', ...encodeFor(payload, versions), status: 201, receipt };
}

function groupParcel(group: PushedGroup): Parcel {
  const body = encodePrivacyGroup(group);
  return { path: 'pushPrivacyGroup', body, header: OWN_VERSIONS.join(','), status: 200 };
}

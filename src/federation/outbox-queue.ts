/**
 * What the outbox's worker knows of the outbox: rows by recipient, in the order in which they came.
 * The rows themselves lie in the service; listing them all takes long once a peer has been away for
 * a while, so that is done seldom, and what is sent meanwhile is added here one by one.
 */
import { binaryTextOf } from '../base/bytes.ts';
import type { Delivery } from './service.ts';

interface Queued {
  readonly order: number;
  readonly delivery: Delivery;
}

export class OutboxQueue {
  /** By recipient, then by subject. */
  readonly #queues = new Map<string, Map<string, Queued>>();
  #next = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Recipients for whom something waits, as `binaryTextOf` writes them. */
  get recipients(): Iterable<string> {
    return this.#queues.keys();
  }

  add(delivery: Delivery): void {
    const recipient = binaryTextOf(delivery.recipient);
    const queue = this.#queues.get(recipient) ?? new Map<string, Queued>();
    this.#queues.set(recipient, queue);
    const subject = binaryTextOf(delivery.subject);
    if (queue.has(subject)) return;
    queue.set(subject, { order: this.#next, delivery });
    this.#next += 1;
    this.#size += 1;
  }

  remove({ subject, recipient }: Delivery): void {
    const name = binaryTextOf(recipient);
    const queue = this.#queues.get(name);
    if (queue?.delete(binaryTextOf(subject)) !== true) return;
    this.#size -= 1;
    if (queue.size === 0) this.#queues.delete(name);
  }

  clear(): void {
    this.#queues.clear();
    this.#size = 0;
  }

  /** What waits for some recipients, oldest first. */
  waitingFor(recipients: readonly string[]): readonly Delivery[] {
    return recipients
      .flatMap((recipient) => [...(this.#queues.get(recipient)?.values() ?? [])])
      .sort((left, right) => left.order - right.order)
      .map(({ delivery }) => delivery);
  }
}

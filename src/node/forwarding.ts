/**
 * Clients' requests on their way between nodes: sent to the primary and answered, or taken in from
 * another node and executed here (design decision 6). There is no second forward.
 */
import type { Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import type { ForwardedAnswer, ForwardedRequest } from '../http/backend.ts';
import type {
  ForwardAnswer,
  ForwardRefusal,
  ForwardRequest,
  PeerMessage,
} from './peers/messages.ts';

export interface ForwardingDependencies {
  readonly send: (to: NodeId, message: PeerMessage) => boolean;
  readonly primary: () => NodeId | undefined;
  /** Executes a request of another node's client; undefined when this node is not the primary. */
  readonly execute: (request: ForwardedRequest) => Promise<ForwardedAnswer | undefined>;
  readonly timers: Timers;
  readonly onFault: (fault: unknown, where: string) => void;
}

interface Pending {
  readonly to: NodeId;
  readonly resolve: (answer: ForwardedAnswer) => void;
  readonly reject: (error: CodedError) => void;
  readonly cancel: () => void;
}

export class Forwarding {
  readonly #deps: ForwardingDependencies;
  readonly #pending = new Map<number, Pending>();
  #ids = 0;
  /** How often each node went away: what a former life of it asked, the next one did not. */
  readonly #departures = new Map<NodeId, number>();

  constructor(dependencies: ForwardingDependencies) {
    this.#deps = dependencies;
  }

  /** See `Backend.forward`. */
  forward(request: ForwardedRequest, timeoutMs: number): Promise<ForwardedAnswer> {
    const { primary, send, timers } = this.#deps;
    const to = primary();
    if (to === undefined) {
      return Promise.reject(notSent('InternalError', 'no primary is known'));
    }
    return new Promise((resolve, reject) => {
      const id = this.#ids;
      this.#ids += 1;
      if (!send(to, { kind: 'forward-request', id, ...request })) {
        reject(notSent('InternalError', 'the primary cannot be reached'));
        return;
      }
      const cancel = timers.after(timeoutMs, () => this.#pending.delete(id));
      this.#pending.set(id, { to, resolve, reject, cancel });
    });
  }

  receive(from: NodeId, message: ForwardRequest | ForwardAnswer | ForwardRefusal): void {
    switch (message.kind) {
      case 'forward-request':
        this.#execute(from, message).catch((fault: unknown) => {
          this.#deps.onFault(fault, `forwarded ${message.verb} ${message.target}`);
        });
        break;
      case 'forward-answer': {
        const { kind: _kind, id, ...answer } = message;
        this.#take(from, id)?.resolve(answer);
        break;
      }
      case 'forward-refusal':
        this.#take(from, message.id)?.reject(
          notSent('RequestAlreadyForwarded', 'the node it went to is not the primary any more'),
        );
        break;
    }
  }

  /** A node is gone: whether it acted on what it was sent, nobody knows. */
  onPeerDown(node: NodeId): void {
    this.#departures.set(node, this.#departuresOf(node) + 1);
    for (const [id, { to, reject }] of [...this.#pending]) {
      if (to !== node) continue;
      this.#take(node, id);
      reject(
        new CodedError(
          'TransactionPendingOrUnknown',
          'the primary went away before it answered: whether the request was executed is not ' +
            'known; repeat it under its request id, or look whether it was',
          { status: 503, retryAfterSeconds: 1 },
        ),
      );
    }
  }

  #take(from: NodeId, id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending === undefined || pending.to !== from) return undefined;
    this.#pending.delete(id);
    pending.cancel();
    return pending;
  }

  #departuresOf(node: NodeId): number {
    return this.#departures.get(node) ?? 0;
  }

  async #execute(from: NodeId, message: ForwardRequest): Promise<void> {
    const { kind: _kind, id, ...request } = message;
    const departures = this.#departuresOf(from);
    const answer = await this.#deps.execute(request);
    // A node that has restarted meanwhile gives the same numbers to other clients' requests.
    if (this.#departuresOf(from) !== departures) return;
    const reply: PeerMessage =
      answer === undefined
        ? { kind: 'forward-refusal', id }
        : { kind: 'forward-answer', id, ...answer };
    this.#deps.send(from, reply);
  }
}

/** Nothing was done (http-api.md §4). */
function notSent(code: 'InternalError' | 'RequestAlreadyForwarded', why: string): CodedError {
  return new CodedError(code, `the request could not be forwarded: ${why}`, {
    status: 503,
    retryAfterSeconds: 1,
    retryable: true,
  });
}

/**
 * Relays requests to the service and its answers back. It answers nothing that needs the service:
 * when no node can be reached it waits, and then says 503, never 404, which GoQuorum would take for
 * "I am not a party" (transaction-manager.md §A.7).
 */
import { equalTxIds, type TxId, textOfTxId, txIdOfText } from '../base/ids.ts';
import { CONNECTOR_ANSWER_MS_MAX, CONNECTOR_REACH_MS_MAX } from '../base/limits.ts';
import type { Answer } from '../client/answer-reader.ts';
import type { WireRequest } from '../client/session.ts';
import { mayHaveActed, type SessionPool } from '../client/session-pool.ts';
import { firstHeader } from './headers.ts';

const TRANSACTION_ID = 'x-ms-ccf-transaction-id';
/** How long it waits before it looks for a node again. */
const RETRY_MS = 50;

/**
 * Posts that may be sent twice: they only read, or a second time stores one more payload that
 * nobody was told of, or repeats the first answer. Others are not sent again once a node may have
 * acted.
 */
const REPEATABLE =
  /\/(?:send|sendraw|storeraw|sendsignedtx|receive|encodedpayload\/\w+|findPrivacyGroup)$/;

export class Relay {
  readonly #pool: SessionPool;
  #lastSeen: TxId | undefined;

  constructor(pool: SessionPool) {
    this.#pool = pool;
  }

  /** The newest transaction that an answer has shown. */
  get lastSeen(): TxId | undefined {
    return this.#lastSeen;
  }

  /** The service's answer; rejects with `ServiceUnreachable` when there is none in time. */
  async ask(request: WireRequest, isWanted: () => boolean): Promise<Answer> {
    const startedMs = Date.now();
    for (;;) {
      try {
        const answer = await this.#pool.exchange(
          this.#withLastSeen(request),
          startedMs + CONNECTOR_ANSWER_MS_MAX,
        );
        this.#note(answer);
        return answer;
      } catch (thrown) {
        const late = Date.now() - startedMs + RETRY_MS > CONNECTOR_REACH_MS_MAX;
        const again = !mayHaveActed(thrown) || isRepeatable(request);
        if (late || !again || !isWanted()) throw thrown;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** So that any node answers from a state that holds what was seen (design decision 9). */
  #withLastSeen(request: WireRequest): WireRequest {
    if (this.#lastSeen === undefined) return request;
    const line = `x-concordat-min-txid: ${textOfTxId(this.#lastSeen)}\r\n`;
    return { ...request, headerLines: request.headerLines + line };
  }

  #note({ headers }: Answer): void {
    const text = firstHeader(headers, TRANSACTION_ID);
    const txId = text === undefined ? undefined : txIdOfText(text);
    if (txId !== undefined && isNewer(txId, this.#lastSeen)) this.#lastSeen = txId;
  }
}

function isRepeatable({ method, target }: WireRequest): boolean {
  if (method === 'GET' || method === 'HEAD') return true;
  return method === 'POST' && REPEATABLE.test(target);
}

function isNewer(txId: TxId, than: TxId | undefined): boolean {
  if (than === undefined) return true;
  if (equalTxIds(txId, than)) return false;
  return txId.view > than.view || (txId.view === than.view && txId.seqno > than.seqno);
}

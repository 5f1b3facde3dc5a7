/**
 * Relays requests to the service and its answers back. It answers nothing that needs the service:
 * when no node answers in time it says 503, never 404, which GoQuorum would take for "I am not a
 * party" (transaction-manager.md §A.7).
 */
import { hexOf } from '../base/bytes.ts';
import type { Random, Timers } from '../base/environment.ts';
import { CodedError } from '../base/errors.ts';
import { type TxId, textOfTxId, txIdOfText } from '../base/ids.ts';
import { MIN_TXID_HEADER, REQUEST_ID_HEADER } from '../base/own-headers.ts';
import type { Answer } from '../client/answer-reader.ts';
import type { ServiceNodes } from '../client/attempt.ts';
import { PROVEN_POSITION, positionIn } from '../client/node-probe.ts';
import type { SeenTransactions } from '../client/seen-transactions.ts';
import type { WireRequest } from '../client/session.ts';
import { Counters } from './counters.ts';
import { purposeOf } from './effects.ts';
import { type Outcome, runErrand } from './errand.ts';
import { firstHeader } from './headers.ts';

export interface RelayDependencies {
  readonly nodes: ServiceNodes;
  readonly seen: SeenTransactions;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: (line: string) => void;
}

const TRANSACTION_ID = 'x-ms-ccf-transaction-id';
const REQUEST_ID_BYTES = 16;
/** Ids that one write may be given: the service refuses one that was made on too old a state. */
const IDS_MAX = 3;
const NO_BODY = Buffer.alloc(0);
/** In an answer to `GET /app/tx` (http-api.md §5.2). */
const INVALID = /"status"\s*:\s*"Invalid"/;

export class Relay {
  readonly counters = new Counters();
  readonly #deps: RelayDependencies;
  /** The transaction that the service has lost; from then on nothing is relayed. */
  #lost: TxId | undefined;
  #confirming: Promise<boolean> | undefined;
  /** Ends what is being asked, should the service turn out to have lost something. */
  readonly #asking = new Set<() => void>();
  #positioning: Promise<void> | undefined;

  constructor(dependencies: RelayDependencies) {
    this.#deps = dependencies;
  }

  /** The transaction for whose loss the service is refused. */
  get lost(): TxId | undefined {
    return this.#lost;
  }

  /** Finds out how far the service has committed, so that the first write need not. */
  async prepare(): Promise<void> {
    await this.#position(this.#deps.timers.elapsedMs());
  }

  /** There is reason to fear that the service has lost something. */
  checkForLoss(): void {
    void this.#confirmLoss();
  }

  /**
   * The service's answer to a request that came in at `arrivedMs`. Rejects with
   * `ServiceUnreachable`, `OutcomeUnknown` or `ServiceLostTransaction`.
   */
  async ask(request: WireRequest, arrivedMs: number, isWanted: () => boolean): Promise<Answer> {
    if (this.#lost !== undefined) throw lossOf(this.#lost);
    const outcome =
      purposeOf(request) === 'read'
        ? await this.#send(request, 'read', '', arrivedMs, isWanted)
        : await this.#write(request, arrivedMs, isWanted);
    return await this.#answerOf(outcome, purposeOf(request) === 'write');
  }

  /** Each attempt of a write goes under one id, unless the service refuses the id as too old. */
  async #write(
    request: WireRequest,
    arrivedMs: number,
    isWanted: () => boolean,
  ): Promise<Outcome> {
    const { seen, random } = this.#deps;
    if (seen.seqno === undefined) await this.#position(arrivedMs);
    for (let ids = 1; ; ids += 1) {
      const id = `${seen.seqno ?? 0}.${hexOf(random.bytes(REQUEST_ID_BYTES))}`;
      const line = `${REQUEST_ID_HEADER}: ${id}\r\n`;
      const outcome = await this.#send(request, 'write', line, arrivedMs, isWanted);
      if (outcome.kind !== 'too old') return outcome;
      if (ids === IDS_MAX) {
        const why = 'it takes each request for one that is long past';
        return { kind: 'none', doubt: false, refusal: undefined, why };
      }
      await this.#position(arrivedMs);
    }
  }

  #send(
    request: WireRequest,
    purpose: 'read' | 'write',
    ownLines: string,
    arrivedMs: number,
    isWanted: () => boolean,
  ): Promise<Outcome> {
    const { method, target, body } = request;
    const headerLines = request.headerLines + ownLines;
    const options = {
      purpose,
      request: () => ({ method, target, headerLines: headerLines + this.#lastSeen(), body }),
      bodyBytes: body.length,
      arrivedMs,
      isWanted,
      confirmLoss: () => this.#confirmLoss(),
    };
    return new Promise((resolve) => {
      const end = (): void => resolve({ kind: 'lost' });
      this.#asking.add(end);
      void runErrand(options, { ...this.#deps, counters: this.counters }).then((outcome) => {
        this.#asking.delete(end);
        resolve(outcome);
      });
    });
  }

  /** So that any node answers from a state that holds what was seen (design decision 9). */
  #lastSeen(): string {
    const { newest } = this.#deps.seen;
    return newest === undefined ? '' : `${MIN_TXID_HEADER}: ${textOfTxId(newest)}\r\n`;
  }

  async #answerOf(outcome: Outcome, isWrite: boolean): Promise<Answer> {
    switch (outcome.kind) {
      case 'answer': {
        const possible = this.#note(outcome.answer);
        if (!possible) await this.#confirmLoss();
        if (this.#lost !== undefined) break;
        return outcome.answer;
      }
      case 'none':
        if (isWrite && outcome.doubt) {
          this.counters.unknownOutcomes += 1;
          throw new CodedError('OutcomeUnknown', OUTCOME_UNKNOWN, { why: outcome.why });
        }
        if (outcome.refusal !== undefined) return outcome.refusal;
        throw new CodedError('ServiceUnreachable', 'the service cannot be reached', {
          why: outcome.why,
        });
      case 'too old':
      case 'lost':
        break;
    }
    if (this.#lost !== undefined) throw lossOf(this.#lost);
    throw new CodedError('ServiceUnreachable', 'the service cannot be reached');
  }

  /** False for an answer that cannot come from the history that was seen. */
  #note({ headers }: Answer): boolean {
    const text = firstHeader(headers, TRANSACTION_ID);
    const txId = text === undefined ? undefined : txIdOfText(text);
    return txId === undefined || this.#deps.seen.note(txId);
  }

  /** Learns how far the service has committed; without an answer nothing is learned. */
  #position(arrivedMs: number): Promise<void> {
    this.#positioning ??= this.#askPosition(arrivedMs).finally(() => {
      this.#positioning = undefined;
    });
    return this.#positioning;
  }

  async #askPosition(arrivedMs: number): Promise<void> {
    const answer = await this.#askOwn(getting('/app/commit'), arrivedMs);
    const seqno = answer === undefined ? undefined : positionIn(answer);
    if (seqno !== undefined) this.#deps.seen.notePosition(seqno);
  }

  /**
   * Whether what was shown as committed is not in the ledger any more (design decision 11). That is
   * certain when the service proves to have committed less, or says that a transaction is Invalid.
   */
  #confirmLoss(): Promise<boolean> {
    this.#confirming ??= this.#askForLoss().finally(() => {
      this.#confirming = undefined;
    });
    return this.#confirming;
  }

  async #askForLoss(): Promise<boolean> {
    const { seen, log } = this.#deps;
    const { newest } = seen;
    if (newest === undefined || this.#lost !== undefined) return this.#lost !== undefined;
    if (!(await this.#hasLess(newest.seqno)) && !(await this.#isInvalid(newest))) return false;
    this.#lost = newest;
    log(lossOf(newest).message);
    for (const end of this.#asking) end();
    return true;
  }

  async #hasLess(than: number): Promise<boolean> {
    const answer = await this.#askOwn(PROVEN_POSITION, this.#deps.timers.elapsedMs());
    const proven = answer === undefined ? undefined : positionIn(answer);
    return proven !== undefined && proven < than;
  }

  async #isInvalid(txId: TxId): Promise<boolean> {
    const request = getting(`/app/tx?transaction_id=${textOfTxId(txId)}`);
    const answer = await this.#askOwn(request, this.#deps.timers.elapsedMs());
    return answer?.status === 200 && INVALID.test(answer.body.toString('utf8'));
  }

  /** Asks for the connector itself, and of any node, however old its state. */
  async #askOwn(request: WireRequest, arrivedMs: number): Promise<Answer | undefined> {
    const outcome = await runErrand(
      {
        purpose: 'read',
        request: () => request,
        bodyBytes: 0,
        arrivedMs,
        isWanted: () => true,
        confirmLoss: () => Promise.resolve(false),
      },
      { ...this.#deps, counters: new Counters() },
    );
    return outcome.kind === 'answer' ? outcome.answer : undefined;
  }
}

const OUTCOME_UNKNOWN =
  'whether this was carried out is not known: it was sent, but no node of the service has told ' +
  'how it ended; asked again, it may be carried out a second time';

function lossOf(txId: TxId): CodedError {
  return new CodedError(
    'ServiceLostTransaction',
    `the service has lost transaction ${textOfTxId(txId)}, which it had shown to this connector ` +
      'as committed: it goes on from an older state. Nothing is relayed to it any more. Find out ' +
      'from its operators what was lost, then restart the connector to go on with the service ' +
      'as it is now',
  );
}

function getting(target: string): WireRequest {
  return { method: 'GET', target, headerLines: '', body: NO_BODY };
}

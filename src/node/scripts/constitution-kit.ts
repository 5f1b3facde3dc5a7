/**
 * Tries a constitution without a node: tables in memory, its functions one by one, and what each
 * wrote. For the tests of a constitution, ours or anybody's.
 */
import { textOf, utf8 } from '../../base/bytes.ts';
import { seqnoAfter } from '../../base/ids.ts';
import { systemRandom } from '../../crypto/random.ts';
import { type Called, ConstitutionCalls } from '../../governance/constitution-calls.ts';
import { Draft } from '../../governance/draft.ts';
import type {
  JsonValue,
  ScriptEffect,
  ScriptRunner,
  ScriptWrite,
} from '../../governance/scripts.ts';
import { CONSTITUTION, jsonRow, SINGLETON } from '../../governance/tables.ts';
import { Store } from '../../kv/store.ts';
import { StoreTransaction } from '../../kv/transaction.ts';
import { threadRunner } from './thread-runner.ts';

/** One step of a proposal. */
export interface KitAction {
  readonly name: string;
  readonly args: unknown;
}

export interface KitOptions {
  readonly constitution: string;
  /** What `Date.now()` says to it. */
  readonly nowMs?: number;
  /** Answers what it asks of its node: `generateEndorsedCertificate` and its like. */
  readonly answer?: (question: ScriptEffect) => string;
}

/** What an accepted proposal did. */
export interface KitApplied {
  readonly writes: readonly ScriptWrite[];
  readonly effects: readonly ScriptEffect[];
}

export class ConstitutionKit {
  readonly #store = new Store([]);
  readonly #scripts: ScriptRunner;
  readonly #answer: (question: ScriptEffect) => string;
  nowMs: number;

  constructor(options: KitOptions) {
    this.nowMs = options.nowMs ?? 0;
    this.#answer = options.answer ?? ((question) => `an answer to ${question.name}`);
    const elapsedMs = (): number => performance.now();
    const random = (): number => Buffer.from(systemRandom.bytes(4)).readUInt32LE(0) / 2 ** 32;
    this.#scripts = threadRunner({ elapsedMs, random });
    this.putRow(CONSTITUTION, SINGLETON, jsonRow(options.constitution));
  }

  /** Writes a row, as JSON unless it is bytes; the key as text unless it is bytes. */
  putRow(table: string, key: string | Uint8Array, value: unknown): void {
    this.#take((transaction) => {
      const bytes = value instanceof Uint8Array ? value : jsonRow(value);
      transaction.table(table).put(typeof key === 'string' ? utf8(key) : key, bytes);
    });
  }

  /** A row's text; undefined if there is none. */
  row(table: string, key: string | Uint8Array): string | undefined {
    const bytes = typeof key === 'string' ? utf8(key) : key;
    const value = this.#store.current.table(table).get(bytes);
    return value === undefined ? undefined : textOf(value);
  }

  /** A row's JSON; undefined if there is none. */
  json(table: string, key: string | Uint8Array): unknown {
    const text = this.row(table, key);
    return text === undefined ? undefined : JSON.parse(text);
  }

  /** Why a proposal would not be taken; undefined if it would. */
  async whyInvalid(...actions: readonly KitAction[]): Promise<string | undefined> {
    const called = await this.#calls().call('validate', [proposalText(actions)]);
    const value = this.#returned(called);
    const description: unknown = Reflect.get(Object(value), 'description');
    return Reflect.get(Object(value), 'valid') === true ? undefined : String(description);
  }

  /** What becomes of a proposal with these votes. */
  async resolve(
    votes: Readonly<Record<string, boolean>>,
    ...actions: readonly KitAction[]
  ): Promise<JsonValue | undefined> {
    const list = Object.entries(votes).map(([member_id, vote]) => ({ member_id, vote }));
    const [proposerId = ''] = Object.keys(votes);
    const args = [proposalText(actions), proposerId, list, PROPOSAL_ID];
    return this.#returned(await this.#calls().call('resolve', args));
  }

  /** Carries actions out. Throws what the constitution throws, and then has written nothing. */
  async apply(...actions: readonly KitAction[]): Promise<KitApplied> {
    const draft = new Draft(this.#store.current);
    const called = await this.#calls(draft).call('apply', [proposalText(actions), PROPOSAL_ID]);
    this.#returned(called);
    this.#take((transaction) => draft.writeTo(transaction));
    const effects = called.kind === 'returned' ? called.effects : [];
    return { writes: draft.writes, effects };
  }

  #calls(draft = new Draft(this.#store.current)): ConstitutionCalls {
    return new ConstitutionCalls(draft, {
      scripts: this.#scripts,
      nowMs: () => this.nowMs,
      answer: async (question) => this.#answer(question),
      log: () => undefined,
    });
  }

  #returned(called: Called): JsonValue | undefined {
    if (called.kind === 'returned') return called.value;
    throw new Error(called.failure.reason);
  }

  #take(write: (transaction: StoreTransaction) => void): void {
    const transaction = new StoreTransaction(this.#store, 'service');
    write(transaction);
    if (transaction.writeSet().length === 0) return;
    this.#store.apply(seqnoAfter(this.#store.newest), transaction.writeSet());
    this.#store.commit(this.#store.newest);
  }
}

/** The id of the proposal that the kit speaks of. */
export const PROPOSAL_ID = 'c0'.repeat(32);

function proposalText(actions: readonly KitAction[]): string {
  return JSON.stringify({ actions });
}

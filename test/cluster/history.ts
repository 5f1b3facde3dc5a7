// A history of what clients saw, as it is recorded and as the judge reads it: one JSON object a
// line, described in test/judges/porcupine/README.md.

import { closeSync, openSync, writeSync } from 'node:fs';

export type Outcome = 'ok' | 'fail' | 'unknown';

/** One call by one client. Times are whole microseconds of the history's clock. */
export interface Call {
  readonly type: 'op';
  readonly id: number;
  readonly client: number;
  /** Where it was sent. */
  readonly node: string;
  readonly kind: 'write' | 'read' | 'send' | 'receive';
  readonly key: string;
  readonly value?: string;
  readonly fresh?: true;
  readonly stranger?: true;
  readonly min?: string;
  readonly call: number;
  readonly return?: number;
  readonly outcome: Outcome;
  readonly tx?: string;
  readonly note?: string;
}

/** Something that lies in the ledger: a register's row, or a payload. */
export interface Row {
  readonly type: 'applied' | 'stored';
  readonly key: string;
  readonly value: string;
  readonly tx: string;
}

export type HistoryLine =
  | Call
  | Row
  | { readonly type: 'event'; readonly at: number; readonly text: string }
  | { readonly type: 'ledger'; readonly views: readonly string[]; readonly committed: string };

/** What a client asks for; the rest is known once it was answered, or was not. */
export type Asked = Pick<Call, 'client' | 'node' | 'kind' | 'key'> &
  Partial<Pick<Call, 'value' | 'fresh' | 'stranger' | 'min'>>;

/** What came of a call. Outcome `ok` of a read without a value: it saw nothing. */
export type Answered = Pick<Call, 'outcome'> &
  Partial<Pick<Call, 'value' | 'tx' | 'note' | 'key'>>;

/** Writes a history down as it happens, and counts. */
export class History {
  readonly path: string;
  readonly #file: number;
  readonly #calls: Call[] = [];
  #ids = 0;

  constructor(path: string) {
    this.path = path;
    this.#file = openSync(path, 'w');
  }

  /** Microseconds of a clock that only goes forward. */
  now(): number {
    return Math.round(performance.now() * 1000);
  }

  /** Makes a call and records it. `make` does not reject: that nothing was heard is an answer. */
  async record(asked: Asked, make: () => Promise<Answered>): Promise<Call> {
    this.#ids += 1;
    const id = this.#ids;
    const begun = this.now();
    const answered = await make();
    const ended = this.now();
    const call: Call = {
      type: 'op',
      id,
      ...asked,
      ...answered,
      call: begun,
      ...(answered.outcome === 'unknown' ? {} : { return: ended }),
    };
    this.add(call);
    return call;
  }

  add(line: HistoryLine): void {
    if (line.type === 'op') this.#calls.push(line);
    writeSync(this.#file, `${JSON.stringify(line)}\n`);
  }

  event(text: string): void {
    this.add({ type: 'event', at: this.now(), text });
  }

  calls(): readonly Call[] {
    return this.#calls;
  }

  close(): void {
    closeSync(this.#file);
  }
}

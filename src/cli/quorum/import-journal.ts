/**
 * How far an import has come: a file with a line for each thing that the service has acknowledged.
 * Lines are only appended; a last one that was cut short is passed over and done again, which the
 * service takes for what it is. The first line says whose import this is.
 */
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { CodedError } from '../../base/errors.ts';

const FORMAT = 'concordat import 1';

export class ImportJournal {
  readonly #file: number;
  readonly #done: Set<string>;

  private constructor(file: number, done: Set<string>) {
    this.#file = file;
    this.#done = done;
  }

  /** Opens or begins a journal; `of` names the service and the organisation. */
  static open(path: string, of: string): ImportJournal {
    const head = `${FORMAT} ${of}`;
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    const [first, ...lines] = whole.split('\n').slice(0, -1);
    if (first !== undefined && first !== head) {
      throw new CodedError(
        'ForeignJournal',
        `${path} tells of another import: it begins with ${JSON.stringify(first.slice(0, 200))}; ` +
          'name another file in --checkpoint',
        { path },
      );
    }
    if (first === undefined && text !== '') {
      throw new CodedError('ForeignJournal', `${path} is no journal of an import`, { path });
    }
    const file = openSync(path, 'a', 0o600);
    if (first === undefined) writeSync(file, `${head}\n`);
    // The rest of a line that was cut short must not become the beginning of the next one.
    else if (whole.length < text.length) writeSync(file, '\n');
    return new ImportJournal(file, new Set(lines));
  }

  has(name: string): boolean {
    return this.#done.has(name);
  }

  get size(): number {
    return this.#done.size;
  }

  note(name: string): void {
    if (this.#done.has(name)) return;
    this.#done.add(name);
    writeSync(this.#file, `${name}\n`);
  }

  close(): void {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }
}

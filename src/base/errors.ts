/**
 * Coded errors: what went wrong in the world outside, with a sentence for a person and the fields a
 * program needs. What must never happen is an `InvariantError` instead (`assert.ts`).
 */

/**
 * An operating error. `code` is stable and machine-readable; `message` says what to do about
 * it.
 */
export class CodedError<Code extends string = string> extends Error {
  override readonly name: string = 'CodedError';
  readonly code: Code;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(
    code: Code,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.fields = fields;
  }
}

/** Whether something thrown is a coded error, of the given code if one is named. */
export function isCoded(thrown: unknown, code?: string): thrown is CodedError {
  return thrown instanceof CodedError && (code === undefined || thrown.code === code);
}

/** The sentence of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/**
 * Answers in Tessera's shapes: JSON, one plain sentence, or the list of violations of its validator
 * (transaction-manager.md §B). Everything that is refused is thrown as a `Refusal` and becomes an
 * answer in one place (`surface.ts`).
 */
import type { AppResponse } from '../../interface.ts';

/** A request that is not granted, with the answer that says so. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly response: AppResponse;

  constructor(response: AppResponse) {
    super(`refused with ${response.status}`);
    this.response = response;
  }
}

/** One plain sentence. */
export function text(status: number, sentence: string): AppResponse {
  return { status, headers: { 'content-type': 'text/plain' }, body: sentence };
}

/** A JSON body of one of the JSON media types. */
export function json(status: number, type: string, value: unknown): AppResponse {
  return { status, headers: { 'content-type': type }, body: JSON.stringify(value) };
}

/** Refuses with one plain sentence. */
export function refuseWith(status: number, sentence: string): Refusal {
  return new Refusal(text(status, sentence));
}

/**
 * Refuses because something does not exist. It leaves only when that is proven (design decision
 * 10): GoQuorum takes a 404 for "I am not a party".
 */
export function refuseAbsent(status: 400 | 403 | 404, sentence: string): Refusal {
  return new Refusal({ ...text(status, sentence), absence: true });
}

/** What Tessera's validator says of one value. */
export interface Violation {
  readonly message: string;
  readonly template: string;
  /** Java's path to the value, e.g. `TransactionResource.send.arg0.payload`. */
  readonly path: string;
  /** As Java prints it; absent for null. */
  readonly invalid?: string;
}

/** Refuses with a violation: a list for clients that take plain JSON, a line for all others. */
export function refuseViolation(type: string, violation: Violation): Refusal {
  const { message, template, path, invalid } = violation;
  if (type === 'application/json') {
    const item = {
      ...(invalid === undefined ? {} : { invalidValue: invalid }),
      message,
      messageTemplate: template,
      path,
    };
    const response = json(400, type, [item]);
    return new Refusal({ ...response, headers: { ...response.headers, vary: 'Accept' } });
  }
  return refuseWith(400, `${message} (path = ${path}, invalidValue = ${invalid ?? 'null'})\n`);
}

export function notNull(path: string): Violation {
  const template = '{jakarta.validation.constraints.NotNull.message}';
  return { message: 'may not be null', template, path };
}

export function notEmpty(path: string): Violation {
  const message = 'size must be between 1 and 2147483647';
  return {
    message,
    template: '{jakarta.validation.constraints.Size.message}',
    path,
    invalid: '[]',
  };
}

export function notBase64(path: string, value: string): Violation {
  const message = '{ValidBase64.message}';
  return { message, template: message, path, invalid: value };
}

export function notTrueOrFalse(path: string, value: string): Violation {
  return {
    message: 'must match "^(true|false)$"',
    template: '{jakarta.validation.constraints.Pattern.message}',
    path,
    invalid: value,
  };
}

/** Where a stored payload is read: a path; the connector puts its scheme and host before it. */
export function locationOf(key: string): string {
  return `/transaction/${encodeURIComponent(key)}`;
}

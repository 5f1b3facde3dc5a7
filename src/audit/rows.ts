/**
 * Reads rows of built-in tables: JSON of known fields (ledger-format.md §5.2). What is missing or
 * of another type becomes a fault of the rule that is asked for.
 */
import { textOf } from '../base/bytes.ts';
import type { MapWrites } from '../ledger/entry.ts';
import { SINGLETON_KEY } from '../ledger/signature.ts';
import { FaultError, type Reason } from './fault.ts';

export type JsonRow = Readonly<Record<string, unknown>>;

/** A JSON object. */
export function jsonRow(value: Uint8Array, reason: Reason): JsonRow {
  const parsed = jsonValue(value, reason);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new FaultError(reason, 'the row is no JSON object');
  }
  return parsed as JsonRow;
}

/** Any JSON value. */
export function jsonValue(value: Uint8Array, reason: Reason): unknown {
  try {
    return JSON.parse(textOf(value));
  } catch {
    throw new FaultError(reason, 'the row is no JSON in UTF-8');
  }
}

export function textField(row: JsonRow, field: string, reason: Reason): string {
  const value = row[field];
  if (typeof value !== 'string') throw new FaultError(reason, `${field} is no text`);
  return value;
}

export function numberField(row: JsonRow, field: string, reason: Reason): number {
  const value = row[field];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new FaultError(reason, `${field} is no whole number`);
  }
  return value;
}

/** The same where the field may be absent (or, in rows of old releases, null). */
export function optionalNumber(
  row: JsonRow,
  field: string,
  reason: Reason,
): number | undefined {
  const value = row[field];
  return value === undefined || value === null ? undefined : numberField(row, field, reason);
}

/** The row of a table that has one; undefined if this write set leaves it alone. */
export function singleton(
  maps: readonly MapWrites[],
  name: string,
  reason: Reason,
): Uint8Array | undefined {
  const map = maps.find((each) => each.name === name);
  if (map === undefined) return undefined;
  const value = map.writes.get(SINGLETON_KEY);
  if (value === undefined || map.writes.size !== 1 || map.removes.size !== 0) {
    throw new FaultError(reason, `${name} has other rows than one under eight zero bytes`);
  }
  return value;
}

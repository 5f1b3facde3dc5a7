/**
 * Times and sizes as a configuration writes them: "100ms", "5MB". Units are CCF's, in any case,
 * and a KB is 1024 bytes, as CCF reads it (node-lifecycle.md §2).
 */

const TIMES_MS: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
};

const SIZES_BYTES: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1024,
  mb: 1024 ** 2,
  gb: 1024 ** 3,
  tb: 1024 ** 4,
};

export const TIME_UNITS: string = Object.keys(TIMES_MS).join(', ');
export const SIZE_UNITS = 'B, KB, MB, GB, TB';

/** Milliseconds of a time, or undefined if the text is none. */
export function millisecondsOf(text: string): number | undefined {
  return amountOf(text, TIMES_MS);
}

/** Bytes of a size, or undefined if the text is none. */
export function bytesOfSize(text: string): number | undefined {
  return amountOf(text, SIZES_BYTES);
}

function amountOf(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d{1,15})([a-z]+)$/.exec(text.toLowerCase());
  const factor = match === null ? undefined : units[match[2] ?? ''];
  if (match === null || factor === undefined) return undefined;
  const amount = Number(match[1]) * factor;
  return Number.isSafeInteger(Math.ceil(amount)) ? amount : undefined;
}

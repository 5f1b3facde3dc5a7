/**
 * Two contracts, small enough to be written by hand: one that holds a number, and one that passes
 * calls on to another. Their bytes are what GoQuorum runs, and what its double reads.
 */

const SET = '60fe47b1';
const GET = '6d4ce63c';
const WORD_DIGITS = 64;

/**
 * `36 6024 14 6019 57`: four bytes and a word set the number (0x19); `36 6001 14 6021 57`: a single
 * byte reverts (0x21); `6000 54 6000 52 6020 6000 f3`: anything else gives it back.
 */
const STORAGE_CODE = `${'36602414601957'}${'36600114602157'}${'60005460005260206000f3'}${
  '5b60043560005500' + '5b600080fd'
}`;
/** Stores its word, then returns the code behind itself: 0x26 bytes that begin at 0x2f. */
const STORAGE_HEAD = '7f';
const STORAGE_REST = `600055${'602680602f6000396000f3'}${STORAGE_CODE}`;

/** Copies the call's data, calls its target with it, and reverts if that does. */
const FORWARDER_HEAD = `${'602c80600b6000396000f3'}${'36600080376000803660008073'}`;
const FORWARDER_REST = `5af1602a57600080fd5b00`;

export const GET_CALL = `0x${GET}`;
/** Reverts. */
export const FAILING_CALL = '0x00';

export function storageCode(value: number): string {
  return `0x${STORAGE_HEAD}${word(value)}${STORAGE_REST}`;
}

export function forwarderCode(target: string): string {
  return `0x${FORWARDER_HEAD}${target.slice(2)}${FORWARDER_REST}`;
}

export function setCall(value: number): string {
  return `0x${SET}${word(value)}`;
}

/** What a payload does. */
export type Meaning =
  | { readonly kind: 'storage'; readonly value: number }
  | { readonly kind: 'forwarder'; readonly target: string }
  | { readonly kind: 'set'; readonly value: number }
  | { readonly kind: 'fail' };

export function meaningOf(payload: string): Meaning {
  const hex = payload.slice(2);
  if (hex === FAILING_CALL.slice(2)) return { kind: 'fail' };
  if (hex.startsWith(SET)) return { kind: 'set', value: Number(`0x${hex.slice(SET.length)}`) };
  if (hex.startsWith(STORAGE_HEAD) && hex.endsWith(STORAGE_REST)) {
    return { kind: 'storage', value: Number(`0x${hex.slice(2, 2 + WORD_DIGITS)}`) };
  }
  if (hex.startsWith(FORWARDER_HEAD) && hex.endsWith(FORWARDER_REST)) {
    return { kind: 'forwarder', target: `0x${hex.slice(FORWARDER_HEAD.length).slice(0, 40)}` };
  }
  throw new Error(`no contract here knows the payload ${payload.slice(0, 80)}`);
}

function word(value: number): string {
  return value.toString(16).padStart(WORD_DIGITS, '0');
}

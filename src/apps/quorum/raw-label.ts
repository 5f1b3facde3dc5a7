/**
 * The label of a raw payload's directory row: whose it is, and whether a transaction has named it.
 *
 *     00 ‖ sender   stored
 *     01 ‖ sender   sent
 *
 * The key lies where a party set has its first one, so `isParty` holds for both.
 */
export type RawState = 'stored' | 'sent';

export function rawLabelOf(sender: Uint8Array, state: RawState): Uint8Array {
  return Buffer.concat([Buffer.from([state === 'sent' ? 1 : 0]), sender]);
}

export function rawStateOf(label: Uint8Array): RawState {
  return label[0] === 1 ? 'sent' : 'stored';
}

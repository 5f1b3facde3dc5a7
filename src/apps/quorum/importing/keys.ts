/**
 * The private half of a party key that governance has given an organisation: it brings it itself,
 * so that no member ever holds it, and the pair is shown to be one before it is kept.
 */
import { base64Of, equalBytes } from '../../../base/bytes.ts';
import { partyKeyOf } from '../../../crypto/party-keys.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { answer, type Step } from '../../interface.ts';
import { PARTY_PRIVATE_KEYS } from '../../organisations.ts';
import { type Organisation, owns, privateKeyOf, refuseForeignKey } from '../organisation.ts';
import { PARTY_KEY_BYTES } from '../parties.ts';
import { refuseWith } from '../wire/answers.ts';
import type { Body } from '../wire/body.ts';
import { outcome } from './storing.ts';
import { required, sized } from './transferred.ts';

export function takeKey(view: ReadView, caller: Organisation, body: Body): Step {
  const publicKey = sized(required(body, 'publicKey'), PARTY_KEY_BYTES, 'publicKey');
  const privateKey = sized(required(body, 'privateKey'), PARTY_KEY_BYTES, 'privateKey');
  if (!owns(caller, publicKey)) throw refuseForeignKey(publicKey);
  if (!equalBytes(partyKeyOf(privateKey), publicKey)) {
    throw refuseWith(400, `the private key is not that of ${base64Of(publicKey)}`);
  }
  if (privateKeyOf(view, publicKey) !== undefined) return answer(outcome(publicKey, 'known'));
  return {
    kind: 'write',
    apply: (tx) => {
      tx.table(PARTY_PRIVATE_KEYS).put(publicKey, privateKey);
      return outcome(publicKey, 'stored');
    },
  };
}

/**
 * Signatures of COSE messages that others made (RFC 9052 §4.4): ECDSA by a key of the algorithm's
 * own curve, and RSASSA-PSS (RFC 8230 §2). Runs in a browser.
 */
import { isCoded } from '../base/errors.ts';
import { ALGORITHM_IDS, HEADER_ALGORITHM, type Sign1, signatureStructure } from './cose.ts';
import { COSE_BY_CURVE, readPublicKey } from './public-key.ts';
import type { HashName, Verifier } from './verifier.ts';

/** The salt is as long as the hash (RFC 8230 §2). */
const PSS: Readonly<Record<number, { readonly hash: HashName; readonly saltLength: number }>> =
  {
    [-37]: { hash: 'SHA-256', saltLength: 32 },
    [-38]: { hash: 'SHA-384', saltLength: 48 },
    [-39]: { hash: 'SHA-512', saltLength: 64 },
  };

export type CoseOutcome = 'good' | 'bad' | 'unknown algorithm';

/** Whether a message is signed by this key; its payload must travel with it. */
export async function checkSign1(
  message: Sign1,
  publicKeyDer: Uint8Array,
  verifier: Verifier,
): Promise<CoseOutcome> {
  const { protectedBytes, payload, signature } = message;
  if (payload === undefined) return 'bad';
  const id = message.protectedHeader.get(HEADER_ALGORITHM);
  const signed = signatureStructure(protectedBytes, payload);
  try {
    const key = readPublicKey(publicKeyDer);
    const check = { publicKeyDer, signature, message: signed };
    if (key.kind === 'ec') {
      const { algorithm, hash } = COSE_BY_CURVE[key.curve];
      if (id !== ALGORITHM_IDS[algorithm]) return 'unknown algorithm';
      return goodIf(await verifier.ecdsa({ ...check, hash, encoding: 'raw' }));
    }
    const pss = typeof id === 'number' ? PSS[id] : undefined;
    return pss === undefined
      ? 'unknown algorithm'
      : goodIf(await verifier.rsaPss({ ...check, ...pss }));
  } catch (thrown) {
    if (isCoded(thrown, 'BadKey')) return 'bad';
    throw thrown;
  }
}

const goodIf = (holds: boolean): CoseOutcome => (holds ? 'good' : 'bad');

/**
 * The services that a recovered one goes on from, as their endorsements tell it: each is a message
 * by which a service vouches for the key of the one before it, and for how long that one lived
 * (COSE_Sign1; ledger-format.md §12.1). Runs in a browser: signatures come in through `Verifier`.
 */
import { CodedError } from '../base/errors.ts';
import { type TxId, txIdOfText } from '../base/ids.ts';
import {
  algorithmOfId,
  decodeSign1,
  HEADER_ALGORITHM,
  HEADER_CCF,
  innerMap,
  signatureStructure,
} from '../crypto/cose.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { Verifier } from '../crypto/verifier.ts';

export interface FormerService {
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeyDer: Uint8Array;
  /** Its last transaction: what its key signs beyond that is not of this ledger. */
  readonly last: TxId;
}

/**
 * The former services, the latest first, from endorsements in that order; throws `BadEndorsement`
 * for one that is not by the service after it.
 */
export async function formerServicesOf(
  publicKeyDer: Uint8Array,
  endorsements: readonly Uint8Array[],
  verifier: Verifier,
): Promise<readonly FormerService[]> {
  const former: FormerService[] = [];
  let endorser = publicKeyDer;
  for (const bytes of endorsements) {
    const one = await formerService(endorser, bytes, verifier);
    former.push(one);
    endorser = one.publicKeyDer;
  }
  return former;
}

async function formerService(
  publicKeyDer: Uint8Array,
  bytes: Uint8Array,
  verifier: Verifier,
): Promise<FormerService> {
  const message = decodeSign1(bytes);
  const { protectedHeader, protectedBytes, payload, signature } = message;
  const info = readPublicKey(publicKeyDer);
  if (info.kind !== 'ec') throw bad("the endorsing service's key is no elliptic curve key");
  const { algorithm, hash } = COSE_BY_CURVE[info.curve];
  const named = algorithmOfId(protectedHeader.get(HEADER_ALGORITHM));
  if (named !== algorithm || payload === undefined) throw bad('it is no endorsement of a key');
  const good = await verifier.ecdsa({
    ...{ publicKeyDer, signature, encoding: 'raw', hash },
    message: signatureStructure(protectedBytes, payload),
  });
  if (!good) throw bad('it is not by the service after it');
  const end = innerMap(protectedHeader, HEADER_CCF)?.get('epoch.end.txid');
  const last = typeof end === 'string' ? txIdOfText(end) : undefined;
  if (last === undefined) throw bad('it does not say when the former service ended');
  return { publicKeyDer: payload, last };
}

function bad(why: string): CodedError {
  return new CodedError('BadEndorsement', `an endorsement of a former service: ${why}`);
}

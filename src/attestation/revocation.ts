/**
 * Revocation of AMD's intermediates (attestation-snp.md §4): lists signed by the root. Chips' own
 * keys are never listed; what revokes firmware is the lowest TCB of a policy.
 */
import { isCoded, messageOf } from '../base/errors.ts';
import { sameBytes } from '../base/portable-bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { parseRevocationList, type RevocationList } from '../crypto/x509-crl.ts';
import { mayBeUsedFor } from '../crypto/x509-extensions.ts';
import { isSignedBy } from '../crypto/x509-signature.ts';
import type { CheckList } from './check-list.ts';
import { refusal } from './refusals.ts';
import { type AmdChain, isoTime } from './snp-certificates.ts';

export const REVOCATION_CHECK = 'revocation';

export interface RevocationInput {
  /** DER; those of other issuers are passed over. */
  readonly crls: readonly Uint8Array[];
  readonly demand: 'if-given' | 'required';
}

/** Judges whether the intermediate is revoked, as far as the lists given say. */
export async function judgeRevocation(
  list: CheckList,
  { intermediate, root }: AmdChain,
  { crls, demand }: RevocationInput,
  verifier: Verifier,
  atMs: number,
): Promise<void> {
  const lists: RevocationList[] = [];
  for (const der of crls) {
    const read = readList(der);
    if (typeof read === 'string') {
      list.fail(REVOCATION_CHECK, refusal('RevocationListUnreadable', read));
      return;
    }
    if (sameBytes(read.issuer, root.subject)) lists.push(read);
  }
  if (lists.length === 0) {
    if (demand === 'required') list.fail(REVOCATION_CHECK, refusal('RevocationListMissing'));
    else list.skip(REVOCATION_CHECK, 'no revocation list was given for this root');
    return;
  }
  for (const revocations of lists) {
    const signed =
      mayBeUsedFor(root, 'crlSign') &&
      (await isSignedBy(revocations, root.publicKeyDer, verifier));
    if (!signed) {
      list.fail(REVOCATION_CHECK, refusal('RevocationListUnsigned'));
      return;
    }
  }
  judgeLists(list, intermediate.serial, lists, atMs);
}

/** A list that names the intermediate counts whenever it was made: revoked is revoked. */
function judgeLists(
  list: CheckList,
  serial: string,
  lists: readonly RevocationList[],
  atMs: number,
): void {
  const latest = lists.reduce((left, right) =>
    right.thisUpdateMs > left.thisUpdateMs ? right : left,
  );
  const current = lists.find(
    ({ thisUpdateMs, nextUpdateMs }) => thisUpdateMs <= atMs && atMs <= nextUpdateMs,
  );
  const shown = current ?? latest;
  const values = {
    serial,
    from: isoTime(shown.thisUpdateMs),
    until: isoTime(shown.nextUpdateMs),
    at: isoTime(atMs),
  };
  if (lists.some(({ revoked }) => revoked.has(serial))) {
    list.fail(REVOCATION_CHECK, refusal('IntermediateRevoked', `serial ${serial}`), values);
    return;
  }
  const late = latest.thisUpdateMs <= atMs;
  list.expect(
    REVOCATION_CHECK,
    current !== undefined,
    'a current list by the root does not name the intermediate',
    refusal(late ? 'RevocationListExpired' : 'RevocationListNotYetValid'),
    values,
  );
}

function readList(der: Uint8Array): RevocationList | string {
  try {
    return parseRevocationList(der);
  } catch (thrown) {
    if (isCoded(thrown)) return messageOf(thrown);
    throw thrown;
  }
}

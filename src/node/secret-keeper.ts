/**
 * What a node lends to governance for transactions that change ledger secrets (governance.md §7).
 */
import type { Random } from '../base/environment.ts';
import { seqnoAfter, type View } from '../base/ids.ts';
import type { SecretKeeper } from '../governance/recovery-shares.ts';
import type { OpenedLedger } from './opened-ledger.ts';

/** The keeper of a node that leads in `view()`. */
export function secretKeeperOf(
  { identity, state, pool }: OpenedLedger,
  random: Random,
  view: () => View,
): SecretKeeper {
  return {
    latest: () => {
      // A rekey that was just written names the secret of what comes next, which is not there yet.
      const next = pool.madeFor(view(), seqnoAfter(state.store.newest));
      const { bytes, from } = next ?? state.secrets.latest;
      return { secret: bytes, from };
    },
    random,
    wrap: identity.keys.wrapTo,
  };
}

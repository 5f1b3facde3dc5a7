/**
 * How much of the ledger a leader's message names. What is sent before it is known where the other
 * log agrees is a guess, repeated with every heartbeat until it is answered: it must not be much.
 */
import { type Seqno, seqnoAfter } from '../../base/ids.ts';
import { APPEND_BYTES_MAX } from '../../base/limits.ts';
import { lower } from '../../consensus/positions.ts';
import type { ClosedChunk } from '../../ledger/chunk-store.ts';
import type { RecentEntries } from '../../ledger/recent-entries.ts';

/**
 * Where a batch from `first` to at most `last` ends: where one message is full, or, when the sizes
 * of its entries are not at hand, with the chunk that holds the first.
 */
export function endOfBatch(
  {
    recent,
    closed,
  }: { readonly recent: RecentEntries; readonly closed: readonly ClosedChunk[] },
  first: Seqno,
  last: Seqno,
): Seqno {
  if (recent.get(first) === undefined) {
    return lower(last, closed.find(({ end }) => end >= first)?.end ?? last);
  }
  let bytes = 0;
  for (let at = first; at <= last; at = seqnoAfter(at)) {
    bytes += recent.get(at)?.length ?? 0;
    if (bytes > APPEND_BYTES_MAX && at > first) return seqnoAfter(at, -1);
  }
  return last;
}

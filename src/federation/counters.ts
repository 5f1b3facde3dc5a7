/** What federation has done, counted for the operator. */
export interface FederationCounters {
  /** Payloads for which a peer gave a receipt. */
  delivered: number;
  /** Pushes that a peer refused (4xx). */
  refusedByPeers: number;
  /** Pushes that failed otherwise, and are tried again. */
  failed: number;
  /** Payloads taken in from peers. */
  accepted: number;
  /** Payloads answered 201 and not stored, as Tessera does. */
  ignored: number;
  /** Requests of peers that were refused. */
  refused: number;
  /** Keys that a peer could not show to be its own, or that are somebody else's. */
  poisoned: number;
}

export function newCounters(): FederationCounters {
  return {
    delivered: 0,
    refusedByPeers: 0,
    failed: 0,
    accepted: 0,
    ignored: 0,
    refused: 0,
    poisoned: 0,
  };
}

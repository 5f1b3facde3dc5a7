/** What the connector counts of its dealings with the service, for its `/metrics`. */
export class Counters {
  /** Requests that another node answered than the one they went to first. */
  failovers = 0;
  /** Requests that were sent to one more node because the first took too long. */
  hedges = 0;
  /** Writes that were sent again under the id they had. */
  retries = 0;
  /** Writes of which the connector had to say that it does not know what became of them. */
  unknownOutcomes = 0;
}

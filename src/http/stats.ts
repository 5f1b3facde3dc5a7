/**
 * What the front door counts: plain numbers, read by `/node/metrics` and by the operator's metrics
 * when somebody asks, so that a request pays for an addition and nothing more.
 */

export class Counters {
  /** Answers by the hundred of their status: 1xx at 1, 2xx at 2. */
  readonly answers = [0, 0, 0, 0, 0, 0];
  unparsable = 0;
  headersTooLarge = 0;
  bodiesTooLarge = 0;
  /** Connections dropped before TLS. */
  dropped = 0;
  handshakesFailed = 0;
  /** Sessions closed for their silence. */
  idleSessions = 0;
  slowSessions = 0;
  /** Requests that were sent to the primary, that waited for one, that were told where it is. */
  forwarded = 0;
  held = 0;
  redirected = 0;
  /** Requests that other nodes sent here as to the primary. */
  executedForOthers = 0;

  /** Notes an answer. */
  count(status: number): void {
    const hundred = Math.trunc(status / 100);
    this.answers[hundred] = (this.answers[hundred] ?? 0) + 1;
  }
}

/** The front door at one moment. */
export interface FrontDoorStats {
  readonly interfaceName: string;
  readonly sessions: {
    readonly active: number;
    readonly peak: number;
    readonly softCap: number;
    readonly hardCap: number;
  };
  readonly bodies: { readonly bytesInFlight: number; readonly requestsWaiting: number };
  readonly counters: Counters;
}

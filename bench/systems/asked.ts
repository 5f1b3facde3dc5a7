/**
 * What works ask a system for: ours and its peers differ in addresses and keys, not in requests.
 */

/** A client's certificate, and the service's to trust. */
export interface Credentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Transaction managers of two organisations and more, by their number from 1. */
export interface TransactionManagers {
  transactionManagerOf(organisation: number): URL;
  /** Undefined for the organisation's default. */
  partyKeyOf(organisation: number): string | undefined;
}

/** CCF's logging application, or ours. */
export interface LogService {
  /** Where the node listens that executes writes. */
  primaryUrl(): Promise<URL>;
  credentials(): Credentials;
}

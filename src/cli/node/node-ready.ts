/**
 * What a node says when it is ready: one line of JSON that the sandbox and harnesses build on.
 * Fields are only ever added.
 */

import type { ResidentRow } from '../../apps/organisations.ts';
import type { PlatformName } from '../../attestation/evidence.ts';

export interface NodeReadyLine {
  readonly ready: true;
  readonly nodeId: string;
  readonly pid: number;
  /** What it proves itself by; `virtual` is INSECURE. */
  readonly platform: PlatformName;
  /** Whether the folder was empty: the service is new, or the node has just joined it. */
  readonly isNew: boolean;
  readonly url: string;
  /** `host:port` at which other nodes reach it. */
  readonly peer: string;
  /** The operator's own listener. */
  readonly operator: { readonly url: string };
  readonly folder: string;
  /** The folder of its chunk files. */
  readonly ledger: string;
  readonly service: { readonly certificate: string };
  readonly organisations: readonly OrganisationLine[];
}

/** An organisation as the ledger knows it. */
export interface OrganisationLine {
  readonly name: string;
  readonly partyKeys: readonly string[];
  readonly residents: readonly ResidentRow[];
}

/**
 * What a node says when it is ready: one line of JSON that the sandbox and harnesses build on.
 * Fields are only ever added.
 */

import type { ResidentRow } from '../../apps/organisations.ts';
import type { PlatformName } from '../../attestation/evidence.ts';
import { textOfTxId } from '../../base/ids.ts';
import type { NodeConfig } from '../../config/node-config.ts';
import type { Recovering, RefusedLedger } from '../../node/recovering/recover-service.ts';

export interface NodeReadyLine {
  readonly ready: true;
  readonly nodeId: string;
  readonly pid: number;
  /** What it proves itself by; `virtual` is INSECURE. */
  readonly platform: PlatformName;
  /** What its keys are sealed with while it is down; `virtual` is INSECURE. */
  readonly sealing: NodeConfig['sealing']['kind'];
  /** Whether the folder was empty: the service is new, or the node has just joined it. */
  readonly isNew: boolean;
  readonly url: string;
  /** `host:port` at which other nodes reach it. */
  readonly peer: string;
  /** Where Tessera nodes outside reach it, if it speaks with them. */
  readonly federation?: { readonly url: string };
  /** The operator's own listener. */
  readonly operator: { readonly url: string };
  readonly folder: string;
  /** The folder of its chunk files. */
  readonly ledger: string;
  readonly service: { readonly certificate: string };
  readonly organisations: readonly OrganisationLine[];
  /** Of a node that recovers a service, or has recovered it. */
  readonly recovery?: RecoveryLine;
}

export interface RecoveryLine {
  /** False when the service was recovered by an earlier start. */
  readonly isUnderWay: boolean;
  /** The ledger that was chosen, and its last transaction. */
  readonly ledger?: string;
  readonly end?: string;
  /** Whether the ledgers given prove that nothing committed is missing, and how many would. */
  readonly isComplete?: boolean;
  readonly given?: number;
  readonly needed?: number;
  /** Beyond this transaction completeness is not proven. */
  readonly provenTo?: string;
  readonly refused: readonly RefusedLedger[];
}

/** What is told of a recovery. */
export function recoveryLine({
  choice,
  refused,
}: Pick<Recovering, 'choice' | 'refused'>): RecoveryLine {
  if (choice === undefined) return { isUnderWay: false, refused };
  const { ledger, isComplete, given, needed, provenTo } = choice;
  return {
    isUnderWay: true,
    ledger: ledger.given,
    end: textOfTxId(ledger.end),
    ...{ isComplete, given, needed, refused },
    ...(provenTo === undefined ? {} : { provenTo: textOfTxId(provenTo) }),
  };
}

/** An organisation as the ledger knows it. */
export interface OrganisationLine {
  readonly name: string;
  readonly partyKeys: readonly string[];
  readonly residents: readonly ResidentRow[];
}

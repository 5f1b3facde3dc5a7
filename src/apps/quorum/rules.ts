/**
 * The rules of the privacy flags (transaction-manager.md §B). The order in which they are checked
 * is Tessera's, because the first that fails is the answer.
 */
import { base64Of, equalBytes } from '../../base/bytes.ts';
import type { FoundPayload } from './lookup.ts';
import {
  MANDATORY_RECIPIENTS,
  PRIVATE_STATE_VALIDATION,
  type PrivacyFlag,
} from './payload-record.ts';
import { refuseWith } from './wire/answers.ts';

export interface Metadata {
  readonly privacyFlag: PrivacyFlag;
  readonly execHash: string;
  readonly mandatory: readonly Uint8Array[];
}

const FLAGS: readonly number[] = [0, 1, 2, 3];

/** The privacy flag of a request. */
export function flagOf(value: number): PrivacyFlag {
  if (!FLAGS.includes(value)) {
    throw refuseWith(400, `privacyFlag ${value} is not known, it is one of 0, 1, 2 and 3`);
  }
  return value as PrivacyFlag;
}

/** Refuses a transaction that does not fit its own parties or the contracts that it touches. */
export function checkAgainstAffected(
  { privacyFlag, mandatory }: Metadata,
  recipients: readonly Uint8Array[],
  affected: readonly FoundPayload[],
): void {
  if (privacyFlag === MANDATORY_RECIPIENTS && !includesAll(recipients, mandatory)) {
    throw refuseWith(
      403,
      'One or more mandatory recipients not included in the participant list',
    );
  }
  if (privacyFlag === PRIVATE_STATE_VALIDATION) {
    const other = affected.find(({ record }) => !sameParties(record.recipients, recipients));
    if (other !== undefined) {
      throw refuseWith(403, `Recipients mismatched for Affected Txn ${base64Of(other.hash)}`);
    }
  }
  const mismatched = affected.find(
    ({ record }) =>
      record.privacyFlag !== privacyFlag || !includesAll(mandatory, record.mandatory),
  );
  if (mismatched !== undefined) {
    const hash = base64Of(mismatched.hash);
    throw refuseWith(403, `Privacy metadata mismatched with Affected Txn ${hash}`);
  }
}

/** Refuses an execution hash or a mandatory list under a flag that has none, and their lack. */
export function checkMetadata({ privacyFlag, execHash, mandatory }: Metadata): void {
  if ((privacyFlag === PRIVATE_STATE_VALIDATION) !== (execHash !== '')) {
    throw refuseWith(400, 'ExecutionHash data is invalid');
  }
  if ((privacyFlag === MANDATORY_RECIPIENTS) !== mandatory.length > 0) {
    throw refuseWith(
      400,
      'Mandatory recipients data only applicable for Mandatory Recipients privacy mode. In case ' +
        'no mandatory recipient is required, consider using Party Protection privacy mode',
    );
  }
}

export function includes(keys: readonly Uint8Array[], key: Uint8Array): boolean {
  return keys.some((one) => equalBytes(one, key));
}

function includesAll(keys: readonly Uint8Array[], wanted: readonly Uint8Array[]): boolean {
  return wanted.every((key) => includes(keys, key));
}

function sameParties(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return includesAll(left, right) && includesAll(right, left);
}

/** Each item once, in the order of first mention. */
export function distinct<Bytes extends Uint8Array>(items: readonly Bytes[]): readonly Bytes[] {
  return items.filter(
    (item, index) => items.findIndex((one) => equalBytes(one, item)) === index,
  );
}

/**
 * A payload that is told of a second time (design decision 3): the parties it brings are added, and
 * a new entry is written only if it knows more. What contradicts the first telling is refused by
 * name; only the sender's own word stands against what mere recipients have said before.
 */
import { base64Of, equalBytes } from '../../../base/bytes.ts';
import { keysOf, labelOf, partiesOf } from '../parties.ts';
import {
  type AffectedTransaction,
  type PayloadRecord,
  PRIVATE_STATE_VALIDATION,
} from '../payload-record.ts';
import { distinct, includes } from '../rules.ts';
import { refuseWith } from '../wire/answers.ts';

/** What one organisation's import says: a record, and who becomes a party by it. */
export interface Telling {
  readonly key: Buffer;
  readonly record: PayloadRecord;
  readonly parties: readonly Uint8Array[];
  /** Whether the organisation holds the sender's key, or the sender is no organisation inside. */
  readonly addsSender: boolean;
  readonly bySender: boolean;
}

/** The record to write, or undefined when the one that lies there says it all. */
export function mergedRecord(
  telling: Telling,
  existing: PayloadRecord,
  label: Uint8Array,
): PayloadRecord | undefined {
  const { record, bySender } = telling;
  const difference = differenceOf(record, existing);
  if (difference !== undefined) {
    // Nobody who sent it has been heard yet, so what stands there is what recipients said.
    const overrules = bySender && label[0] === 0 && difference !== 'sender';
    if (overrules) return { ...record, salt: existing.salt };
    throw refuseWith(
      409,
      `payload ${base64Of(telling.key)} is known with another ${difference}`,
    );
  }
  const recipients = bySender
    ? distinct([...record.recipients, ...existing.recipients])
    : distinct([...existing.recipients, ...record.recipients]);
  const affected = mergedAffected(recipients, existing, record);
  const knowsMore =
    affected.length > existing.affected.length ||
    affected.some(({ hash, knownTo }) =>
      knownTo.some((known, at) => known && !isKnown(existing, hash, recipients[at] ?? NOBODY)),
    );
  const names = bySender && !sameOrder(recipients, existing.recipients);
  if (!knowsMore && !names) return undefined;
  return { ...existing, recipients, affected };
}

const NOBODY = new Uint8Array(0);

/** The label of a payload with the parties that a telling adds. */
export function mergedLabel(telling: Telling, label: Uint8Array | undefined): Uint8Array {
  const before = label === undefined ? [] : [...keysOf(label)];
  const known = label === undefined ? undefined : partiesOf(label).sender;
  const sender = known ?? (telling.addsSender ? telling.record.sender : undefined);
  return labelOf({ sender, others: [...before, ...telling.parties] });
}

/** What two tellings of one payload say differently, if anything. */
function differenceOf(told: PayloadRecord, known: PayloadRecord): string | undefined {
  if (!equalBytes(told.sender, known.sender)) return 'sender';
  if (!equalBytes(told.nonce, known.nonce)) return 'nonce';
  if (!equalBytes(told.masterKey, known.masterKey)) return 'master key';
  if (told.privacyFlag !== known.privacyFlag) return 'privacy flag';
  if (told.execHash !== known.execHash) return 'execution hash';
  if (!sameKeys(told.mandatory, known.mandatory)) return 'list of mandatory recipients';
  if (!equalBytes(told.privacyGroupId, known.privacyGroupId)) return 'privacy group';
  const validated = told.privacyFlag === PRIVATE_STATE_VALIDATION;
  if (validated && !sameKeys(told.recipients, known.recipients)) return 'list of recipients';
  return undefined;
}

function mergedAffected(
  recipients: readonly Uint8Array[],
  first: PayloadRecord,
  second: PayloadRecord,
): readonly AffectedTransaction[] {
  const further = second.affected.filter(
    ({ hash }) => !first.affected.some((one) => equalBytes(one.hash, hash)),
  );
  return [...first.affected, ...further].map(({ hash, securityHash }) => ({
    hash,
    securityHash,
    knownTo: recipients.map(
      (recipient) => isKnown(first, hash, recipient) || isKnown(second, hash, recipient),
    ),
  }));
}

function isKnown(record: PayloadRecord, hash: Uint8Array, recipient: Uint8Array): boolean {
  const affected = record.affected.find((one) => equalBytes(one.hash, hash));
  const at = record.recipients.findIndex((key) => equalBytes(key, recipient));
  return at >= 0 && affected?.knownTo[at] === true;
}

function sameKeys(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return left.every((key) => includes(right, key)) && right.every((key) => includes(left, key));
}

function sameOrder(left: readonly Uint8Array[], right: readonly Uint8Array[]): boolean {
  return (
    left.length === right.length &&
    left.every((key, at) => equalBytes(key, right[at] ?? NOBODY))
  );
}

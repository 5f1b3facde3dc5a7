/**
 * Storing what an organisation brings over from its Tessera node. It can make only itself a party,
 * unless it is the sender: then everybody for whom it can show a box. Bringing the same again
 * changes nothing, so an import may be repeated from any point.
 */
import { base64Of, equalBytes } from '../../../base/bytes.ts';
import type { Random } from '../../../base/environment.ts';
import type { ArchiveRow, ReadView, Transaction } from '../../../kv/tables.ts';
import { type AppResponse, answer, type Step } from '../../interface.ts';
import { type Organisation, ownerOf } from '../organisation.ts';
import { isAnyParty } from '../parties.ts';
import {
  type AffectedTransaction,
  decodePayload,
  encodePayload,
  type PayloadRecord,
  PRIVATE_STATE_VALIDATION,
  SALT_BYTES,
} from '../payload-record.ts';
import { distinct, includes } from '../rules.ts';
import { claimsDigestOf } from '../sending.ts';
import { PAYLOADS } from '../tables.ts';
import { json, Refusal, refuseWith } from '../wire/answers.ts';
import { JSON_TYPE } from '../wire/media.ts';
import { mergedLabel, mergedRecord, type Telling } from './merging.ts';
import {
  type OpenedTransfer,
  openTransferred,
  type TransferredPayload,
} from './transferred.ts';

interface Known {
  readonly row: ArchiveRow;
  readonly record: PayloadRecord;
}

export function storeTransferred(
  random: Random,
  view: ReadView,
  caller: Organisation,
  transferred: TransferredPayload,
): Step {
  const { key } = transferred;
  const opened = openTransferred(view, caller, transferred);
  if (opened === undefined) {
    throw refuseWith(400, `payload ${base64Of(key)} opens with none of the caller's keys`);
  }
  const archive = view.archive(PAYLOADS);
  const hashes = [key, ...transferred.affected.map(({ hash }) => hash)];
  const sought = hashes.flatMap((hash) => archive.find(hash).map((row) => ({ hash, row })));
  return {
    kind: 'fetch',
    rows: sought.map(({ hash, row }) => ({ table: PAYLOADS, key: hash, row })),
    next: (values) => {
      const known = hashes.map((hash) => {
        const at = sought.findLastIndex(
          (one, index) => values[index] !== undefined && equalBytes(one.hash, hash),
        );
        const [row, bytes] = [sought[at]?.row, values[at]];
        if (row === undefined || bytes === undefined) return undefined;
        return { row, record: decodePayload(hash, bytes) };
      });
      const salt = random.bytes(SALT_BYTES);
      const telling = tellingOf(view, transferred, opened, known.slice(1), salt);
      return settled(telling, opened, known[0]);
    },
  };
}

function tellingOf(
  view: ReadView,
  transferred: TransferredPayload,
  { masterKey, recipients: opened, bySender }: OpenedTransfer,
  affected: readonly (Known | undefined)[],
  salt: Uint8Array,
): Telling {
  const { key, sender, privacyFlag, ciphertext, nonce, execHash } = transferred;
  const { mandatory, privacyGroupId, recipientNonce } = transferred;
  const validated = privacyFlag === PRIVATE_STATE_VALIDATION;
  const named =
    validated && transferred.recipients.length > 0 ? transferred.recipients : opened;
  // A sender's own record always names it; older nodes left it out of the list.
  const recipients = bySender ? distinct([...named, sender]) : named;
  const record: PayloadRecord = {
    ...{ ciphertext, nonce, masterKey, sender, recipients, privacyFlag, execHash, mandatory },
    ...{ privacyGroupId, salt, recipientNonce },
    affected: transferred.affected.map(({ hash, securityHash }, at) => ({
      hash,
      securityHash,
      knownTo: knownTo(view, recipients, opened, bySender, validated, affected[at]),
    })),
  };
  const addsSender = bySender || ownerOf(view, sender) === undefined;
  return { key, record, parties: opened, addsSender, bySender };
}

/** To whom a payload's organisation knows that an affected transaction is known. */
function knownTo(
  view: ReadView,
  recipients: readonly Buffer[],
  opened: readonly Buffer[],
  bySender: boolean,
  validated: boolean,
  affected: Known | undefined,
): AffectedTransaction['knownTo'] {
  // Under private state validation all parties know all; a recipient keeps only what it knew.
  if (validated || !bySender) {
    return recipients.map((recipient) => validated || includes(opened, recipient));
  }
  const knowing = new Set<string>();
  for (const recipient of affected?.record.recipients ?? []) {
    if (affected !== undefined && isAnyParty(affected.row.label, [recipient])) {
      knowing.add(ownerOf(view, recipient) ?? base64Of(recipient));
    }
  }
  return recipients.map((key) => knowing.has(ownerOf(view, key) ?? base64Of(key)));
}

function settled(telling: Telling, opened: OpenedTransfer, known: Known | undefined): Step {
  const { key } = telling;
  if (known === undefined) {
    return { kind: 'write', apply: (tx) => storeFirst(tx, telling, opened) };
  }
  const label = mergedLabel(telling, known.row.label);
  const record = mergedRecord(telling, known.record, known.row.label);
  if (record === undefined && equalBytes(label, known.row.label)) {
    return answer(outcome(key, 'known'));
  }
  return {
    kind: 'write',
    apply: (tx) => {
      const archive = tx.archive(PAYLOADS);
      const row = archive.find(key).find(({ seqno }) => seqno === known.row.seqno);
      if (row === undefined || !equalBytes(row.label, known.row.label)) throw underWay(key);
      if (record === undefined) {
        archive.relabel(key, row, label);
        return outcome(key, 'stored');
      }
      archive.replace(key, row, label, encodePayload(record));
      tx.setClaimsDigest(claimsDigestOf(key, record.salt, opened.payload));
      return outcome(key, 'stored');
    },
  };
}

function storeFirst(
  tx: Transaction,
  telling: Telling,
  { payload }: OpenedTransfer,
): AppResponse {
  const { key, record } = telling;
  const archive = tx.archive(PAYLOADS);
  // Somebody else brings it at this moment; it can be read once that is committed.
  if (archive.find(key).length > 0) throw underWay(key);
  archive.store(key, mergedLabel(telling, undefined), encodePayload(record));
  tx.setClaimsDigest(claimsDigestOf(key, record.salt, payload));
  return outcome(key, 'stored');
}

/** `stored`: it changed something for the caller. `known`: it had been brought before. */
export function outcome(key: Buffer, result: 'stored' | 'known'): AppResponse {
  return json(200, JSON_TYPE, { key: base64Of(key), outcome: result });
}

export function underWay(key: Buffer): Refusal {
  return new Refusal({
    status: 503,
    headers: { 'content-type': 'text/plain', 'retry-after': '1' },
    body: `payload ${base64Of(key)} is being stored, ask again`,
    absence: true,
  });
}

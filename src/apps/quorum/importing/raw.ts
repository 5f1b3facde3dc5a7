/**
 * Raw payloads of a Tessera node: stored ahead of a transaction that may never have come. The
 * master key lies in a box from the sender to itself, under the nonce of the payload.
 */
import { base64Of } from '../../../base/bytes.ts';
import {
  boxSecretOf,
  openPayload,
  PAYLOAD_NONCE_BYTES,
  PAYLOAD_SECRET_BYTES,
} from '../../../crypto/payload.ts';
import type { ReadView } from '../../../kv/tables.ts';
import { answer, type Step } from '../../interface.ts';
import { type Organisation, owns, privateKeyOf, refuseForeignKey } from '../organisation.ts';
import { isParty, readableRows } from '../parties.ts';
import { encodeRaw } from '../payload-record.ts';
import { rawLabelOf } from '../raw-label.ts';
import { PAYLOADS, RAW_PAYLOADS } from '../tables.ts';
import { refuseWith } from '../wire/answers.ts';
import type { Body } from '../wire/body.ts';
import { outcome, underWay } from './storing.ts';
import { checkedKey, required, sized } from './transferred.ts';

export function storeRaw(view: ReadView, caller: Organisation, body: Body): Step {
  const ciphertext = required(body, 'encryptedPayload');
  const key = checkedKey(required(body, 'hash'), ciphertext);
  const sender = required(body, 'from');
  const nonce = sized(required(body, 'nonce'), PAYLOAD_NONCE_BYTES, 'nonce');
  if (!owns(caller, sender)) throw refuseForeignKey(sender);
  const own = privateKeyOf(view, sender);
  const secret = own === undefined ? undefined : boxSecretOf(own, sender);
  const box = required(body, 'encryptedKey');
  const masterKey = secret === undefined ? undefined : openPayload(secret, nonce, box);
  if (
    masterKey?.length !== PAYLOAD_SECRET_BYTES ||
    openPayload(masterKey, nonce, ciphertext) === undefined
  ) {
    throw refuseWith(400, `raw payload ${base64Of(key)} opens with none of the caller's keys`);
  }
  const rows = readableRows(view.archive(RAW_PAYLOADS).find(key), caller.keys);
  if (rows.length > 0) return confirmed(rows, key);
  // If its transaction came, sending it once more repeats that one's answer.
  const sent = view
    .archive(PAYLOADS)
    .find(key)
    .some(({ label }) => isParty(label, sender));
  return {
    kind: 'write',
    apply: (tx) => {
      const archive = tx.archive(RAW_PAYLOADS);
      if (archive.find(key).length > 0) throw underWay(key);
      const record = encodeRaw({ ciphertext, nonce, masterKey, sender });
      archive.store(key, rawLabelOf(sender, sent ? 'sent' : 'stored'), record);
      return outcome(key, 'stored');
    },
  };
}

/** A row that begins like the key: the entry itself says whether it is the key's. */
function confirmed(rows: ReturnType<typeof readableRows>, key: Buffer): Step {
  return {
    kind: 'fetch',
    rows: rows.map((row) => ({ table: RAW_PAYLOADS, key, row })),
    next: (values) => {
      if (values.some((value) => value !== undefined)) return answer(outcome(key, 'known'));
      throw refuseWith(409, `raw payload ${base64Of(key)} begins like another that is stored`);
    },
  };
}

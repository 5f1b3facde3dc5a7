// Members who take part in recovery, with the private keys that open their shares.

import { bytesOfBase64, textOf, utf8 } from '../../src/base/bytes.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import { UnwrappingKey } from '../../src/crypto/keys.ts';
import type { RecoveryRole } from '../../src/governance/recovery-shares.ts';
import {
  jsonRow,
  MEMBER_ENCRYPTION_KEYS,
  MEMBER_INFO,
  RECOVERY_SHARES,
  SERVICE_CONFIG,
  SINGLETON,
} from '../../src/governance/tables.ts';
import type { ReadView, Transaction } from '../../src/kv/tables.ts';

export interface RecoveryMember {
  readonly memberId: string;
  readonly role: RecoveryRole;
  readonly key: UnwrappingKey;
  readonly privateKeyPem: string;
}

/** Members with these roles, in map order. */
export function recoveryMembers(roles: readonly RecoveryRole[]): readonly RecoveryMember[] {
  const keys = roles.map(() => UnwrappingKey.generate());
  const ids = keys.map(({ publicKeyPem }) => sha256Hex(utf8(publicKeyPem))).sort();
  return keys.map((key, index) => ({
    memberId: ids[index] ?? '',
    role: roles[index] ?? 'NonParticipant',
    key,
    privateKeyPem: pemOf(key),
  }));
}

function pemOf(key: UnwrappingKey): string {
  const lines =
    Buffer.from(key.pkcs8())
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n');
}

/** Makes them the recovery members of a service, and nobody else. */
export function writeRecoveryMembers(
  transaction: Transaction,
  members: readonly RecoveryMember[],
  threshold: number,
): void {
  const keys = transaction.table(MEMBER_ENCRYPTION_KEYS);
  for (const { key } of keys.page()) keys.remove(key);
  for (const { memberId, role, key } of members) {
    const row = { status: 'Active', recovery_role: role };
    transaction.table(MEMBER_INFO).put(utf8(memberId), jsonRow(row));
    keys.put(utf8(memberId), utf8(key.publicKeyPem));
  }
  const config = transaction.table(SERVICE_CONFIG);
  const known = config.get(SINGLETON);
  const before: object = known === undefined ? {} : JSON.parse(textOf(known));
  config.put(SINGLETON, jsonRow({ ...before, recovery_threshold: threshold }));
}

/** What a member's share opens to; undefined for one who holds none. */
export function openedShare(view: ReadView, member: RecoveryMember): Uint8Array | undefined {
  const text = sharesRow(view).encrypted_shares[member.memberId];
  return text === undefined ? undefined : member.key.unwrap(bytesOfBase64(text) ?? utf8(''));
}

/** The wrapped secret that the shares lead to. */
export function wrappedSecret(view: ReadView): Uint8Array {
  return bytesOfBase64(sharesRow(view).wrapped_latest_ledger_secret) ?? utf8('');
}

function sharesRow(view: ReadView): {
  readonly encrypted_shares: Readonly<Record<string, string>>;
  readonly wrapped_latest_ledger_secret: string;
} {
  const row = view.table(RECOVERY_SHARES).get(SINGLETON);
  if (row === undefined) throw new Error('the service has shares');
  return JSON.parse(textOf(row));
}

/**
 * The tables of the transaction manager. All are private: they are sealed in the ledger.
 *
 * Payloads lie in archived tables, because there are many and each is read seldom; memory holds for
 * each of them only where it lies and who its parties are (design decision 3).
 */

/** 64-byte key → payload record (`payload-record.ts`); label: its parties (`parties.ts`). */
export const PAYLOADS = 'concordat.quorum.payloads';
/** 64-byte key → raw record: a payload stored ahead of its transaction; label: `raw-label.ts`. */
export const RAW_PAYLOADS = 'concordat.quorum.raw_payloads';
/** Digest of a request id → the answer it got (`outcome.ts`); label: the organisation's id. */
export const REQUESTS = 'concordat.quorum.requests';
/** Privacy group id → JSON `PrivacyGroupRow`. */
export const PRIVACY_GROUPS = 'concordat.quorum.privacy_groups';
/** Digest of the members (32 bytes) ‖ group id → empty: groups by their exact members. */
export const GROUPS_BY_MEMBERS = 'concordat.quorum.privacy_groups_by_members';
/** Member's party key (32 bytes) ‖ group id → empty: groups by each of their members. */
export const GROUPS_BY_MEMBER = 'concordat.quorum.privacy_groups_by_member';
/** Party key of an outside party (32 bytes) → JSON `OutsideParty`: where its node is. */
export const OUTSIDE_PARTIES = 'concordat.quorum.outside_parties';
/**
 * Payload key (64 bytes), or group id ‖ state (33 bytes) ‖ outside recipient (32 bytes) → empty:
 * not delivered yet.
 */
export const OUTBOX = 'concordat.quorum.outbox';

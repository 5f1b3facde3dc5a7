/**
 * The tables that say which organisations take part, with which certificates and party keys.
 *
 * The public ones carry the prefix of governance tables: only governance (and, before there is any,
 * the opening of the service) writes them. Private keys of party keys lie in a private table.
 */

/** Organisation id (text) → JSON `OrganisationRow`. */
export const ORGANISATIONS = 'public:ccf.gov.concordat.organisations';
/** Certificate id (64 hex digits) → organisation id (text). */
export const ORGANISATION_CERTIFICATES = 'public:ccf.gov.concordat.organisation_certificates';
/** Party key (base64: keys of governance tables are text) → organisation id (text). */
export const PARTY_KEYS = 'public:ccf.gov.concordat.party_keys';
/** Organisation id (text) → JSON: the admin key that replaces a lost one, and from when on. */
export const PENDING_ADMIN_KEYS = 'public:ccf.gov.concordat.pending_admin_keys';
/** Eight zero bytes → JSON `QuorumSettingsRow`. */
export const QUORUM_SETTINGS = 'public:ccf.gov.concordat.quorum_settings';
/** Party key (32 raw bytes) → its private key (32 raw bytes). Private. */
export const PARTY_PRIVATE_KEYS = 'concordat.party_private_keys';

export interface OrganisationRow {
  readonly name: string;
  /** Base64, 32 bytes each; the first is the default `from`. */
  readonly party_keys: readonly string[];
  /** Its residents; empty without multiple private states. */
  readonly residents: readonly ResidentRow[];
}

/** A resident group of Tessera's multiple private states (transaction-manager.md §E). */
export interface ResidentRow {
  readonly privacyGroupId: string;
  readonly name: string;
  readonly description: string;
  /** Base64 party keys of the same organisation. */
  readonly members: readonly string[];
}

export interface QuorumSettingsRow {
  readonly multiple_private_states: boolean;
}

/**
 * The versions that peers speak. The header says them with every request; on `/push` it alone says
 * which codec the body has, and nothing is guessed (transaction-manager.md §C).
 */
import { decodeCbor, encodeCbor } from './cbor-codec.ts';
import { type EncodedPayload, MANDATORY_RECIPIENTS } from './encoded-payload.ts';
import { decodeLegacy, encodeLegacy } from './legacy-codec.ts';

export const VERSIONS_HEADER = 'tesserasupportedapiversions';
/** What Tessera 22.1 says of itself, and so do we. */
export const OWN_VERSIONS: readonly string[] = ['2.1', '3.0', '4.0', '5.0', 'v1', 'v2'];
/** From this version on, payloads travel in CBOR. */
const CBOR_VERSION = '5.0';
const ENHANCED_VERSIONS: readonly string[] = ['v2', '2.0', '2.1', '3.0', '4.0', '5.0'];
const MANDATORY_VERSIONS: readonly string[] = ['4.0', '5.0'];

/** Those that decide what a peer is sent, by the names that `/version/api` has too. */
export const DECIDING_VERSIONS: readonly string[] = ['2.1', '4.0', CBOR_VERSION];

/** The versions in a header; none when it is absent. */
export function versionsOf(header: string | undefined): readonly string[] {
  if (header === undefined) return [];
  return header
    .split(',')
    .map((version) => version.trim())
    .filter((version) => version !== '');
}

/** Reads a pushed payload by the codec that the sender's versions choose. */
export function decodePushed(body: Uint8Array, versions: readonly string[]): EncodedPayload {
  return versions.includes(CBOR_VERSION) ? decodeCbor(body) : decodeLegacy(body);
}

/** A payload for a peer of these versions, and what the header must say beside it. */
export function encodeFor(
  payload: EncodedPayload,
  versions: readonly string[],
): { readonly body: Uint8Array; readonly header: string } {
  const cbor = versions.includes(CBOR_VERSION);
  // Any peer that knows 5.0 would take a legacy body under it for CBOR.
  const said = cbor ? OWN_VERSIONS : OWN_VERSIONS.filter((one) => one !== CBOR_VERSION);
  return { body: cbor ? encodeCbor(payload) : encodeLegacy(payload), header: said.join(',') };
}

/** Why a peer of these versions cannot be sent this payload, if it cannot. */
export function unsupported(
  { privacyFlag }: Pick<EncodedPayload, 'privacyFlag'>,
  versions: readonly string[],
): string | undefined {
  const knows = (wanted: readonly string[]): boolean =>
    wanted.some((version) => versions.includes(version));
  if (privacyFlag === MANDATORY_RECIPIENTS && !knows(MANDATORY_VERSIONS)) {
    return 'the peer does not know mandatory recipients (version 4.0)';
  }
  if (privacyFlag !== 0 && !knows(ENHANCED_VERSIONS)) {
    return 'the peer does not know enhanced privacy (version 2.0)';
  }
  return undefined;
}

/**
 * Digests of files in headers: `Want-Repr-Digest` (RFC 9530 §4), and entity tags that are digests
 * (http-api.md §10): `"sha-256:<hex>"`, and of the two longer ones in questions.
 */
import type { DigestName } from '../apps/interface.ts';
import { hexOf, NO_BYTES } from '../base/bytes.ts';

const NAMES: readonly DigestName[] = ['sha-256', 'sha-384', 'sha-512'];

/**
 * The digest that a `Want-Repr-Digest` prefers among those we make. A field that cannot be read is
 * ignored, as structured fields are (RFC 9651 §4.2).
 */
export function wantedDigest(header: string | undefined): DigestName | undefined {
  if (header === undefined) return undefined;
  let best: DigestName | undefined;
  let bestWeight = 0;
  for (const member of header.split(',')) {
    const match = /^\s*([a-z0-9-]+)\s*=\s*(\d{1,2})\s*$/.exec(member);
    if (match === null) return undefined;
    const name = NAMES.find((known) => known === match[1]);
    const weight = Number(match[2]);
    if (name === undefined || weight <= bestWeight) continue;
    best = name;
    bestWeight = weight;
  }
  return best;
}

/** The entity tag of a file whose SHA-256 is among its digests. */
export function etagOf(digests: ReadonlyMap<DigestName, Uint8Array>): string {
  return `"sha-256:${hexOf(digests.get('sha-256') ?? NO_BYTES)}"`;
}

/** Kinds of digests that the tags of an `If-None-Match` are of. */
export function namedInEtags(header: string): readonly DigestName[] {
  return NAMES.filter((name) => header.includes(`"${name}:`));
}

/** Whether one of the tags of an `If-None-Match` is the file's (RFC 9110 §13.1.2). */
export function matchesEtag(
  header: string,
  digests: ReadonlyMap<DigestName, Uint8Array>,
): boolean {
  if (header.trim() === '*') return true;
  const tags = header.split(',').map((tag) => tag.trim().replace(/^W\//, '').toLowerCase());
  return [...digests].some(([name, digest]) => tags.includes(`"${name}:${hexOf(digest)}"`));
}

/**
 * How a request to the connector's socket or ports is addressed to the service, and how an answer's
 * `Location` is addressed back (transaction-manager.md §B).
 */

/** Which of the connector's surfaces a request came in by. */
export type Surface = 'q2t' | 'third-party';

const PREFIXES: Readonly<Record<Surface, string>> = {
  q2t: '/app/quorum/q2t',
  'third-party': '/app/quorum/3p',
};

/**
 * The service's target for a request target of a surface, or undefined for one that is no path with
 * single slashes. Nothing is decoded. A slash at the end is passed over, as Tessera does.
 */
export function serviceTarget(surface: Surface, target: string): string | undefined {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (!path.startsWith('/') || path.includes('//')) return undefined;
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  return PREFIXES[surface] + trimmed + (mark < 0 ? '' : target.slice(mark));
}

/** A `Location` with the scheme and the host by which the client came. */
export function absoluteLocation(
  host: string | undefined,
  location: string,
  scheme: 'http' | 'https' = 'http',
): string {
  return location.startsWith('/') ? `${scheme}://${host ?? 'localhost'}${location}` : location;
}

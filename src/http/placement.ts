/**
 * Where an endpoint runs in a service of several nodes (http-api.md §4). For most it follows from
 * what they do: a write runs on the primary, a read on the node it reached unless its session must
 * see what it wrote, and what touches no table on that node always.
 */
import type { Endpoint } from '../apps/interface.ts';

/** In CCF's words: whether a backup forwards a request to the primary. */
export type Forwarding = 'always' | 'sometimes' | 'never';

/** In CCF's words: where an interface that redirects sends a client. */
export type RedirectionStrategy = 'none' | 'to_primary' | 'to_backup';

export interface Placement {
  readonly forwarding: Forwarding;
  readonly redirection: RedirectionStrategy;
}

/** An endpoint that may say more of where it is to run. */
export interface PlacedEndpoint extends Endpoint {
  /** It is a burden that the primary can be spared. */
  readonly redirection?: 'to_backup';
}

export function placementOf(endpoint: PlacedEndpoint): Placement {
  const forwarding = endpoint.forwarding ?? FORWARDING[endpoint.effect];
  const strategy = forwarding === 'always' ? 'to_primary' : 'none';
  return { forwarding, redirection: endpoint.redirection ?? strategy };
}

const FORWARDING: Readonly<Record<Endpoint['effect'], Forwarding>> = {
  none: 'never',
  read: 'sometimes',
  write: 'always',
};

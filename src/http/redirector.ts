/**
 * Redirect mode: on an interface that has it, a client is told where the node is that must, or
 * should, execute its request, instead of having it forwarded (http-api.md §4).
 */
import type { AppResponse, RequestError } from '../apps/interface.ts';
import type { Backend, NodeFacts } from './backend.ts';
import { nodeRows } from './governance-rows.ts';
import { addressOf } from './node-addresses.ts';
import type { Route } from './router.ts';

/** As in CCF's configuration (node-lifecycle.md §2). */
export type RedirectionResolver =
  | {
      readonly kind: 'NodeByRole';
      readonly target: {
        readonly role: 'primary' | 'backup';
        /** That of the interface by which the request came in, unless named. */
        readonly interface?: string;
      };
    }
  | { readonly kind: 'StaticAddress'; readonly target: { readonly address: string } };

/** Who is not named is found by its role. */
export interface Redirections {
  readonly toPrimary?: RedirectionResolver;
  readonly toBackup?: RedirectionResolver;
}

export class Redirector {
  readonly #redirections: Redirections;
  readonly #interfaceName: string;
  readonly #backend: Backend;
  /** Backups take turns. */
  #turn = 0;

  constructor(redirections: Redirections, interfaceName: string, backend: Backend) {
    this.#redirections = redirections;
    this.#interfaceName = interfaceName;
    this.#backend = backend;
  }

  /** Where a request goes instead; undefined if it is to be executed here. */
  elsewhere({ redirection }: Route, target: string): AppResponse | RequestError | undefined {
    switch (redirection) {
      case 'none':
        return undefined;
      case 'to_primary':
        return this.#toPrimary(target);
      case 'to_backup':
        return this.#toBackup(target);
    }
  }

  #toPrimary(target: string): AppResponse | RequestError | undefined {
    // One that leads and cannot write yet will in a moment: it holds what it is asked meanwhile.
    if (this.#backend.isPrimary() || this.#backend.node().role === 'leader') return undefined;
    const address = this.#resolve(this.#redirections.toPrimary ?? byRole('primary'));
    return address === undefined ? NO_PRIMARY : redirect(address, target);
  }

  #toBackup(target: string): AppResponse | RequestError | undefined {
    if (this.#backend.node().role === 'follower') return undefined;
    const address = this.#resolve(this.#redirections.toBackup ?? byRole('backup'));
    return address === undefined ? NO_BACKUP : redirect(address, target);
  }

  #resolve(resolver: RedirectionResolver): string | undefined {
    if (resolver.kind === 'StaticAddress') return resolver.target.address;
    const name = resolver.target.interface ?? this.#interfaceName;
    const facts = this.#backend.node();
    const nodeId = resolver.target.role === 'primary' ? facts.primaryId : this.#backup(facts);
    return addressOf(this.#backend.current(), name, nodeId);
  }

  #backup({ nodeId, primaryId }: NodeFacts): string | undefined {
    const backups = nodeRows(this.#backend.current())
      .filter(({ info }) => info.status === 'Trusted')
      .map((row) => row.nodeId)
      .filter((id) => id !== primaryId && id !== nodeId);
    this.#turn += 1;
    return backups[this.#turn % backups.length];
  }
}

function byRole(role: 'primary' | 'backup'): RedirectionResolver {
  return { kind: 'NodeByRole', target: { role } };
}

/** Clients keep method and body; their credentials they must show again (RFC 9110 §15.4.8). */
function redirect(address: string, target: string): AppResponse {
  return { status: 307, headers: { location: `https://${address}${target}` } };
}

const NO_PRIMARY: RequestError = {
  status: 503,
  code: 'PrimaryNotFound',
  message: 'This request must go to the primary, and it is not known where that is: ask again.',
};
const NO_BACKUP: RequestError = {
  status: 503,
  code: 'BackupNotFound',
  message: 'This request should go to a backup, and it is not known where one is: ask again.',
};

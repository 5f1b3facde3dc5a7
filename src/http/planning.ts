/**
 * What a request asks for, decided from its first line and headers in the order of http-api.md §2:
 * whether it came from a socket of this node or was forwarded by another.
 */
import type { Application, RequestError } from '../apps/interface.ts';
import { REQUEST_BODY_BYTES_MAX } from '../base/limits.ts';
import type { Backend, RunOptions } from './backend.ts';
import { bodyTooLarge, FRONTEND_NOT_OPEN } from './refusals.ts';
import type { FrontendName, Match, Route, Router } from './router.ts';
import { NO_WISHES, runOptionsOf } from './run-options.ts';

/** The part of a request that comes before its body. */
export interface Asked {
  readonly method: string;
  /** Path and query, not decoded. */
  readonly target: string;
  /** Name, value, name, value, as they came. */
  readonly rawHeaders: readonly string[];
}

/** A request that has a route. */
export interface Plan {
  readonly kind: 'plan';
  readonly route: Route;
  readonly options: RunOptions;
  readonly path: string;
  readonly query: string;
  readonly params: Readonly<Record<string, string>>;
  readonly bodyBytesMax: number;
}

export type Planned =
  | Plan
  | {
      readonly kind: 'refusal';
      readonly error: RequestError;
      /** Whose endpoint it was to be. */
      readonly application: Application | undefined;
      /** Of the body, which is not to be read. */
      readonly tooLarge: boolean;
    }
  /** `OPTIONS`: the verbs that there are. */
  | { readonly kind: 'verbs'; readonly allow: string };

export class Planner {
  readonly #router: Router;
  readonly #backend: Backend;

  constructor(router: Router, backend: Backend) {
    this.#router = router;
    this.#backend = backend;
  }

  /** `bodyBytes` are as many as are known of; `own` says whether headers of ours are there. */
  plan(asked: Asked, bodyBytes: number, own: boolean): Planned {
    const { method, target, rawHeaders } = asked;
    const mark = target.indexOf('?');
    const path = mark === -1 ? target : target.slice(0, mark);
    const match = this.#router.match(method, path);
    const bodyBytesMax = bodyBytesMaxOf(match);
    if (bodyBytes > bodyBytesMax) return refusal(match, bodyTooLarge(bodyBytesMax), true);
    if (!this.#isOpen(match.frontend)) return refusal(match, FRONTEND_NOT_OPEN);
    if (match.kind !== 'found') {
      if (match.kind === 'other-verb' && method === 'OPTIONS') {
        return { kind: 'verbs', allow: match.allow };
      }
      return refusal(match, errorOf(match));
    }
    const options = own ? runOptionsOf(rawHeaders) : NO_WISHES;
    if ('status' in options) return refusal(match, options);
    return {
      kind: 'plan',
      route: match.route,
      options,
      path: match.path,
      query: mark === -1 ? '' : target.slice(mark + 1),
      params: match.params,
      bodyBytesMax,
    };
  }

  #isOpen(frontend: FrontendName): boolean {
    switch (frontend) {
      case 'app':
        return this.#backend.applicationOpen();
      case 'gov':
        return this.#backend.node().state.startsWith('PartOf');
      case 'node':
        return true;
    }
  }
}

function bodyBytesMaxOf(match: Match): number {
  if (match.kind !== 'found') return REQUEST_BODY_BYTES_MAX;
  return match.route.endpoint.bodyBytesMax ?? REQUEST_BODY_BYTES_MAX;
}

function refusal(match: Match, error: RequestError, tooLarge = false): Planned {
  return { kind: 'refusal', error, application: applicationOf(match), tooLarge };
}

function applicationOf(match: Match): Application | undefined {
  switch (match.kind) {
    case 'found':
      return match.route.application;
    case 'other-verb':
      return match.application;
    default:
      return undefined;
  }
}

function errorOf(match: Exclude<Match, { kind: 'found' }>): RequestError {
  const { path } = match;
  switch (match.kind) {
    case 'unknown-path':
      return { status: 404, code: 'ResourceNotFound', message: `Unknown path: ${path}.` };
    case 'ambiguous':
      return {
        status: 500,
        code: 'InternalError',
        message: `Two endpoints are installed for ${path}: the application must be corrected.`,
      };
    case 'other-verb':
      return {
        status: 405,
        code: 'UnsupportedHttpVerb',
        message: `Allowed methods for '${path}' are: ${match.allow}.`,
        headers: { allow: match.allow },
      };
  }
}

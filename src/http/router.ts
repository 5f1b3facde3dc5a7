/**
 * Which endpoint a request is for (http-api.md §1).
 *
 * The first path segment chooses a frontend; any other path belongs to the application's. Within
 * it the path is looked up first, exact paths before templates, then the verb. Nothing is decoded
 * or normalised: `/commit/` is not `/commit`.
 */
import type { Application } from '../apps/interface.ts';
import { type PlacedEndpoint, type Placement, placementOf } from './placement.ts';

export type FrontendName = 'app' | 'node' | 'gov';

export interface Route extends Placement {
  readonly frontend: FrontendName;
  readonly endpoint: PlacedEndpoint;
  /** The application that declared it: it may have its own way to say errors. */
  readonly application: Application;
}

export type Match =
  | {
      readonly kind: 'found';
      readonly frontend: FrontendName;
      readonly route: Route;
      readonly path: string;
      readonly params: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'other-verb';
      readonly frontend: FrontendName;
      readonly application: Application;
      readonly path: string;
      readonly allow: string;
    }
  | { readonly kind: 'unknown-path'; readonly frontend: FrontendName; readonly path: string }
  | { readonly kind: 'ambiguous'; readonly frontend: FrontendName; readonly path: string };

/** The order in which CCF lists verbs: that of llhttp's method numbers. */
const VERB_ORDER = ['DELETE', 'GET', 'HEAD', 'POST', 'PUT'];
const NO_PARAMS: Readonly<Record<string, string>> = Object.freeze({});

interface Template {
  readonly text: string;
  readonly pattern: RegExp;
  readonly names: readonly string[];
  readonly verbs: Map<string, Route>;
}

interface Frontend {
  readonly exact: Map<string, Map<string, Route>>;
  /** Templates by their first segment, since few requests should meet many patterns. */
  readonly templates: Map<string, Template[]>;
}

export class Router {
  readonly #frontends: Readonly<Record<FrontendName, Frontend>> = {
    app: { exact: new Map(), templates: new Map() },
    node: { exact: new Map(), templates: new Map() },
    gov: { exact: new Map(), templates: new Map() },
  };

  /** Adds all endpoints of an application; throws when two have the same verb and path. */
  add(frontend: FrontendName, application: Application): void {
    for (const endpoint of application.endpoints) {
      const verbs = this.#verbsOf(this.#frontends[frontend], endpoint.path);
      if (verbs.has(endpoint.verb)) {
        throw new RangeError(
          `/${frontend} has two endpoints ${endpoint.verb} ${endpoint.path}`,
        );
      }
      verbs.set(endpoint.verb, {
        frontend,
        endpoint,
        application,
        ...placementOf(endpoint),
      });
    }
  }

  /** All routes of a frontend, in byte order of path and verb. */
  routes(frontend: FrontendName): readonly Route[] {
    const { exact, templates } = this.#frontends[frontend];
    const maps = [...exact.values(), ...[...templates.values()].flat().map((one) => one.verbs)];
    return maps
      .flatMap((verbs) => [...verbs.values()])
      .sort((left, right) => (placeOf(left) < placeOf(right) ? -1 : 1));
  }

  /** Finds the endpoint for a request target without its query. */
  match(verb: string, target: string): Match {
    const name = frontendOf(target);
    const path = name === undefined ? target : target.slice(name.length + 1);
    const frontend = name ?? 'app';
    const { exact, templates } = this.#frontends[frontend];
    const route = exact.get(path)?.get(verb);
    if (route !== undefined) return { kind: 'found', frontend, route, path, params: NO_PARAMS };
    return this.#matchTemplates(frontend, verb, path, templates.get(firstSegment(path)) ?? []);
  }

  #matchTemplates(
    frontend: FrontendName,
    verb: string,
    path: string,
    candidates: readonly Template[],
  ): Match {
    let found: Match | undefined;
    const others: Map<string, Route>[] = [];
    const exact = this.#frontends[frontend].exact.get(path);
    if (exact !== undefined) others.push(exact);
    for (const template of candidates) {
      const values = template.pattern.exec(path);
      if (values === null) continue;
      others.push(template.verbs);
      const route = template.verbs.get(verb);
      if (route === undefined) continue;
      if (found !== undefined) return { kind: 'ambiguous', frontend, path };
      const params = Object.fromEntries(
        template.names.map((name, index) => [name, values[index + 1] ?? '']),
      );
      found = { kind: 'found', frontend, route, path, params };
    }
    if (found !== undefined) return found;
    const application = others[0]?.values().next().value?.application;
    if (application === undefined) return { kind: 'unknown-path', frontend, path };
    return { kind: 'other-verb', frontend, application, path, allow: allowOf(others) };
  }

  #verbsOf(frontend: Frontend, path: string): Map<string, Route> {
    if (!path.includes('{')) {
      return entry(frontend.exact, path, () => new Map<string, Route>());
    }
    const first = firstSegment(path);
    if (first.includes('{')) {
      throw new RangeError(`the first segment of ${path} must not be a template`);
    }
    const bucket = entry(frontend.templates, first, (): Template[] => []);
    const known = bucket.find((one) => one.text === path);
    if (known !== undefined) return known.verbs;
    const template = templateOf(path);
    bucket.push(template);
    return template.verbs;
  }
}

function entry<Value>(map: Map<string, Value>, key: string, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** The frontend that a path names by its first segment; a lone segment names none. */
function frontendOf(target: string): FrontendName | undefined {
  if (target.startsWith('/app/')) return 'app';
  if (target.startsWith('/node/')) return 'node';
  if (target.startsWith('/gov/')) return 'gov';
  return undefined;
}

function firstSegment(path: string): string {
  const slash = path.indexOf('/', 1);
  return slash === -1 ? path : path.slice(0, slash);
}

function templateOf(text: string): Template {
  const names: string[] = [];
  const source = text.replace(/\{([^/{}]+)\}|[^{}]+/g, (piece, name: string | undefined) => {
    if (name === undefined) return piece.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
    names.push(name);
    return '([^/]+)';
  });
  return { text, pattern: new RegExp(`^${source}$`), names, verbs: new Map() };
}

function allowOf(verbMaps: readonly Map<string, Route>[]): string {
  const allowed = VERB_ORDER.filter((verb) => verbMaps.some((verbs) => verbs.has(verb)));
  return ['OPTIONS', ...allowed].join(', ');
}

function placeOf(route: Route): string {
  return `${route.endpoint.path} ${route.endpoint.verb}`;
}

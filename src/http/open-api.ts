/**
 * The OpenAPI 3.0 document of a frontend, made from its endpoints (http-api.md §1). An endpoint
 * may refine its operation; what it does not say is filled in here.
 */
import type { AuthenticationPolicy } from '../apps/interface.ts';
import type { FrontendName, Route } from './router.ts';

type JsonObject = Readonly<Record<string, unknown>>;

export interface DocumentInfo {
  readonly title: string;
  readonly description: string;
  readonly version: string;
}

/** The document for all routes of one frontend; its paths carry the frontend's prefix. */
export function openApiDocument(
  frontend: FrontendName,
  info: DocumentInfo,
  routes: readonly Route[],
): JsonObject {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = `/${frontend}${route.endpoint.path}`;
    paths[path] ??= pathItem(path);
    paths[path][route.endpoint.verb.toLowerCase()] = operation(path, route);
  }
  return { components: COMPONENTS, info, openapi: '3.0.0', paths, servers: [] };
}

function pathItem(path: string): Record<string, unknown> {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
  if (names.length === 0) return {};
  const schema = { type: 'string' };
  return { parameters: names.map((name) => ({ in: 'path', name, required: true, schema })) };
}

function operation(path: string, { endpoint }: Route): JsonObject {
  const { verb, effect, summary, openApi = {}, authentication } = endpoint;
  const { responses, ...rest } = openApi;
  const forwarding = effect === 'write' ? 'always' : 'sometimes';
  const security = securityOf(authentication);
  return {
    operationId: operationId(verb, path),
    summary,
    'x-ccf-forwarding': { $ref: `#/components/x-ccf-forwarding/${forwarding}` },
    ...(security.length === 0 ? {} : { security }),
    ...rest,
    responses: {
      ...(responses ?? JSON_RESPONSE),
      default: { $ref: '#/components/responses/default' },
    },
  };
}

/** As CCF makes them: `GET /app/log/private` is GetAppLogPrivate. */
function operationId(verb: string, path: string): string {
  const words = [verb.toLowerCase(), ...path.split(/[^A-Za-z0-9]+/)];
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}

/** No requirement at all when nobody need prove anything. */
function securityOf(policies: readonly AuthenticationPolicy[]): readonly JsonObject[] {
  if (policies.every((policy) => policy === 'no_auth')) return [];
  return policies.map((policy) => (policy === 'no_auth' ? {} : { [policy]: [] }));
}

const JSON_RESPONSE = {
  '200': {
    description: 'Default response description',
    content: { 'application/json': { schema: {} } },
  },
} as const;

function certificateScheme(description: string): JsonObject {
  // OpenAPI 3.0 has no word for mutual TLS (3.1 does); a scheme of its own name is its way out.
  return { type: 'http', scheme: 'mutual-tls', description };
}

const COMPONENTS = {
  responses: {
    default: {
      description: 'An error occurred',
      content: { 'application/json': { schema: { $ref: '#/components/schemas/CCFError' } } },
    },
  },
  schemas: {
    CCFError: {
      type: 'object',
      properties: {
        error: {
          type: 'object',
          properties: {
            code: { type: 'string', description: 'Response error code' },
            message: { type: 'string', description: 'Response error message' },
            details: { type: 'array', items: { type: 'object' } },
          },
        },
      },
    },
  },
  securitySchemes: {
    user_cert: certificateScheme('TLS client certificate of a user of this service'),
    member_cert: certificateScheme('TLS client certificate of a member of this service'),
    any_cert: certificateScheme('Any TLS client certificate that is valid by its dates'),
  },
  'x-ccf-forwarding': {
    always: {
      value: 'always',
      description:
        'If this request is made to a backup node, it will be forwarded to the primary node.',
    },
    sometimes: {
      value: 'sometimes',
      description:
        'If this request is made to a backup node, it may be forwarded to the primary node.',
    },
    never: {
      value: 'never',
      description: 'This call is never forwarded: it is executed on the receiving node.',
    },
  },
} as const;

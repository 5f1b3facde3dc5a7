/**
 * The OpenAPI 3.0 document of a frontend, made from its endpoints (http-api.md §1). An endpoint
 * may refine its operation; what it does not say is filled in here.
 */
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
    if (route.endpoint.hidden) continue;
    const path = `/${frontend}${route.endpoint.path}`;
    paths[path] ??= pathItem(path);
    paths[path][route.endpoint.verb.toLowerCase()] = operation(path, route);
  }
  const takesTokens = routes.some(({ endpoint }) => !endpoint.hidden && takesToken(endpoint));
  const components = takesTokens ? { ...COMPONENTS, securitySchemes: TOKENS } : COMPONENTS;
  return { components, info, openapi: '3.0.0', paths, servers: [] };
}

function takesToken({ authentication }: Route['endpoint']): boolean {
  return authentication.includes('jwt');
}

function pathItem(path: string): Record<string, unknown> {
  const names = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => match[1]);
  if (names.length === 0) return {};
  const schema = { type: 'string' };
  return { parameters: names.map((name) => ({ in: 'path', name, required: true, schema })) };
}

function operation(path: string, { endpoint, forwarding }: Route): JsonObject {
  const { verb, summary, openApi = {}, authentication } = endpoint;
  const { responses, ...rest } = openApi;
  return {
    operationId: operationId(verb, path),
    summary,
    'x-ccf-forwarding': { $ref: `#/components/x-ccf-forwarding/${forwarding}` },
    // OpenAPI 3.0 has no word for TLS client certificates, so CCF too leaves them out of
    // `security`.
    'x-concordat-authentication': authentication,
    ...(takesToken(endpoint) ? { security: securityOf(authentication) } : {}),
    ...rest,
    responses: {
      ...(responses ?? JSON_RESPONSE),
      default: { $ref: '#/components/responses/default' },
    },
  };
}

/** An empty requirement says that it goes without any (OpenAPI 3.0 §4.7.30). */
function securityOf(policies: Route['endpoint']['authentication']): readonly JsonObject[] {
  return policies.includes('no_auth') ? [{ jwt: [] }, {}] : [{ jwt: [] }];
}

/** As CCF makes them: `GET /app/log/private` is GetAppLogPrivate. */
function operationId(verb: string, path: string): string {
  const words = [verb.toLowerCase(), ...path.split(/[^A-Za-z0-9]+/)];
  return words.map((word) => word.slice(0, 1).toUpperCase() + word.slice(1)).join('');
}

const JSON_RESPONSE = {
  '200': {
    description: 'Default response description',
    content: { 'application/json': { schema: {} } },
  },
} as const;

const TOKENS = { jwt: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' } } as const;

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

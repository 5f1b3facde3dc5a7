/**
 * What every surface tells of itself: that it is up, its version, the API versions GoQuorum chooses
 * its features by (transaction-manager.md §A.2), and its OpenAPI document.
 */
import type { Route } from '../surface.ts';
import { fixed } from '../surface.ts';
import { json, text } from '../wire/answers.ts';
import { JSON_TYPE, requireAcceptable, TEXT } from '../wire/media.ts';

/** `>= 2.0` privacy enhancements, `2.1` vendor types, `3.0` private states, `4.0` mandatory. */
const API_VERSIONS = ['1.0', '2.0', '2.1', '3.0', '4.0', '5.0'];

export function aboutRoutes(version: string): readonly Route[] {
  return [
    fixed('/', 'Nothing, successfully', () => ({ status: 200 })),
    fixed('/upcheck', 'Whether the service is up', (request) => {
      requireAcceptable(request, TEXT);
      return text(200, "I'm up!");
    }),
    ...['/version', '/version/distribution'].map((path) =>
      fixed(path, 'The version of the transaction manager', (request) => {
        requireAcceptable(request, TEXT);
        return text(200, version);
      }),
    ),
    fixed('/version/api', 'The versions of the API', (request) => {
      requireAcceptable(request, JSON_TYPE);
      return json(200, JSON_TYPE, API_VERSIONS);
    }),
  ];
}

/** `/api`: the OpenAPI document of a surface, made from its routes. */
export function apiRoute(title: string, version: string, routes: readonly Route[]): Route {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const { path, verb, summary } of routes) {
    const operations = paths[path] ?? {};
    paths[path] = operations;
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    operations[verb.toLowerCase()] = {
      summary,
      parameters: names.map((name) => ({
        name,
        in: 'path',
        required: true,
        schema: { type: 'string' },
      })),
      responses: { default: { description: 'As Tessera answers' } },
    };
  }
  const document = { openapi: '3.0.0', info: { title, version }, paths };
  return fixed('/api', 'This document', (request) => {
    requireAcceptable(request, JSON_TYPE);
    return json(200, JSON_TYPE, document);
  });
}

// Which endpoint a request reaches, byte for byte as CCF decides it (http-api.md §1).

import { describe, expect, test } from 'vitest';
import { answer, type Endpoint, type Verb } from '../../src/apps/interface.ts';
import { Router } from '../../src/http/router.ts';
import { randomOf } from './random.ts';

function endpoint(verb: Verb, path: string): Endpoint {
  return {
    verb,
    path,
    authentication: ['no_auth'],
    effect: 'none',
    reads: 'current',
    answers: 'local',
    summary: path,
    handle: () => answer({ status: 200 }),
  };
}

function routerOf(frontend: 'app' | 'node' | 'gov', endpoints: readonly Endpoint[]): Router {
  const router = new Router();
  router.add(frontend, { name: 'test', archivedTables: [], endpoints });
  return router;
}

const app = routerOf('app', [
  endpoint('GET', '/log/private'),
  endpoint('POST', '/log/private'),
  endpoint('DELETE', '/log/private'),
  endpoint('GET', '/transaction/{hash}'),
  endpoint('DELETE', '/transaction/{hash}'),
  endpoint('GET', '/transaction/{hash}/isSender'),
  endpoint('GET', '/transaction/newest'),
  endpoint('POST', '/members/proposals/{id}:withdraw'),
  endpoint('POST', '/members/proposals/{id}/ballots/{member}:submit'),
]);

describe('a path that is known', () => {
  test.each([
    ['GET', '/app/log/private', '/log/private', {}],
    ['GET', '/log/private', '/log/private', {}],
    ['GET', '/app/transaction/a%2Fb+c', '/transaction/{hash}', { hash: 'a%2Fb+c' }],
    ['GET', '/transaction/newest', '/transaction/newest', {}],
    // The exact path has no DELETE, the template does.
    ['DELETE', '/transaction/newest', '/transaction/{hash}', { hash: 'newest' }],
    ['GET', '/transaction/x/isSender', '/transaction/{hash}/isSender', { hash: 'x' }],
    ['POST', '/members/proposals/7:withdraw', '/members/proposals/{id}:withdraw', { id: '7' }],
    [
      'POST',
      '/members/proposals/7/ballots/m:submit',
      '/members/proposals/{id}/ballots/{member}:submit',
      { id: '7', member: 'm' },
    ],
  ])('%s %s reaches %s', (verb, target, template, params) => {
    const match = app.match(verb, target);
    expect(match.kind).toBe('found');
    if (match.kind !== 'found') return;
    expect(match.route.endpoint.path).toBe(template);
    expect({ ...match.params }).toEqual(params);
  });
});

describe('a path that is not known', () => {
  test.each([
    ['/app/nope', '/nope'],
    ['/', '/'],
    ['/app', '/app'],
    ['/app/', '/'],
    ['/log/private/', '/log/private/'],
    ['/log//private', '/log//private'],
    ['/LOG/private', '/LOG/private'],
    ['/app/app/log/private', '/app/log/private'],
    ['/transaction/', '/transaction/'],
    ['/transaction/a/b', '/transaction/a/b'],
    ['https://127.0.0.1/app/log/private', 'https://127.0.0.1/app/log/private'],
    ['*', '*'],
    ['', ''],
  ])('%s is named as %s', (target, named) => {
    expect(app.match('GET', target)).toEqual({
      kind: 'unknown-path',
      frontend: 'app',
      path: named,
    });
  });

  test('of another frontend is not found in the application', () => {
    expect(app.match('GET', '/node/log/private').kind).toBe('unknown-path');
    expect(app.match('GET', '/gov/log/private').kind).toBe('unknown-path');
  });
});

describe('a path that is known for other verbs', () => {
  test.each([
    ['HEAD', '/app/log/private', 'OPTIONS, DELETE, GET, POST'],
    ['OPTIONS', '/log/private', 'OPTIONS, DELETE, GET, POST'],
    ['PUT', '/transaction/x', 'OPTIONS, DELETE, GET'],
    ['PUT', '/transaction/newest', 'OPTIONS, DELETE, GET'],
    ['get', '/log/private', 'OPTIONS, DELETE, GET, POST'],
  ])('%s %s: allowed are %s', (verb, target, allow) => {
    expect(app.match(verb, target)).toMatchObject({ kind: 'other-verb', allow });
  });
});

test('two endpoints of one verb and path are refused when they are installed', () => {
  expect(() => routerOf('app', [endpoint('GET', '/a'), endpoint('GET', '/a')])).toThrow(
    '/app has two endpoints GET /a',
  );
});

test('a template as the first segment is refused: it would catch every path', () => {
  expect(() => routerOf('app', [endpoint('GET', '/{any}')])).toThrow('first segment');
});

test('two templates that match one request are told apart from none and one', () => {
  const router = routerOf('app', [endpoint('GET', '/a/{x}/c'), endpoint('GET', '/a/b/{y}')]);
  expect(router.match('GET', '/a/b/c').kind).toBe('ambiguous');
  expect(router.match('GET', '/a/b/d').kind).toBe('found');
});

test('any text at all is matched without throwing, and params never hold a slash', () => {
  const random = randomOf('router');
  const pieces = [
    '/',
    'app',
    'log',
    'private',
    'transaction',
    '{hash}',
    '%2F',
    '?',
    '\u0000',
    '..',
  ];
  pieces.push('isSender', ':withdraw', 'node', 'é', '$&', '(.*)', 'x'.repeat(5000));
  for (let round = 0; round < 20_000; round += 1) {
    const length = random.below(7);
    const target = Array.from({ length }, () => random.pick(pieces)).join(
      random.pick(['', '/']),
    );
    const match = app.match(random.pick(['GET', 'POST', 'DELETE', '']), target);
    if (match.kind !== 'found') continue;
    const { path: template } = match.route.endpoint;
    const rebuilt = template.replace(/\{(\w+)\}/g, (_all, name) => match.params[name] ?? '');
    expect(rebuilt, target).toBe(match.path);
    for (const value of Object.values(match.params)) expect(value).toMatch(/^[^/]+$/);
  }
});

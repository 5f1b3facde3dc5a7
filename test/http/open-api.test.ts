// The OpenAPI documents: valid, complete, and true to CCF's where an endpoint is CCF's.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { recordings } from '../ccf/recordings.ts';
import { askOnce, jsonOf } from './client.ts';
import { type House, openHouse } from './house.ts';

type Json = Readonly<Record<string, unknown>>;
interface Operation extends Json {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, Json>>;
}
interface Document extends Json {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let house: House;

beforeAll(async () => {
  house = await openHouse();
});

afterAll(() => house.close());

async function documentOf(frontend: string): Promise<Document> {
  return jsonOf(await askOnce(house, undefined, 'GET', `/${frontend}/api`)) as Document;
}

const VERBS = ['get', 'head', 'post', 'put', 'delete'];

function operations(document: Document): readonly (readonly [string, string, Operation])[] {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(([verb]) => VERBS.includes(verb))
      .map(([verb, operation]) => [path, verb, operation] as const),
  );
}

describe.each(['app', 'node', 'gov'])('the document of /%s', (frontend) => {
  test('refers to nothing that is not in it', async () => {
    const document = await documentOf(frontend);
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(
      (match) => match[1] ?? '',
    );
    expect(references.length).toBeGreaterThan(0);
    for (const reference of references) {
      const found = reference
        .split('/')
        .reduce<unknown>((at, key) => (at as Json | undefined)?.[key], document);
      expect(found, reference).toBeDefined();
    }
  });

  test('names each operation once, and declares each parameter of its path', async () => {
    const document = await documentOf(frontend);
    const all = operations(document);
    const names = all.map(([, , { operationId }]) => operationId);
    expect(new Set(names).size).toBe(names.length);
    for (const [path, , operation] of all) {
      expect(path.startsWith(`/${frontend}/`)).toBe(true);
      const item = document.paths[path] as Json;
      const declared = [
        ...((item.parameters as Operation['parameters']) ?? []),
        ...(operation.parameters ?? []),
      ].filter((parameter) => parameter.in === 'path');
      const needed = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect([...new Set(declared.map(({ name }) => name))]).toEqual(needed);
    }
  });

  test('says of each response what it is, and has an error for all others', async () => {
    for (const [path, verb, { responses }] of operations(await documentOf(frontend))) {
      expect(responses.default, `${verb} ${path}`).toBeDefined();
      for (const [status, response] of Object.entries(responses)) {
        if (status !== 'default')
          expect(response.description, path).toEqual(expect.any(String));
      }
    }
  });
});

test.each([
  ['post', '/app/log/private', 'always'],
  ['delete', '/app/log/private', 'always'],
  ['get', '/app/log/private', 'sometimes'],
  ['get', '/app/receipt', 'sometimes'],
  ['get', '/app/commit', 'never'],
  ['get', '/node/network', 'sometimes'],
  ['get', '/node/state', 'never'],
  ['get', '/node/network/nodes/self', 'never'],
  ['get', '/node/network/nodes/{node_id}', 'sometimes'],
  ['get', '/node/consensus', 'never'],
  ['head', '/node/primary', 'never'],
])('%s %s is said to be forwarded %s', async (verb, path, behaviour) => {
  const document = await documentOf(path.split('/')[1] ?? '');
  expect(document.paths[path]?.[verb]).toMatchObject({
    'x-ccf-forwarding': { $ref: `#/components/x-ccf-forwarding/${behaviour}` },
  });
});

test.each([
  ['app', '073-app-openapi'],
  ['node', '074-node-openapi'],
])('in /%s, what CCF has too is called and parametrised as there', async (frontend, name) => {
  const recorded = recordings().find((one) => one.name === name);
  const theirs = JSON.parse(recorded?.answerBody.toString() ?? '') as Document;
  const ours = await documentOf(frontend);
  const shared = operations(theirs).filter(([path, verb]) => ours.paths[path]?.[verb]);
  expect(shared.length).toBeGreaterThan(10);
  for (const [path, verb, operation] of shared) {
    expect(ours.paths[path]?.[verb]?.operationId).toBe(operation.operationId);
    expect(parameterNames(ours, path, verb), `${verb} ${path}`).toEqual(
      parameterNames(theirs, path, verb),
    );
  }
});

test('where tokens are taken is said as CCF says it', async () => {
  const recorded = recordings().find(({ name }) => name === '073-app-openapi');
  const theirs = JSON.parse(recorded?.answerBody.toString() ?? '') as Document;
  const ours = await documentOf('app');
  const schemeOf = ({ components }: Json): unknown =>
    (components as { readonly securitySchemes?: Json }).securitySchemes?.jwt;
  expect(schemeOf(ours)).toEqual(schemeOf(theirs));
  const takesTokens = ({ security = [] }: Operation): boolean =>
    (security as readonly Json[]).some((requirement) => 'jwt' in requirement);
  const shared = operations(theirs).filter(([path, verb]) => ours.paths[path]?.[verb]);
  for (const [path, verb, operation] of shared) {
    const own = ours.paths[path]?.[verb];
    expect(own === undefined || takesTokens(own), `${verb} ${path}`).toBe(
      takesTokens(operation),
    );
  }
  expect(shared.filter(([, , operation]) => takesTokens(operation)).length).toBeGreaterThan(6);
  expect(schemeOf(await documentOf('node'))).toBeUndefined();
});

/** Of an operation and of its path. */
function parameterNames(document: Document, path: string, verb: string): readonly string[] {
  const item = document.paths[path];
  const shared = (item as Json | undefined)?.parameters as Operation['parameters'];
  const all = [...(shared ?? []), ...(item?.[verb]?.parameters ?? [])];
  return [...new Set(all.map(({ name }) => name))].sort();
}

// The modules under generated/ are what the .proto files say, and the generator says so when one
// asks for what it cannot do.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { generate, generateAll } from '../../proto/generate.ts';

const made = [...generateAll()];

test.each(made)('%s is what `node proto/generate.ts` makes', (path, text) => {
  expect(readFileSync(path, 'utf8')).toBe(text);
});

test('there are three of them', () => {
  expect(made.map(([path]) => path.split('/').at(-1))).toEqual([
    'consensus.ts',
    'forwarding.ts',
    'node.ts',
  ]);
});

const HEAD = 'syntax = "proto3"; package a; ';
const from = (proto: string): string | undefined =>
  generate(new Map([['x', HEAD + proto]])).get('x');

test('another field makes another module', () => {
  expect(from('message M { uint64 b = 1; }')).toContain('b = wire.readU64(reader)');
  expect(from('message M { uint64 c = 9; }')).toContain('case 72:');
});

describe('planted: what has no shape yet is an error and not a guess', () => {
  test.each([
    ['a type', 'message M { sint32 b = 1; }', 'no shape for sint32'],
    ['a map', 'message M { map<string, string> b = 1; }', 'no shape for map b'],
    ['a service', 'service S {}', 'no shape for S'],
    ['an optional number', 'message M { optional uint64 b = 1; }', 'no optional number'],
    [
      'repeated numbers',
      'message M { repeated uint64 b = 1 [(max_count) = 2]; }',
      'no repeated',
    ],
    ['a list without a bound', 'message M { repeated bytes b = 1; }', 'needs a max_count'],
    ['a default that means something', 'enum E { E_A = 0; }', 'meaningful default'],
    ['a gap', 'enum E { E_UNSPECIFIED = 0; E_A = 2; }', 'gap'],
  ])('%s', (_what, proto, why) => {
    expect(() => from(proto)).toThrow(why);
  });
});

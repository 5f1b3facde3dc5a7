// Every code that a judge refuses by stands in the table, under the kind that the judge gives it;
// and nothing stands there that no judge uses.

import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  AZURE_CVM_REFUSALS,
  REFUSALS,
  TOKEN_REFUSALS,
} from '../../src/attestation/refusals.ts';

const FOLDER = resolve(import.meta.dirname, '../../src/attestation');
const TABLE: Readonly<Record<string, { readonly kind: string; readonly message: string }>> = {
  ...REFUSALS,
  ...AZURE_CVM_REFUSALS,
  ...TOKEN_REFUSALS,
};
const judges = readdirSync(FOLDER)
  .filter((name) => /^(snp-|uvm-|maa-|azure-|hcl-|tpm-|revocation|virtual|judge\.)/.test(name))
  .map((name) => readFileSync(resolve(FOLDER, name), 'utf8'));

/** Kind and code as judges write them out. */
const WRITTEN = [/kind: '(\w+)',\s*code: '(\w+)'/g, /refused\(\s*'(\w+)',\s*'(\w+)'/g];

function written(): readonly (readonly [code: string, kind: string])[] {
  return judges.flatMap((text) =>
    WRITTEN.flatMap((pattern) =>
      [...text.matchAll(pattern)].map(([, kind = '', code = '']) => [code, kind] as const),
    ),
  );
}

test.each(written())('%s is %s', (code, kind) => {
  expect(TABLE[code]?.kind).toBe(kind);
});

describe('the table', () => {
  test('holds no code twice', () => {
    const tables = [REFUSALS, AZURE_CVM_REFUSALS, TOKEN_REFUSALS];
    const codes = tables.flatMap((table) => Object.keys(table));
    expect(new Set(codes).size).toBe(codes.length);
  });

  test('holds nothing that no judge uses', () => {
    const unused = Object.keys(TABLE).filter(
      (code) => !judges.some((text) => text.includes(`'${code}'`)),
    );
    expect(unused).toEqual([]);
  });

  test('says each in a sentence of its own', () => {
    const sentences = Object.values(REFUSALS).map(({ message }) => message);
    expect(new Set(sentences).size).toBe(sentences.length);
  });

  test('covers judges that were looked at', () => {
    expect(written().length).toBeGreaterThan(25);
  });
});

// The ids that CCF gave its proposals, computed again from its own ledger: the root of all leaves
// before the proposal, and the digest of its signature.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { decodeSign1 } from '../../src/crypto/cose.ts';
import { sha256Hex } from '../../src/crypto/hash.ts';
import { COSE_HISTORY, PROPOSALS, proposalIdOf } from '../../src/governance/proposals.ts';
import { CHUNK_HEADER_BYTES, tableOffset } from '../../src/ledger/chunk.ts';
import { type ParsedEntry, parseEntry } from '../../src/ledger/entry.ts';
import { MerkleTree } from '../../src/ledger/merkle.ts';
import { testWithVectors, vectorsFolder } from '../support/judges.ts';

function entriesOf(path: string): readonly ParsedEntry[] {
  const bytes = readFileSync(path);
  const end = tableOffset(bytes.subarray(0, CHUNK_HEADER_BYTES), bytes.length) || bytes.length;
  const entries: ParsedEntry[] = [];
  for (let at = CHUNK_HEADER_BYTES; at < end; at += entries.at(-1)?.bytes.length ?? end) {
    entries.push(parseEntry(bytes.subarray(0, end), at));
  }
  return entries;
}

const startOf = (name: string): number => Number(/^ledger_(\d+)/.exec(name)?.[1]);

testWithVectors('every proposal of the recorded service has the id that we compute', () => {
  const folder = join(vectorsFolder() ?? '', 'ccf/ledger');
  const tree = new MerkleTree();
  const wrong: string[] = [];
  let checked = 0;
  const chunks = readdirSync(folder).filter((name) => name.endsWith('.committed'));
  for (const name of chunks.sort((left, right) => startOf(left) - startOf(right))) {
    for (const entry of entriesOf(join(folder, name))) {
      const rows = (table: string): ReadonlyMap<string, Uint8Array> =>
        entry.publicMaps.find((map) => map.name === table)?.writes ?? new Map();
      const [envelope] = rows(COSE_HISTORY).values();
      const [id] = rows(PROPOSALS).keys();
      if (id !== undefined && envelope !== undefined) {
        const text: string = JSON.parse(Buffer.from(envelope).toString());
        const { signature } = decodeSign1(Buffer.from(text, 'base64'));
        // Other transactions may have come between what it read and where it stands.
        const sizes = Array.from({ length: 4 }, (_, back) => tree.size - back);
        const ids = sizes.map((size) => proposalIdOf(tree.root(size), sha256Hex(signature)));
        checked += 1;
        if (!ids.includes(id)) wrong.push(`${entry.seqno}: ${id}`);
      }
      tree.append(entry.leaf());
    }
  }
  expect(wrong).toEqual([]);
  expect(checked).toBeGreaterThan(3);
});

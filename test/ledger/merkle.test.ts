// The Merkle tree: roots, rows and proofs of the vectors, and agreement with a plain recursive
// definition under every order of appending, flushing, serialising and rolling back.

import { expect, test } from 'vitest';
import { sha256, sha256Pair } from '../../src/crypto/hash.ts';
import { MerkleTree, type PathStep, rootFromPath } from '../../src/ledger/merkle.ts';
import { fromHex, type ProofStepJson, toHex, VECTORS } from '../support/ledger-vectors.ts';

const leafOf = (index: number): Uint8Array =>
  index === 0
    ? new Uint8Array(32)
    : sha256(Buffer.of(index & 0xff, ...(index > 255 ? [1] : [])));

function treeOf(size: number): MerkleTree {
  const tree = new MerkleTree();
  for (let i = 1; i < size; i += 1) tree.append(leafOf(i));
  return tree;
}

/** The definition, word for word: pair up, promote the odd last one, repeat. */
function plainRoot(leaves: readonly Uint8Array[]): Uint8Array {
  let row = [...leaves];
  while (row.length > 1) {
    const next: Uint8Array[] = [];
    for (let i = 0; i < row.length; i += 2) {
      const [left, right] = [row[i], row[i + 1]];
      if (left === undefined) throw new Error('unreachable');
      next.push(right === undefined ? left : sha256Pair(left, right));
    }
    row = next;
  }
  const [root] = row;
  if (root === undefined) throw new Error('a tree has a leaf');
  return root;
}

const leavesUpTo = (size: number): Uint8Array[] =>
  Array.from({ length: size }, (_, i) => leafOf(i));
const asJson = (path: readonly PathStep[]): ProofStepJson[] =>
  path.map(({ side, hash }) =>
    side === 'left' ? { left: toHex(hash) } : { right: toHex(hash) },
  );

test('the roots of 1 to 13 leaves are those of the vectors', () => {
  for (const [size, root] of Object.entries(VECTORS.tree_roots)) {
    expect(toHex(treeOf(Number(size)).root()), `${size} leaves`).toBe(root);
    expect(toHex(treeOf(13).root(Number(size))), `first ${size} of 13`).toBe(root);
  }
});

test('the row of 13 leaves, 11 of them flushed, is that of the vectors, both ways', () => {
  const tree = treeOf(13);
  tree.flushTo(11);
  expect(toHex(tree.serialise())).toBe(VECTORS.tree_serialised_13_leaves_flushed_11);
  const again = MerkleTree.deserialise(tree.serialise());
  expect([again.size, again.flushed]).toEqual([13, 11]);
  expect(toHex(again.root())).toBe(VECTORS.tree_roots['13']);
  expect(toHex(again.serialise())).toBe(VECTORS.tree_serialised_13_leaves_flushed_11);
});

test('the proofs of leaves 5 and 10 of 11 are those of the vectors', () => {
  const tree = treeOf(11);
  expect(asJson(tree.path(5))).toEqual(VECTORS.proof_leaf5_of_11);
  expect(asJson(tree.path(10))).toEqual(VECTORS.proof_leaf10_of_11);
});

test('root, children and every path agree with the definition for 1 to 70 leaves', () => {
  const whole = treeOf(70);
  for (let size = 1; size <= 70; size += 1) {
    const root = toHex(plainRoot(leavesUpTo(size)));
    expect(toHex(whole.root(size))).toBe(root);
    const children = whole.rootChildren(size);
    if (size === 1) expect(children).toBeUndefined();
    else expect(children && toHex(sha256Pair(children.left, children.right))).toBe(root);
    for (let leaf = 0; leaf < size; leaf += 1) {
      expect(toHex(rootFromPath(leafOf(leaf), whole.path(leaf, size)))).toBe(root);
    }
  }
});

test('after any flush the row, the root and the later paths are as before', () => {
  for (let size = 2; size <= 40; size += 1) {
    for (let flushed = 1; flushed < size; flushed += 1) {
      const tree = treeOf(size);
      tree.flushTo(flushed);
      const copy = MerkleTree.deserialise(tree.serialise());
      for (const one of [tree, copy]) {
        for (let more = size; more < size + 9; more += 1) one.append(leafOf(more));
        expect(toHex(one.root())).toBe(toHex(plainRoot(leavesUpTo(size + 9))));
        expect(toHex(one.root(size))).toBe(toHex(plainRoot(leavesUpTo(size))));
        const path = one.path(flushed, size + 3);
        const root = rootFromPath(leafOf(flushed), path);
        expect(toHex(root)).toBe(toHex(plainRoot(leavesUpTo(size + 3))));
        expect(() => one.path(flushed - 1)).toThrow(/not among the leaves/);
      }
    }
  }
});

test('rolling back forgets the leaves beyond, and other ones may follow', () => {
  for (let size = 3; size <= 40; size += 1) {
    for (let back = 2; back <= size; back += 1) {
      const tree = treeOf(size);
      tree.flushTo(Math.floor(back / 2));
      tree.truncate(back);
      expect(toHex(tree.root())).toBe(toHex(plainRoot(leavesUpTo(back))));
      const other = sha256(Buffer.from('another history'));
      tree.append(other);
      expect(toHex(tree.root())).toBe(toHex(plainRoot([...leavesUpTo(back), other])));
    }
  }
});

test('a long life of appending and flushing keeps no more than what is unflushed', () => {
  const tree = new MerkleTree();
  for (let i = 1; i < 20_000; i += 1) {
    tree.append(leafOf(i));
    if (i % 97 === 0) tree.flushTo(i - 20);
  }
  expect(tree.serialise().length).toBeLessThan(16 + 140 * 32);
  expect(toHex(tree.root())).toBe(toHex(plainRoot(leavesUpTo(20_000))));
  expect(() => tree.truncate(tree.flushed)).toThrow(/broken invariant/);
});

test.each([
  ['nothing', ''],
  ['no leaves', '00'.repeat(16)],
  ['a missing subtree', VECTORS.tree_serialised_13_leaves_flushed_11.slice(0, -64)],
  ['one byte too many', `${VECTORS.tree_serialised_13_leaves_flushed_11}00`],
  ['a count of 2^60', `1${'0'.repeat(15)}${'00'.repeat(8)}`],
])('a row with %s is refused', (_, hex) => {
  expect(() => MerkleTree.deserialise(fromHex(hex))).toThrow(/not a serialised Merkle tree/);
});

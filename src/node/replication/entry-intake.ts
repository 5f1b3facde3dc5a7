/**
 * What a follower does with the entries it is sent: it reads them as it would read its own disk.
 * Each opens under the ledger secret in force, follows its predecessor, and each signature signs
 * the very root that the entries before it have here; nothing is acknowledged before that is known.
 */
import { invariant } from '../../base/assert.ts';
import { concatBytes, equalBytes, hexOf, NO_BYTES, utf8 } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { seqnoOf, viewOf } from '../../base/ids.ts';
import type { Append, Entry } from '../../consensus/messages.ts';
import { certificatePublicKeyDer } from '../../crypto/certificates.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { NODE_CERTIFICATES } from '../../governance/tables.ts';
import { detachedWrites } from '../../kv/write-set.ts';
import { openEntry, type ParsedEntry, parseEntry } from '../../ledger/entry.ts';
import { MerkleTree } from '../../ledger/merkle.ts';
import { parseSignature, type ReadSignature } from '../../ledger/signature.ts';
import type { LedgerState } from '../ledger-state.ts';
import { factsOf, type KnownNodes, nodesAfter } from '../membership.ts';
import type { SecretPool } from '../secret-pool.ts';

/** An entry as it came, with what consensus must know of it. */
export interface ReceivedEntry {
  readonly entry: ParsedEntry;
  readonly facts: Entry;
  /** The nodes from this entry on, if it changes them. */
  readonly nodes: KnownNodes | undefined;
}

/** Reads the entries of an append message; throws a coded error when they are not what it says. */
export function readEntries(
  message: Append,
  bytes: readonly Uint8Array[],
  state: LedgerState,
): readonly ReceivedEntry[] {
  const { previous } = message;
  let nodes = state.nodesAt(previous.seqno);
  let view: number | undefined;
  return bytes.map((each, index) => {
    const entry = parseEntry(each);
    const expected = previous.seqno + 1 + index;
    view ??= entry.view;
    const isHere =
      entry.seqno === expected && entry.view === view && entry.view <= message.view;
    if (!isHere || entry.isSnapshot || entry.bytes.length !== each.length) {
      throw new CodedError(
        'BadPeerMessage',
        `${entry.view}.${entry.seqno} stands in the place of entry ${expected}`,
      );
    }
    const isSignature = entry.isSignature();
    const before = nodes;
    if (!isSignature) nodes = nodesAfter(nodes, entry.publicMaps);
    const { seqno } = entry;
    const facts = factsOf({ view, seqno, isSignature }, before, nodes);
    return { entry, facts, nodes: nodes === before ? undefined : nodes };
  });
}

export interface IntakeDependencies {
  readonly state: LedgerState;
  readonly pool: SecretPool;
  readonly verifier: Verifier;
}

/**
 * Applies the next entry. Gives back the check of its signature, if it is one, which runs while the
 * entry is written. Throws `BadEntry` or alike when the entry does not belong here.
 */
export function applyEntry(
  { entry, nodes }: ReceivedEntry,
  { state, pool, verifier }: IntakeDependencies,
): Promise<void> | undefined {
  const seqno = seqnoOf(entry.seqno);
  const beginning = pool.beginningWith(entry);
  if (beginning !== undefined && state.secrets.latestFrom < seqno) state.secrets.add(beginning);
  const secret = state.secrets.at(seqno);
  invariant(secret !== undefined, `there is a ledger secret for entry ${seqno}`);
  const privateMaps = openEntry(entry, secret);
  const evidence = secret.evidence.digestOf(entry.view, entry.seqno);
  if (!equalBytes(entry.evidenceDigest ?? NO_BYTES, evidence)) {
    throw refused(entry, 'its commit evidence is not that of its place');
  }
  const placed = {
    seqno,
    view: viewOf(entry.view),
    flags: entry.flags,
    byteLength: entry.bytes.length,
    leaf: entry.leaf(),
  };
  if (!entry.isSignature()) {
    state.store.apply(seqno, [...entry.publicMaps, ...privateMaps].map(detachedWrites));
    state.append({ ...placed, ...(nodes === undefined ? {} : { nodes }) });
    return undefined;
  }
  const maps = entry.publicMaps.map(detachedWrites);
  const signature = parseSignature(maps);
  if (signature === undefined || privateMaps.length > 0) {
    throw refused(entry, 'it holds more than a signature');
  }
  const check = checkSignature(entry, signature, state, verifier);
  state.store.apply(seqno, []);
  const isDual = signature.cose !== undefined;
  state.append({ ...placed, signature: { maps, isDual } });
  return check;
}

/** A signature signs the root of all before it, with the key of a node that the ledger knows. */
function checkSignature(
  entry: ParsedEntry,
  { raw, tree: row }: ReadSignature,
  { tree, store }: LedgerState,
  verifier: Verifier,
): Promise<void> | undefined {
  const root = tree.root();
  const signed =
    raw !== undefined || row === undefined ? raw?.root : MerkleTree.deserialise(row).root();
  if (signed === undefined || !equalBytes(signed, root)) {
    const other = hexOf(signed ?? NO_BYTES);
    throw refused(entry, `it signs root ${other}, but those before it have ${hexOf(root)}`);
  }
  if (raw === undefined) return undefined;
  if (raw.seqno !== entry.seqno || raw.view !== entry.view) {
    throw refused(entry, `its signature says it is ${raw.view}.${raw.seqno}`);
  }
  const certificate = store.current.table(NODE_CERTIFICATES).get(utf8(raw.node));
  if (certificate === undefined) throw refused(entry, `node ${raw.node} has no certificate`);
  const children = tree.rootChildren();
  invariant(children !== undefined, 'a signature follows at least one transaction');
  return verifier
    .ecdsa({
      publicKeyDer: publicKeyOf(certificate),
      message: concatBytes(children.left, children.right),
      hash: 'SHA-256',
      signature: raw.sig,
      encoding: 'der',
    })
    .then((isGood) => {
      if (!isGood) throw refused(entry, `it is not by the key of node ${raw.node}`);
    });
}

/** Keys by the very row they were read from: a certificate signs many times. */
const publicKeys = new WeakMap<Uint8Array, Uint8Array>();

function publicKeyOf(certificate: Uint8Array): Uint8Array {
  let key = publicKeys.get(certificate);
  if (key === undefined) {
    key = certificatePublicKeyDer(Buffer.from(certificate).toString());
    publicKeys.set(certificate, key);
  }
  return key;
}

function refused({ view, seqno }: ParsedEntry, why: string): CodedError {
  return new CodedError(
    'BadEntry',
    `entry ${view}.${seqno} came from the primary, but ${why}. This node stops`,
    { view, seqno },
  );
}

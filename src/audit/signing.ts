/**
 * Signature transactions: that what they sign is the tree over all entries before them, and that
 * those who sign may (ledger-format.md §6, §15.4).
 */
import { bufferOf, concatBytes, equalBytes, hexOf, utf8 } from '../base/bytes.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import { readU64BE } from '../base/words.ts';
import {
  algorithmOfId,
  type CoseHeader,
  decodeSign1,
  HEADER_ALGORITHM,
  HEADER_CCF,
  HEADER_CWT_CLAIMS,
  HEADER_KEY_ID,
  HEADER_VERIFIABLE_DATA_STRUCTURE,
  innerMap,
  type Sign1,
  signatureStructure,
  VDS_CCF_LEDGER_SHA256,
} from '../crypto/cose.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { COSE_BY_CURVE, readPublicKey } from '../crypto/public-key.ts';
import type { HashName, Verifier } from '../crypto/verifier.ts';
import { type Certificate, certificateOfPem } from '../crypto/x509.ts';
import type { MapWrites, ParsedEntry } from '../ledger/entry.ts';
import { MerkleTree } from '../ledger/merkle.ts';
import { parseSignature, type ReadSignature } from '../ledger/signature.ts';
import { FaultError, rule } from './fault.ts';
import type { Defer, Network } from './network.ts';

/** Reads a signature transaction; undefined for any other. */
export function auditedSignature(
  entry: ParsedEntry,
  maps: readonly MapWrites[],
): ReadSignature | undefined {
  const signature = parsed(maps);
  if (signature === undefined) return undefined;
  const { claimsDigest, ciphertext } = entry;
  const claims = claimsDigest?.some((byte) => byte !== 0) === true;
  rule(!claims, 'SignatureClaims', () => 'this one does');
  rule(ciphertext.length === 0, 'SignaturePrivate', () => `it has ${ciphertext.length} bytes`);
  return signature;
}

function parsed(maps: readonly MapWrites[]): ReadSignature | undefined {
  try {
    return parseSignature(maps);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadSignatureEntry')) throw thrown;
    const foreign = thrown.fields.field === 'table';
    throw new FaultError(foreign ? 'SignatureTables' : 'SignatureRow', thrown.message);
  }
}

/**
 * Compares a signature's tree with the running one, to the byte. The row tells how many leaves its
 * writer had flushed; the running tree keeps enough to write the same.
 */
export function mustHoldTree(tree: MerkleTree, row: Uint8Array | undefined): number {
  if (row === undefined) throw new FaultError('TreeMissing', 'this one does not');
  const bytes = bufferOf(row);
  rule(bytes.length >= 16, 'TreeRow', () => `it has ${bytes.length} bytes`);
  const [count, flushed] = [readU64BE(bytes, 0), readU64BE(bytes, 8)];
  rule(count > 0 && count + flushed === tree.size, 'TreeRow', () => {
    return `it has ${count} leaves after ${flushed}, and ${tree.size} entries are before it`;
  });
  const same =
    flushed >= tree.flushed
      ? equalBytes(tree.serialiseFrom(flushed), bytes)
      : sameRoot(tree, bytes);
  rule(same, 'TreeRow', () => 'it is another one');
  return flushed;
}

/** For a row that reaches further back than the running tree does. */
function sameRoot(tree: MerkleTree, row: Uint8Array): boolean {
  return equalBytes(readTree(row).root(), tree.root());
}

/** The tree of a row, to begin with where nothing before is at hand. */
export function readTree(row: Uint8Array): MerkleTree {
  try {
    return MerkleTree.deserialise(row);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadTree')) throw thrown;
    throw new FaultError('TreeRow', thrown.message);
  }
}

/** Checks the signatures of one entry; remembers what was parsed for the next. */
export class SignatureChecks {
  private readonly network: Network;
  private readonly verifier: Verifier;
  /** Certificate texts that were found to hold their node's key. */
  private readonly knownTexts = new Map<string, { text: string; key: Uint8Array }>();
  private serviceKey:
    | { key: Uint8Array; hash: HashName; algorithm: string; id: Uint8Array }
    | undefined;

  constructor(network: Network, verifier: Verifier) {
    this.network = network;
    this.verifier = verifier;
  }

  check(entry: ParsedEntry, signature: ReadSignature, tree: MerkleTree, defer: Defer): void {
    const children = tree.rootChildren();
    rule(children !== undefined, 'NoSignature', () => 'a signature cannot come first');
    // The tree's memory moves on while signatures are verified.
    const message = concatBytes(children.left, children.right);
    const root = tree.root();
    if (signature.raw !== undefined) this.raw(entry, signature.raw, root, message, defer);
    if (signature.cose !== undefined) this.cose(entry, signature.cose, root, defer);
  }

  private raw(
    entry: ParsedEntry,
    raw: NonNullable<ReadSignature['raw']>,
    root: Uint8Array,
    message: Uint8Array,
    defer: Defer,
  ): void {
    rule(raw.view === entry.view && raw.seqno === entry.seqno, 'RawTxId', () => {
      return `it names ${raw.view}.${raw.seqno}`;
    });
    const node = this.network.node(raw.node);
    rule(node !== undefined && node.status !== 'Pending', 'RawNode', () => {
      return `${raw.node} is ${node === undefined ? 'unknown' : node.status}`;
    });
    const { certificate } = node;
    rule(certificate !== undefined, 'RawCertificate', () => `${raw.node} has none`);
    if (raw.cert !== undefined) this.mustHoldKey(raw.node, raw.cert, certificate);
    rule(equalBytes(raw.root, root), 'RawRoot', () => {
      return `it names ${hexOf(raw.root)}, and the root is ${hexOf(root)}`;
    });
    const check = this.verifier.ecdsa({
      publicKeyDer: certificate.publicKeyDer,
      signature: raw.sig,
      encoding: 'der',
      hash: 'SHA-256',
      message,
    });
    defer('RawSignature', outcomeOf(check));
  }

  private mustHoldKey(node: string, text: string, certificate: Certificate): void {
    const known = this.knownTexts.get(node);
    if (known?.text === text && known.key === certificate.publicKeyDer) return;
    let shown: Certificate;
    try {
      shown = certificateOfPem(text);
    } catch (thrown) {
      throw new FaultError('RawCertificate', messageOf(thrown));
    }
    const same = equalBytes(shown.publicKeyDer, certificate.publicKeyDer);
    rule(same, 'RawCertificate', () => 'this one has another key');
    this.knownTexts.set(node, { text, key: certificate.publicKeyDer });
  }

  private cose(entry: ParsedEntry, bytes: Uint8Array, root: Uint8Array, defer: Defer): void {
    const message = readCose(bytes);
    const { service } = this.network;
    rule(service !== undefined, 'CoseService', () => 'there is none yet');
    const { hash } = this.mustBeBy(message, service);
    mustBeAbout(message.protectedHeader, entry);
    rule(message.payload === undefined, 'CosePayload', () => 'this one carries one');
    rule(message.unprotected.size === 0, 'CoseUnprotected', () => 'this one is not');
    const check = this.verifier.ecdsa({
      publicKeyDer: service.publicKeyDer,
      signature: message.signature,
      encoding: 'raw',
      hash,
      message: signatureStructure(message.protectedBytes, root),
    });
    defer('CoseSignature', outcomeOf(check));
  }

  private mustBeBy(message: Sign1, service: Certificate): { readonly hash: HashName } {
    if (this.serviceKey?.key !== service.publicKeyDer) {
      const info = readPublicKey(service.publicKeyDer);
      rule(info.kind === 'ec', 'CoseAlgorithm', () => 'the key is no elliptic curve key');
      const id = utf8(sha256Hex(service.publicKeyDer));
      this.serviceKey = { key: service.publicKeyDer, ...COSE_BY_CURVE[info.curve], id };
    }
    const { algorithm, id, hash } = this.serviceKey;
    const named = algorithmOfId(message.protectedHeader.get(HEADER_ALGORITHM));
    rule(
      named === algorithm,
      'CoseAlgorithm',
      () => `it says ${named}, the key is for ${algorithm}`,
    );
    const kid = message.protectedHeader.get(HEADER_KEY_ID);
    const same = kid instanceof Uint8Array && equalBytes(kid, id);
    rule(same, 'CoseKeyId', () => 'this one names another');
    return { hash };
  }
}

function readCose(bytes: Uint8Array): Sign1 {
  try {
    return decodeSign1(bytes);
  } catch (thrown) {
    throw new FaultError('CoseForm', messageOf(thrown));
  }
}

function mustBeAbout(header: CoseHeader, entry: ParsedEntry): void {
  const structure = header.get(HEADER_VERIFIABLE_DATA_STRUCTURE);
  rule(structure === VDS_CCF_LEDGER_SHA256, 'CoseStructure', () => `it says ${structure}`);
  const claims = innerMap(header, HEADER_CWT_CLAIMS);
  const told =
    typeof claims?.get(6) === 'number' &&
    typeof claims.get(1) === 'string' &&
    typeof claims.get(2) === 'string';
  rule(told, 'CoseClaims', () => 'this one does not');
  const txId = innerMap(header, HEADER_CCF)?.get('txid');
  const own = `${entry.view}.${entry.seqno}`;
  rule(txId === own, 'CoseTxId', () => `it names ${String(txId)} in transaction ${own}`);
}

async function outcomeOf(check: Promise<boolean>): Promise<string | undefined> {
  try {
    return (await check) ? undefined : 'this one does not';
  } catch (thrown) {
    if (isCoded(thrown, 'BadKey')) return thrown.message;
    throw thrown;
  }
}

/**
 * Commit evidence: a text that is disclosed only once its transaction is committed, so that a
 * receipt proves commitment and not just presence in somebody's log (ledger-format.md §7).
 *
 * CCF means to hash the label "Commit Secret Label" but hashes as many of its bytes as a pointer
 * has; the eight that count are "Commit S".
 */
import { invariant } from '../base/assert.ts';
import { hmacSha256, sha256Hex, sha256Into, sha256Text } from '../crypto/hash.ts';

const LABEL = Buffer.from('Commit S', 'latin1');
const BLOCK_BYTES = 64;
const DIGEST_BYTES = 32;
/** `<view>.<seqno>` has at most 10 + 1 + 16 digits. */
const TX_ID_BYTES_MAX = 27;

/** HMAC-SHA256 of the label under the ledger secret. */
export function commitSecretOf(ledgerSecret: Uint8Array): Buffer {
  return hmacSha256(ledgerSecret, LABEL);
}

/**
 * Makes the evidence of transactions under one ledger secret. HMAC's two padded keys are laid out
 * once; each nonce is then two one-shot hashes (1 µs where `createHmac` takes 4.5).
 */
export class EvidenceMaker {
  private readonly inner = Buffer.alloc(BLOCK_BYTES + TX_ID_BYTES_MAX);
  private readonly innerBySize: Buffer[] = [];
  private readonly outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES);

  constructor(ledgerSecret: Uint8Array) {
    const commitSecret = commitSecretOf(ledgerSecret);
    for (let i = 0; i < BLOCK_BYTES; i += 1) {
      const byte = commitSecret[i] ?? 0;
      this.inner[i] = byte ^ 0x36;
      this.outer[i] = byte ^ 0x5c;
    }
    for (let size = 0; size <= TX_ID_BYTES_MAX; size += 1) {
      this.innerBySize.push(this.inner.subarray(0, BLOCK_BYTES + size));
    }
  }

  /** The evidence text of a transaction. */
  textOf(view: number, seqno: number): string {
    const txId = `${view}.${seqno}`;
    const inner = this.innerBySize[txId.length];
    invariant(inner !== undefined, `${txId} is a TxID`);
    this.inner.write(txId, BLOCK_BYTES, 'latin1');
    sha256Into(inner, this.outer, BLOCK_BYTES);
    return `ce:${txId}:${sha256Hex(this.outer)}`;
  }

  /** SHA-256 of the evidence text of a transaction. */
  digestOf(view: number, seqno: number): Buffer {
    return evidenceDigestOf(this.textOf(view, seqno));
  }
}

/** SHA-256 of an evidence text. */
export function evidenceDigestOf(evidence: string): Buffer {
  return sha256Text(evidence);
}

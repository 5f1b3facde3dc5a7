// The deterministic byte vectors of the ledger format, copied into test/vectors/ledger.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

const FOLDER = resolve(import.meta.dirname, '../vectors/ledger');

export type ProofStepJson = { readonly left: string } | { readonly right: string };

export interface LedgerVectors {
  readonly ledger_secret: string;
  readonly commit_secret: string;
  readonly 'evidence_2.7': string;
  readonly 'ce_digest_2.7': string;
  readonly 'entry_pub_and_private_2.7': string;
  readonly 'write_set_digest_2.7': string;
  readonly 'leaf_2.7': string;
  readonly 'entry_public_only_2.7': string;
  readonly tree_roots: Readonly<Record<string, string>>;
  readonly tree_serialised_13_leaves_flushed_11: string;
  readonly proof_leaf5_of_11: readonly ProofStepJson[];
  readonly proof_leaf10_of_11: readonly ProofStepJson[];
  readonly snapshot_entry_seqno8: string;
  readonly snapshot_digest: string;
  readonly shamir: {
    readonly share_0: string;
    readonly share_1: string;
    readonly share_2: string;
    readonly wrapping_key: string;
  };
  readonly wrapped_latest_ledger_secret: string;
}

export const VECTORS = JSON.parse(
  readFileSync(resolve(FOLDER, 'vectors.json'), 'utf8'),
) as LedgerVectors;

/** The folder of the 12-transaction reference ledger, its snapshots, receipts and secrets. */
export const REFERENCE = resolve(FOLDER, 'reference');

export interface ReferenceSecrets {
  readonly ledger_secret: string;
  readonly service_certificate: string;
  readonly node_certificate: string;
  readonly node_id: string;
}

export const REFERENCE_SECRETS = JSON.parse(
  readFileSync(resolve(REFERENCE, 'secrets.json'), 'utf8'),
) as ReferenceSecrets;

export function fromHex(text: string): Buffer {
  return Buffer.from(text, 'hex');
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** A table's part of a write set, from text. */
export function mapOf(
  name: string,
  rows: Readonly<Record<string, string>>,
  removes: readonly string[] = [],
): { name: string; writes: Map<string, Uint8Array>; removes: Set<string> } {
  const writes = new Map(
    Object.entries(rows).map(([key, value]) => [key, Buffer.from(value)] as const),
  );
  return { name, writes, removes: new Set(removes) };
}

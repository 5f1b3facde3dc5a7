/**
 * What can be wrong with a ledger: a code, a place and a sentence. The codes are stable; each names
 * one rule, and the rule is stated here.
 */

/** Every rule of an audit, by the code of its violation. */
export const RULES = {
  // The folder (ledger-format.md §1).
  FolderEmpty: 'a ledger folder holds at least one chunk file that may be read',
  StrayFile: 'a ledger folder holds chunk files and nothing else',
  ChunkOverlap: 'no two chunk files hold the same seqno',
  ChunkGap: 'each chunk file begins where the one before ends',
  ChunkOpenInside: 'only the last chunk file may be open-ended',
  LedgerStart: 'a ledger begins at seqno 1',
  // A chunk's layout (§2).
  ChunkHeader: "a chunk's first word is 0 or the offset of its table",
  ChunkIncomplete: 'a chunk whose name has an end is complete',
  ChunkTable: "a chunk's table holds the offset of each of its entries",
  ChunkCount: 'a chunk holds as many entries as its name says',
  ChunkTorn: 'the entries of a complete chunk fill it to its table',
  ChunkEnd: 'a complete chunk ends with a signature',
  // An entry's framing (§3, §5).
  EntryVersion: 'the version of an entry is 1',
  EntryFlags: 'only the flags 1 and 2 are known',
  EntrySize: "an entry's size lies between 36 bytes and 1 GiB",
  EntrySeqno: "entries follow each other without a gap, and an entry's nonce holds its seqno",
  EntryView: 'views begin at 2 and never go back',
  EntrySnapshot: 'a ledger holds no snapshot entries',
  EntryPublicLength: "an entry's public domain lies within it",
  EntryType: 'an entry is a write set with commit evidence and claims',
  EntryPublicSeqno: "an entry's public domain repeats its seqno",
  EntryConflictVersion: "an entry's max_conflict_version is 0",
  EntryEmpty: 'an entry writes something',
  FlagAfterInside: 'an entry with flag 1 ends its chunk',
  FlagAfterUnsigned: 'an entry with flag 1 is a signature',
  FlagBeforeInside: 'an entry with flag 2 begins its chunk',
  // Write sets (§4, §5.1).
  WriteSet: 'the public domain holds well-formed tables',
  MapOrder: 'tables come in byte order of their names',
  KeyOrder: 'rows come in byte order of their keys, writes and removes each',
  MapDomain: 'public tables, and no others, lie in the public domain',
  MapReserved: 'names that begin with ccf. are internal or governance tables',
  // Signature transactions (§6).
  SignatureTables: 'a signature transaction writes signature tables and nothing else',
  SignatureRow: 'a signature table has one row of its form',
  SignatureClaims: 'a signature transaction makes no claims',
  SignaturePrivate: 'a signature transaction has no private domain',
  TreeMissing: 'a signature transaction holds the tree',
  TreeRow: "a signature's tree is the tree over all entries before it",
  RawTxId: 'a raw signature names its own transaction',
  RawRoot: 'a raw signature is over the root of all entries before it',
  RawNode: 'a raw signature is by a node of the network that is not pending',
  RawCertificate: "a raw signature's certificate is the one endorsed for its node",
  RawSignature: "a raw signature verifies under its node's key",
  CoseForm: 'a COSE signature is a tagged COSE_Sign1 in strict CBOR',
  CosePayload: 'a COSE signature leaves its payload, the root, out',
  CoseUnprotected: "a COSE signature's unprotected header is empty",
  CoseAlgorithm: "a COSE signature's algorithm goes with the service's key",
  CoseKeyId: "a COSE signature names the service's key",
  CoseStructure: 'a COSE signature says that it is over a CCF ledger',
  CoseClaims: 'a COSE signature says when it was made, by whom and about what',
  CoseTxId: 'a COSE signature names its own transaction',
  CoseService: 'a COSE signature follows a row that names the service',
  CoseSignature: "a COSE signature verifies under the service's key over the running root",
  NoSignature: 'a ledger holds at least one signature',
  // Nodes (governance.md §1).
  NodeRow: "a node's row is JSON, under a node id",
  NodeStatus: "a node's status is Pending, Trusted or Retired",
  NodeTransition: 'a retired node does not come back',
  NodeUnknown: 'only a node that is known is removed',
  NodeCertificate: "a node's endorsed certificate can be read",
  NodeCertificateTwice: 'a node has a certificate of its own or an endorsed one, not both',
  NodeCertificateKey: "a node's id is the digest of its certificate's key",
  NodeEndorsement: "a node's certificate is endorsed by the service",
  // The service (§12, §15.4).
  ServiceRow: "the service's row is JSON, under eight zero bytes",
  ServiceStatus: "a service's status is one of four",
  ServiceTransition: "a service's status changes only as the format allows",
  ServiceCertificate: "the service's certificate can be read and is signed by itself",
  ServiceKey: "a service's key changes only when it is recovered",
  ServiceTrust: 'the ledger is of the service whose certificate is trusted',
  PreviousIdentity: 'a recovered service names the certificate of the one before it',
  PreviousRoot: 'a recovered service names the root that was signed last',
  IdentityRow: 'an identity endorsement has its form',
  IdentityKey: "an identity endorsement is by the service's own key",
  IdentityPayload: 'an identity endorsement is of the key before it, or of itself at first',
  IdentityEpoch: "an identity endorsement's row and signed header tell the same epoch",
  IdentityPrevious: 'an identity endorsement names the seqno of the one before it',
  IdentitySignature: 'an identity endorsement verifies',
  SecretRow: 'a row about ledger secrets has its form',
  SecretChain: 'each former ledger secret is the one that applied before',
  SnapshotEvidence: "a snapshot's evidence claims the digest it writes, of an earlier seqno",
  // With the ledger secrets (§3.2, §7).
  SecretMissing: 'there is a secret for each entry that is to be opened',
  CommitEvidence: 'commit evidence is derived from the ledger secret',
  Seal: "an entry's seal opens under the ledger secret",
  PrivateWriteSet: 'the private domain holds well-formed tables',
  PrivateMapOrder: 'private tables come in byte order of their names',
  PrivateKeyOrder: 'rows of private tables come in byte order of their keys',
  PrivateMapDomain: 'public tables have no rows in the private domain',
  // Snapshots (§10).
  SnapshotName: 'a snapshot is named after its seqno and that of its evidence',
  SnapshotEntry: 'a snapshot is one well-formed snapshot entry',
  SnapshotContent: "a snapshot's fields and rows are well-formed",
  SnapshotReceipt: 'a snapshot is followed by a receipt that verifies',
  SnapshotClaims: "a snapshot's receipt vouches for the snapshot's own digest",
  SnapshotEvidenceRow: "the ledger's evidence for a snapshot is its digest",
} as const;

export type Reason = keyof typeof RULES;

/** Where something is wrong. */
export interface Place {
  readonly file?: string;
  /** Byte offset in the file. */
  readonly offset?: number;
  readonly seqno?: number;
  readonly view?: number;
}

/** What is wrong, and where. */
export interface Fault extends Place {
  readonly reason: Reason;
  readonly message: string;
}

/** Thrown by a check; whoever knows the place adds it. */
export class FaultError extends Error {
  override readonly name = 'FaultError';
  readonly reason: Reason;
  readonly offset: number | undefined;

  constructor(reason: Reason, detail: string, offset?: number) {
    super(`${RULES[reason]}; ${detail}`);
    this.reason = reason;
    this.offset = offset;
  }

  at(place: Place): Fault {
    const { file, seqno, view } = place;
    const offset = this.offset ?? place.offset;
    // What is wrong with a chunk is not the fault of the entry that comes next in it.
    const inEntry = !this.reason.startsWith('Chunk');
    return {
      reason: this.reason,
      message: this.message,
      ...(file === undefined ? {} : { file }),
      ...(offset === undefined ? {} : { offset }),
      ...(seqno === undefined || !inEntry ? {} : { seqno }),
      ...(view === undefined || !inEntry ? {} : { view }),
    };
  }
}

/** Throws a fault unless `holds`. */
export function rule(holds: boolean, reason: Reason, detail: () => string): asserts holds {
  if (!holds) throw new FaultError(reason, detail());
}

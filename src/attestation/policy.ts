/**
 * What somebody is willing to trust. A list that is absent is not judged, and the verdict says so;
 * a list that is there and empty accepts nothing. Checks that every policy shares (chain to AMD,
 * signature, certificate against report, debug and migration off, well-formed, valid in time) need
 * no word here and cannot be turned off.
 */
import type { PlatformName } from './evidence.ts';

/** Security version numbers of a TCB (attestation-snp.md §2); `fmc` on Turin only. */
export interface TcbVersion {
  readonly fmc?: number;
  readonly bootLoader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

/** Issuer (did:x509) → feed → lowest security version number accepted. */
export type UvmPolicy = Readonly<Record<string, Readonly<Record<string, number>>>>;

export interface SnpPolicy {
  /** Lowest version of the report's format; 3 by default, as in CCF. */
  readonly reportVersionMin?: number;
  /** Launch digests, 96 lowercase hexadecimal digits. */
  readonly measurements?: readonly string[];
  /** Consulted instead of `measurements` when the evidence carries UVM endorsements. */
  readonly uvmEndorsements?: UvmPolicy;
  /** SHA-256 of container policies, 64 lowercase hexadecimal digits. */
  readonly hostData?: readonly string[];
  /** Lowest TCB by CPU: eight hexadecimal digits of family, model, stepping (`00a00f11`). */
  readonly tcbMin?: Readonly<Record<string, TcbVersion>>;
  /** Whether the committed TCB, to which firmware can still fall back, must reach `tcbMin` too. */
  readonly committedTcb?: boolean;
  /** Whose keys may have signed; VCEK by default. */
  readonly signingKeys?: readonly ('VCEK' | 'VLEK')[];
  /** Privilege levels; 0 by default. */
  readonly vmpl?: readonly number[];
  /** What to do without a revocation list for the chain: `if-given` (default) or `required`. */
  readonly revocation?: 'if-given' | 'required';
}

export interface AzureCvmPolicy {
  /** The report is the paravisor's: measurements name Microsoft's firmware. */
  readonly report: Omit<SnpPolicy, 'hostData'>;
  /** PCR index → values accepted, SHA-256 bank, 64 lowercase hexadecimal digits. */
  readonly pcrs?: Readonly<Record<number, readonly string[]>>;
  /** Demands on `vm-configuration`. */
  readonly secureBoot?: boolean;
}

export interface VirtualPolicy {
  readonly measurements?: readonly string[];
  readonly hostData?: readonly string[];
}

export interface EvidencePolicy {
  /** Evidence of a platform without an entry is refused. */
  readonly platforms: {
    readonly snp?: SnpPolicy;
    readonly 'azure-cvm'?: AzureCvmPolicy;
    readonly virtual?: VirtualPolicy;
  } & Readonly<Partial<Record<PlatformName, unknown>>>;
  /** What the evidence must be bound to: the first 32 bytes of its report data. */
  readonly binding?: Uint8Array;
}

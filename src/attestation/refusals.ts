/**
 * Every reason for which evidence is refused, in one place: the code that programs act on, what
 * kind of failure it is, and the sentence that people read, to which a check may add what it found.
 * Codes never change their meaning; a test compares the tables with the judges.
 */
import type { RefusalKind } from './verdict.ts';

interface Reason {
  readonly kind: RefusalKind;
  readonly message: string;
}

const malformed = (message: string): Reason => ({ kind: 'malformed', message });
const unproven = (message: string): Reason => ({ kind: 'unproven', message });
const time = (message: string): Reason => ({ kind: 'time', message });
const platform = (message: string): Reason => ({ kind: 'platform', message });
const policy = (message: string): Reason => ({ kind: 'policy', message });
const binding = (message: string): Reason => ({ kind: 'binding', message });

/** Of reports, their chains and what every policy asks. */
export const REFUSALS = {
  // The envelope.
  EvidenceUnreadable: malformed('this is not evidence as nodes show it'),
  QuoteNotBase64: malformed('the quote is not base64'),
  EndorsementsNotBase64: malformed('the endorsements are not base64 of text'),
  UvmNotBase64: malformed("the utility VM's endorsements are not base64"),
  PlatformNotAccepted: policy(
    'the policy has no entry for the platform that this evidence is of',
  ),

  // The report by itself (attestation-snp.md §1).
  ReportLength: malformed('a report has 1184 bytes and nothing behind them'),
  ReportVersionUnknown: malformed(
    'reports of versions 2, 3 and 5 are known; this one cannot be read',
  ),
  SignatureAlgorithmUnknown: malformed(
    'a report is signed by ECDSA P-384 with SHA-384; this one says otherwise',
  ),
  PolicyReservedBit: malformed("bit 17 of the guest's policy must be 1"),
  PolicyUnknownBits: malformed("the guest's policy has bits that are not known"),
  PlatformInfoUnknownBits: malformed('the platform information has bits that are not known'),
  ReservedField: malformed('a reserved field of the report is not zero'),
  SigningKeyUnknown: malformed('the report names a kind of signing key that is not known'),
  SignaturePadding: malformed("the report's signature is not two numbers of 384 bits"),
  SignatureZero: malformed("the report's signature has a zero, which no signature has"),
  ProcessorUnknown: malformed(
    'the report is of a processor that is not known: Milan, Genoa and Turin are',
  ),
  TcbReserved: malformed(
    "a reserved byte of a TCB is not zero, or the TCB is of another processor's form",
  ),
  EndorsedTcbUnreadable: malformed('the endorsed TCB is not sixteen hexadecimal digits'),

  // The chain (§3).
  EndorsementsUnreadable: malformed('the endorsements are not certificates in PEM'),
  EndorsementCount: malformed('endorsements are three certificates: leaf, intermediate, root'),
  CertificateUnreadable: malformed('a certificate of the chain cannot be read'),
  LeafExtensionUnreadable: malformed(
    "an extension of the chip's certificate is missing or cannot be read",
  ),
  ChainOrder: unproven('the certificates are not leaf, intermediate and root in this order'),
  ChainNames: unproven(
    "the certificates' names are not AMD's for one kind of key and one product",
  ),
  RootNotPinned: unproven("the chain does not end at a root of AMD's that is known here"),
  RootOfOtherProduct: unproven(
    'the root is one of AMD, but for another product than the report is of',
  ),
  CertificateAlgorithm: unproven(
    'a certificate is not signed by RSASSA-PSS with SHA-384 and a salt of 48 bytes',
  ),
  RootSignature: unproven('the root is not signed by its own key'),
  IntermediateSignature: unproven('the intermediate certificate is not signed by the root'),
  LeafSignature: unproven("the chip's certificate is not signed by the intermediate"),
  CertificateRole: unproven('a certificate is used for what it does not allow'),
  CriticalExtension: unproven('a certificate has a critical extension that is not known here'),
  LeafKey: unproven("the chip's key is not an elliptic curve key on P-384"),
  LeafExpired: time("the chip's certificate had expired at the time of judgement"),
  LeafNotYetValid: time("the chip's certificate was not yet valid at the time of judgement"),
  IntermediateExpired: time(
    'the intermediate certificate had expired at the time of judgement',
  ),
  IntermediateNotYetValid: time(
    'the intermediate certificate was not yet valid at the time of judgement',
  ),
  RootExpired: time('the root had expired at the time of judgement'),
  RootNotYetValid: time('the root was not yet valid at the time of judgement'),

  // Revocation (§4).
  RevocationListUnreadable: malformed('a revocation list cannot be read'),
  RevocationListUnsigned: unproven('a revocation list is not signed by the root it names'),
  RevocationListMissing: unproven(
    'the policy requires a revocation list for the chain, and none was given',
  ),
  IntermediateRevoked: unproven('AMD has revoked the intermediate certificate'),
  RevocationListExpired: time(
    'the revocation list had expired at the time of judgement; fetch a current one',
  ),
  RevocationListNotYetValid: time('the revocation list is later than the time of judgement'),

  // The report by its chain.
  ReportSignature: unproven("the report is not signed by the chip's key"),
  SigningKeyNone: unproven('the report says that no key signed it'),
  SigningKeyMismatch: unproven(
    "the report names another kind of key than its chip's certificate is for",
  ),
  ProductNameMismatch: unproven(
    "the chip's certificate is for another product than the report is of",
  ),
  TcbMismatch: unproven("the chip's certificate is for another TCB than the report says"),
  ChipIdMismatch: unproven("the chip's certificate is for another chip than the report says"),
  ChipIdMissing: unproven(
    'the report names no chip, so a certificate for a chip proves nothing',
  ),

  // The platform.
  ChipKeyMasked: platform('the host masks the key of the chip'),
  HostReport: platform('the report was made by the host, not by a guest'),
  DebugAllowed: platform('the guest allows debugging: the host reads its memory'),
  MigrationAllowed: platform('the guest allows migration agents, who can read its memory'),
  TcbBelowMinimum: platform(
    'the firmware that the report vouches for is older than the policy accepts',
  ),
  CommittedTcbBelowMinimum: platform(
    'the firmware can be rolled back below what the policy accepts',
  ),

  // The policy.
  ReportVersionLow: policy("the report's version is lower than the policy accepts"),
  SigningKeyNotAccepted: policy(
    'the policy does not accept the kind of key that signed the report',
  ),
  VmplNotAccepted: policy(
    'the policy does not accept the privilege level that asked for the report',
  ),
  ProcessorNotAccepted: policy('the policy has a lowest TCB for other processors only'),
  MeasurementNotAccepted: policy('the policy does not accept what was launched'),
  HostDataNotAccepted: policy(
    "the policy does not accept the host data, the container policy's digest",
  ),

  // Endorsements of the utility VM (§5).
  UvmUnreadable: malformed(
    "the utility VM's endorsements are not a signed COSE message as expected",
  ),
  UvmPayload: malformed("the utility VM's endorsements do not say measurement and version"),
  UvmAlgorithm: unproven(
    "the utility VM's endorsements are signed by an unknown algorithm, or one not of their key",
  ),
  UvmThumbprint: unproven(
    "the utility VM's endorsements name another certificate than they carry",
  ),
  UvmChain: unproven(
    "the certificates with the utility VM's endorsements do not vouch for one another",
  ),
  UvmIssuer: unproven(
    "the certificates with the utility VM's endorsements are not those their issuer is named by",
  ),
  UvmSignature: unproven("the utility VM's endorsements are not signed by the key they carry"),
  UvmSigningTime: time(
    "the utility VM's endorsements were signed when their certificates were not valid",
  ),
  UvmMissing: policy(
    'the policy asks for endorsements of the utility VM, and the evidence has none',
  ),
  UvmIssuerNotAccepted: policy(
    "the policy does not accept the issuer of the utility VM's endorsements",
  ),
  UvmFeedNotAccepted: policy(
    "the policy does not accept the feed of the utility VM's endorsements",
  ),
  UvmVersionLow: policy('the version of the utility VM is lower than the policy accepts'),
  UvmMeasurementMismatch: binding(
    "the utility VM's endorsements are for another measurement than the report's",
  ),

  // What the evidence is about.
  ReportDataMismatch: binding('the report is bound to something else than it came with'),
  ReportDataTail: binding('the report data have more in them than what they must be bound to'),
  EndorsedTcbMismatch: binding(
    'the report is of another TCB than its endorsements were fetched for',
  ),
} as const satisfies Readonly<Record<string, Reason>>;

/** Of confidential VMs on Azure (`azure-cvm.ts`), beside those of their reports. */
export const AZURE_CVM_REFUSALS = {
  BadEvidence: malformed('this is not evidence of the platform that it says'),
  BadHclReport: malformed("the paravisor's report cannot be read"),
  BadTpmQuote: malformed("the vTPM's quote, its signature or its registers cannot be read"),
  RuntimeDataUnbound: unproven("the hardware's report is not about these runtime data"),
  QuoteSignatureBad: unproven("the quote is not signed by the key of the paravisor's report"),
  PcrDigestMismatch: unproven('the registers are not the ones that the vTPM signed'),
  PcrNotQuoted: policy('the policy asks for a register that the vTPM did not quote'),
  PcrNotAccepted: policy('a register has a value that the policy does not accept'),
  SecureBootNotAsAsked: policy('secure boot is not as the policy asks'),
  QuoteUnbound: binding('the quote is about another key than the one it came with'),
} as const satisfies Readonly<Record<string, Reason>>;

/** Of tokens of Microsoft Azure Attestation (`maa-token.ts`, `maa-claims.ts`). */
export const TOKEN_REFUSALS = {
  BadToken: malformed('this is not an attestation token'),
  TokenTimesMissing: malformed('the token does not say when it holds'),
  TokenAlgorithm: unproven("the token's algorithm is not RS256"),
  TokenCritical: unproven('the token demands extensions that are not known here'),
  TokenIssuer: unproven('the issuer is none that the policy trusts'),
  IssuerKeysMissing: unproven('the keys of the issuer are not at hand'),
  TokenKeyUnknown: unproven('the issuer has not exactly one key of that name'),
  TokenSignatureBad: unproven("the token is not signed by the issuer's key"),
  SignerNotIssuer: unproven("the signing certificate is not the issuer's"),
  SignerCertificateTime: time('the signing certificate is not valid at the time of judgement'),
  TokenExpired: time('the token has expired'),
  TokenNotYetValid: time('the token does not hold yet'),
  TokenFromFuture: time('the token was issued in the future'),
  AttestationType: platform('the token is of another platform'),
  TokenDebuggable: platform('the host may debug the guest, or the token does not deny it'),
  TokenMigration: platform('the guest may be migrated, or the token does not deny it'),
  TokenTcb: platform('the TCB is below the minimum, or not in the token'),
  CommittedTcbNotInToken: platform('the committed TCB is asked for, and no token carries it'),
  ComplianceStatus: policy('the service does not call the platform compliant'),
  MaaPolicyHash: policy('the service judged by another policy of its own'),
  TokenMeasurement: policy('the launch measurement is none that is accepted'),
  EndorsementsNotInToken: policy('the policy goes by endorsements, which no token carries'),
  TokenVmpl: policy('the report was made at another privilege level'),
  TokenHostData: policy('the container policy is none that is accepted'),
  TokenSecureBoot: policy('secure boot is not as the policy asks'),
  TokenPcrs: policy('the service did not look at each register that the policy asks for'),
  TokenReportData: binding('the report is about other runtime data'),
  TokenNonce: binding('the token repeats another nonce: it is an old one'),
  TokenWrappingKey: binding('others would encrypt to another key'),
} as const satisfies Readonly<Record<string, Reason>>;

export type RefusalCode = keyof typeof REFUSALS;

/** What a check says that fails for this reason; `detail` names what was found. */
export function refusal(
  code: RefusalCode,
  detail?: string,
): { readonly code: RefusalCode; readonly kind: RefusalKind; readonly message: string } {
  const { kind, message } = REFUSALS[code];
  return { code, kind, message: detail === undefined ? message : `${message}: ${detail}` };
}

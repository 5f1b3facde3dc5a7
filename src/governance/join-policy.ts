/**
 * Who may join: evidence judged by the policy in the ledger (node-lifecycle.md §4.4, governance.md
 * §1).
 *
 * Judging takes time, and only a transaction sees the newest tables. So the policy is read first,
 * the evidence is judged by it, and the transaction that lets the node in reads the policy again:
 * the verdict stands if it is still the same (`samePolicy`).
 */
import type { Evidence } from '../attestation/evidence.ts';
import type {
  EvidencePolicy,
  SnpPolicy,
  TcbVersion,
  UvmPolicy,
} from '../attestation/policy.ts';
import type { Check, Verdict } from '../attestation/verdict.ts';
import { hexOf, textOf, utf8 } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { sha256 } from '../crypto/hash.ts';
import type { ReadView, Row } from '../kv/tables.ts';
import {
  AZURE_CVM_MEASUREMENTS,
  AZURE_CVM_PCRS,
  SNP_HOST_DATA,
  SNP_MEASUREMENTS,
  SNP_TCB_VERSIONS,
  SNP_UVM_ENDORSEMENTS,
  VIRTUAL_HOST_DATA,
  VIRTUAL_MEASUREMENTS,
} from './tables.ts';
import { type TcbRow, tcbOfRow } from './tcb-rows.ts';

/** Judges evidence; a node's own judge knows the time, AMD's roots and its revocation lists. */
export type JoinJudge = (evidence: Evidence, policy: EvidencePolicy) => Promise<Verdict>;

/** In the order of the contract: the first one that is found is told. */
const FAULTS = {
  QuoteUnverifiable: 'Quote could not be verified',
  ReportDataMismatch: "Quote report data does not contain node's public key hash",
  UnknownMeasurement: 'Quote does not contain known enclave measurement',
  UntrustedUvmEndorsements: 'UVM endorsements are not authorised',
  UntrustedHostData: 'Quote host data is not authorised',
  UnknownProcessor: 'No minimum TCB version is known for the processor of the quote',
  OldTcbVersion: 'TCB version of the quote is below the minimum',
} as const;

export type JoinFault = keyof typeof FAULTS;

export type JoinVerdict = AdmittedJoin | RefusedJoin;

export interface AdmittedJoin {
  readonly admitted: true;
  /** `code_digest` of the node's row: the measurement in hexadecimal. */
  readonly codeDigest: string;
}

export interface RefusedJoin {
  readonly admitted: false;
  readonly fault: JoinFault;
  /** The code of the check that failed. */
  readonly reason: string;
  readonly message: string;
}

/** What a node with this key (SPKI, DER) must show: a platform without a row admits nobody. */
export function joinPolicy(view: ReadView, publicKeyDer: Uint8Array): EvidencePolicy {
  const virtual = {
    measurements: keysOf(view, VIRTUAL_MEASUREMENTS),
    hostData: keysOf(view, VIRTUAL_HOST_DATA),
  };
  const measurements = keysOf(view, SNP_MEASUREMENTS);
  const hostData = keysOf(view, SNP_HOST_DATA);
  const uvmEndorsements = uvmPolicyOf(view);
  const tcbMin = tcbMinOf(view);
  const cvmMeasurements = keysOf(view, AZURE_CVM_MEASUREMENTS);
  const pcrs = pcrsOf(view);
  const hasVirtual = virtual.measurements.length + virtual.hostData.length > 0;
  const hasUvm = Object.keys(uvmEndorsements).length > 0;
  const hasSnp = measurements.length + hostData.length > 0 || hasUvm;
  const hasCvm = cvmMeasurements.length + Object.keys(pcrs).length > 0;
  const snp: SnpPolicy = { measurements, hostData, uvmEndorsements, tcbMin };
  const cvm = { report: { measurements: cvmMeasurements, tcbMin }, pcrs };
  return {
    binding: sha256(publicKeyDer),
    platforms: {
      ...(hasVirtual ? { virtual } : {}),
      ...(hasSnp ? { snp } : {}),
      ...(hasCvm ? { 'azure-cvm': cvm } : {}),
    },
  };
}

/** Whether two policies ask the same. */
export function samePolicy(left: EvidencePolicy, right: EvidencePolicy): boolean {
  return JSON.stringify(shown(left)) === JSON.stringify(shown(right));
}

function shown({ platforms, binding }: EvidencePolicy): unknown {
  return { platforms, binding: binding === undefined ? null : hexOf(binding) };
}

/** What follows from a verdict for whoever asks to join. */
export function joinVerdict({ accepted, checks, claims, refusal }: Verdict): JoinVerdict {
  if (accepted && claims !== undefined) {
    const { platform, measurement } = claims;
    const codeDigest = platform === 'virtual' ? hexOf(utf8(measurement)) : measurement;
    return { admitted: true, codeDigest };
  }
  const failed = checks.filter(({ outcome }) => outcome === 'failed');
  for (const fault of Object.keys(FAULTS) as readonly JoinFault[]) {
    const check = failed.find((each) => faultOf(each) === fault);
    if (check === undefined) continue;
    const { code: reason = 'Refused', message, values } = check;
    const found = Object.entries(values).map(([name, value]) => `${name}: ${value}`);
    const detail = found.length === 0 ? '' : ` (${found.join('; ')})`;
    const whole = `${FAULTS[fault]}: ${reason}: ${message}${detail}`.slice(
      0,
      MESSAGE_CHARS_MAX,
    );
    return { admitted: false, fault, reason, message: whole };
  }
  const { code = 'Refused', message = 'nothing was judged' } = refusal ?? {};
  const fault = 'QuoteUnverifiable';
  const whole = `${FAULTS[fault]}: ${code}: ${message}`;
  return { admitted: false, fault, reason: code, message: whole };
}

/** What a policy accepts may be long. */
const MESSAGE_CHARS_MAX = 1_000;

/** Codes that are told by another name than that of their kind. */
const BY_CODE: Readonly<Record<string, JoinFault>> = {
  HostDataNotAccepted: 'UntrustedHostData',
  ProcessorNotAccepted: 'UnknownProcessor',
  TcbBelowMinimum: 'OldTcbVersion',
  CommittedTcbBelowMinimum: 'OldTcbVersion',
  UvmMissing: 'UntrustedUvmEndorsements',
  UvmIssuerNotAccepted: 'UntrustedUvmEndorsements',
  UvmFeedNotAccepted: 'UntrustedUvmEndorsements',
  UvmVersionLow: 'UntrustedUvmEndorsements',
  UvmMeasurementMismatch: 'UntrustedUvmEndorsements',
  // Of what nobody asks the tables.
  EndorsedTcbMismatch: 'QuoteUnverifiable',
  PlatformNotAccepted: 'QuoteUnverifiable',
  ReportVersionLow: 'QuoteUnverifiable',
  SigningKeyNotAccepted: 'QuoteUnverifiable',
  VmplNotAccepted: 'QuoteUnverifiable',
};

function faultOf({ code = '', kind }: Check): JoinFault {
  const known = BY_CODE[code];
  if (known !== undefined) return known;
  if (kind === 'policy') return 'UnknownMeasurement';
  return kind === 'binding' ? 'ReportDataMismatch' : 'QuoteUnverifiable';
}

function keysOf(view: ReadView, table: string): readonly string[] {
  return rowsOf(view, table).map(({ key }) => textOf(key));
}

/** All rows in byte order of their keys: what members put there, so there are few. */
function rowsOf(view: ReadView, name: string): readonly Row[] {
  const table = view.table(name);
  const rows: Row[] = [];
  for (let page: readonly Row[] = table.page(); page.length > 0; ) {
    rows.push(...page);
    const last = page.at(-1);
    page = last === undefined ? [] : table.page({ after: last.key });
  }
  return rows;
}

function uvmPolicyOf(view: ReadView): UvmPolicy {
  const issuers = rowsOf(view, SNP_UVM_ENDORSEMENTS).map(({ key, value }) => {
    const feeds = Object.entries(objectOf(SNP_UVM_ENDORSEMENTS, key, value));
    return [
      textOf(key),
      Object.fromEntries(
        feeds.map(([feed, row]) => {
          const svn: unknown =
            typeof row === 'object' && row !== null ? Reflect.get(row, 'svn') : undefined;
          // CCF writes a text.
          const isNumber = typeof svn === 'string' && /^\d{1,9}$/.test(svn);
          if (!isNumber) throw damaged(SNP_UVM_ENDORSEMENTS, key, 'an svn is no number');
          return [feed, Number(svn)] as const;
        }),
      ),
    ] as const;
  });
  return Object.fromEntries(issuers);
}

function tcbMinOf(view: ReadView): Readonly<Record<string, TcbVersion>> {
  const rows = rowsOf(view, SNP_TCB_VERSIONS).map(({ key, value }) => {
    const row: TcbRow = objectOf(SNP_TCB_VERSIONS, key, value);
    const tcb = tcbOfRow(textOf(key), row);
    if (tcb === undefined) throw damaged(SNP_TCB_VERSIONS, key, 'it is no TCB version');
    return [textOf(key), tcb] as const;
  });
  return Object.fromEntries(rows);
}

function pcrsOf(view: ReadView): Readonly<Record<number, readonly string[]>> {
  const rows = rowsOf(view, AZURE_CVM_PCRS).map(({ key, value }) => {
    const values = jsonOf(AZURE_CVM_PCRS, key, value);
    const isList =
      Array.isArray(values) && values.every((each: unknown) => typeof each === 'string');
    if (!isList) throw damaged(AZURE_CVM_PCRS, key, 'it is no list of values');
    return [textOf(key), values as readonly string[]] as const;
  });
  return Object.fromEntries(rows);
}

type JsonObject = Readonly<Record<string, unknown>>;

function objectOf(table: string, key: Uint8Array, value: Uint8Array): JsonObject {
  const row = jsonOf(table, key, value);
  if (typeof row !== 'object' || row === null) throw damaged(table, key, 'it is no object');
  return row as JsonObject;
}

function jsonOf(table: string, key: Uint8Array, value: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(value));
  } catch (cause) {
    throw damaged(table, key, messageOf(cause));
  }
}

/** A policy that cannot be read admits nobody. */
function damaged(table: string, key: Uint8Array, why: string): CodedError {
  const message = `the join policy cannot be read: ${table}, row ${hexOf(key)}: ${why}`;
  return new CodedError('BadJoinPolicy', message, { table, status: 500 });
}

/**
 * Judges a confidential VM on Azure (attestation-snp.md §6): the hardware vouches for Microsoft's
 * paravisor, the paravisor for its vTPM's key, that key for the registers that measure the guest,
 * and the quote for the node's key. What the hardware measured and what the vTPM measured are two
 * statements by two parties; each has its own policy, and neither stands in for the other.
 */
import { CodedError } from '../base/errors.ts';
import {
  fromBase64,
  join,
  sameBytes,
  toBase64,
  toHex,
  toUtf8,
} from '../base/portable-bytes.ts';
import type { Verifier } from '../crypto/verifier.ts';
import { CheckList, verdictOf } from './check-list.ts';
import type { Evidence } from './evidence.ts';
import { type HclReport, readHclReport } from './hcl-report.ts';
import type { Bound, JudgeDependencies, ReportJudgement } from './judging.ts';
import type { AzureCvmPolicy } from './policy.ts';
import { judgeReport } from './snp-verdict.ts';
import {
  quotedValues,
  readPcrs,
  readTpmQuote,
  type TpmQuote,
  tpmSignatureBytes,
} from './tpm-quote.ts';
import { parseJson, shown } from './untrusted-json.ts';
import type { EvidenceClaims, Verdict } from './verdict.ts';

/** What a confidential VM shows, before it is put into evidence. */
export interface AzureCvmQuote {
  readonly hclReport: Uint8Array;
  readonly message: Uint8Array;
  /** Plain, or as TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
  /** Values of the SHA-256 bank by index. */
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

const EVIDENCE_CHARS_MAX = 131_072;

/** The evidence that a VM's parts make; `endorsements` is PEM: VCEK, ASK, ARK. */
export function azureCvmEvidence(parts: AzureCvmQuote, endorsements: string): Evidence {
  const quote = {
    hclReport: toBase64(parts.hclReport),
    tpmQuote: {
      message: toBase64(parts.message),
      signature: toBase64(parts.signature),
      pcrs: Object.fromEntries([...parts.pcrs].map(([index, value]) => [index, toHex(value)])),
    },
  };
  return {
    format: 'Concordat_Azure_CVM_v1',
    quote: toBase64(toUtf8(JSON.stringify(quote))),
    endorsements: toBase64(toUtf8(endorsements)),
  };
}

/** The parts of evidence; throws `BadEvidence`, or `BadTpmQuote` for its registers. */
export function readAzureCvmEvidence(evidence: Evidence): AzureCvmQuote {
  if (evidence.format !== 'Concordat_Azure_CVM_v1')
    throw bad(`its format is ${shown(evidence.format)}`);
  // Evidence may come straight from JSON that nobody has looked at.
  if (typeof evidence.quote !== 'string') throw bad('its quote is not a text');
  if (evidence.quote.length > EVIDENCE_CHARS_MAX) throw bad('its quote is too long');
  const bytes = fromBase64(evidence.quote);
  if (bytes === undefined) throw bad('its quote is not base64');
  const outer = members(parsed(bytes), 'quote');
  const inner = members(outer.tpmQuote, 'tpmQuote');
  return {
    hclReport: bytesOf(outer, 'hclReport'),
    message: bytesOf(inner, 'message'),
    signature: bytesOf(inner, 'signature'),
    pcrs: readPcrs(inner.pcrs),
  };
}

/** Judges evidence of a confidential VM; never throws for what the evidence is like. */
export async function judgeAzureCvm(
  evidence: Evidence,
  policy: Bound<AzureCvmPolicy>,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<Verdict> {
  const { verifier } = dependencies;
  const list = new CheckList();
  const parts = list.read('evidence', 'the evidence is that of a confidential VM', () =>
    readAzureCvmEvidence(evidence),
  );
  if (parts === undefined) return list.verdict(atMs);
  const hcl = list.read('paravisor report', 'the report of the paravisor can be read', () =>
    readHclReport(parts.hclReport),
  );
  const quote = list.read('TPM quote', 'the quote of the vTPM can be read', () =>
    readTpmQuote(parts.message),
  );
  if (hcl === undefined) return list.verdict(atMs);
  const hardware = await judgeHardware(evidence, hcl, policy, dependencies, atMs);
  await checkRuntimeData(list, hcl, hardware, verifier);
  if (quote !== undefined) {
    await checkQuote(list, parts, quote, hcl, verifier);
    checkPcrPolicy(list, policy, parts, quote);
  }
  checkConfiguration(list, policy, hcl);
  if (quote !== undefined) checkBinding(list, quote, policy.binding);
  const checks = [...hardware.checks, ...list.checks];
  return verdictOf(checks, atMs, claimsOf(hardware, hcl, quote, parts));
}

/** The report itself says nothing of the node's key: the quote does, through the vTPM's key. */
async function judgeHardware(
  evidence: Evidence,
  hcl: HclReport,
  policy: AzureCvmPolicy,
  dependencies: JudgeDependencies,
  atMs: number,
): Promise<ReportJudgement> {
  const { endorsements: text } = evidence;
  const endorsements = typeof text === 'string' ? fromBase64(text) : undefined;
  const parts = {
    report: hcl.report,
    // What is not base64 is no certificate either, and is refused as such.
    endorsements: new TextDecoder().decode(endorsements ?? NOTHING),
    ...(evidence.endorsed_tcb === undefined ? {} : { endorsedTcb: evidence.endorsed_tcb }),
  };
  return await judgeReport(parts, policy.report, dependencies, atMs);
}

const NOTHING = new Uint8Array(0);
const REPORT_DATA_BYTES = 64;

async function checkRuntimeData(
  list: CheckList,
  hcl: HclReport,
  hardware: ReportJudgement,
  verifier: Verifier,
): Promise<void> {
  const digest = await verifier.hash(hcl.runtimeDataHash, hcl.runtimeData);
  const expected = padded(digest);
  const reported = hardware.claims?.reportData;
  list.expect(
    'runtime data',
    reported !== undefined && sameBytes(reported, expected),
    `the hardware's report is bound to the data with the vTPM's key (${hcl.runtimeDataHash})`,
    {
      kind: 'unproven',
      code: 'RuntimeDataUnbound',
      message:
        "the hardware's report is not about these runtime data, so nothing vouches for the " +
        "vTPM's key in them",
    },
    { digest: toHex(digest), reportData: reported === undefined ? '' : toHex(reported) },
  );
}

async function checkQuote(
  list: CheckList,
  parts: AzureCvmQuote,
  quote: TpmQuote,
  hcl: HclReport,
  verifier: Verifier,
): Promise<void> {
  const signature = list.read('quote signature form', 'the signature is RSASSA-SHA256', () =>
    tpmSignatureBytes(parts.signature),
  );
  if (signature !== undefined) {
    const good = await verifier.rsaPkcs1({
      publicKeyDer: hcl.attestationKey,
      signature,
      hash: 'SHA-256',
      message: parts.message,
    });
    list.expect('quote signature', good, "the vTPM's attestation key signed the quote", {
      kind: 'unproven',
      code: 'QuoteSignatureBad',
      message: "the quote is not signed by the attestation key of the paravisor's report",
    });
  }
  const values = quotedValues(quote.pcrSelection, parts.pcrs);
  const digest = values === undefined ? undefined : await verifier.hash('SHA-256', values);
  list.expect(
    'register values',
    digest !== undefined && sameBytes(digest, quote.pcrDigest),
    'the values of the registers are the ones quoted',
    {
      kind: 'unproven',
      code: 'PcrDigestMismatch',
      message: 'the values of the registers are not the ones that the vTPM signed',
    },
    {
      quoted: toHex(quote.pcrDigest),
      given: digest === undefined ? 'a quoted register is missing' : toHex(digest),
    },
  );
}

function checkPcrPolicy(
  list: CheckList,
  policy: AzureCvmPolicy,
  parts: AzureCvmQuote,
  quote: TpmQuote,
): void {
  const demands = Object.entries(policy.pcrs ?? {});
  if (demands.length === 0) {
    list.skip(
      'registers',
      "the policy asks nothing of the registers: the guest's code is open",
    );
  }
  for (const [name, accepted] of demands) {
    const index = Number(name);
    const value = quote.pcrSelection.includes(index) ? parts.pcrs.get(index) : undefined;
    const check = `register ${name}`;
    if (value === undefined) {
      list.fail(check, {
        kind: 'policy',
        code: 'PcrNotQuoted',
        message: `the policy asks for register ${name}, which the vTPM did not quote`,
      });
      continue;
    }
    list.expect(
      check,
      accepted.includes(toHex(value)),
      `register ${name} has a value that the policy accepts`,
      {
        kind: 'policy',
        code: 'PcrNotAccepted',
        message: `register ${name} has a value that the policy does not accept`,
      },
      { value: toHex(value), accepted: accepted.join(' ') },
    );
  }
}

function checkConfiguration(list: CheckList, policy: AzureCvmPolicy, hcl: HclReport): void {
  const { secureBoot } = policy;
  if (secureBoot === undefined) {
    list.skip('secure boot', 'the policy asks nothing of secure boot');
    return;
  }
  const found = hcl.vmConfiguration['secure-boot'];
  list.expect(
    'secure boot',
    found === secureBoot,
    `secure boot is ${secureBoot ? 'on' : 'off'}, as the policy asks`,
    {
      kind: 'policy',
      code: 'SecureBootNotAsAsked',
      message: `secure boot is ${shown(found)}; the policy asks for ${secureBoot}`,
    },
    { found: shown(found), asked: String(secureBoot) },
  );
}

function checkBinding(list: CheckList, quote: TpmQuote, binding: Uint8Array | undefined): void {
  if (binding === undefined) {
    list.skip('binding', 'nothing was named that the evidence must be bound to');
    return;
  }
  list.expect(
    'binding',
    sameBytes(quote.extraData, binding),
    'the quote carries what it must be bound to',
    {
      kind: 'binding',
      code: 'QuoteUnbound',
      message: 'the quote is about another key than the one it came with',
    },
    { quoted: toHex(quote.extraData), expected: toHex(binding) },
  );
}

function claimsOf(
  hardware: ReportJudgement,
  hcl: HclReport,
  quote: TpmQuote | undefined,
  parts: AzureCvmQuote,
): EvidenceClaims | undefined {
  const { claims } = hardware;
  if (claims === undefined) return undefined;
  const details: Record<string, string> = {
    ...claims.details,
    hardwareReportData: toHex(claims.reportData),
    hclVersion: String(hcl.version),
    attestationKey: toBase64(hcl.attestationKey),
  };
  for (const [name, setting] of Object.entries(hcl.vmConfiguration)) {
    details[`vm-configuration.${name}`] = String(setting);
  }
  if (hcl.userData !== undefined) details.userData = toHex(hcl.userData);
  for (const index of quote?.pcrSelection ?? []) {
    const value = parts.pcrs.get(index);
    if (value !== undefined) details[`pcr${index}`] = toHex(value);
  }
  const reportData = padded(quote?.extraData ?? new Uint8Array(0));
  return { ...claims, platform: 'azure-cvm', reportData, details };
}

/** As the hardware's report data are: a digest, then zeros. */
function padded(bytes: Uint8Array): Uint8Array {
  return join(bytes, new Uint8Array(Math.max(0, REPORT_DATA_BYTES - bytes.length)));
}

type Members = Readonly<Record<string, unknown>>;

function parsed(bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch (cause) {
    throw bad('its quote is not JSON', cause);
  }
}

function members(value: unknown, what: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`its ${what} is not an object`);
  }
  return { ...value };
}

function bytesOf(from: Members, name: string): Uint8Array {
  const text = from[name];
  const bytes = typeof text === 'string' ? fromBase64(text) : undefined;
  if (bytes === undefined) throw bad(`its ${name} is not base64`);
  return bytes;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadEvidence', `not evidence of an Azure VM: ${why}`, {}, { cause });
}

/**
 * Evidence of the `virtual` platform: a statement without proof, for development. Its form is CCF's
 * (node-lifecycle.md §4), and it says INSECURE wherever it shows.
 */
import { CodedError } from '../base/errors.ts';
import { fromBase64, sameBytes, toHex } from '../base/portable-bytes.ts';
import { CheckList } from './check-list.ts';
import type { Evidence } from './evidence.ts';
import type { Bound, JudgeDependencies } from './judging.ts';
import type { VirtualPolicy } from './policy.ts';
import { type RefusalCode, refusal } from './refusals.ts';
import { parseJson, shown } from './untrusted-json.ts';
import type { EvidenceClaims, Verdict } from './verdict.ts';

/** What stands in the place of a measurement. */
export const VIRTUAL_MEASUREMENT = 'Insecure hard-coded virtual measurement v1';

/** SHA-256 of `concordat virtual`: the same on every host, so that virtual nodes can join. */
export const VIRTUAL_HOST_DATA =
  '649683d368a548ba740c3323c18ed2664954a26636cba92a232ed03a5fa428f7';

const DIGEST_BYTES = 32;

export interface VirtualEvidence extends Evidence {
  readonly format: 'Insecure_Virtual';
  /** Base64 of the statement. */
  readonly quote: string;
  readonly endorsements: '';
}

/** Reads a statement; throws `BadEvidence`. Nothing proves any of it. */
export function readVirtualEvidence(evidence: Evidence): EvidenceClaims {
  // A statement under another platform's name would be taken for that platform's proof.
  if (evidence.format !== 'Insecure_Virtual')
    throw bad(`its format is ${shown(evidence.format)}`);
  const bytes = base64Bytes(evidence.quote);
  if (bytes === undefined) throw bad('its quote is not base64');
  const statement = statementOf(bytes);
  const measurement = textField(statement, 'measurement');
  const hostData = textField(statement, 'host_data');
  if (!/^[0-9a-f]{64}$/.test(hostData)) throw bad(`host_data is ${JSON.stringify(hostData)}`);
  const reportData = fromBase64(textField(statement, 'report_data'));
  if (reportData?.length !== DIGEST_BYTES) throw bad('report_data is not 32 bytes in base64');
  return { platform: 'virtual', measurement, hostData, reportData, details: {} };
}

/** Judges a statement. Only who takes part in development may accept what nothing proves. */
export async function judgeVirtual(
  evidence: Evidence,
  policy: Bound<VirtualPolicy>,
  _dependencies: JudgeDependencies,
  atMs: number,
): Promise<Verdict> {
  const list = new CheckList();
  const claims = list.read(
    'virtual statement',
    'INSECURE: a statement that nothing proves',
    () => readVirtualEvidence(evidence),
  );
  if (claims === undefined) return list.verdict(atMs);
  judgeNamed(list, 'measurement', claims.measurement, policy.measurements);
  judgeNamed(list, 'host data', claims.hostData, policy.hostData);
  const { binding } = policy;
  if (binding === undefined) {
    list.skip('report data', 'nothing is named that the statement must be bound to');
  } else {
    list.expect(
      'report data',
      sameBytes(claims.reportData, binding),
      'the statement is about what it must be bound to',
      refusal('ReportDataMismatch'),
      { reportData: toHex(claims.reportData), expected: toHex(binding) },
    );
  }
  return list.verdict(atMs, claims);
}

const NOT_ACCEPTED = {
  measurement: 'MeasurementNotAccepted',
  'host data': 'HostDataNotAccepted',
} as const satisfies Readonly<Record<string, RefusalCode>>;

function judgeNamed(
  list: CheckList,
  name: keyof typeof NOT_ACCEPTED,
  found: string,
  accepted: readonly string[] | undefined,
): void {
  if (accepted === undefined) {
    list.skip(name, `the policy does not ask for the ${name}`, { found });
    return;
  }
  list.expect(
    name,
    accepted.includes(found),
    `the policy accepts the ${name}`,
    refusal(NOT_ACCEPTED[name], found),
    { found, accepted: accepted.join(' | ') },
  );
}

/** Evidence may come straight from JSON that nobody has looked at. */
function base64Bytes(text: unknown): Uint8Array | undefined {
  return typeof text === 'string' ? fromBase64(text) : undefined;
}

function statementOf(bytes: Uint8Array): object {
  let value: unknown;
  try {
    value = parseJson(bytes);
  } catch (cause) {
    throw bad('its quote is not JSON', cause);
  }
  if (typeof value !== 'object' || value === null) throw bad('its quote is not an object');
  return value;
}

function textField(statement: object, name: string): string {
  const value: unknown = Reflect.get(statement, name);
  if (typeof value !== 'string') throw bad(`${name} is not a text`);
  return value;
}

function bad(why: string, cause?: unknown): CodedError {
  return new CodedError('BadEvidence', `not virtual evidence: ${why}`, {}, { cause });
}

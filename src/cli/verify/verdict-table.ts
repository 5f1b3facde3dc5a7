/** A verdict as a table for people, and as JSON for programs. */
import type { Check, EvidenceClaims, Verdict } from '../../attestation/verdict.ts';
import { leavesCodeOpen } from '../../audit/attestation/open-code.ts';
import { toHex } from '../../base/portable-bytes.ts';

const MARKS: Readonly<Record<Check['outcome'], string>> = {
  passed: 'ok  ',
  failed: 'BAD ',
  skipped: '-   ',
};
const OPEN = 'It was not asked what runs there: that it is genuine is no reason to trust it';
const INSECURE = 'INSECURE: virtual evidence; no hardware vouches for any of it';

/** The lines of a table: outcome, every check with its values, what the evidence says. */
export function verdictLines(name: string, verdict: Verdict): readonly string[] {
  const { checks, claims } = verdict;
  const width = Math.max(0, ...checks.map((check) => check.name.length)) + 2;
  const indent = ' '.repeat(2 + 4 + width);
  return [
    `${headline(verdict)}: ${printable(name)}`,
    ...(claims?.platform === 'virtual' ? [`  ${INSECURE}`] : []),
    ...(leavesCodeOpen(verdict) ? [`  ${OPEN}`] : []),
    ...checks.flatMap((check) => [
      `  ${MARKS[check.outcome]}${check.name.padEnd(width)}${sentence(check)}`,
      ...pairs(check.values).map((line) => `${indent}${line}`),
    ]),
    ...(claims === undefined ? [] : claimLines(claims, verdict.accepted)),
  ].map(printable);
}

function headline({ accepted, refusal, atMs }: Verdict): string {
  const at = new Date(atMs).toISOString();
  if (accepted) return `ACCEPTED as of ${at}`;
  const why = refusal === undefined ? '' : ` (${refusal.kind}, ${refusal.code})`;
  return `REFUSED${why} as of ${at}`;
}

function sentence({ outcome, code, message }: Check): string {
  return outcome === 'failed' ? `${code ?? 'Refused'}: ${message}` : message;
}

function claimLines(claims: EvidenceClaims, accepted: boolean): readonly string[] {
  const { platform, measurement, hostData, reportData, details } = claims;
  const title = accepted
    ? 'What it says:'
    : 'What it says (as it was refused, believe none of it):';
  const all = { platform, measurement, hostData, reportData: toHex(reportData), ...details };
  return [`  ${title}`, ...pairs(all).map((line) => `    ${line}`)];
}

function pairs(values: Readonly<Record<string, string>>): readonly string[] {
  const width = Math.max(0, ...Object.keys(values).map(({ length }) => length));
  return Object.entries(values).map(
    ([name, value]) => `${name.padEnd(width)}  ${value === '' ? '(none)' : value}`,
  );
}

/** Evidence may hold what moves a terminal's cursor. */
function printable(line: string): string {
  return line.replace(/[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/g, '\ufffd');
}

/** For `--json`: everything, bytes in hexadecimal, times in ISO 8601. */
export function verdictJson(name: string, verdict: Verdict): object {
  const { accepted, atMs, refusal, checks, claims } = verdict;
  return {
    name,
    accepted,
    at: new Date(atMs).toISOString(),
    ...(claims?.platform === 'virtual' ? { insecure: INSECURE } : {}),
    ...(leavesCodeOpen(verdict) ? { codeNotJudged: true } : {}),
    ...(refusal === undefined ? {} : { refusal }),
    checks,
    ...(claims === undefined
      ? {}
      : { claims: { ...claims, reportData: toHex(claims.reportData) } }),
  };
}

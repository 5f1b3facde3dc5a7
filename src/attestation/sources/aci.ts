/**
 * Evidence of a confidential container on Azure (attestation-snp.md §6): what the host says lies in
 * the folder of the security context, and the report comes through Microsoft's sidecar or its
 * program `get-snp-report`, as the device wants an ioctl.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  base64Of,
  bytesOfBase64,
  bytesOfHex,
  equalBytes,
  hexOf,
  NO_BYTES,
  textOf,
  utf8,
} from '../../base/bytes.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { sha256 } from '../../crypto/hash.ts';
import { EVIDENCE_FORMATS } from '../evidence.ts';
import { thimTextOrigin } from './endorsement-origins.ts';
import type { EndorsementFinder } from './endorsements.ts';
import type { HttpAsker } from './http-asker.ts';
import type { RunProgram } from './programs.ts';
import { REPORT_BYTES, reportDataOf } from './report-lookup.ts';
import { type EvidenceSource, reportDataField, unavailable } from './source.ts';

const POLICY_FILE = 'security-policy-base64';
const REFERENCE_FILE = 'reference-info-base64';
const HOST_CERTIFICATE_FILE = 'host-amd-cert-base64';

/** Resolves to a report of 1184 bytes about a field of 64, or about the hash of its preimage. */
export type ReportMaker = (
  field: Uint8Array,
  preimage: Uint8Array | undefined,
) => Promise<Uint8Array>;

export interface AciDependencies {
  readonly report: ReportMaker;
  readonly endorsements: EndorsementFinder;
}

export function aciSource(
  securityContext: string,
  { report: makeReport, endorsements }: AciDependencies,
): EvidenceSource {
  const name = 'ACI';
  const contextFile = (file: string): Promise<Uint8Array> =>
    fileInBase64(join(securityContext, file), name);
  return {
    platform: 'snp',
    name,
    hostPolicy: async () => textOf(await contextFile(POLICY_FILE)),
    evidenceFor: async (reportData, preimage) => {
      const field = reportDataField(reportData);
      const report = await makeReport(field, preimage);
      mustCarry(report, field, name);
      const uvm = await contextFile(REFERENCE_FILE);
      const told = thimTextOrigin('host', async () =>
        textOf(await contextFile(HOST_CERTIFICATE_FILE)),
      );
      const { chainPem, tcbText } = await endorsements(report, [told]);
      return {
        format: EVIDENCE_FORMATS.snp,
        quote: base64Of(report),
        endorsements: base64Of(utf8(chainPem)),
        uvm_endorsements: base64Of(uvm),
        endorsed_tcb: tcbText,
      };
    },
  };
}

/** `POST /attest/raw` of the sidecar, which puts the SHA-256 of what it is given in the report. */
export function sidecarReport(url: string, ask: HttpAsker): ReportMaker {
  const name = `the sidecar at ${url}`;
  return async (field, preimage) => {
    if (preimage === undefined || !equalBytes(reportDataField(sha256(preimage)), field)) {
      const message = 'it binds the SHA-256 of something, and was not given what that is of';
      throw unavailable(name, 'failed', message);
    }
    const body = JSON.stringify({ runtime_data: base64Of(preimage) });
    const headers = { 'content-type': 'application/json' };
    const reply = await ask({ url: `${url}/attest/raw`, method: 'POST', headers, body }).catch(
      (thrown: unknown) => {
        if (!isCoded(thrown)) throw thrown;
        throw unavailable(name, 'missing', thrown.message, thrown);
      },
    );
    if (reply.status !== 200) {
      const said = Buffer.from(reply.body).toString('utf8').slice(0, 200);
      throw unavailable(name, 'failed', `it answered ${reply.status}: ${said}`);
    }
    return reportIn(jsonMember(reply.body, 'report', name), name);
  };
}

/** `get-snp-report HEX`, which prints the report in hexadecimal, or as it is. */
export function programReport(path: string, run: RunProgram): ReportMaker {
  return async (field) => {
    const outcome = await run(path, [hexOf(field)]);
    switch (outcome.kind) {
      case 'done': {
        if (outcome.output.length === REPORT_BYTES) return outcome.output;
        return reportIn(Buffer.from(outcome.output).toString('latin1').trim(), path);
      }
      case 'missing':
        throw unavailable(path, 'missing', `it cannot be run: ${outcome.why}`);
      case 'late':
        throw unavailable(path, 'late', `it took longer than ${outcome.timeoutMs} ms`);
      case 'failed':
        throw unavailable(path, 'failed', `it ${outcome.exit}: ${outcome.said}`);
    }
  };
}

function reportIn(hex: unknown, source: string): Uint8Array {
  const report = typeof hex === 'string' ? bytesOfHex(hex) : undefined;
  if (report?.length === REPORT_BYTES) return report;
  const shown = JSON.stringify(hex)?.slice(0, 80) ?? 'nothing';
  const message = `it gave ${shown}, not ${REPORT_BYTES} bytes in hexadecimal`;
  throw unavailable(source, 'malformed', message);
}

function mustCarry(report: Uint8Array, field: Uint8Array, source: string): void {
  if (equalBytes(reportDataOf(report), field)) return;
  const message = `its report is about other data: ${hexOf(reportDataOf(report))}`;
  throw unavailable(source, 'malformed', message);
}

function jsonMember(body: Uint8Array, name: string, source: string): unknown {
  try {
    const value: unknown = JSON.parse(textOf(body));
    return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  } catch (cause) {
    throw unavailable(
      source,
      'malformed',
      `its answer is not JSON: ${messageOf(cause)}`,
      cause,
    );
  }
}

async function fileInBase64(path: string, source: string): Promise<Uint8Array> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const message =
      `${path} cannot be read: ${messageOf(cause)}. UVM_SECURITY_CONTEXT_DIR of a confidential ` +
      'container names its folder; attestation.aci.security_context may name another';
    throw unavailable(source, 'missing', message, cause);
  }
  const bytes = bytesOfBase64(text.trim()) ?? NO_BYTES;
  if (bytes.length > 0) return bytes;
  throw unavailable(
    source,
    'malformed',
    `${path} is not base64`,
    new CodedError('BadBase64', path),
  );
}

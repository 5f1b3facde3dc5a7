/**
 * Evidence of a confidential VM on Azure, through its vTPM and tpm2-tools (attestation-snp.md §6):
 * user data is written, the paravisor makes a fresh report about it, and the vTPM quotes its
 * registers for the same data.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes, hexOf } from '../../base/bytes.ts';
import { isCoded, messageOf } from '../../base/errors.ts';
import { azureCvmEvidence } from '../azure-cvm.ts';
import { type HclReport, readHclReport } from '../hcl-report.ts';
import type { EndorsementFinder } from './endorsements.ts';
import type { RunProgram } from './programs.ts';
import { type EvidenceSource, type Pause, reportDataField, unavailable } from './source.ts';
import { HCL_READS_MAX, HCL_REFRESH_MS } from './source-limits.ts';

const NAME = 'the vTPM';
const HCL_REPORT = '0x01400001';
const USER_DATA = '0x01400002';
/** Where the paravisor keeps the vTPM's attestation key. */
const ATTESTATION_KEY = '0x81000003';
const PCRS = 24;
const PCR_BYTES = 32;
/** A quote qualifies a digest, not the 64 bytes that a report has room for. */
const NONCE_BYTES = 32;

export interface VtpmOptions {
  /** Folder of `tpm2_nvread` and its like. */
  readonly programs: string;
  /** Where a folder for what the programs write can be made. */
  readonly temporary: string;
}

export interface VtpmDependencies {
  readonly run: RunProgram;
  readonly pause: Pause;
  readonly endorsements: EndorsementFinder;
}

export function vtpmSource(
  options: VtpmOptions,
  dependencies: VtpmDependencies,
): EvidenceSource {
  return {
    platform: 'azure-cvm',
    name: NAME,
    evidenceFor: async (reportData) => {
      const folder = await mkdtemp(join(options.temporary, 'concordat-vtpm-'));
      try {
        const vtpm = new Vtpm(options, dependencies, folder);
        const { bytes, report } = await vtpm.freshReport(reportDataField(reportData));
        const quote = await vtpm.quote(reportData.subarray(0, NONCE_BYTES));
        const { chainPem } = await dependencies.endorsements(report);
        return azureCvmEvidence({ hclReport: bytes, ...quote }, chainPem);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

interface Quote {
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly pcrs: ReadonlyMap<number, Uint8Array>;
}

class Vtpm {
  readonly #options: VtpmOptions;
  readonly #deps: VtpmDependencies;
  readonly #folder: string;

  constructor(options: VtpmOptions, dependencies: VtpmDependencies, folder: string) {
    this.#options = options;
    this.#deps = dependencies;
    this.#folder = folder;
  }

  /** The HCL report, once it is about this user data. */
  async freshReport(
    userData: Uint8Array,
  ): Promise<{ readonly bytes: Uint8Array; readonly report: Uint8Array }> {
    const file = join(this.#folder, 'user-data');
    await writeFile(file, userData);
    await this.#defineUserData(userData.length);
    await this.#run('tpm2_nvwrite', ['-C', 'o', '-i', file, USER_DATA]);
    let shown = '';
    for (let reads = 1; reads <= HCL_READS_MAX; reads += 1) {
      // Read sooner, it would be a report about what was there before.
      await this.#deps.pause(HCL_REFRESH_MS);
      const bytes = await this.#run('tpm2_nvread', ['-C', 'o', HCL_REPORT]);
      const { report, userData: told } = readable(bytes);
      // Old paravisors do not tell: there the quote alone says what the evidence is bound to.
      if (told === undefined || equalBytes(told, userData)) return { bytes, report };
      shown = hexOf(told.subarray(0, NONCE_BYTES));
    }
    const message =
      `its report was read ${HCL_READS_MAX} times and is still about the user data ${shown}…, ` +
      `not ${hexOf(userData.subarray(0, NONCE_BYTES))}…`;
    throw unavailable(NAME, 'late', message);
  }

  async quote(nonce: Uint8Array): Promise<Quote> {
    const [message, signature, pcrs] = ['message', 'signature', 'pcrs'].map((name) =>
      join(this.#folder, name),
    ) as [string, string, string];
    await this.#run('tpm2_quote', [
      ...['-c', ATTESTATION_KEY, '-l', 'sha256:all', '-q', hexOf(nonce), '-g', 'sha256'],
      ...['-m', message, '-s', signature, '-f', 'plain', '-o', pcrs, '-F', 'values'],
    ]);
    const values = await this.#written(pcrs);
    if (values.length !== PCRS * PCR_BYTES) {
      const why = `tpm2_quote wrote ${values.length} bytes of registers, not ${PCRS * PCR_BYTES}`;
      throw unavailable(NAME, 'malformed', why);
    }
    const at = (index: number): Uint8Array =>
      values.subarray(index * PCR_BYTES, (index + 1) * PCR_BYTES);
    return {
      message: await this.#written(message),
      signature: await this.#written(signature),
      pcrs: new Map(Array.from({ length: PCRS }, (_, index) => [index, at(index)])),
    };
  }

  async #written(file: string): Promise<Uint8Array> {
    try {
      return await readFile(file);
    } catch (cause) {
      const why = `tpm2_quote ended well but wrote nothing: ${messageOf(cause)}`;
      throw unavailable(NAME, 'malformed', why, cause);
    }
  }

  /** The place for user data exists from its first use on. */
  async #defineUserData(bytes: number): Promise<void> {
    const path = join(this.#options.programs, 'tpm2_nvreadpublic');
    const known = await this.#deps.run(path, [USER_DATA]);
    if (known.kind === 'done') return;
    const attributes = 'ownerwrite|ownerread|authwrite|authread';
    const args = ['-C', 'o', '-s', String(bytes), USER_DATA, '-a', attributes];
    await this.#run('tpm2_nvdefine', args);
  }

  async #run(program: string, args: readonly string[]): Promise<Uint8Array> {
    const outcome = await this.#deps.run(join(this.#options.programs, program), args);
    switch (outcome.kind) {
      case 'done':
        return outcome.output;
      case 'missing': {
        const message =
          `${program} cannot be run: ${outcome.why}. Install tpm2-tools, or name its folder in ` +
          'attestation.azure_cvm.programs';
        throw unavailable(NAME, 'missing', message);
      }
      case 'late':
        throw unavailable(NAME, 'late', `${program} took longer than ${outcome.timeoutMs} ms`);
      case 'failed': {
        const message = `${program} ${outcome.exit}: ${outcome.said || 'it said nothing'}`;
        throw unavailable(NAME, 'failed', message);
      }
    }
  }
}

function readable(bytes: Uint8Array): HclReport {
  try {
    return readHclReport(bytes);
  } catch (thrown) {
    if (!isCoded(thrown)) throw thrown;
    throw unavailable(NAME, 'malformed', `its HCL report: ${thrown.message}`, thrown);
  }
}

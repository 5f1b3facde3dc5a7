/**
 * Reports through the kernel's configfs-tsm (Linux 6.7 and later,
 * Documentation/ABI/testing/configfs-tsm-report; attestation-snp.md §6). A request is a folder that
 * exists only while it is made. The kernel counts the writes to it in `generation`, by which a
 * report is known to be for what was written here and by nobody else.
 */
import { constants } from 'node:fs';
import { mkdir, open, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { base64Of, equalBytes, hexOf, textOf, utf8 } from '../../base/bytes.ts';
import type { Random } from '../../base/environment.ts';
import { isCoded, messageOf } from '../../base/errors.ts';
import { EVIDENCE_FORMATS } from '../evidence.ts';
import { tableOrigin } from './endorsement-origins.ts';
import type { EndorsementFinder } from './endorsements.ts';
import { REPORT_BYTES, reportDataOf } from './report-lookup.ts';
import { type EvidenceSource, type Pause, reportDataField, unavailable } from './source.ts';
import { TSM_PAUSE_MS, TSM_TRIES_MAX } from './source-limits.ts';

const NAME = 'configfs-tsm';

/** The kernel's folder of requests; errors carry the system's code. */
export interface TsmFiles {
  make(folder: string): Promise<void>;
  remove(folder: string): Promise<void>;
  read(path: string): Promise<Uint8Array>;
  /** One write(2): the kernel takes each for a whole value. Resolves to the bytes it took. */
  write(path: string, bytes: Uint8Array): Promise<number>;
}

export const kernelTsmFiles: TsmFiles = {
  make: async (folder) => {
    await mkdir(folder);
  },
  remove: rmdir,
  read: (path) => readFile(path),
  write: async (path, bytes) => {
    // Without creating or truncating: the files are the kernel's.
    const file = await open(path, constants.O_WRONLY);
    try {
      return (await file.write(bytes, 0, bytes.length)).bytesWritten;
    } finally {
      await file.close();
    }
  },
};

export interface TsmOptions {
  readonly folder: string;
  /** Privilege level to ask for; the kernel's own choice when absent. */
  readonly privilegeLevel?: number;
}

export interface TsmDependencies {
  readonly files: TsmFiles;
  readonly random: Random;
  readonly pause: Pause;
  readonly endorsements: EndorsementFinder;
}

interface TsmReport {
  readonly report: Uint8Array;
  readonly table: Uint8Array;
}

export function configfsTsmSource(
  options: TsmOptions,
  dependencies: TsmDependencies,
): EvidenceSource {
  return {
    platform: 'snp',
    name: NAME,
    evidenceFor: async (reportData) => {
      const { report, table } = await reportThroughTsm(reportData, options, dependencies);
      const first = table.length === 0 ? [] : [tableOrigin(table)];
      const { chainPem, tcbText } = await dependencies.endorsements(report, first);
      return {
        format: EVIDENCE_FORMATS.snp,
        quote: base64Of(report),
        endorsements: base64Of(utf8(chainPem)),
        endorsed_tcb: tcbText,
      };
    },
  };
}

async function reportThroughTsm(
  reportData: Uint8Array,
  options: TsmOptions,
  { files, random, pause }: TsmDependencies,
): Promise<TsmReport> {
  const field = reportDataField(reportData);
  for (let tries = 1; tries <= TSM_TRIES_MAX; tries += 1) {
    // A name of its own, so that others who ask do not get in the way.
    const folder = join(options.folder, `concordat-${hexOf(random.bytes(8))}`);
    const given = await oneRequest(folder, field, options, files);
    if (given !== 'raced') return given;
    await pause(TSM_PAUSE_MS);
  }
  const message = `another process got in the way of ${TSM_TRIES_MAX} requests for a report`;
  throw unavailable(NAME, 'busy', message);
}

async function oneRequest(
  folder: string,
  field: Uint8Array,
  { privilegeLevel }: TsmOptions,
  files: TsmFiles,
): Promise<TsmReport | 'raced'> {
  try {
    await files.make(folder);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return 'raced';
    throw faultOf(error, `${folder} cannot be made`);
  }
  try {
    return await filledIn(folder, field, privilegeLevel, files);
  } catch (error) {
    if (isCoded(error)) throw error;
    if (RACES.includes(codeOf(error))) return 'raced';
    throw faultOf(error, `the kernel gives no report in ${folder}`);
  } finally {
    await files.remove(folder).catch(() => undefined);
  }
}

async function filledIn(
  folder: string,
  field: Uint8Array,
  privilegeLevel: number | undefined,
  files: TsmFiles,
): Promise<TsmReport | 'raced'> {
  const read = (name: string): Promise<Uint8Array> => files.read(join(folder, name));
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    const written = await files.write(join(folder, name), bytes);
    if (written !== bytes.length) {
      const message = `the kernel took ${written} of ${bytes.length} bytes of ${name}`;
      throw unavailable(NAME, 'failed', message);
    }
  };
  const provider = textOf(await read('provider')).trim();
  if (provider !== 'sev_guest') {
    const message = `its provider is ${JSON.stringify(provider)}; only sev_guest is known here`;
    throw unavailable(NAME, 'missing', message);
  }
  const begun = generationIn(await read('generation'));
  let writes = 0;
  if (privilegeLevel !== undefined) {
    await write('privlevel', utf8(String(privilegeLevel)));
    writes += 1;
  }
  await write('inblob', field);
  writes += 1;
  const report = await read('outblob');
  const table = await read('auxblob');
  if (generationIn(await read('generation')) !== begun + writes) return 'raced';
  if (report.length !== REPORT_BYTES) {
    const message = `the report has ${report.length} bytes, not ${REPORT_BYTES}`;
    throw unavailable(NAME, 'malformed', message);
  }
  if (!equalBytes(reportDataOf(report), field)) {
    const message = 'the report is not bound to what was written: it carries other report data';
    throw unavailable(NAME, 'malformed', message);
  }
  return { report, table };
}

function generationIn(bytes: Uint8Array): number {
  const text = textOf(bytes).trim();
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw unavailable(NAME, 'malformed', `its generation is ${JSON.stringify(text)}`);
}

/** What the kernel says when somebody else was there at the same moment, or a signal came. */
const RACES: readonly string[] = ['EWOULDBLOCK', 'EAGAIN', 'EINTR', 'EBUSY'];

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT:
    'this kernel offers no reports: it needs Linux 6.7 or later with CONFIG_TSM_REPORTS, ' +
    'configfs mounted, and the module sev-guest',
  ENXIO: 'there is no security processor behind it: this is no SEV-SNP guest',
  EACCES: 'only root may ask for reports',
  EPERM: 'only root may ask for reports, and not for a lower privilege level than its own',
  EROFS: 'the kernel folder is mounted read-only',
};

function faultOf(error: unknown, what: string): Error {
  const code = codeOf(error);
  const advice = ADVICE[code];
  const message = `${what}: ${messageOf(error)}${advice === undefined ? '' : ` (${advice})`}`;
  return unavailable(NAME, advice === undefined ? 'failed' : 'missing', message, error);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

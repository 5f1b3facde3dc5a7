/**
 * Evidence as it lies in files: a raw report, a paravisor's report, evidence in JSON as nodes show
 * it, or a folder that holds a report with what belongs to it. What was found, and what was left
 * out for want of something, is told: a verdict is about no more than what was read.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { amdChainPem } from '../../attestation/amd-roots.ts';
import { azureCvmEvidence } from '../../attestation/azure-cvm.ts';
import type { Evidence, EvidenceFormat } from '../../attestation/evidence.ts';
import { EVIDENCE_FORMATS } from '../../attestation/evidence.ts';
import { readHclReport } from '../../attestation/hcl-report.ts';
import { productOfIssuer } from '../../attestation/snp-product.ts';
import { readPcrs } from '../../attestation/tpm-quote.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { toBase64, toUtf8 } from '../../base/portable-bytes.ts';
import { certificatesOfPem } from '../../crypto/pem-certificates.ts';
import { parseCertificate } from '../../crypto/x509.ts';
import { commonName } from '../../crypto/x509-names.ts';

export interface FoundEvidence {
  readonly name: string;
  readonly evidence: Evidence;
  /** The container policy that came with it. */
  readonly containerPolicy?: Uint8Array;
  /** What was done or left out on the way, a sentence each. */
  readonly notes: readonly string[];
}

/** Files that are named beside the evidence; they win over what is found. */
export interface BesideEvidence {
  readonly endorsements?: string;
  readonly uvm?: string;
  readonly containerPolicy?: string;
}

/** Reads a file or a folder. Throws `Unreadable`, `NoEvidence` or `NoEndorsements`. */
export async function readEvidence(
  path: string,
  beside: BesideEvidence = {},
): Promise<FoundEvidence> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    (cause: unknown) => {
      throw unreadable(path, cause);
    },
  );
  const parts = isFolder ? await partsOfFolder(path) : await partsOfFile(path);
  const named = await namedParts(beside);
  return { name: basename(path), ...assembled(path, { ...parts, ...named }) };
}

/** What may be there; each wins over what it could be made of. */
interface Parts {
  readonly whole?: Evidence;
  readonly report?: Uint8Array;
  readonly hcl?: Uint8Array;
  readonly quote?: { readonly message: Uint8Array; readonly signature: Uint8Array };
  readonly pcrs?: ReadonlyMap<number, Uint8Array>;
  readonly endorsements?: string;
  readonly uvm?: Uint8Array;
  readonly containerPolicy?: Uint8Array;
}

async function partsOfFile(path: string): Promise<Parts> {
  const bytes = await needed(path);
  if (bytes[0] === '{'.charCodeAt(0)) return { whole: evidenceOfJson(path, bytes) };
  return new TextDecoder().decode(bytes.subarray(0, 4)) === 'HCLA'
    ? { hcl: bytes }
    : { report: bytes };
}

async function namedParts(beside: BesideEvidence): Promise<Parts> {
  const { endorsements, uvm, containerPolicy } = beside;
  return {
    ...(endorsements === undefined
      ? {}
      : { endorsements: completed(await neededText(endorsements)) }),
    ...(uvm === undefined ? {} : { uvm: await needed(uvm) }),
    ...(containerPolicy === undefined
      ? {}
      : { containerPolicy: await needed(containerPolicy) }),
  };
}

async function partsOfFolder(folder: string): Promise<Parts> {
  const given = (name: string): Promise<Uint8Array | undefined> => optional(join(folder, name));
  const [report, hcl, message, signature, pcrs, uvm, containerPolicy] = await Promise.all(
    [
      ...['report.bin', 'hcl-report.bin', 'tpm-quote.msg', 'tpm-quote.sig', 'tpm-pcrs.json'],
      ...['uvm_endorsements.cose', 'cce-policy.rego'],
    ].map(given),
  );
  const endorsements = await chainIn(folder);
  return {
    ...(report === undefined ? {} : { report }),
    ...(hcl === undefined ? {} : { hcl }),
    ...(message === undefined || signature === undefined
      ? {}
      : { quote: { message, signature } }),
    ...(pcrs === undefined ? {} : { pcrs: pcrsOf(join(folder, 'tpm-pcrs.json'), pcrs) }),
    ...(endorsements === undefined ? {} : { endorsements }),
    ...(uvm === undefined ? {} : { uvm }),
    ...(containerPolicy === undefined ? {} : { containerPolicy }),
  };
}

/** One chain, or the certificates it is made of. */
async function chainIn(folder: string): Promise<string | undefined> {
  const text = async (name: string): Promise<string | undefined> => {
    const bytes = await optional(join(folder, name));
    return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  };
  const chain = await text('chain.pem');
  if (chain !== undefined) return completed(chain);
  const leaf = (await text('vcek.pem')) ?? (await text('vlek.pem'));
  if (leaf === undefined) return undefined;
  const ask = (await text('ask.pem')) ?? (await text('asvk.pem'));
  const ark = await text('ark.pem');
  return ask === undefined || ark === undefined ? completed(leaf) : `${leaf}${ask}${ark}`;
}

/** A leaf that came alone is completed by AMD's own certificates, which are known here. */
function completed(pem: string): string {
  try {
    const [leaf, ...rest] = certificatesOfPem(pem);
    if (leaf === undefined || rest.length > 0) return pem;
    const issuer = commonName(parseCertificate(leaf).issuer) ?? '';
    const product = productOfIssuer(issuer);
    if (product === undefined) return pem;
    return `${pem}\n${amdChainPem(product, issuer.includes('VLEK') ? 'VLEK' : 'VCEK')}`;
  } catch (thrown) {
    // What cannot be read is for the verdict to say.
    if (isCoded(thrown)) return pem;
    throw thrown;
  }
}

function assembled(path: string, parts: Parts): Omit<FoundEvidence, 'name'> {
  const { whole, containerPolicy, endorsements, uvm } = parts;
  const policy = containerPolicy === undefined ? {} : { containerPolicy };
  if (whole !== undefined) {
    const chain =
      endorsements === undefined ? {} : { endorsements: toBase64(toUtf8(endorsements)) };
    const evidence = {
      ...whole,
      ...chain,
      ...(uvm === undefined ? {} : { uvm_endorsements: toBase64(uvm) }),
    };
    return { evidence, notes: [], ...policy };
  }
  if (parts.report === undefined && parts.hcl === undefined) {
    throw new CodedError(
      'NoEvidence',
      `${path} holds no evidence: neither report.bin nor hcl-report.bin is in it`,
      { path },
    );
  }
  if (endorsements === undefined) {
    throw new CodedError(
      'NoEndorsements',
      `${path} has no certificates beside its report: name them with --endorsements`,
      { path },
    );
  }
  return { ...withNotes(parts, endorsements), ...policy };
}

function withNotes(
  { hcl, quote, pcrs, report, uvm }: Parts,
  endorsements: string,
): Pick<FoundEvidence, 'evidence' | 'notes'> {
  if (hcl !== undefined && quote !== undefined && pcrs !== undefined) {
    const evidence = azureCvmEvidence({ hclReport: hcl, ...quote, pcrs }, endorsements);
    return { evidence, notes: [] };
  }
  const notes: string[] = [];
  if (hcl !== undefined) {
    const missing =
      quote === undefined ? 'no quote of the vTPM' : "no values of the vTPM's registers";
    notes.push(
      `there is ${missing}: only the hardware's report is judged, which names the paravisor ` +
        "and not the guest's code",
    );
  }
  const evidence: Evidence = {
    format: 'AMD_SEV_SNP_v1',
    quote: toBase64(report ?? reportIn(hcl ?? new Uint8Array(0))),
    endorsements: toBase64(toUtf8(endorsements)),
    ...(uvm === undefined ? {} : { uvm_endorsements: toBase64(uvm) }),
  };
  return { evidence, notes };
}

/** The report within; of what cannot be read, the bytes, which a verdict then refuses. */
function reportIn(hcl: Uint8Array): Uint8Array {
  try {
    return readHclReport(hcl).report;
  } catch (thrown) {
    if (isCoded(thrown)) return hcl;
    throw thrown;
  }
}

/** Registers by index: an object, or a list of all of them in their order. */
function pcrsOf(path: string, bytes: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const value = jsonOf(path, bytes);
  try {
    return readPcrs(Array.isArray(value) ? { ...value } : value);
  } catch (cause) {
    throw new CodedError('Unreadable', `${path}: ${messageOf(cause)}`, { path }, { cause });
  }
}

/** As the nodes table has it (`quote`), or as nodes serve it (`raw`). */
function evidenceOfJson(path: string, bytes: Uint8Array): Evidence {
  const value = jsonOf(path, bytes);
  const member = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const text = (name: string): string | undefined => {
    const found = member(name);
    return typeof found === 'string' && found !== '' ? found : undefined;
  };
  const quote = text('quote') ?? text('raw');
  const formats: readonly EvidenceFormat[] = Object.values(EVIDENCE_FORMATS);
  const format = formats.find((each) => each === member('format'));
  if (quote === undefined || format === undefined) {
    const known = formats.join(', ');
    const message =
      `${path} is JSON, but no evidence: it needs a format (${known}), a quote (or raw) and ` +
      'endorsements';
    throw new CodedError('NoEvidence', message, { path });
  }
  const uvm = text('uvm_endorsements');
  const tcb = text('endorsed_tcb');
  return {
    format,
    quote,
    endorsements: text('endorsements') ?? '',
    ...(uvm === undefined ? {} : { uvm_endorsements: uvm }),
    ...(tcb === undefined ? {} : { endorsed_tcb: tcb }),
  };
}

function jsonOf(path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new CodedError('Unreadable', `${path} is not JSON`, { path }, { cause });
  }
}

async function optional(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
}

async function needed(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function neededText(path: string): Promise<string> {
  return new TextDecoder().decode(await needed(path));
}

function unreadable(path: string, cause: unknown): CodedError {
  const message = `${path} cannot be read: ${messageOf(cause)}`;
  return new CodedError('Unreadable', message, { path }, { cause });
}

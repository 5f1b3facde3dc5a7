/**
 * A sandbox's folder: what was chosen at its first start, and the key material of those who take
 * part. Private keys lie here in the clear, for a sandbox's users to use.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { certificateIdOf, selfSignedCertificate } from '../../crypto/certificates.ts';
import { SigningKey, UnwrappingKey } from '../../crypto/keys.ts';
import { LOOPBACK } from './ports.ts';

/** Names of a node's ports. */
export function portNames(number: number): {
  readonly rpc: string;
  readonly peer: string;
  readonly operator: string;
  readonly federation: string;
} {
  return {
    rpc: `node${number}`,
    peer: `peer${number}`,
    operator: `operator${number}`,
    federation: `federation${number}`,
  };
}

/** Numbers of the nodes that have not left. */
export function nodeNumbers({
  nodes,
  left = [],
}: Pick<SandboxSettings, 'nodes' | 'left'>): readonly number[] {
  const all = Array.from({ length: nodes }, (_, index) => index + 1);
  return all.filter((number) => !left.includes(number));
}

const SETTINGS_VERSION = 1;
const CERTIFICATE_DAYS = 3650;

export interface SandboxSettings {
  readonly version: number;
  readonly organisations: number;
  readonly members: number;
  readonly nodes: number;
  /** Numbers of nodes that were removed from the service. */
  readonly left?: readonly number[];
  /** Each node's id by its number, once it is known. */
  readonly nodeIds?: Readonly<Record<number, string>>;
  /** Ports of the last start, taken again if they are free. */
  readonly ports: Readonly<Record<string, number>>;
}

/** A certificate with its private key in files. */
export interface KeyFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface MemberFiles extends KeyFiles {
  readonly encryptionKey: string;
  readonly encryptionPublicKey: string;
}

export interface SandboxFolder {
  readonly path: string;
  readonly settingsPath: string;
  readonly serviceCertificate: string;
  node(number: number): string;
  pidFile(number: number): string;
  organisation(number: number): KeyFiles & { readonly folder: string };
  member(number: number): MemberFiles;
}

export function sandboxFolder(path: string): SandboxFolder {
  return {
    path,
    settingsPath: join(path, 'sandbox.json'),
    serviceCertificate: join(path, 'service_cert.pem'),
    node: (number) => join(path, `node${number}`),
    pidFile: (number) => join(path, `node${number}.pid`),
    organisation: (number) => {
      const folder = join(path, 'organisations', String(number));
      const inside = (name: string): string => join(folder, name);
      return { folder, certificate: inside('certificate.pem'), key: inside('key.pem') };
    },
    member: (number) => {
      const inside = (name: string): string => join(path, 'members', String(number), name);
      return {
        certificate: inside('certificate.pem'),
        key: inside('key.pem'),
        encryptionKey: inside('encryption_key.pem'),
        encryptionPublicKey: inside('encryption_public_key.pem'),
      };
    },
  };
}

/** The settings of an earlier start, or undefined in a new folder. */
export function readSettings(folder: SandboxFolder): SandboxSettings | undefined {
  if (!existsSync(folder.settingsPath)) return undefined;
  const text = readFileSync(folder.settingsPath, 'utf8');
  let settings: SandboxSettings;
  try {
    settings = JSON.parse(text) as SandboxSettings;
  } catch (cause) {
    throw unusable(folder, 'it is not JSON', cause);
  }
  if (settings.version !== SETTINGS_VERSION || !Number.isInteger(settings.organisations)) {
    throw unusable(folder, `its version is ${String(settings.version)}`, undefined);
  }
  // Before there could be several nodes, their number was not written down.
  return { ...settings, nodes: settings.nodes ?? 1 };
}

/** The key files of all members of a sandbox. */
export function membersOf(folder: SandboxFolder): readonly MemberFiles[] {
  const count = readSettings(folder)?.members ?? 1;
  return Array.from({ length: count }, (_, index) => folder.member(index + 1));
}

/** Where a node of a sandbox is, by its settings. */
export interface KnownNode {
  readonly number: number;
  /** The operator's listener. */
  readonly operatorUrl: string;
  /** The front door. */
  readonly url: string;
  readonly nodeId?: string;
}

/** The nodes of a sandbox that have not left it. Throws `NoSandbox`. */
export function knownNodes(path: string): readonly KnownNode[] {
  const settings = readSettings(sandboxFolder(path));
  if (settings === undefined) {
    throw new CodedError(
      'NoSandbox',
      `${path} holds no sandbox: say where one is with --data, or name its nodes with --url`,
      { path },
    );
  }
  const { ports, nodeIds = {} } = settings;
  return nodeNumbers(settings).map((number) => {
    const { operator, rpc } = portNames(number);
    const nodeId = nodeIds[number];
    return {
      number,
      operatorUrl: `http://${LOOPBACK}:${ports[operator] ?? 0}`,
      url: `https://${LOOPBACK}:${ports[rpc] ?? 0}`,
      ...(nodeId === undefined ? {} : { nodeId }),
    };
  });
}

export function writeSettings(
  folder: SandboxFolder,
  settings: Omit<SandboxSettings, 'version'>,
): void {
  makeFolder(folder.path);
  const whole: SandboxSettings = { version: SETTINGS_VERSION, ...settings };
  const text = `${JSON.stringify(whole, undefined, 2)}\n`;
  if (existsSync(folder.settingsPath) && readFileSync(folder.settingsPath, 'utf8') === text)
    return;
  // Renamed into place, so that a crash leaves the old settings or the new ones, never a part.
  const unfinished = `${folder.settingsPath}.unfinished`;
  writeFileSync(unfinished, text, { flush: true });
  renameSync(unfinished, folder.settingsPath);
}

/** Makes a folder and those above it; throws `DataFolder` with the reason if that cannot be. */
function makeFolder(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory()) return;
  try {
    // One by one: a recursive mkdir never ends in some places where nothing can be made.
    const parent = dirname(path);
    if (parent !== path) makeFolder(parent);
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if (isCoded(cause)) throw cause;
    throw new CodedError(
      'DataFolder',
      `${path} cannot be made a folder (${messageOf(cause)}); choose another --data folder`,
      { path },
      { cause },
    );
  }
}

/** Refuses a sandbox whose key files are not all there, before anything is opened or written. */
export function mustHaveKeys(
  folder: SandboxFolder,
  organisations: number,
  members: number,
): void {
  // Before the service is opened for the first time there need not be any.
  if (!existsSync(folder.serviceCertificate)) return;
  const files: string[] = [];
  for (let number = 1; number <= members; number += 1) {
    const { certificate, key, encryptionKey } = folder.member(number);
    files.push(certificate, key, encryptionKey);
  }
  for (let number = 1; number <= organisations; number += 1) {
    const { certificate, key } = folder.organisation(number);
    files.push(certificate, key);
  }
  const missing = files.find((file) => !existsSync(file));
  if (missing === undefined) return;
  throw new CodedError(
    'KeyMissing',
    `${missing} is missing: restore it, or begin anew in another --data folder. Nothing was ` +
      'changed',
    { path: missing },
  );
}

/** Makes an organisation's certificate and key, if they are not there. */
export async function makeOrganisation(
  folder: SandboxFolder,
  number: number,
  nowMs: number,
): Promise<void> {
  await makeKeyPair(folder.organisation(number), `CN=Organisation ${number}`, nowMs);
}

/** A member's certificate and encryption key, made on first use. */
export async function memberIdentity(
  folder: SandboxFolder,
  number: number,
  nowMs: number,
): Promise<{
  readonly memberId: string;
  readonly certificatePem: string;
  readonly encryptionPublicKeyPem: string;
}> {
  const files = folder.member(number);
  await makeKeyPair(files, `CN=Member ${number}`, nowMs);
  if (!existsSync(files.encryptionKey)) {
    writePrivate(files.encryptionKey, UnwrappingKey.generate().privateKeyPem());
  }
  const { publicKeyPem } = UnwrappingKey.fromPem(readFileSync(files.encryptionKey, 'utf8'));
  if (!existsSync(files.encryptionPublicKey)) {
    writeFileSync(files.encryptionPublicKey, publicKeyPem);
  }
  const certificatePem = readFileSync(files.certificate, 'utf8');
  return {
    memberId: certificateIdOf(certificatePem),
    certificatePem,
    encryptionPublicKeyPem: publicKeyPem,
  };
}

/** The certificate is written last: without it the pair is made anew. */
async function makeKeyPair(files: KeyFiles, subject: string, nowMs: number): Promise<void> {
  if (existsSync(files.certificate)) return;
  const key = SigningKey.generate('P-256');
  const validity = { fromMs: nowMs - 3_600_000, days: CERTIFICATE_DAYS };
  const pem = await selfSignedCertificate(key, subject, validity);
  mkdirSync(dirname(files.certificate), { recursive: true, mode: 0o700 });
  writePrivate(files.key, key.privateKeyPem());
  writeFileSync(files.certificate, pem);
}

function writePrivate(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
  chmodSync(path, 0o600);
}

function unusable(folder: SandboxFolder, why: string, cause: unknown): CodedError {
  return new CodedError(
    'NoSandbox',
    `${folder.settingsPath} is not the settings of a sandbox (${why}). If the rest of the ` +
      'folder is whole, {"version":1,"organisations":N,"members":K,"nodes":M,"ports":{}} with ' +
      'the right N, K and M restores it; or choose another --data folder',
    { path: folder.settingsPath },
    cause === undefined ? {} : { cause },
  );
}

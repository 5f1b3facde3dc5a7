/**
 * What a connector is told: its flags and its configuration file, and the files that they name.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { EvidencePolicy } from '../../attestation/policy.ts';
import { readPolicyFile } from '../../attestation/policy-file.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { ConnectorOptions } from '../../connector/connector.ts';
import type { PortTls } from '../../connector/port-tls.ts';

/** What flags and the configuration file say, before files are read. */
export interface Settings {
  readonly service: readonly string[];
  readonly serviceCertificate: string;
  readonly certificate: string;
  readonly key: string;
  readonly socket?: string;
  readonly socketMode?: string;
  readonly socketGroup?: string;
  readonly port?: string;
  readonly thirdPartyPort?: string;
  readonly host?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly healthPort?: string;
  readonly healthHost?: string;
  readonly allowHost: readonly string[];
  readonly allowOrigin: readonly string[];
  readonly attestationPolicy?: string;
  readonly allowInsecureVirtual: boolean;
}

const LISTS = ['service', 'allow-host', 'allow-origin'] as const;
const PATHS = [
  'service-certificate',
  'certificate',
  'key',
  'socket',
  'attestation-policy',
  'tls-certificate',
  'tls-key',
  'tls-client-ca',
] as const;
const SWITCHES = ['allow-insecure-virtual'] as const;
const TEXTS = [
  'socket-mode',
  'socket-group',
  'port',
  'third-party-port',
  'host',
  'health-port',
  'health-host',
] as const;

type Values = Readonly<
  Record<string, string | boolean | readonly (string | boolean)[] | undefined>
>;

export function parse(args: readonly string[]): { readonly values: Values } {
  const flag = { type: 'string' } as const;
  const list = { type: 'string', multiple: true } as const;
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      options: {
        config: flag,
        json: { type: 'boolean' },
        doctor: { type: 'boolean' },
        ...Object.fromEntries(SWITCHES.map((name) => [name, { type: 'boolean' } as const])),
        ...Object.fromEntries([...PATHS, ...TEXTS].map((name) => [name, flag])),
        ...Object.fromEntries(LISTS.map((name) => [name, list])),
      },
    });
  } catch (thrown) {
    throw new CodedError('Usage', messageOf(thrown));
  }
}

export async function settingsOf(values: Values): Promise<Settings> {
  const { config } = values;
  const file = typeof config === 'string' ? await readConfiguration(config) : {};
  const folder = typeof config === 'string' ? dirname(resolve(config)) : process.cwd();
  const text = (name: string): string | undefined => {
    const given = values[name] ?? file[camel(name)];
    return given === undefined ? undefined : String(given);
  };
  const path = (name: string): string | undefined => {
    if (values[name] !== undefined) return String(values[name]);
    const given = file[camel(name)];
    return given === undefined ? undefined : resolve(folder, String(given));
  };
  const list = (name: string): readonly string[] => {
    const given = values[name] ?? file[camel(name)] ?? [];
    return (Array.isArray(given) ? given : [given]).map(String);
  };
  const isOn = (name: string): boolean => {
    const value = values[name] ?? file[camel(name)] ?? false;
    if (typeof value === 'boolean') return value;
    throw new CodedError(
      'BadConfiguration',
      `${camel(name)} is ${JSON.stringify(value)}: it can be true or false`,
    );
  };
  const required = (name: string, value: string | undefined): string => {
    if (value !== undefined) return value;
    throw new CodedError('Usage', `--${name} is missing; see concordat connector --help`);
  };
  const service = list('service');
  if (service.length === 0) required('service', undefined);
  return {
    service,
    serviceCertificate: required('service-certificate', path('service-certificate')),
    certificate: required('certificate', path('certificate')),
    key: required('key', path('key')),
    ...given('socket', path('socket')),
    ...given('socketMode', text('socket-mode')),
    ...given('socketGroup', text('socket-group')),
    ...given('port', text('port')),
    ...given('thirdPartyPort', text('third-party-port')),
    ...given('host', text('host')),
    ...given('tlsCertificate', path('tls-certificate')),
    ...given('tlsKey', path('tls-key')),
    ...given('tlsClientCa', path('tls-client-ca')),
    ...given('healthPort', text('health-port')),
    ...given('healthHost', text('health-host')),
    allowHost: list('allow-host'),
    allowOrigin: list('allow-origin'),
    ...given('attestationPolicy', path('attestation-policy')),
    allowInsecureVirtual: isOn('allow-insecure-virtual'),
  };
}

/** What nodes must prove; without a word about it a connector does not start. */
export async function policyOf(settings: Settings): Promise<EvidencePolicy> {
  const { attestationPolicy: path, allowInsecureVirtual } = settings;
  if (path === undefined && !allowInsecureVirtual) {
    throw new CodedError(
      'Usage',
      'nothing says which nodes may be trusted: name a policy with --attestation-policy FILE, ' +
        'or, for development, --allow-insecure-virtual',
    );
  }
  const { platforms }: EvidencePolicy =
    path === undefined ? { platforms: {} } : readPolicyFile(await readText(path));
  if (path !== undefined && platforms.virtual !== undefined && !allowInsecureVirtual) {
    const message = `${path} accepts virtual nodes, which prove nothing: if that is meant, say so`;
    throw new CodedError('Usage', `${message} with --allow-insecure-virtual`);
  }
  return allowInsecureVirtual
    ? { platforms: { ...platforms, virtual: platforms.virtual ?? {} } }
    : { platforms };
}

export async function optionsOf(settings: Settings): Promise<ConnectorOptions> {
  const { socket, socketMode, socketGroup, port, thirdPartyPort, host } = settings;
  const [serviceCertificate, certificate, key] = await Promise.all(
    [settings.serviceCertificate, settings.certificate, settings.key].map(readPem),
  );
  const at = (value: string) => ({ ...given('host', host), port: portOf(value) });
  const { healthHost, healthPort } = settings;
  const tls = await portTlsOf(settings);
  return {
    service: {
      nodeUrls: settings.service,
      serviceCertificate: serviceCertificate ?? '',
      ...given('certificate', certificate),
      ...given('key', key),
    },
    ...(socket === undefined
      ? {}
      : {
          socket: {
            path: socket,
            ...(socketMode === undefined ? {} : { mode: modeOf(socketMode) }),
            ...given('group', socketGroup),
          },
        }),
    ...(port === undefined ? {} : { http: at(port) }),
    ...(thirdPartyPort === undefined ? {} : { thirdParty: at(thirdPartyPort) }),
    ...given('tls', tls),
    ...(healthPort === undefined
      ? {}
      : { health: { ...given('host', healthHost), port: portOf(healthPort) } }),
    allowedHosts: settings.allowHost,
    allowedOrigins: settings.allowOrigin,
  };
}

async function portTlsOf({
  tlsCertificate,
  tlsKey,
  tlsClientCa,
}: Settings): Promise<PortTls | undefined> {
  if (tlsCertificate === undefined && tlsKey === undefined) {
    if (tlsClientCa === undefined) return undefined;
    throw new CodedError('Usage', '--tls-client-ca needs --tls-certificate and --tls-key');
  }
  if (tlsCertificate === undefined || tlsKey === undefined) {
    const missing = tlsKey === undefined ? '--tls-key' : '--tls-certificate';
    throw new CodedError('Usage', `TLS needs a certificate and its key; ${missing} is missing`);
  }
  return {
    certificate: await readPem(tlsCertificate),
    key: await readPem(tlsKey),
    ...(tlsClientCa === undefined ? {} : { clientAuthorities: await readPem(tlsClientCa) }),
  };
}

async function readConfiguration(path: string): Promise<Readonly<Record<string, unknown>>> {
  const read: unknown = JSON.parse(await readText(path));
  if (typeof read !== 'object' || read === null || Array.isArray(read)) {
    throw new CodedError('BadConfiguration', `${path} holds no JSON object`);
  }
  const known = [...LISTS, ...PATHS, ...TEXTS, ...SWITCHES].map(camel);
  const unknown = Object.keys(read).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new CodedError(
      'BadConfiguration',
      `${path}: "${unknown}" is no setting of a connector; there are ${known.join(', ')}`,
    );
  }
  return read as Record<string, unknown>;
}

async function readPem(path: string): Promise<string> {
  const text = await readText(path);
  if (text.includes('-----BEGIN ')) return text;
  throw new CodedError('BadPem', `${path} holds no PEM (it does not say -----BEGIN)`);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    throw new CodedError('UnreadableFile', `${path} cannot be read: ${messageOf(thrown)}`);
  }
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new CodedError('Usage', `"${text}" is no port: a number from 0 to 65535`);
}

function modeOf(text: string): number {
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw new CodedError('Usage', `"${text}" is no file mode: three octal digits, 660 say`);
}

function camel(name: string): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function given<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [key in Name]?: Value };
}

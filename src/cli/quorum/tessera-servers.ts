/**
 * The servers of a Tessera configuration: Q2T and ThirdParty become the connector's socket and
 * ports, P2P becomes the federation's listener, ENCLAVE and ADMIN have no counterpart.
 */
import { dirname, resolve } from 'node:path';
import { type Fields, isFields, isTrue, textOf, textsOf } from './tessera-config.ts';
import type { SettingNote } from './tessera-settings.ts';

/** Settings of a connector's configuration file (`concordat connector --config`). */
export interface ConnectorSettings {
  readonly socket?: string;
  readonly host?: string;
  readonly port?: number;
  readonly thirdPartyPort?: number;
  readonly allowOrigin?: readonly string[];
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
}

/** `federation.tls` of a node's configuration. */
interface PeerTlsSettings {
  readonly certificate_file: string;
  readonly key_file: string;
  readonly trusted_ca_file?: string;
  readonly client_certificates: boolean;
}

/** Where peers reach the organisation, in the settings of `federation`. */
export interface PeerListener {
  readonly url: string;
  readonly bind_address: string;
  readonly tls?: PeerTlsSettings;
}

export interface ServersRead {
  readonly connector: ConnectorSettings;
  readonly peerListener: PeerListener | undefined;
  readonly notes: readonly SettingNote[];
}

type Say = (setting: string, kind: SettingNote['kind'], text: string) => void;

/** Reads all servers; `environment` may hold passwords of key stores. */
export function readServers(
  config: Fields,
  path: string,
  environment: Readonly<Record<string, string | undefined>>,
): ServersRead {
  const notes: SettingNote[] = [];
  const say: Say = (setting, kind, text) => notes.push({ setting, kind, text });
  const folder = dirname(resolve(path));
  let connector: ConnectorSettings = {};
  let peerListener: PeerListener | undefined;
  for (const [place, server] of serversOf(config)) {
    if (server.enabled !== undefined && !isTrue(server.enabled)) {
      say(place, 'no counterpart', 'this server is not enabled, and is left out');
      continue;
    }
    const app = String(server.app ?? '').toUpperCase();
    switch (app) {
      case 'Q2T':
        connector = {
          ...connector,
          ...q2tOf(place, server, folder, say),
          ...portTls(place, server, folder, connector, environment, say),
        };
        break;
      case 'THIRDPARTY':
        connector = {
          ...connector,
          ...thirdPartyOf(place, server, connector, say),
          ...portTls(place, server, folder, connector, environment, say),
        };
        break;
      case 'P2P':
        peerListener = peersOf(place, server, folder, environment, say);
        break;
      case 'ENCLAVE':
        say(place, 'no counterpart', ENCLAVE);
        break;
      case 'ADMIN':
        say(place, 'no counterpart', 'peers are settings, and nothing is changed behind them');
        break;
      default:
        say(
          `${place}.app`,
          'warning',
          `${JSON.stringify(server.app)} is none of P2P, Q2T, ThirdParty, ENCLAVE, ADMIN`,
        );
    }
    const kind = server.communicationType;
    if (kind !== undefined && String(kind).toUpperCase() !== 'REST') {
      say(`${place}.communicationType`, 'no counterpart', 'only REST is spoken');
    }
  }
  return { connector, peerListener, notes };
}

const ENCLAVE =
  'the whole service runs as an enclave does: in attested confidential VMs. Its keys are in the ' +
  "enclave's own configuration; import that one too";

/** Today's list, or the single server and socket of before 0.10. */
function serversOf(config: Fields): readonly (readonly [string, Fields])[] {
  const listed = Array.isArray(config.serverConfigs) ? config.serverConfigs : [];
  const servers = listed.flatMap((server: unknown, index): (readonly [string, Fields])[] =>
    isFields(server) ? [[`serverConfigs[${index}]`, server]] : [],
  );
  const socket = textOf(config.unixSocketFile);
  if (socket !== undefined) {
    servers.push(['unixSocketFile', { app: 'Q2T', serverAddress: `unix:${socket}` }]);
  }
  if (isFields(config.server)) {
    const { hostName, port, ...rest } = config.server;
    const serverAddress = `${String(hostName ?? 'http://localhost')}:${String(port)}`;
    servers.push(['server', { ...rest, app: 'P2P', serverAddress }]);
  }
  return servers;
}

function q2tOf(place: string, server: Fields, folder: string, say: Say): ConnectorSettings {
  const setting = place === 'unixSocketFile' ? place : `${place}.serverAddress`;
  const address = textOf(server.serverAddress) ?? '';
  if (address.startsWith('unix:')) {
    const socket = resolve(folder, address.slice('unix:'.length).replace(/^\/\/(?=\/)/, ''));
    say(setting, 'taken', `connector.socket ${socket}`);
    return { socket };
  }
  const bound = boundAt(server);
  if (bound === undefined) {
    say(setting, 'warning', `${JSON.stringify(address)} is no address, and is not taken`);
    return {};
  }
  say(setting, 'taken', `connector.host ${bound.host}, connector.port ${bound.port}`);
  return { host: bound.host, port: bound.port };
}

function thirdPartyOf(
  place: string,
  server: Fields,
  connector: ConnectorSettings,
  say: Say,
): ConnectorSettings {
  const bound = boundAt(server);
  if (bound === undefined) {
    say(`${place}.serverAddress`, 'warning', 'this is no address with a port; it is not taken');
    return {};
  }
  say(`${place}.serverAddress`, 'taken', `connector.thirdPartyPort ${bound.port}`);
  const host = connector.host ?? bound.host;
  if (host !== bound.host) {
    say(`${place}.serverAddress`, 'warning', `both ports listen on one address, ${host}`);
  }
  const origins = isFields(server.cors) ? textsOf(server.cors.allowedOrigins) : [];
  const allowOrigin = origins.filter((origin) => !origin.includes('*'));
  const open = origins.find((origin) => origin.includes('*'));
  if (open !== undefined) {
    const why = `an origin is allowed by its whole name; ${open} would let any page in`;
    say(`${place}.cors.allowedOrigins`, 'no counterpart', why);
  }
  if (allowOrigin.length > 0) {
    say(
      `${place}.cors.allowedOrigins`,
      'taken',
      `connector.allowOrigin ${allowOrigin.join(' ')}`,
    );
  }
  return {
    host,
    thirdPartyPort: bound.port,
    ...(allowOrigin.length === 0 ? {} : { allowOrigin }),
  };
}

function peersOf(
  place: string,
  server: Fields,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
  say: Say,
): PeerListener | undefined {
  const url = textOf(server.serverAddress);
  const bound = boundAt(server);
  if (url === undefined || !URL.canParse(url) || bound === undefined) {
    say(`${place}.serverAddress`, 'warning', 'this is no address with a port; it is not taken');
    return undefined;
  }
  const host = bound.host.includes(':') ? `[${bound.host}]` : bound.host;
  const bind_address = `${host}:${bound.port}`;
  say(`${place}.serverAddress`, 'taken', `federation.url ${url}, listening at ${bind_address}`);
  const tls = tlsOf(place, server, folder, environment, say);
  return { url, bind_address, ...(tls === undefined ? {} : { tls }) };
}

/** Where a server listens: its binding address, or the one it is known by. */
function boundAt(server: Fields): { readonly host: string; readonly port: number } | undefined {
  const address = textOf(server.bindingAddress) ?? textOf(server.serverAddress) ?? '';
  if (!/^https?:/.test(address) || !URL.canParse(address)) return undefined;
  const { hostname, port, protocol } = new URL(address);
  const standard = protocol === 'https:' ? 443 : 80;
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? standard : Number(port),
  };
}

function isStrict(server: Fields): boolean {
  return isFields(server.sslConfig) && server.sslConfig.tls === 'STRICT';
}

/** TLS of the connector's ports; one set of files for both. */
function portTls(
  place: string,
  server: Fields,
  folder: string,
  connector: ConnectorSettings,
  environment: Readonly<Record<string, string | undefined>>,
  say: Say,
): ConnectorSettings {
  const { sslConfig } = server;
  if (!isStrict(server) || !isFields(sslConfig)) return {};
  const setting = `${place}.sslConfig`;
  if (textOf(server.serverAddress)?.startsWith('unix:') === true) {
    say(setting, 'no counterpart', 'a socket is guarded by its file mode, and speaks no TLS');
    return {};
  }
  noteStores(place, sslConfig, 'server', environment, say);
  const files = tlsFiles(sslConfig, 'server', folder);
  if (files === undefined) {
    say(setting, 'warning', 'no PEM is named, so connector.tlsCertificate is to be filled in');
    return {};
  }
  const { certificate_file: tlsCertificate, key_file: tlsKey } = files;
  if (connector.tlsCertificate !== undefined && connector.tlsCertificate !== tlsCertificate) {
    say(
      setting,
      'no counterpart',
      `both ports show one certificate, ${connector.tlsCertificate}`,
    );
    return {};
  }
  say(setting, 'taken', `connector.tlsCertificate ${tlsCertificate}`);
  const asks = sslConfig.clientAuth === undefined || isTrue(sslConfig.clientAuth);
  const [tlsClientCa] = textsOf(sslConfig.serverTrustCertificates);
  if (!asks) return { tlsCertificate, tlsKey };
  noteTrust(place, sslConfig, 'server', 'connector.tlsClientCa', say);
  if (tlsClientCa === undefined) return { tlsCertificate, tlsKey };
  return { tlsCertificate, tlsKey, tlsClientCa: resolve(folder, tlsClientCa) };
}

function tlsOf(
  place: string,
  server: Fields,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
  say: Say,
): PeerTlsSettings | undefined {
  const { sslConfig } = server;
  if (!isStrict(server) || !isFields(sslConfig)) return undefined;
  for (const side of ['server', 'client'] as const) {
    noteTrust(place, sslConfig, side, 'federation.tls.trusted_ca_file', say);
    noteStores(place, sslConfig, side, environment, say);
  }
  const own = tlsFiles(sslConfig, 'server', folder) ?? tlsFiles(sslConfig, 'client', folder);
  if (own === undefined) {
    say(
      `${place}.sslConfig`,
      'warning',
      'no PEM is named, so federation.tls is to be filled in',
    );
    return undefined;
  }
  const other = tlsFiles(sslConfig, 'client', folder);
  if (other !== undefined && other.certificate_file !== own.certificate_file) {
    const why = `one certificate is shown in both directions: ${own.certificate_file}`;
    say(`${place}.sslConfig.clientTlsCertificatePath`, 'no counterpart', why);
  }
  say(`${place}.sslConfig`, 'taken', `federation.tls.certificate_file ${own.certificate_file}`);
  const clientAuth = sslConfig.clientAuth === undefined || isTrue(sslConfig.clientAuth);
  return {
    ...own,
    ...trustedIn(place, sslConfig, folder, say),
    client_certificates: clientAuth,
  };
}

type Side = 'server' | 'client';

function tlsFiles(
  ssl: Fields,
  side: Side,
  folder: string,
): Pick<PeerTlsSettings, 'certificate_file' | 'key_file'> | undefined {
  const certificate = textOf(ssl[`${side}TlsCertificatePath`]);
  const key = textOf(ssl[`${side}TlsKeyPath`]);
  if (certificate === undefined || key === undefined) return undefined;
  return { certificate_file: resolve(folder, certificate), key_file: resolve(folder, key) };
}

/** Those who vouch for peers, whichever way a connection goes: one file. */
function trustedIn(
  place: string,
  ssl: Fields,
  folder: string,
  say: Say,
): Pick<PeerTlsSettings, 'trusted_ca_file'> {
  const sides = ['serverTrustCertificates', 'clientTrustCertificates'] as const;
  const listed = sides.flatMap((name) => textsOf(ssl[name]));
  const [first, ...others] = [...new Set(listed.map((each) => resolve(folder, each)))];
  if (first === undefined) return {};
  if (others.length > 0) {
    say(
      `${place}.sslConfig.serverTrustCertificates`,
      'warning',
      `federation.tls.trusted_ca_file is one file: cat ${[first, ...others].join(' ')} into one`,
    );
  }
  return { trusted_ca_file: first };
}

/** Only trust that comes from certificates named beforehand is kept. */
function noteTrust(place: string, ssl: Fields, side: Side, ours: string, say: Say): void {
  const setting = `${place}.sslConfig.${side}TrustMode`;
  const mode = textOf(ssl[`${side}TrustMode`]) ?? 'NONE';
  const file = side === 'server' ? 'knownClientsFile' : 'knownServersFile';
  const instead = `put the certificates (or their authority) in ${ours}`;
  switch (mode) {
    case 'CA':
      say(setting, 'taken', `those of ${ours} vouch for who connects`);
      break;
    case 'WHITELIST':
      say(
        setting,
        'no counterpart',
        `${file} holds fingerprints, not certificates; ${instead}`,
      );
      break;
    case 'TOFU':
    case 'CA_OR_TOFU':
      say(setting, 'no counterpart', `nobody is trusted for being the first; ${instead}`);
      break;
    default:
      say(setting, 'no counterpart', `${mode} would let anybody in; ${instead}`);
  }
}

/** Java's key stores are not read; the commands that turn one into PEM are named. */
function noteStores(
  place: string,
  ssl: Fields,
  side: Side,
  environment: Readonly<Record<string, string | undefined>>,
  say: Say,
): void {
  for (const kind of ['KeyStore', 'TrustStore'] as const) {
    const store = textOf(ssl[`${side}${kind}`]);
    if (store === undefined) continue;
    const setting = `${place}.sslConfig.${side}${kind}`;
    const password = passwordSource(ssl, side, kind, environment);
    say(
      setting,
      'no counterpart',
      `Java's key stores are not read. Make PEM of it: keytool -importkeystore -srckeystore ` +
        `${store} -destkeystore store.p12 -deststoretype PKCS12 && openssl pkcs12 -in store.p12 ` +
        `-nodes -out store.pem (its password: ${password})`,
    );
  }
}

/** Tessera's order: prefixed variable, file, global variable. Passwords are never shown. */
function passwordSource(
  ssl: Fields,
  side: Side,
  kind: 'KeyStore' | 'TrustStore',
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const variable = `TESSERA_${side}_${kind}_PWD`.toUpperCase();
  const prefix = textOf(ssl.environmentVariablePrefix);
  const prefixed = prefix === undefined ? undefined : `${prefix}_${variable}`;
  if (prefixed !== undefined && environment[prefixed] !== undefined) return `$${prefixed}`;
  const inFile = textOf(ssl[`${side}${kind}Password`]);
  if (inFile?.startsWith('ENC(') === true) {
    return `${side}${kind}Password, encrypted under Tessera's own configuration secret`;
  }
  if (inFile !== undefined) return `${side}${kind}Password in the configuration`;
  if (environment[variable] !== undefined) return `$${variable}`;
  return `none is set, nor is $${prefixed ?? variable}`;
}

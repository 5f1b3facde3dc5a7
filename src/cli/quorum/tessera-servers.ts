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
}

/** PEM files of one TLS end. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Certificates that the other end's must be signed by. */
  readonly trusted: readonly string[];
}

export interface PeerListener {
  /** Under which peers know this organisation. */
  readonly url: string;
  /** `host:port` */
  readonly bindAddress: string;
  readonly tls?: { readonly server?: TlsFiles; readonly client?: TlsFiles };
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
        connector = { ...connector, ...q2tOf(place, server, folder, say) };
        noTls(place, server, say);
        break;
      case 'THIRDPARTY':
        connector = { ...connector, ...thirdPartyOf(place, server, connector, say) };
        noTls(place, server, say);
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
  const bindAddress = `${host}:${bound.port}`;
  say(`${place}.serverAddress`, 'taken', `federation.url ${url}, listening at ${bindAddress}`);
  const tls = tlsOf(place, server, folder, environment, say);
  return { url, bindAddress, ...(tls === undefined ? {} : { tls }) };
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

function noTls(place: string, server: Fields, say: Say): void {
  if (!isStrict(server)) return;
  say(
    `${place}.sslConfig`,
    'no counterpart',
    'the connector stands beside its Quorum node: a socket, or a loopback port, needs no TLS; ' +
      'to the service it always speaks attested TLS',
  );
}

function tlsOf(
  place: string,
  server: Fields,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
  say: Say,
): PeerListener['tls'] {
  const { sslConfig } = server;
  if (!isStrict(server) || !isFields(sslConfig)) return undefined;
  for (const side of ['server', 'client'] as const) {
    noteTrust(place, sslConfig, side, say);
    noteStores(place, sslConfig, side, environment, say);
  }
  const serverFiles = tlsFiles(place, sslConfig, 'server', folder, say);
  const clientFiles = tlsFiles(place, sslConfig, 'client', folder, say);
  if (sslConfig.clientAuth !== undefined && !isTrue(sslConfig.clientAuth)) {
    const why = 'a peer always shows its certificate: without it anybody could push';
    say(`${place}.sslConfig.clientAuth`, 'no counterpart', why);
  }
  return {
    ...(serverFiles === undefined ? {} : { server: serverFiles }),
    ...(clientFiles === undefined ? {} : { client: clientFiles }),
  };
}

type Side = 'server' | 'client';

function tlsFiles(
  place: string,
  ssl: Fields,
  side: Side,
  folder: string,
  say: Say,
): TlsFiles | undefined {
  const certificate = textOf(ssl[`${side}TlsCertificatePath`]);
  const key = textOf(ssl[`${side}TlsKeyPath`]);
  if (certificate === undefined || key === undefined) return undefined;
  const trusted = textsOf(ssl[`${side}TrustCertificates`]).map((each) => resolve(folder, each));
  const text = `federation.tls.${side}: certificate, key and ${trusted.length} trusted`;
  say(`${place}.sslConfig.${side}TlsCertificatePath`, 'taken', text);
  return { certificate: resolve(folder, certificate), key: resolve(folder, key), trusted };
}

/** Only trust that comes from certificates named beforehand is kept. */
function noteTrust(place: string, ssl: Fields, side: Side, say: Say): void {
  const setting = `${place}.sslConfig.${side}TrustMode`;
  const mode = textOf(ssl[`${side}TrustMode`]) ?? 'NONE';
  const file = side === 'server' ? 'knownClientsFile' : 'knownServersFile';
  const instead = `name the certificates (or their authority) in federation.tls.${side}.trusted`;
  switch (mode) {
    case 'CA':
      say(setting, 'taken', `certificates of federation.tls.${side}.trusted sign the peers'`);
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

/**
 * A doctor's visit to this machine: the organisation's certificate, the socket and the ports, as a
 * connector would use them. Nothing is made, removed or changed.
 */
import { constants, type Stats } from 'node:fs';
import { access, lstat, stat } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { dirname, resolve } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { messageOf } from '../base/errors.ts';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { isLoopback } from './admission.ts';
import type { ConnectorOptions, PortOptions } from './connector.ts';
import {
  certificateIn,
  keyFitting,
  namesIn,
  portraitOf,
  validityOf,
} from './doctor-certificate.ts';
import type { Finding, Tell } from './doctor-finding.ts';
import { type PortTls, serverTls } from './port-tls.ts';
import {
  folderFault,
  groupIdOf,
  SOCKET_MODE_DEFAULT,
  type SocketOptions,
  socketStateOf,
} from './socket-file.ts';

/** How long whoever holds a port may take to say who they are. */
const ASK_MS_MAX = 2_000;

export async function examineMachine(
  options: ConnectorOptions,
  nowMs: number,
  tell: Tell,
): Promise<void> {
  examineOwnCertificate(options.service, nowMs, tell);
  if (options.tls !== undefined) examinePortTls(options.tls, nowMs, tell);
  if (options.socket !== undefined) await examineSocket(options.socket, tell);
  const { tls } = options;
  const ports = [
    ['port', options.http, tls],
    ['third-party port', options.thirdParty, tls],
    ['health port', options.health, undefined],
  ] as const;
  for (const [name, port, portTls] of ports) {
    if (port === undefined) continue;
    const isForAll = name === 'health port' || portTls?.clientAuthorities !== undefined;
    tell(await portFinding(name, port, portTls, isForAll));
  }
  if (options.socket === undefined && options.http === undefined) {
    tell({
      about: 'socket and port',
      step: 'what to serve',
      outcome: 'bad',
      message: 'neither a socket nor a port is named',
      fix: 'say --socket PATH, and --ptm.socket PATH to GoQuorum',
    });
  }
}

function examineOwnCertificate(
  { certificate = '', key = '' }: ConnectorOptions['service'],
  nowMs: number,
  tell: Tell,
): void {
  const about = "organisation's certificate";
  const own = certificateIn(certificate);
  if (typeof own === 'string') {
    const message = `it cannot be read: ${own}`;
    tell({ about, step: 'file', outcome: 'bad', message, fix: 'name a certificate in PEM' });
    return;
  }
  tell({ about, step: 'file', outcome: 'good', message: portraitOf(own) });
  const renewal =
    'have a new one made and proposed to the members (add_organisation_certificate)';
  tell({ about, step: 'validity', ...validityOf(own, nowMs, renewal) });
  tell({ about, step: 'key', ...keyFitting(own, key) });
}

function examinePortTls(tls: PortTls, nowMs: number, tell: Tell): void {
  const about = "ports' certificate";
  const own = certificateIn(tls.certificate);
  try {
    serverTls(tls);
  } catch (thrown) {
    const fix = 'name a certificate and the key that belongs to it, both PEM';
    tell({ about, step: 'files', outcome: 'bad', message: messageOf(thrown), fix });
    return;
  }
  if (typeof own === 'string') return;
  tell({ about, step: 'files', outcome: 'good', message: portraitOf(own) });
  const renewal = 'have a new one made and restart the connector';
  tell({ about, step: 'validity', ...validityOf(own, nowMs, renewal) });
  const names = namesIn(own);
  tell(
    names.length > 0
      ? { about, step: 'names', outcome: 'good', message: `it names ${names.join(', ')}` }
      : {
          about,
          step: 'names',
          outcome: 'bad',
          message: 'it has no subject alternative name, and GoQuorum looks at nothing else',
          fix: 'have one made with the name that stands in --ptm.url as a subjectAltName',
        },
  );
  const isMutual = tls.clientAuthorities !== undefined;
  tell({
    about,
    step: 'clients',
    outcome: isMutual ? 'good' : 'note',
    message: isMutual
      ? 'only who shows a certificate of the named authorities is let in'
      : 'everybody on this machine is let in: no authorities for clients are named',
    ...(isMutual ? {} : { fix: 'name them with --tls-client-ca' }),
  });
}

async function examineSocket(options: SocketOptions, tell: Tell): Promise<void> {
  const path = resolve(options.path);
  const about = `socket ${path}`;
  const say = (step: string, said: Omit<Finding, 'about' | 'step'>): void =>
    tell({ about, step, ...said });
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    const message = `it has ${bytes} bytes; a Unix socket's path may have ${SOCKET_PATH_BYTES_MAX}`;
    say('path', { outcome: 'bad', message, fix: 'choose a folder with a shorter path' });
  }
  const { mode = SOCKET_MODE_DEFAULT, group } = options;
  if ((mode & 0o007) !== 0) {
    say('mode', {
      outcome: 'bad',
      message: `mode ${octal(mode)} lets everybody on this machine act as the organisation`,
      fix: "say --socket-mode 660 and --socket-group with GoQuorum's group",
    });
  }
  if (group !== undefined) {
    const unknown = await groupIdOf(group).then(() => undefined, messageOf);
    if (unknown !== undefined) {
      const fix = `make it (groupadd ${group}) and let GoQuorum's user in, or name another`;
      say('group', { outcome: 'bad', message: unknown, fix });
    }
  }
  say('folder', await folderFinding(dirname(path)));
  const found = await lstat(path).catch(() => undefined);
  if (found !== undefined) say('file', await fileFinding(path, found));
}

type Said = Omit<Finding, 'about' | 'step'>;

async function folderFinding(folder: string): Promise<Said> {
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined) {
    const above = dirname(folder);
    if (above !== folder && (await mayWrite(above)) === false) {
      return {
        outcome: 'bad',
        message: `${folder} does not exist, and this user may not make it`,
        fix: `make it for the connector's user: install -d -m 700 -o USER ${folder}`,
      };
    }
    const message = `${folder} does not exist; a connector makes it, for its user alone`;
    return { outcome: 'good', message };
  }
  const fault = folderFault(folder, found);
  if (fault !== undefined) {
    const fix = `chmod o-w ${folder}, or choose a folder of the connector's user`;
    return { outcome: 'bad', message: fault.message, fix };
  }
  if ((await mayWrite(folder)) !== true) {
    const message = `this user may not write into ${folder}`;
    return { outcome: 'bad', message, fix: `chown USER ${folder}, USER running the connector` };
  }
  return {
    outcome: 'good',
    message: `${folder} has mode ${octal(found.mode)}, owner ${found.uid}, group ${found.gid}`,
  };
}

/** Undefined for what does not exist. */
async function mayWrite(path: string): Promise<boolean | undefined> {
  return await access(path, constants.W_OK | constants.X_OK).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? undefined : false),
  );
}

async function fileFinding(path: string, found: Stats): Promise<Said> {
  if (!found.isSocket()) {
    const message = 'something that is no socket has this name';
    return { outcome: 'bad', message, fix: `move ${path} away` };
  }
  const state = await socketStateOf(path);
  if (state === 'refused') {
    const message = 'a program that has ended left it behind; a connector replaces it';
    return { outcome: 'note', message };
  }
  const held = await heldBy({ socketPath: path });
  if (state !== 'listening' || held === 'another') {
    return {
      outcome: 'bad',
      message: `another program has it (${state})`,
      fix: `find it with \`ss -xlp | grep ${path}\` and stop it, or choose another path`,
    };
  }
  const modes = `mode ${octal(found.mode)}, owner ${found.uid}, group ${found.gid}`;
  if ((found.mode & 0o007) !== 0) {
    const message = `everybody on this machine may act as the organisation: ${modes}`;
    return { outcome: 'bad', message, fix: `chmod o-rwx ${path}` };
  }
  return { outcome: 'note', message: `a connector serves it now: ${modes}` };
}

async function portFinding(
  step: string,
  { host = '127.0.0.1', port }: PortOptions,
  tls: PortTls | undefined,
  isForAll: boolean,
): Promise<Finding> {
  const about = `${host}:${port}`;
  if (!isForAll && !isLoopback(host)) {
    return {
      about,
      step,
      outcome: 'bad',
      message: 'this is no loopback address, and who reaches the port acts as the organisation',
      fix: 'leave --host out, or ask clients for certificates: --tls-client-ca FILE',
    };
  }
  const fault = await listeningFault(host, port);
  switch (fault) {
    case undefined:
      return { about, step, outcome: 'good', message: 'it is free' };
    case 'EADDRINUSE': {
      const at = { host, port };
      const held = tls === undefined ? await heldBy(at) : await shownBy(at, tls.certificate);
      if (held === 'a connector') {
        return { about, step, outcome: 'note', message: 'a connector serves it now' };
      }
      const fix = `find who has it with \`ss -ltnp 'sport = :${port}'\`, or choose another`;
      return { about, step, outcome: 'bad', message: 'another program has it', fix };
    }
    case 'EACCES': {
      const fix = 'choose a port from 1024 on';
      return { about, step, outcome: 'bad', message: 'this user may not listen on it', fix };
    }
    default: {
      const fix = 'choose an address of this machine (ip address)';
      return { about, step, outcome: 'bad', message: `it cannot be used: ${fault}`, fix };
    }
  }
}

/** Why a port cannot be listened on; it is given back at once. */
function listeningFault(host: string, port: number): Promise<string | undefined> {
  return new Promise((told) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => told(error.code ?? error.message));
    server.listen(port, host, () => server.close(() => told(undefined)));
  });
}

type Holder = 'a connector' | 'another';

/** Who answers there: connectors have figures that nobody else has. */
function heldBy(
  at: { readonly socketPath: string } | { readonly host: string; readonly port: number },
): Promise<Holder> {
  return new Promise((told) => {
    const signal = AbortSignal.timeout(ASK_MS_MAX);
    const asked = request({ ...at, path: '/metrics', signal, agent: false });
    asked.once('error', () => told('another'));
    asked.once('response', (response) => {
      let text = '';
      response.setEncoding('latin1');
      response.on('data', (chunk: string) => {
        text = (text + chunk).slice(0, 4096);
      });
      response.once('end', () =>
        told(text.includes('tessera_Connector_Uptime_seconds') ? 'a connector' : 'another'),
      );
      response.once('error', () => told('another'));
    });
    asked.end();
  });
}

/** Who shows a certificate there: it may answer clients alone, but it is known by that. */
function shownBy(
  { host, port }: { readonly host: string; readonly port: number },
  certificatePem: string,
): Promise<Holder> {
  const own = certificateIn(certificatePem);
  return new Promise((told) => {
    // Nothing is said in this session.
    const socket = tlsConnect({ host, port, rejectUnauthorized: false });
    const end = (holder: Holder): void => {
      socket.destroy();
      told(holder);
    };
    socket.setTimeout(ASK_MS_MAX, () => end('another'));
    socket.once('error', () => end('another'));
    socket.once('secureConnect', () => {
      const shown = socket.getPeerX509Certificate()?.fingerprint256;
      const isOwn = typeof own !== 'string' && shown === own.fingerprint256;
      end(isOwn ? 'a connector' : 'another');
    });
  });
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0');
}

/**
 * The Unix socket. It is a credential (transaction-manager.md part 1, decision 10): whoever can
 * open it acts as the organisation. So its folder is made for its owner alone, its mode is set
 * before anybody can connect, and a file that lies in its place is removed only when it is a
 * socket on which nobody listens.
 */
import { chmodSync, chownSync } from 'node:fs';
import { lstat, mkdir, readFile, stat, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname, resolve } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';

export interface SocketOptions {
  readonly path: string;
  /** 0600 unless it is opened to GoQuorum's user. */
  readonly mode?: number;
  /** Name or number of the group that may open it. */
  readonly group?: string;
}

export const SOCKET_MODE_DEFAULT = 0o600;

/** Makes the server listen on a Unix socket; gives back its absolute path. */
export async function listenOnSocket(server: Server, options: SocketOptions): Promise<string> {
  const path = resolve(options.path);
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    throw new CodedError(
      'SocketPathTooLong',
      `the path of the socket has ${bytes} bytes, a Unix socket's may have ` +
        `${SOCKET_PATH_BYTES_MAX}: choose a shorter folder than that of ${path}`,
      { path, bytes },
    );
  }
  const group = options.group === undefined ? undefined : await groupIdOf(options.group);
  await makeFolder(dirname(path), group);
  await removeStale(path);
  await listenPrivately(server, path);
  if (group !== undefined) chownSync(path, -1, group);
  chmodSync(path, options.mode ?? SOCKET_MODE_DEFAULT);
  return path;
}

/** Nobody else can open the socket from the moment it exists: its mode is widened only after. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', failed);
    const before = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.removeListener('error', failed);
        done();
      });
    } finally {
      process.umask(before);
    }
  });
}

async function makeFolder(folder: string, group: number | undefined): Promise<void> {
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (made === undefined) {
    const fault = folderFault(folder, await stat(folder));
    if (fault !== undefined) throw fault;
    return;
  }
  // The group must get through the folder to reach the socket, but needs not list it.
  if (group !== undefined) {
    chownSync(folder, -1, group);
    chmodSync(folder, 0o710);
  }
}

/** Why a folder is none for a socket: somebody else could put another one in its place. */
export function folderFault(
  folder: string,
  { mode, uid }: { readonly mode: number; readonly uid: number },
): CodedError | undefined {
  const self = process.getuid?.();
  if (self !== undefined && self !== 0 && uid !== self && uid !== 0) {
    return new CodedError(
      'SocketFolderForeign',
      `${folder} belongs to user ${uid}, who could put another socket in place of ours: ` +
        'choose another folder',
      { folder, uid },
    );
  }
  const openToAll = (mode & 0o002) !== 0 && (mode & 0o1000) === 0;
  if (!openToAll) return undefined;
  return new CodedError(
    'SocketFolderOpen',
    `anybody may write into ${folder}, and so put another socket in place of ours: ` +
      'take that right away (chmod o-w) or choose another folder',
    { folder },
  );
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CodedError('SocketPathTaken', `${path} exists and is no socket: move it away`, {
      path,
    });
  }
  const state = await socketStateOf(path);
  if (state === 'refused') return await unlink(path);
  throw new CodedError(
    'SocketInUse',
    state === 'listening'
      ? `somebody listens on ${path}: stop that program or choose another path`
      : `whether somebody listens on ${path} cannot be told (${state}): remove it if nobody does`,
    { path },
  );
}

/** What connecting to a socket says: somebody listens, it is refused, or another error's code. */
export function socketStateOf(path: string): Promise<string> {
  return new Promise((told) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      told('listening');
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      told(error.code === 'ECONNREFUSED' ? 'refused' : (error.code ?? error.message));
    });
  });
}

/** The number of a group: group(5). */
export async function groupIdOf(group: string): Promise<number> {
  if (/^\d+$/.test(group)) return Number(group);
  const groups = await readFile('/etc/group', 'utf8').catch(() => '');
  const line = groups.split('\n').find((one) => one.startsWith(`${group}:`));
  const id = line?.split(':')[2];
  if (id !== undefined && /^\d+$/.test(id)) return Number(id);
  throw new CodedError('UnknownGroup', `there is no group "${group}" on this machine`, {
    group,
  });
}

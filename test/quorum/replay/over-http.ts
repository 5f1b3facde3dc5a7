/**
 * Puts recorded requests to a running transaction manager byte by byte, so that header case, their
 * order and even contradictions (a length beside chunks) arrive as they were recorded.
 */
import { connect, type Socket } from 'node:net';
import type { Answer } from './compare.ts';
import type { Recorded, RecordedRequest } from './recordings.ts';
import type { Exchange } from './replay.ts';

const ANSWER_MS_MAX = 15_000;

/** `targetOf`: `http://host:port` or `unix:/path`. */
export function exchangeOverHttp(targetOf: (recorded: Recorded) => string): Exchange {
  return (recorded, request) => askOverHttp(targetOf(recorded), request);
}

/** One request, in a connection of its own. */
export async function askOverHttp(target: string, request: RecordedRequest): Promise<Answer> {
  const socket = target.startsWith('unix:')
    ? connect(target.slice('unix:'.length))
    : connect(Number(new URL(target).port), new URL(target).hostname);
  try {
    return await exchange(socket, request, target);
  } finally {
    socket.destroy();
  }
}

async function exchange(
  socket: Socket,
  request: RecordedRequest,
  target: string,
): Promise<Answer> {
  const host = target.startsWith('unix:') ? 'c' : new URL(target).host;
  const answered = everything(socket);
  // In one piece: who refuses the head may have hung up before a second one.
  socket.write(Buffer.concat([Buffer.from(headOf(request, host), 'latin1'), request.body]));
  return parse(await answered);
}

/**
 * All bytes until the end; a server that hangs up while we still write has answered all the same.
 */
function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    socket.setTimeout(ANSWER_MS_MAX, () => socket.destroy(new Error('no answer in time')));
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', (error) => {
      failure = error;
    });
    socket.on('close', () => {
      if (chunks.length > 0) resolve(Buffer.concat(chunks));
      else reject(failure ?? new Error('the connection was closed without an answer'));
    });
  });
}

/** The recorded head, with our host, the length of the translated body, and the last request. */
function headOf({ method, path, headers, body }: RecordedRequest, host: string): string {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close'];
  for (const [name, value] of headers) {
    const lower = name.toLowerCase();
    if (lower === 'host' || lower === 'connection') continue;
    lines.push(`${name}: ${lower === 'content-length' ? body.length : value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function parse(bytes: Buffer): Answer {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) throw new Error(`no answer but ${bytes.length} bytes`);
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const headers = lines.map((line): readonly [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const status = Number(first.split(' ')[1]);
  return { status, headers, body: bytes.subarray(end + 4) };
}

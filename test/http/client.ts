// A client that sends exactly the bytes it is given and shows exactly what came back.

import { connect, type TLSSocket } from 'node:tls';
import type { TestIdentity } from './certificates.ts';

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** JSON of a reply's body. */
export function jsonOf(reply: Reply): unknown {
  return JSON.parse(reply.body.toString());
}

/** The code of an error in CCF's shape. */
export function codeOf(reply: Reply): unknown {
  const body = jsonOf(reply) as { readonly error?: { readonly code?: unknown } };
  return body.error?.code;
}

export interface Target {
  readonly host: string;
  readonly port: number;
}

export class RawClient {
  readonly socket: TLSSocket;
  #bytes: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: (() => void) | undefined;
  readonly #heads: boolean[] = [];

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake?.();
    });
    socket.on('error', () => this.#wake?.());
    socket.on('close', () => {
      this.#closed = true;
      this.#wake?.();
    });
  }

  static connect(target: Target, identity?: TestIdentity): Promise<RawClient> {
    const socket = connect({
      host: target.host,
      port: target.port,
      rejectUnauthorized: false,
      ...(identity === undefined ? {} : { cert: identity.cert, key: identity.key }),
    });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        socket.off('error', reject);
        resolve(new RawClient(socket));
      });
    });
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Sends one request and waits for its reply. */
  ask(
    method: string,
    path: string,
    options: { headers?: Readonly<Record<string, string>>; body?: string | Uint8Array } = {},
  ): Promise<Reply> {
    const { headers = {}, body = '' } = options;
    this.#heads.push(method === 'HEAD');
    const length =
      body.length > 0 || method === 'POST'
        ? { 'content-length': String(Buffer.byteLength(body)) }
        : {};
    const lines = Object.entries({ host: 'test', ...length, ...headers });
    this.send(
      Buffer.concat([
        Buffer.from(
          `${method} ${path} HTTP/1.1\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`,
        ),
        Buffer.from(body),
      ]),
    );
    return this.reply();
  }

  /** The next reply; rejects when the connection ends before it is whole. */
  async reply(): Promise<Reply> {
    const isHead = this.#heads.shift() ?? false;
    for (;;) {
      const reply = this.#take(isHead);
      if (reply !== undefined) return reply;
      if (this.#closed) throw new Error('the connection was closed before a whole reply');
      await this.#change();
    }
  }

  /** Resolves when the other side has closed the connection. */
  async closed(): Promise<void> {
    while (!this.#closed) await this.#change();
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.socket.destroy();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #take(isHead: boolean): Reply | undefined {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const [statusLine = '', ...lines] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const status = Number(statusLine.split(' ')[1]);
    const length = isHead || status === 100 ? 0 : Number(headers.get('content-length') ?? '0');
    const bodyStart = end + 4;
    if (this.#bytes.length < bodyStart + length) return undefined;
    const body = this.#bytes.subarray(bodyStart, bodyStart + length);
    this.#bytes = this.#bytes.subarray(bodyStart + length);
    return { status, headers, body };
  }
}

/** One request on a connection of its own. */
export async function askOnce(
  target: Target,
  identity: TestIdentity | undefined,
  method: string,
  path: string,
  options: { headers?: Readonly<Record<string, string>>; body?: string | Uint8Array } = {},
): Promise<Reply> {
  const client = await RawClient.connect(target, identity);
  try {
    return await client.ask(method, path, options);
  } finally {
    client.close();
  }
}

// A certificate service on this machine: answers by path, and remembers what it was asked.

import { createServer, type IncomingMessage } from 'node:http';

export interface LocalAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export interface LocalService {
  readonly url: string;
  /** `GET /path?query` each. */
  readonly asked: readonly string[];
  readonly headers: readonly IncomingMessage['headers'][];
  readonly bodies: readonly string[];
  close(): Promise<void>;
}

/** Undefined leaves a question without an answer. */
export async function localService(
  answer: (asked: string, body: string) => LocalAnswer | undefined,
): Promise<LocalService> {
  const asked: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const bodies: string[] = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => {
      body += String(piece);
    });
    request.on('end', () => {
      const what = `${request.method} ${request.url}`;
      asked.push(what);
      headers.push(request.headers);
      bodies.push(body);
      const given = answer(what, body);
      if (given === undefined) return;
      response.writeHead(given.status ?? 200, given.headers);
      response.end(given.body ?? '');
    });
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    headers,
    bodies,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

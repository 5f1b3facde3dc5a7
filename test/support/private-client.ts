/** A Quorum node's requests to its transaction manager, over a socket or a port. */
import { Agent, request } from 'node:http';

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const TYPE = 'application/vnd.tessera-4.0+json';

export class PrivateClient {
  readonly #agent: Agent;
  readonly #target:
    | { readonly socketPath: string }
    | { readonly host: string; readonly port: string };

  /** `at`: the path of a socket, or a URL. */
  constructor(at: string, connections = 16) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
    const url = at.startsWith('http') ? new URL(at) : undefined;
    this.#target =
      url === undefined ? { socketPath: at } : { host: url.hostname, port: url.port };
  }

  /** Sends a payload; gives back its key. Rejects when it is not acknowledged. */
  async send(payload: Uint8Array, from: string, to: readonly string[]): Promise<string> {
    const body = JSON.stringify({
      payload: Buffer.from(payload).toString('base64'),
      from,
      to,
      affectedContractTransactions: [],
      privacyFlag: 0,
      mandatoryRecipients: null,
    });
    const reply = await this.ask('POST', '/send', { 'content-type': TYPE, accept: TYPE }, body);
    if (reply.status !== 201) throw new Error(`send: ${reply.status} ${reply.body.toString()}`);
    return (JSON.parse(reply.body.toString()) as { key: string }).key;
  }

  /** The payload of a key; undefined for 404. Rejects for anything else. */
  async receive(key: string): Promise<Buffer | undefined> {
    const reply = await this.ask('GET', `/transaction/${encodeURIComponent(key)}`);
    if (reply.status === 404) return undefined;
    if (reply.status !== 200)
      throw new Error(`receive: ${reply.status} ${reply.body.toString()}`);
    const { payload } = JSON.parse(reply.body.toString()) as { payload: string };
    return Buffer.from(payload, 'base64');
  }

  ask(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string,
  ): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const options = { ...this.#target, method, path, headers, agent: this.#agent };
      const sending = request(options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          resolve({ status, headers: response.headers, body: Buffer.concat(chunks) });
        });
      });
      sending.on('error', reject);
      sending.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

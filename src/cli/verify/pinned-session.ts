/**
 * A TLS session with whoever answers at an address: nobody is believed for their certificate, but
 * its key is noted, and every answer must come under that same key. Whose key it is, evidence says.
 */
import { Agent, get } from 'node:https';
import { TLSSocket } from 'node:tls';
import { CodedError, messageOf } from '../../base/errors.ts';
import { type Certificate, parseCertificate } from '../../crypto/x509.ts';

const ANSWER_MS_MAX = 10_000;
const ANSWER_BYTES_MAX = 16_000_000;

export class PinnedSession {
  readonly url: string;
  readonly #agent = new Agent({
    keepAlive: true,
    maxSockets: 1,
    maxCachedSessions: 0,
    minVersion: 'TLSv1.3',
    // Trust is not decided here: the key that shows is compared with the evidence.
    rejectUnauthorized: false,
  });
  #der: Uint8Array | undefined;

  constructor(url: string) {
    this.url = url;
  }

  /** The certificate that was shown; only after an answer. Throws `BadCertificate`. */
  certificate(): Certificate {
    return parseCertificate(this.#der ?? new Uint8Array(0));
  }

  /** The JSON at a path. Rejects with `NodeUnreachable` or `NotAService`. */
  async json(path: string): Promise<unknown> {
    const { status, body } = await this.#get(path);
    try {
      if (status === 200) return JSON.parse(body);
    } catch (cause) {
      throw this.#notAService(path, 'something else than JSON', cause);
    }
    throw this.#notAService(path, String(status));
  }

  close(): void {
    this.#agent.destroy();
  }

  #notAService(path: string, what: string, cause?: unknown): CodedError {
    const message = `${this.url}${path} answers ${what}: is this a node of a service?`;
    return new CodedError('NotAService', message, { url: this.url }, { cause });
  }

  #get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const fail = (cause: Error): void => {
        const message = `${this.url} does not answer: ${messageOf(cause)}`;
        reject(new CodedError('NodeUnreachable', message, { url: this.url }, { cause }));
      };
      const options = { agent: this.#agent, signal: AbortSignal.timeout(ANSWER_MS_MAX) };
      const asking = get(`${this.url}${path}`, options, (response) => {
        try {
          this.#note(response.socket);
        } catch (error) {
          asking.destroy(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          body += piece;
          if (body.length > ANSWER_BYTES_MAX) asking.destroy(new Error('it answers too much'));
        });
        response.on('error', fail);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      asking.on('error', fail);
    });
  }

  #note(socket: unknown): void {
    const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
    if (shown === undefined) throw new Error('it shows no certificate');
    const der = new Uint8Array(shown.raw);
    if (this.#der !== undefined && Buffer.compare(this.#der, der) !== 0) {
      throw new Error('it shows another certificate than before');
    }
    this.#der = der;
  }
}

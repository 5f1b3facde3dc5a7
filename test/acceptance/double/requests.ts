/**
 * The requests that GoQuorum 24.4.1 makes to its transaction manager, with its headers in its order
 * (transaction-manager.md §A). Each is kept, so that it can be held against the recorded ones.
 */
import type { Answer } from '../../quorum/replay/compare.ts';
import { askOverHttp } from '../../quorum/replay/over-http.ts';
import type { RecordedRequest } from '../../quorum/replay/recordings.ts';

const TYPE_2_1 = 'application/vnd.tessera-2.1+json';
const TYPE_4_0 = 'application/vnd.tessera-4.0+json';

/** A JSON object whose fields GoQuorum writes in this order. */
export type Fields = Readonly<Record<string, unknown>>;

export interface MadeRequest {
  readonly isOverSocket: boolean;
  readonly request: RecordedRequest;
}

/** A payload's part of a body, in GoQuorum's order: what is empty is left out or null. */
export interface Order {
  readonly from?: string;
  readonly to: readonly string[];
  readonly affected: readonly string[];
  readonly execHash?: string;
  readonly privacyFlag: number;
  readonly mandatory?: readonly string[];
}

export interface Received {
  readonly payload: string;
  readonly affected: readonly string[];
  readonly execHash: string;
  readonly managedParties: readonly string[];
  readonly privacyFlag: number;
}

export class ManagerRequests {
  readonly #target: string;
  readonly made: MadeRequest[] = [];

  /** `target`: `http://host:port` or `unix:/path`. */
  constructor(target: string) {
    this.#target = target;
  }

  /** What a node asks as it starts, twice, before it takes anything in. */
  async handshake(): Promise<void> {
    for (let client = 0; client < 2; client += 1) {
      await this.#ask('GET', '/upcheck', [['User-Agent', 'Go-http-client/1.1']]);
      await this.#ask('GET', '/version', [['User-Agent', 'Go-http-client/1.1']]);
      const api = await this.#ask('GET', '/version/api', [
        ['User-Agent', 'Go-http-client/1.1'],
      ]);
      if (!bodyOf<readonly string[]>(api).includes('4.0')) {
        throw new Error('the manager offers no mandatory recipients');
      }
    }
  }

  async residents(): Promise<readonly { readonly name: string; readonly members: string[] }[]> {
    return bodyOf(await this.#json('GET', '/groups/resident', 'application/json'));
  }

  async send(
    payload: Buffer,
    order: Order,
  ): Promise<{ key: string; managedParties: string[] }> {
    const body = { payload: payload.toString('base64'), ...written(order) };
    return bodyOf(await this.#json('POST', '/send', TYPE_4_0, body));
  }

  async storeRaw(payload: Buffer, from?: string): Promise<string> {
    const body = {
      payload: payload.toString('base64'),
      ...(from === undefined ? {} : { from }),
    };
    return bodyOf<{ key: string }>(await this.#json('POST', '/storeraw', TYPE_2_1, body)).key;
  }

  async sendSigned(
    hash: string,
    order: Order,
  ): Promise<{ key: string; managedParties: string[] }> {
    const body = { hash, ...written(order) };
    return bodyOf(await this.#json('POST', '/sendsignedtx', TYPE_4_0, body));
  }

  /** Undefined for who is no party; anything else but an answer rejects. */
  async receive(hash: string, isRaw: boolean): Promise<Received | undefined> {
    const path = `/transaction/${escaped(hash)}?isRaw=${isRaw}`;
    const answer = await this.#json('GET', path, TYPE_2_1);
    if (answer.status === 404) return undefined;
    const { affectedContractTransactions: affected = [], ...rest } = bodyOf<
      Omit<Received, 'affected'> & { affectedContractTransactions?: string[] }
    >(answer);
    return { ...rest, affected };
  }

  /** `isSender`, `participants` or `mandatory`, in the manager's words; undefined if it refuses. */
  async fact(hash: string, name: string): Promise<string | undefined> {
    const agent = ['User-Agent', 'Go-http-client/1.1'] as const;
    const { status, body } = await this.#ask('GET', `/transaction/${escaped(hash)}/${name}`, [
      agent,
    ]);
    return status === 200 ? body.toString() : undefined;
  }

  /** Seals a payload without storing it. */
  async seal(payload: Buffer, order: Order): Promise<Fields> {
    const body = { payload: payload.toString('base64'), ...written(order) };
    return bodyOf(await this.#json('POST', '/encodedpayload/create', TYPE_2_1, body));
  }

  async unseal(sealed: Fields): Promise<Buffer> {
    const answer = await this.#json('POST', '/encodedpayload/decrypt', TYPE_2_1, sealed);
    return Buffer.from(bodyOf<{ payload: string }>(answer).payload, 'base64');
  }

  #json(method: string, path: string, type: string, value?: Fields): Promise<Answer> {
    const body = value === undefined ? undefined : Buffer.from(`${JSON.stringify(value)}\n`);
    const headers: [string, string][] = [['User-Agent', 'quorum-v24.4.1']];
    if (body !== undefined) headers.push(['Content-Length', String(body.length)]);
    headers.push(['Accept', type], ['Content-Type', type]);
    return this.#ask(method, path, headers, body);
  }

  #ask(
    method: string,
    path: string,
    some: readonly (readonly [string, string])[],
    body: Buffer = Buffer.alloc(0),
  ): Promise<Answer> {
    const isOverSocket = this.#target.startsWith('unix:');
    const packed = isOverSocket ? [] : ([['Accept-Encoding', 'gzip']] as const);
    const headers = [['Host', 'c'] as const, ...some, ...packed];
    const request: RecordedRequest = { method, path, headers, body };
    this.made.push({ isOverSocket, request });
    return askOverHttp(this.#target, request);
  }
}

function written({ from, to, affected, execHash, privacyFlag, mandatory }: Order): Fields {
  return {
    ...(from === undefined ? {} : { from }),
    to,
    affectedContractTransactions: affected,
    ...(execHash === undefined ? {} : { execHash }),
    privacyFlag,
    mandatoryRecipients: mandatory ?? null,
  };
}

/** The body of an answer; what is no answer is said as GoQuorum says it to its user. */
function bodyOf<Body>({ status, body }: Answer): Body {
  if (status === 200 || status === 201) return JSON.parse(body.toString()) as Body;
  throw new Error(`Non-200 status code: ${status} status: ${body.toString()}`);
}

/** Go's PathEscape: of a hash's characters only the slash is escaped. */
function escaped(hash: string): string {
  return hash.replaceAll('/', '%2F');
}

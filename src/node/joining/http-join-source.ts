/**
 * A node of the service, asked over HTTP (http-api.md §10): the same endpoints that operators use.
 * Redirects are followed a few times, to https alone; the session there is pinned as well.
 */
import { bytesOfBase64, bytesOfHex, textOf } from '../../base/bytes.ts';
import { type Seqno, type TxId, textOfTxId } from '../../base/ids.ts';
import { JOIN_REDIRECTS_MAX } from '../../base/limits.ts';
import type { TxStatus } from '../../ledger/view-history.ts';
import {
  type JoinReply,
  type JoinSource,
  type JoinSources,
  type OfferedDownload,
  type OpenSources,
  unreachable,
} from './join-source.ts';
import {
  type HttpAnswer,
  type HttpQuestion,
  type PinnedHttp,
  pinnedHttp,
} from './pinned-http.ts';

const JOIN = '/node/join';
const STATUSES: readonly TxStatus[] = ['Unknown', 'Pending', 'Committed', 'Invalid'];

/** The service over real connections. */
export const openHttpSources: OpenSources = (credentials) =>
  httpSources(pinnedHttp(credentials));

/** The service by way of any HTTP. */
export function httpSources(http: PinnedHttp): JoinSources {
  return {
    at: (address) => new HttpJoinSource(http, address),
    close: () => http.close(),
  };
}

class HttpJoinSource implements JoinSource {
  readonly address: string;
  readonly #http: PinnedHttp;

  constructor(http: PinnedHttp, address: string) {
    this.#http = http;
    this.address = address;
  }

  async join(body: Uint8Array): Promise<JoinReply> {
    const headers = { 'content-type': 'application/json' };
    const question = { method: 'POST', target: JOIN, headers, body } as const;
    const answer = await this.#http.ask(this.address, question);
    if (answer.status === 200) return { kind: 'answer', body: answer.body };
    if (isRedirect(answer)) {
      const { address, target } = this.#locationOf(answer, this.address);
      if (target !== JOIN) throw unreachable(this.address, `it sends joiners to ${target}`);
      return { kind: 'elsewhere', address };
    }
    return { kind: 'refused', status: answer.status, ...errorIn(answer) };
  }

  async addresses(): Promise<readonly string[]> {
    const target = '/node/network/nodes?status=Trusted';
    const answer = await this.#json(
      await this.#http.ask(this.address, { method: 'GET', target }),
    );
    const nodes = field(answer, 'nodes');
    return (Array.isArray(nodes) ? nodes : []).flatMap((node: unknown) => {
      const interfaces = field(node, 'rpc_interfaces');
      const [first] = typeof interfaces === 'object' ? Object.values(interfaces ?? {}) : [];
      const address = field(first, 'published_address') ?? field(first, 'bind_address');
      return typeof address === 'string' ? [address] : [];
    });
  }

  async statusOf(txId: TxId): Promise<TxStatus> {
    const target = `/node/tx?transaction_id=${textOfTxId(txId)}`;
    const answer = await this.#json(
      await this.#http.ask(this.address, { method: 'GET', target }),
    );
    const said = field(answer, 'status');
    const status = STATUSES.find((each) => each === said);
    if (status !== undefined) return status;
    throw unreachable(this.address, `it says that ${textOfTxId(txId)} is ${String(said)}`);
  }

  newestSnapshot(): Promise<OfferedDownload | undefined> {
    return this.#offered('/node/snapshot');
  }

  chunkWith(seqno: Seqno): Promise<OfferedDownload | undefined> {
    return this.#offered(`/node/ledger-chunk?since=${seqno}`);
  }

  /** Follows a question for a file to the file itself. */
  async #offered(question: string): Promise<OfferedDownload | undefined> {
    let address = this.address;
    let target = question;
    for (let redirects = 0; redirects <= JOIN_REDIRECTS_MAX; redirects += 1) {
      const headers = { 'want-repr-digest': 'sha-256=9' };
      const answer = await this.#http.ask(address, { method: 'HEAD', target, headers });
      if (answer.status === 404) return undefined;
      if (isRedirect(answer)) {
        ({ address, target } = this.#locationOf(answer, address));
        continue;
      }
      const length = Number(answer.headers['content-length']);
      if (answer.status !== 200 || !Number.isSafeInteger(length) || target === question) {
        throw unreachable(address, `it answers ${answer.status} to HEAD ${target}`);
      }
      return this.#download(address, target, length, digestIn(answer));
    }
    throw unreachable(this.address, `it redirects over ${JOIN_REDIRECTS_MAX} times`);
  }

  #download(
    address: string,
    target: string,
    bytes: number,
    sha256: Uint8Array | undefined,
  ): OfferedDownload {
    return {
      name: target.slice(target.lastIndexOf('/') + 1),
      bytes,
      ...(sha256 === undefined ? {} : { sha256 }),
      read: async (from, to) => {
        const range = `bytes=${from}-${to - 1}`;
        const question: HttpQuestion = { method: 'GET', target, headers: { range } };
        const answer = await this.#http.ask(address, question);
        const place = `bytes ${from}-${to - 1}/${bytes}`;
        const isPart = answer.status === 206 && answer.headers['content-range'] === place;
        if (isPart && answer.body.length === to - from) return answer.body;
        const got = `${answer.status}, ${answer.body.length} bytes`;
        throw unreachable(address, `it answers ${got} to GET ${target} (${range})`);
      },
    };
  }

  #locationOf(answer: HttpAnswer, base: string): { address: string; target: string } {
    const text = answer.headers.location ?? '';
    const url = URL.parse(text, `https://${base}`);
    if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '') {
      throw unreachable(base, `it redirects to ${JSON.stringify(text.slice(0, 200))}`);
    }
    const port = url.port === '' ? '443' : url.port;
    return { address: `${url.hostname}:${port}`, target: `${url.pathname}${url.search}` };
  }

  async #json(answer: HttpAnswer): Promise<unknown> {
    if (answer.status !== 200) {
      const { code, message } = errorIn(answer);
      throw unreachable(this.address, `it answers ${answer.status} ${code}: ${message}`);
    }
    try {
      return JSON.parse(textOf(answer.body));
    } catch (cause) {
      throw unreachable(this.address, 'its answer is no JSON', cause);
    }
  }
}

function isRedirect({ status }: HttpAnswer): boolean {
  return status === 307 || status === 308;
}

/** The code and the sentence of an error, in CCF's form or any other. */
function errorIn({ body }: HttpAnswer): { readonly code: string; readonly message: string } {
  const text = Buffer.from(body).toString();
  try {
    const error = field(JSON.parse(text), 'error');
    const code = field(error, 'code');
    const message = field(error, 'message');
    if (typeof code === 'string') return { code, message: String(message ?? '') };
  } catch {
    // It is no JSON: the text speaks for itself.
  }
  return { code: '', message: text.slice(0, 200) };
}

/** SHA-256 as `Repr-Digest` (RFC 9530 §3) or as our entity tags state it. */
function digestIn({ headers }: HttpAnswer): Uint8Array | undefined {
  const digest = /sha-256=:([A-Za-z0-9+/=]{44}):/.exec(headers['repr-digest'] ?? '')?.[1];
  if (digest !== undefined) return bytesOfBase64(digest);
  const tag = /^"sha-256:([0-9a-f]{64})"$/.exec(headers.etag ?? '')?.[1];
  return tag === undefined ? undefined : bytesOfHex(tag);
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

/**
 * One request with its answer: what an application sees of it, its body as it comes in, and how the
 * reply is written.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AppRequest, AppResponse, ByteStream, Caller, Verb } from '../apps/interface.ts';
import { NO_BYTES, utf8 } from '../base/bytes.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import { STREAM_PIECE_BYTES } from '../base/limits.ts';
import { headerValue } from './headers.ts';
import type { HeldRequest } from './held-requests.ts';
import type { Asked, Plan } from './planning.ts';
import { flatHeaders, serializeAnswer } from './serialize.ts';
import type { Session } from './session.ts';
import { streamOfBytes, writeStream } from './stream-writer.ts';

export const TRANSACTION_ID_HEADER = 'x-ms-ccf-transaction-id';

export class Exchange implements AppRequest, Asked {
  readonly session: Session<Exchange>;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly #expectsContinue: boolean;
  path = '';
  query = '';
  params: Readonly<Record<string, string>> = {};
  body: Uint8Array = NO_BYTES;
  caller: Caller = { policy: 'no_auth' };
  /** Set while it waits for a primary, and after. */
  held: HeldRequest | undefined;
  /** Its caller was not known here, and this node has caught up with the primary since. */
  caughtUp = false;
  /** Handed to the backend: from then on its body is in memory until there is an answer. */
  executing = false;
  /** Bytes reserved for the body until it is answered. */
  reservedBytes = 0;
  /** Gives up the wait for room; set while the body waits. */
  stopWaiting: (() => void) | undefined;
  #chunks: Uint8Array[] = [];
  #received = 0;
  #answerBody: Uint8Array | string | undefined;
  #answerStream: ByteStream | undefined;

  constructor(
    session: Session<Exchange>,
    request: IncomingMessage,
    response: ServerResponse,
    expectsContinue: boolean,
  ) {
    this.session = session;
    this.#request = request;
    this.#response = response;
    this.#expectsContinue = expectsContinue;
  }

  /** Only after routing is it known to be one of these. */
  get verb(): Verb {
    return this.#request.method as Verb;
  }

  get method(): string {
    return this.#request.method ?? '';
  }

  /** The request target: path and query, not decoded. */
  get target(): string {
    return this.#request.url ?? '';
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders;
  }

  /** Takes over what its path says. */
  take({ path, query, params }: Plan): void {
    this.path = path;
    this.query = query;
    this.params = params;
  }

  header(name: string): string | undefined {
    return headerValue(this.#request.rawHeaders, name);
  }

  /**
   * Reads the body, then calls `done`: with true when it is complete, with false when it is longer
   * than `bytesMax`. A connection that breaks calls neither.
   */
  readBody(bytesMax: number, done: (complete: boolean) => void): void {
    if (this.#expectsContinue) this.#response.writeContinue();
    this.#request.on('data', (chunk: Uint8Array) => {
      this.#received += chunk.length;
      if (this.#received > bytesMax) {
        this.#chunks = [];
        this.#request.removeAllListeners('data').removeAllListeners('end');
        done(false);
        return;
      }
      this.#chunks.push(chunk);
    });
    this.#request.on('end', () => {
      const [first] = this.#chunks;
      this.body =
        this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks);
      this.#chunks = [];
      done(true);
    });
  }

  /** Makes the answer ready to be written; the connection stays open unless `last`. */
  prepare(answer: AppResponse, txId: TxId | undefined, last: boolean): void {
    const response = this.#response;
    const headers = flatHeaders(answer);
    if (txId !== undefined) headers.push(TRANSACTION_ID_HEADER, textOfTxId(txId));
    if (last) headers.push('connection', 'close');
    // Node would say `keep-alive` to everyone; HTTP/1.1 means it without saying.
    else response.removeHeader('connection');
    response.sendDate = false;
    response.writeHead(answer.status, headers);
    this.#answerBody = answer.body;
    this.#answerStream =
      this.method === 'HEAD' ? undefined : (answer.stream ?? longBody(answer));
  }

  /** Writes the answer that was prepared. */
  write(): void {
    const body = this.#answerBody;
    const stream = this.#answerStream;
    if (stream !== undefined) void writeStream(this.#response, stream);
    else if (body === undefined) this.#response.end();
    else this.#response.end(body);
  }

  /** Whether all of the request has come in. */
  get complete(): boolean {
    return this.#request.complete;
  }

  /** Calls `action` when the answer has been handed to the socket, or at once if it was. */
  whenWritten(action: () => void): void {
    if (this.#response.writableFinished) action();
    else this.#response.once('finish', action);
  }

  /**
   * Writes an answer after which the session ends, past Node's own response object: what the client
   * is still sending is read and dropped for a while, so that it gets to see the answer.
   */
  replyAndHangUp(answer: AppResponse): void {
    const bare = this.method === 'HEAD' ? { ...answer, body: '' } : answer;
    this.session.sayLast(serializeAnswer(bare));
    this.#request.resume();
  }
}

/** A body so long that its client's progress should be seen: it is written piece by piece. */
function longBody({ body }: AppResponse): ByteStream | undefined {
  if (body === undefined || body.length <= STREAM_PIECE_BYTES) return undefined;
  return streamOfBytes(typeof body === 'string' ? utf8(body) : body);
}

/**
 * One request with its answer: what an application sees of it, its body as it comes in, and how the
 * reply is written.
 */
import type { AppRequest, AppResponse, ByteStream, Caller, Verb } from '../apps/interface.ts';
import { NO_BYTES, utf8 } from '../base/bytes.ts';
import { type TxId, textOfTxId } from '../base/ids.ts';
import { STREAM_PIECE_BYTES } from '../base/limits.ts';
import { TAG_HEADER } from '../base/own-headers.ts';
import type { Call } from '../wire/call.ts';
import { PlainCall } from '../wire/plain-call.ts';
import { type HeaderScan, headerValue, scanHeaders } from './headers.ts';
import type { HeldRequest } from './held-requests.ts';
import type { Asked, Plan } from './planning.ts';
import type { ReplyBatch } from './reply-batch.ts';
import { flatHeaders, serializeAnswer } from './serialize.ts';
import type { Session } from './session.ts';
import { streamOfBytes, writeStream } from './stream-writer.ts';

export const TRANSACTION_ID_HEADER = 'x-ms-ccf-transaction-id';

export class Exchange implements AppRequest, Asked {
  readonly session: Session<Exchange>;
  readonly scan: HeaderScan;
  readonly #call: Call;
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
  #answerBody: Uint8Array | string | undefined;
  #answerStream: ByteStream | undefined;

  constructor(session: Session<Exchange>, call: Call) {
    this.session = session;
    this.#call = call;
    this.scan = scanHeaders(call.rawHeaders);
    if (this.abreast) call.letPass();
  }

  /** What the client tells its answer by, if it has said so. */
  get tag(): string | undefined {
    return this.scan.tag;
  }

  get abreast(): boolean {
    return this.scan.tag !== undefined;
  }

  /** Only after routing is it known to be one of these. */
  get verb(): Verb {
    return this.#call.method as Verb;
  }

  get method(): string {
    return this.#call.method;
  }

  /** The request target: path and query, not decoded. */
  get target(): string {
    return this.#call.target;
  }

  get rawHeaders(): readonly string[] {
    return this.#call.rawHeaders;
  }

  /** Takes over what its path says. */
  take({ path, query, params }: Plan): void {
    this.path = path;
    this.query = query;
    this.params = params;
  }

  header(name: string): string | undefined {
    return headerValue(this.#call.rawHeaders, name);
  }

  /**
   * Reads the body, then calls `done`: with true when it is complete, with false when it is longer
   * than `bytesMax`. A connection that breaks calls neither.
   */
  readBody(bytesMax: number, done: (complete: boolean) => void): void {
    this.#call.readBody(bytesMax, (body) => {
      if (body !== undefined) this.body = body;
      done(body !== undefined);
    });
  }

  /** Makes the answer ready to be written; the connection stays open unless `last`. */
  prepare(answer: AppResponse, txId: TxId | undefined, last: boolean): void {
    const headers = flatHeaders(answer);
    if (txId !== undefined) headers.push(TRANSACTION_ID_HEADER, textOfTxId(txId));
    const { tag } = this;
    if (tag !== undefined) headers.push(TAG_HEADER, tag);
    this.#call.head(answer.status, headers, { last, dated: false });
    this.#answerBody = answer.body;
    this.#answerStream =
      this.method === 'HEAD' ? undefined : (answer.stream ?? longBody(answer));
  }

  /** Has the answer written that was prepared: with the other replies, or with its connection. */
  send(replies: ReplyBatch): void {
    // Of a plain connection, all that is ready is written at once.
    if (this.#call instanceof PlainCall) this.write();
    else replies.add(this);
  }

  /** Writes the answer that was prepared. */
  write(): void {
    const body = this.#answerBody;
    const stream = this.#answerStream;
    if (stream !== undefined) void writeStream(this.#call, stream);
    else this.#call.end(body);
  }

  /** Whether all of the request has come in. */
  get complete(): boolean {
    return this.#call.complete;
  }

  /** Calls `action` when the answer has been handed to the socket, or at once if it was. */
  whenWritten(action: () => void): void {
    this.#call.whenWritten(action);
  }

  /**
   * Writes an answer after which the session ends, past what else may be on its way: what the
   * client is still sending is read and dropped for a while, so that it gets to see the answer.
   */
  replyAndHangUp(answer: AppResponse): void {
    const { tag } = this;
    const bare = this.method === 'HEAD' ? { ...answer, body: '' } : answer;
    const tagged =
      tag === undefined ? bare : { ...bare, headers: { ...bare.headers, [TAG_HEADER]: tag } };
    this.session.sayLast(serializeAnswer(tagged));
    this.#call.drop();
  }
}

/** A body so long that its client's progress should be seen: it is written piece by piece. */
function longBody({ body }: AppResponse): ByteStream | undefined {
  if (body === undefined || body.length <= STREAM_PIECE_BYTES) return undefined;
  return streamOfBytes(typeof body === 'string' ? utf8(body) : body);
}

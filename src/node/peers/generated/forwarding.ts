/**
 * Made from proto/forwarding.proto by proto/generate.ts; change those, then run
 * `node proto/generate.ts`. A test makes it again and compares.
 */

import { NO_BYTES } from '../../../base/bytes.ts';
import type { WireReader, WireWriter } from '../wire.ts';
import * as wire from '../wire.ts';

export interface Header {
  readonly name: string;
  readonly value: string;
}

/** At most so many bytes are written for it. */
export function sizeHeaderMax(message: Header): number {
  let size = 2 * wire.FIELD_BYTES_MAX;
  size += 3 * message.name.length;
  size += 3 * message.value.length;
  return size;
}

export function writeHeader(writer: WireWriter, message: Header): void {
  wire.putString(writer, 10, message.name);
  wire.putString(writer, 18, message.value);
}

export function readHeader(reader: WireReader): Header {
  let name = '';
  let value = '';
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        name = reader.stringVerify();
        break;
      case 18:
        value = reader.stringVerify();
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { name, value };
}

export const FORWARD_REQUEST_HEADERS_COUNT_MAX = 256;
/**
 * A client's request, from the node that it reached to the primary, which executes it itself or
 * refuses it: there is no second forward.
 */
export interface ForwardRequest {
  /** Chosen by the sender; the answer repeats it. */
  readonly id: number;
  /** The client's certificate (DER), if it showed one. The primary looks its owner up again. */
  readonly callerCertificate: Uint8Array | undefined;
  /** Name of the interface by which the request came in. */
  readonly interfaceName: string;
  readonly verb: string;
  /** Path and query, as they came. */
  readonly target: string;
  readonly headers: readonly Header[];
  readonly body: Uint8Array;
}

/** At most so many bytes are written for it. */
export function sizeForwardRequestMax(message: ForwardRequest): number {
  let size = 6 * wire.FIELD_BYTES_MAX;
  if (message.callerCertificate !== undefined) size += message.callerCertificate.length;
  size += 3 * message.interfaceName.length;
  size += 3 * message.verb.length;
  size += 3 * message.target.length;
  for (const item of message.headers) size += wire.FIELD_BYTES_MAX + sizeHeaderMax(item);
  size += message.body.length;
  return size;
}

export function writeForwardRequest(writer: WireWriter, message: ForwardRequest): void {
  wire.putU64(writer, 8, message.id);
  wire.putOptionalBytes(writer, 18, message.callerCertificate);
  wire.putString(writer, 26, message.interfaceName);
  wire.putString(writer, 34, message.verb);
  wire.putString(writer, 42, message.target);
  wire.putItems(message.headers, FORWARD_REQUEST_HEADERS_COUNT_MAX, 'headers', (item) =>
    wire.putMessage(writer, 50, item, writeHeader),
  );
  wire.putBytes(writer, 58, message.body);
}

export function readForwardRequest(reader: WireReader): ForwardRequest {
  let id = 0;
  let callerCertificate: Uint8Array | undefined;
  let interfaceName = '';
  let verb = '';
  let target = '';
  const headers: Header[] = [];
  let body: Uint8Array = NO_BYTES;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        id = wire.readU64(reader);
        break;
      case 18:
        callerCertificate = reader.bytes();
        break;
      case 26:
        interfaceName = reader.stringVerify();
        break;
      case 34:
        verb = reader.stringVerify();
        break;
      case 42:
        target = reader.stringVerify();
        break;
      case 50:
        wire.appendTo(
          headers,
          readHeader(wire.readNested(reader)),
          FORWARD_REQUEST_HEADERS_COUNT_MAX,
          'headers',
        );
        break;
      case 58:
        body = reader.bytes();
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { id, callerCertificate, interfaceName, verb, target, headers, body };
}

export type ForwardOutcome = 'answered' | 'not-primary';
const FORWARD_OUTCOME_NAMES: readonly (ForwardOutcome | undefined)[] = [
  undefined,
  'answered',
  'not-primary',
];

export const FORWARD_RESPONSE_HEADERS_COUNT_MAX = 256;
export interface ForwardResponse {
  readonly id: number;
  readonly outcome: ForwardOutcome;
  readonly status: number;
  readonly headers: readonly Header[];
  readonly body: Uint8Array;
  /** Its own for a write, the last it could observe for a read; absent without any. */
  readonly transaction: TransactionId | undefined;
}

/** At most so many bytes are written for it. */
export function sizeForwardResponseMax(message: ForwardResponse): number {
  let size = 5 * wire.FIELD_BYTES_MAX;
  for (const item of message.headers) size += wire.FIELD_BYTES_MAX + sizeHeaderMax(item);
  size += message.body.length;
  if (message.transaction !== undefined) size += 2 * wire.FIELD_BYTES_MAX;
  return size;
}

export function writeForwardResponse(writer: WireWriter, message: ForwardResponse): void {
  wire.putU64(writer, 8, message.id);
  wire.putU32(writer, 16, FORWARD_OUTCOME_NAMES.indexOf(message.outcome));
  wire.putU32(writer, 24, message.status);
  wire.putItems(message.headers, FORWARD_RESPONSE_HEADERS_COUNT_MAX, 'headers', (item) =>
    wire.putMessage(writer, 34, item, writeHeader),
  );
  wire.putBytes(writer, 42, message.body);
  wire.putMessage(writer, 50, message.transaction, writeTransactionId);
}

export function readForwardResponse(reader: WireReader): ForwardResponse {
  let id = 0;
  let outcome: ForwardOutcome | undefined;
  let status = 0;
  const headers: Header[] = [];
  let body: Uint8Array = NO_BYTES;
  let transaction: TransactionId | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        id = wire.readU64(reader);
        break;
      case 16:
        outcome = wire.readEnum(reader, FORWARD_OUTCOME_NAMES, 'ForwardOutcome');
        break;
      case 24:
        status = reader.uint32();
        break;
      case 34:
        wire.appendTo(
          headers,
          readHeader(wire.readNested(reader)),
          FORWARD_RESPONSE_HEADERS_COUNT_MAX,
          'headers',
        );
        break;
      case 42:
        body = reader.bytes();
        break;
      case 50:
        transaction = readTransactionId(wire.readNested(reader));
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { id, outcome: wire.required(outcome, 'outcome'), status, headers, body, transaction };
}

export interface TransactionId {
  readonly view: number;
  readonly seqno: number;
}

export function writeTransactionId(writer: WireWriter, message: TransactionId): void {
  wire.putU64(writer, 8, message.view);
  wire.putU64(writer, 16, message.seqno);
}

export function readTransactionId(reader: WireReader): TransactionId {
  let view = 0;
  let seqno = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        seqno = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, seqno };
}

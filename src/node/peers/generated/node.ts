/**
 * Made from proto/node.proto by proto/generate.ts; change those, then run
 * `node proto/generate.ts`. A test makes it again and compares.
 */

import { NO_BYTES } from '../../../base/bytes.ts';
import type { WireReader, WireWriter } from '../wire.ts';
import * as wire from '../wire.ts';
import {
  type AppendEntries,
  type AppendEntriesResponse,
  type ProposeRequestVote,
  type ReadIndexRequest,
  type ReadIndexResponse,
  type RequestVote,
  type RequestVoteResponse,
  type RestartInquiry,
  type RestartOutlived,
  type RestartReport,
  readAppendEntries,
  readAppendEntriesResponse,
  readProposeRequestVote,
  readReadIndexRequest,
  readReadIndexResponse,
  readRequestVote,
  readRequestVoteResponse,
  readRestartInquiry,
  readRestartOutlived,
  readRestartReport,
  readSnapshotNeeded,
  type SnapshotNeeded,
  sizeAppendEntriesMax,
  sizeRestartReportMax,
  writeAppendEntries,
  writeAppendEntriesResponse,
  writeProposeRequestVote,
  writeReadIndexRequest,
  writeReadIndexResponse,
  writeRequestVote,
  writeRequestVoteResponse,
  writeRestartInquiry,
  writeRestartOutlived,
  writeRestartReport,
  writeSnapshotNeeded,
} from './consensus.ts';
import {
  type ForwardRequest,
  type ForwardResponse,
  readForwardRequest,
  readForwardResponse,
  sizeForwardRequestMax,
  sizeForwardResponseMax,
  writeForwardRequest,
  writeForwardResponse,
} from './forwarding.ts';

export type EnvelopeBody =
  | { readonly kind: 'appendEntries'; readonly value: AppendEntries }
  | { readonly kind: 'appendEntriesResponse'; readonly value: AppendEntriesResponse }
  | { readonly kind: 'snapshotNeeded'; readonly value: SnapshotNeeded }
  | { readonly kind: 'requestVote'; readonly value: RequestVote }
  | { readonly kind: 'requestVoteResponse'; readonly value: RequestVoteResponse }
  | { readonly kind: 'proposeRequestVote'; readonly value: ProposeRequestVote }
  | { readonly kind: 'readIndexRequest'; readonly value: ReadIndexRequest }
  | { readonly kind: 'readIndexResponse'; readonly value: ReadIndexResponse }
  | { readonly kind: 'restartInquiry'; readonly value: RestartInquiry }
  | { readonly kind: 'restartReport'; readonly value: RestartReport }
  | { readonly kind: 'forwardRequest'; readonly value: ForwardRequest }
  | { readonly kind: 'forwardResponse'; readonly value: ForwardResponse }
  | { readonly kind: 'knownNodes'; readonly value: KnownNodes }
  | { readonly kind: 'restartOutlived'; readonly value: RestartOutlived };

export interface Envelope {
  /** SHA-256 of the sender's public key (SPKI, DER); it must be the key of the TLS session. */
  readonly from: Uint8Array;
  readonly body: EnvelopeBody;
}

/** At most so many bytes are written for it. */
export function sizeEnvelopeMax(message: Envelope): number {
  let size = 2 * wire.FIELD_BYTES_MAX;
  size += message.from.length;
  switch (message.body.kind) {
    case 'appendEntries':
      size += sizeAppendEntriesMax(message.body.value);
      break;
    case 'appendEntriesResponse':
      size += 7 * wire.FIELD_BYTES_MAX;
      break;
    case 'snapshotNeeded':
      size += 3 * wire.FIELD_BYTES_MAX;
      break;
    case 'requestVote':
      size += 4 * wire.FIELD_BYTES_MAX;
      break;
    case 'requestVoteResponse':
      size += 4 * wire.FIELD_BYTES_MAX;
      break;
    case 'proposeRequestVote':
      size += 1 * wire.FIELD_BYTES_MAX;
      break;
    case 'readIndexRequest':
      size += 3 * wire.FIELD_BYTES_MAX;
      break;
    case 'readIndexResponse':
      size += 4 * wire.FIELD_BYTES_MAX;
      break;
    case 'restartInquiry':
      size += 3 * wire.FIELD_BYTES_MAX;
      break;
    case 'restartReport':
      size += sizeRestartReportMax(message.body.value);
      break;
    case 'forwardRequest':
      size += sizeForwardRequestMax(message.body.value);
      break;
    case 'forwardResponse':
      size += sizeForwardResponseMax(message.body.value);
      break;
    case 'knownNodes':
      size += sizeKnownNodesMax(message.body.value);
      break;
    case 'restartOutlived':
      size += 1 * wire.FIELD_BYTES_MAX;
      break;
  }
  return size;
}

export function writeEnvelope(writer: WireWriter, message: Envelope): void {
  wire.putBytes(writer, 10, message.from);
  switch (message.body.kind) {
    case 'appendEntries':
      wire.putMessage(writer, 18, message.body.value, writeAppendEntries);
      break;
    case 'appendEntriesResponse':
      wire.putMessage(writer, 26, message.body.value, writeAppendEntriesResponse);
      break;
    case 'snapshotNeeded':
      wire.putMessage(writer, 34, message.body.value, writeSnapshotNeeded);
      break;
    case 'requestVote':
      wire.putMessage(writer, 42, message.body.value, writeRequestVote);
      break;
    case 'requestVoteResponse':
      wire.putMessage(writer, 50, message.body.value, writeRequestVoteResponse);
      break;
    case 'proposeRequestVote':
      wire.putMessage(writer, 58, message.body.value, writeProposeRequestVote);
      break;
    case 'readIndexRequest':
      wire.putMessage(writer, 66, message.body.value, writeReadIndexRequest);
      break;
    case 'readIndexResponse':
      wire.putMessage(writer, 74, message.body.value, writeReadIndexResponse);
      break;
    case 'restartInquiry':
      wire.putMessage(writer, 82, message.body.value, writeRestartInquiry);
      break;
    case 'restartReport':
      wire.putMessage(writer, 90, message.body.value, writeRestartReport);
      break;
    case 'forwardRequest':
      wire.putMessage(writer, 98, message.body.value, writeForwardRequest);
      break;
    case 'forwardResponse':
      wire.putMessage(writer, 106, message.body.value, writeForwardResponse);
      break;
    case 'knownNodes':
      wire.putMessage(writer, 114, message.body.value, writeKnownNodes);
      break;
    case 'restartOutlived':
      wire.putMessage(writer, 122, message.body.value, writeRestartOutlived);
      break;
  }
}

export function readEnvelope(reader: WireReader): Envelope {
  let from: Uint8Array = NO_BYTES;
  let body: EnvelopeBody | undefined;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        from = reader.bytes();
        break;
      case 18:
        body = { kind: 'appendEntries', value: readAppendEntries(wire.readNested(reader)) };
        break;
      case 26:
        body = {
          kind: 'appendEntriesResponse',
          value: readAppendEntriesResponse(wire.readNested(reader)),
        };
        break;
      case 34:
        body = { kind: 'snapshotNeeded', value: readSnapshotNeeded(wire.readNested(reader)) };
        break;
      case 42:
        body = { kind: 'requestVote', value: readRequestVote(wire.readNested(reader)) };
        break;
      case 50:
        body = {
          kind: 'requestVoteResponse',
          value: readRequestVoteResponse(wire.readNested(reader)),
        };
        break;
      case 58:
        body = {
          kind: 'proposeRequestVote',
          value: readProposeRequestVote(wire.readNested(reader)),
        };
        break;
      case 66:
        body = {
          kind: 'readIndexRequest',
          value: readReadIndexRequest(wire.readNested(reader)),
        };
        break;
      case 74:
        body = {
          kind: 'readIndexResponse',
          value: readReadIndexResponse(wire.readNested(reader)),
        };
        break;
      case 82:
        body = { kind: 'restartInquiry', value: readRestartInquiry(wire.readNested(reader)) };
        break;
      case 90:
        body = { kind: 'restartReport', value: readRestartReport(wire.readNested(reader)) };
        break;
      case 98:
        body = { kind: 'forwardRequest', value: readForwardRequest(wire.readNested(reader)) };
        break;
      case 106:
        body = { kind: 'forwardResponse', value: readForwardResponse(wire.readNested(reader)) };
        break;
      case 114:
        body = { kind: 'knownNodes', value: readKnownNodes(wire.readNested(reader)) };
        break;
      case 122:
        body = { kind: 'restartOutlived', value: readRestartOutlived(wire.readNested(reader)) };
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { from, body: wire.required(body, 'body') };
}

export const KNOWN_NODES_NODES_COUNT_MAX = 256;
/** Told to every connected node, at first and now and then: it may know older nodes only. */
export interface KnownNodes {
  readonly nodes: readonly NodeAddress[];
}

/** At most so many bytes are written for it. */
export function sizeKnownNodesMax(message: KnownNodes): number {
  let size = 0 * wire.FIELD_BYTES_MAX;
  for (const item of message.nodes) size += wire.FIELD_BYTES_MAX + sizeNodeAddressMax(item);
  return size;
}

export function writeKnownNodes(writer: WireWriter, message: KnownNodes): void {
  wire.putItems(message.nodes, KNOWN_NODES_NODES_COUNT_MAX, 'nodes', (item) =>
    wire.putMessage(writer, 10, item, writeNodeAddress),
  );
}

export function readKnownNodes(reader: WireReader): KnownNodes {
  const nodes: NodeAddress[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        wire.appendTo(
          nodes,
          readNodeAddress(wire.readNested(reader)),
          KNOWN_NODES_NODES_COUNT_MAX,
          'nodes',
        );
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { nodes };
}

export interface NodeAddress {
  readonly nodeId: Uint8Array;
  /** host:port */
  readonly address: string;
}

/** At most so many bytes are written for it. */
export function sizeNodeAddressMax(message: NodeAddress): number {
  let size = 2 * wire.FIELD_BYTES_MAX;
  size += message.nodeId.length;
  size += 3 * message.address.length;
  return size;
}

export function writeNodeAddress(writer: WireWriter, message: NodeAddress): void {
  wire.putBytes(writer, 10, message.nodeId);
  wire.putString(writer, 18, message.address);
}

export function readNodeAddress(reader: WireReader): NodeAddress {
  let nodeId: Uint8Array = NO_BYTES;
  let address = '';
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 10:
        nodeId = reader.bytes();
        break;
      case 18:
        address = reader.stringVerify();
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { nodeId, address };
}

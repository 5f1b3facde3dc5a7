/**
 * Messages between nodes as bytes and back: the one door through which what a peer sent becomes
 * something that the rest may trust in form. It stands apart from the transport, so that a
 * simulator passes its messages through the same code. The wire format is `proto/node.proto`.
 */

import { InvariantError, invariant, unreachable } from '../../base/assert.ts';
import { bytesOfHex, hexOf } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { type NodeId, seqnoAfter, seqnoOf, type TxId, viewOf } from '../../base/ids.ts';
import { ENTRY_SIZE_MIN } from '../../base/limits.ts';
import type * as consensus from './generated/consensus.ts';
import type * as forwarding from './generated/forwarding.ts';
import {
  type Envelope,
  type EnvelopeBody,
  readEnvelope,
  sizeEnvelopeMax,
  writeEnvelope,
} from './generated/node.ts';
import type { AppendWithEntries, ForwardRequest, PeerMessage } from './messages.ts';
import { wireReader, wireWriter } from './wire.ts';

/** Bytes of a node's id. */
const NODE_ID_BYTES = 32;
/** The fewest bytes of an entry: its header of eight, and what must follow. */
const ENTRY_BYTES_MIN = 8 + ENTRY_SIZE_MIN;

/** A message as `from` sends it. */
export function encodeMessage(from: NodeId, message: PeerMessage): Uint8Array {
  const envelope: Envelope = { from: bytesOfNodeId(from), body: bodyOf(message) };
  const writer = wireWriter(sizeEnvelopeMax(envelope));
  writeEnvelope(writer, envelope);
  return writer.finish(true);
}

/**
 * Reads a message that came over a connection which proved `sender`; throws `BadPeerMessage`. Bytes
 * inside the message are views of `bytes`.
 */
export function decodeMessage(sender: NodeId, bytes: Uint8Array): PeerMessage {
  try {
    const envelope = readEnvelope(wireReader(bytes));
    const from = nodeIdOf(envelope.from);
    if (from !== sender) throw new Error(`it says that ${from} sent it`);
    return messageOfBody(envelope.body);
  } catch (thrown) {
    // A broken invariant is this program's own fault, whatever the bytes were.
    if (thrown instanceof InvariantError) throw thrown;
    throw new CodedError(
      'BadPeerMessage',
      `a message of ${bytes.length} bytes from node ${sender} cannot be read: ${messageOf(thrown)}`,
      { sender },
      { cause: thrown },
    );
  }
}

function bodyOf(message: PeerMessage): EnvelopeBody {
  switch (message.kind) {
    case 'append':
      return { kind: 'appendEntries', value: appendEntries(message) };
    case 'append-answer':
      return {
        kind: 'appendEntriesResponse',
        value: {
          view: message.view,
          outcome: message.accepted ? 'ok' : 'fail',
          lastSeqno: message.position.seqno,
          lastView: message.position.view,
          commitSeqno: message.commit,
          round: message.round,
          incarnation: message.incarnation,
        },
      };
    case 'behind': {
      const { view, oldest } = message;
      const value = { view, oldestSeqno: oldest.seqno, oldestView: oldest.view };
      return { kind: 'snapshotNeeded', value };
    }
    case 'vote-request':
      return {
        kind: 'requestVote',
        value: {
          view: message.view,
          election: message.election,
          lastCommittableSeqno: message.position.seqno,
          lastCommittableView: message.position.view,
        },
      };
    case 'vote-answer':
      return { kind: 'requestVoteResponse', value: message };
    case 'propose-vote':
      return { kind: 'proposeRequestVote', value: message };
    case 'read-request':
      return { kind: 'readIndexRequest', value: message };
    case 'read-answer':
      return { kind: 'readIndexResponse', value: message };
    case 'inquiry': {
      const { incarnation, nonce, atLeast } = message;
      return { kind: 'restartInquiry', value: { incarnation, nonce, atLeastView: atLeast } };
    }
    case 'outlived':
      return { kind: 'restartOutlived', value: message };
    case 'report':
      return {
        kind: 'restartReport',
        value: {
          incarnation: message.incarnation,
          restarting: message.restarting,
          view: message.view,
          heardView: message.heard,
          lastSeqno: message.position.seqno,
          lastView: message.position.view,
          leader: message.leader === undefined ? undefined : bytesOfNodeId(message.leader),
          configurations: message.configurations.map(({ seqno, nodes }) => ({
            seqno,
            nodes: nodes.map(bytesOfNodeId),
          })),
        },
      };
    case 'forward-request': {
      const { callerCertificate } = message;
      return { kind: 'forwardRequest', value: { ...message, callerCertificate } };
    }
    case 'forward-answer':
      return {
        kind: 'forwardResponse',
        value: { ...message, outcome: 'answered', transaction: message.txId },
      };
    case 'forward-refusal':
      return {
        kind: 'forwardResponse',
        value: {
          id: message.id,
          outcome: 'not-primary',
          status: 0,
          headers: [],
          body: new Uint8Array(0),
          transaction: undefined,
        },
      };
    case 'known-nodes': {
      const nodes = message.nodes.map(({ nodeId, address }) => ({
        nodeId: bytesOfNodeId(nodeId),
        address,
      }));
      return { kind: 'knownNodes', value: { nodes } };
    }
    default:
      return unreachable(message, 'a message between nodes');
  }
}

function appendEntries(message: AppendWithEntries): consensus.AppendEntries {
  const { view, previous, last, commit, round, entries } = message;
  invariant(last === previous.seqno + entries.length, 'an append carries all of its entries');
  return {
    view,
    prevSeqno: previous.seqno,
    prevView: previous.view,
    commitSeqno: commit,
    round,
    entries,
  };
}

function messageOfBody(body: EnvelopeBody): PeerMessage {
  switch (body.kind) {
    case 'appendEntries':
      return appendOf(body.value);
    case 'appendEntriesResponse': {
      const { view, outcome, lastSeqno, lastView, commitSeqno, round, incarnation } =
        body.value;
      return {
        kind: 'append-answer',
        view: viewOf(view),
        accepted: outcome === 'ok',
        position: positionOf(lastView, lastSeqno),
        commit: seqnoOf(commitSeqno),
        round,
        incarnation,
      };
    }
    case 'snapshotNeeded': {
      const { view, oldestView, oldestSeqno } = body.value;
      const oldest = positionOf(oldestView, oldestSeqno);
      return { kind: 'behind', view: viewOf(view), oldest };
    }
    case 'requestVote': {
      const { view, election, lastCommittableSeqno, lastCommittableView } = body.value;
      const position = positionOf(lastCommittableView, lastCommittableSeqno);
      return { kind: 'vote-request', election, view: viewOf(view), position };
    }
    case 'requestVoteResponse':
      return { kind: 'vote-answer', ...body.value, view: viewOf(body.value.view) };
    case 'proposeRequestVote':
      return { kind: 'propose-vote', view: viewOf(body.value.view) };
    case 'readIndexRequest':
      return { kind: 'read-request', ...body.value, view: viewOf(body.value.view) };
    case 'readIndexResponse': {
      const { view, seqno } = body.value;
      return { kind: 'read-answer', ...body.value, view: viewOf(view), seqno: seqnoOf(seqno) };
    }
    case 'restartInquiry': {
      const { incarnation, nonce, atLeastView } = body.value;
      return { kind: 'inquiry', incarnation, nonce, atLeast: viewOf(atLeastView) };
    }
    case 'restartOutlived':
      return { kind: 'outlived', incarnation: body.value.incarnation };
    case 'restartReport':
      return reportOf(body.value);
    case 'forwardRequest':
      return forwardRequestOf(body.value);
    case 'forwardResponse':
      return forwardResponseOf(body.value);
    case 'knownNodes': {
      const nodes = body.value.nodes.map(({ nodeId, address }) => ({
        nodeId: nodeIdOf(nodeId),
        address,
      }));
      return { kind: 'known-nodes', nodes };
    }
    default:
      return unreachable(body, 'a message between nodes');
  }
}

function appendOf(value: consensus.AppendEntries): PeerMessage {
  const { entries } = value;
  const short = entries.findIndex((entry) => entry.length < ENTRY_BYTES_MIN);
  if (short >= 0) throw new Error(`its entry ${short} has ${entries[short]?.length} bytes`);
  const previous = positionOf(value.prevView, value.prevSeqno);
  return {
    kind: 'append',
    view: viewOf(value.view),
    previous,
    last: seqnoAfter(previous.seqno, entries.length),
    commit: seqnoOf(value.commitSeqno),
    round: value.round,
    entries,
  };
}

function reportOf(value: consensus.RestartReport): PeerMessage {
  return {
    kind: 'report',
    incarnation: value.incarnation,
    restarting: value.restarting,
    view: viewOf(value.view),
    heard: viewOf(value.heardView),
    position: positionOf(value.lastView, value.lastSeqno),
    ...(value.leader === undefined ? {} : { leader: nodeIdOf(value.leader) }),
    configurations: value.configurations.map(({ seqno, nodes }) => ({
      seqno: seqnoOf(seqno),
      nodes: nodes.map(nodeIdOf),
    })),
  };
}

function forwardRequestOf(value: forwarding.ForwardRequest): ForwardRequest {
  const { callerCertificate, ...rest } = value;
  return {
    kind: 'forward-request',
    ...rest,
    ...(callerCertificate === undefined ? {} : { callerCertificate }),
  };
}

function forwardResponseOf(value: forwarding.ForwardResponse): PeerMessage {
  const { id, outcome, status, headers, body, transaction } = value;
  if (outcome === 'not-primary') return { kind: 'forward-refusal', id };
  if (status < 200 || status > 599) throw new Error(`${status} is no status of an answer`);
  const txId = transaction && { txId: positionOf(transaction.view, transaction.seqno) };
  return { kind: 'forward-answer', id, status, headers, body, ...txId };
}

const positionOf = (view: number, seqno: number): TxId => ({
  view: viewOf(view),
  seqno: seqnoOf(seqno),
});

function nodeIdOf(bytes: Uint8Array): NodeId {
  if (bytes.length !== NODE_ID_BYTES) throw new Error(`a node's id of ${bytes.length} bytes`);
  return hexOf(bytes) as NodeId;
}

function bytesOfNodeId(id: NodeId): Uint8Array {
  const bytes = bytesOfHex(id);
  invariant(bytes?.length === NODE_ID_BYTES, `${JSON.stringify(id)} is no node's id`);
  return bytes;
}

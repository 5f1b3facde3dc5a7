/**
 * Made from proto/consensus.proto by proto/generate.ts; change those, then run
 * `node proto/generate.ts`. A test makes it again and compares.
 */

import type { WireReader, WireWriter } from '../wire.ts';
import * as wire from '../wire.ts';

export const APPEND_ENTRIES_ENTRIES_COUNT_MAX = 10000;
/** The leader's entries that follow a position, all of one view; without any it is a heartbeat. */
export interface AppendEntries {
  readonly view: number;
  readonly prevSeqno: number;
  readonly prevView: number;
  readonly commitSeqno: number;
  /** The newest round in which the leader confirms that it leads; the answer repeats it. */
  readonly round: number;
  /** As they lie in the chunk files, header included (ledger-format.md §3). */
  readonly entries: readonly Uint8Array[];
}

/** At most so many bytes are written for it. */
export function sizeAppendEntriesMax(message: AppendEntries): number {
  let size = 5 * wire.FIELD_BYTES_MAX;
  for (const item of message.entries) size += wire.FIELD_BYTES_MAX + item.length;
  return size;
}

export function writeAppendEntries(writer: WireWriter, message: AppendEntries): void {
  wire.putU64(writer, 8, message.view);
  wire.putU64(writer, 16, message.prevSeqno);
  wire.putU64(writer, 24, message.prevView);
  wire.putU64(writer, 32, message.commitSeqno);
  wire.putU64(writer, 40, message.round);
  wire.putItems(message.entries, APPEND_ENTRIES_ENTRIES_COUNT_MAX, 'entries', (item) =>
    writer.uint32(50).bytes(item),
  );
}

export function readAppendEntries(reader: WireReader): AppendEntries {
  let view = 0;
  let prevSeqno = 0;
  let prevView = 0;
  let commitSeqno = 0;
  let round = 0;
  const entries: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        prevSeqno = wire.readU64(reader);
        break;
      case 24:
        prevView = wire.readU64(reader);
        break;
      case 32:
        commitSeqno = wire.readU64(reader);
        break;
      case 40:
        round = wire.readU64(reader);
        break;
      case 50:
        wire.appendTo(entries, reader.bytes(), APPEND_ENTRIES_ENTRIES_COUNT_MAX, 'entries');
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, prevSeqno, prevView, commitSeqno, round, entries };
}

export type AppendOutcome = 'ok' | 'fail';
const APPEND_OUTCOME_NAMES: readonly (AppendOutcome | undefined)[] = [undefined, 'ok', 'fail'];

export interface AppendEntriesResponse {
  readonly view: number;
  readonly outcome: AppendOutcome;
  /** OK: the logs agree up to here. FAIL: the latest position at which they may agree. */
  readonly lastSeqno: number;
  readonly lastView: number;
  readonly commitSeqno: number;
  readonly round: number;
  /** Which life of the answering node speaks. */
  readonly incarnation: number;
}

export function writeAppendEntriesResponse(
  writer: WireWriter,
  message: AppendEntriesResponse,
): void {
  wire.putU64(writer, 8, message.view);
  wire.putU32(writer, 16, APPEND_OUTCOME_NAMES.indexOf(message.outcome));
  wire.putU64(writer, 24, message.lastSeqno);
  wire.putU64(writer, 32, message.lastView);
  wire.putU64(writer, 40, message.commitSeqno);
  wire.putU64(writer, 48, message.round);
  wire.putU64(writer, 56, message.incarnation);
}

export function readAppendEntriesResponse(reader: WireReader): AppendEntriesResponse {
  let view = 0;
  let outcome: AppendOutcome | undefined;
  let lastSeqno = 0;
  let lastView = 0;
  let commitSeqno = 0;
  let round = 0;
  let incarnation = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        outcome = wire.readEnum(reader, APPEND_OUTCOME_NAMES, 'AppendOutcome');
        break;
      case 24:
        lastSeqno = wire.readU64(reader);
        break;
      case 32:
        lastView = wire.readU64(reader);
        break;
      case 40:
        commitSeqno = wire.readU64(reader);
        break;
      case 48:
        round = wire.readU64(reader);
        break;
      case 56:
        incarnation = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return {
    view,
    outcome: wire.required(outcome, 'outcome'),
    lastSeqno,
    lastView,
    commitSeqno,
    round,
    incarnation,
  };
}

/** The leader no longer has what the receiver lacks: it needs a snapshot at or after a position. */
export interface SnapshotNeeded {
  readonly view: number;
  readonly oldestSeqno: number;
  readonly oldestView: number;
}

export function writeSnapshotNeeded(writer: WireWriter, message: SnapshotNeeded): void {
  wire.putU64(writer, 8, message.view);
  wire.putU64(writer, 16, message.oldestSeqno);
  wire.putU64(writer, 24, message.oldestView);
}

export function readSnapshotNeeded(reader: WireReader): SnapshotNeeded {
  let view = 0;
  let oldestSeqno = 0;
  let oldestView = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        oldestSeqno = wire.readU64(reader);
        break;
      case 24:
        oldestView = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, oldestSeqno, oldestView };
}

export type Election = 'pre' | 'regular';
const ELECTION_NAMES: readonly (Election | undefined)[] = [undefined, 'pre', 'regular'];

export interface RequestVote {
  readonly view: number;
  readonly election: Election;
  readonly lastCommittableSeqno: number;
  readonly lastCommittableView: number;
}

export function writeRequestVote(writer: WireWriter, message: RequestVote): void {
  wire.putU64(writer, 8, message.view);
  wire.putU32(writer, 16, ELECTION_NAMES.indexOf(message.election));
  wire.putU64(writer, 24, message.lastCommittableSeqno);
  wire.putU64(writer, 32, message.lastCommittableView);
}

export function readRequestVote(reader: WireReader): RequestVote {
  let view = 0;
  let election: Election | undefined;
  let lastCommittableSeqno = 0;
  let lastCommittableView = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        election = wire.readEnum(reader, ELECTION_NAMES, 'Election');
        break;
      case 24:
        lastCommittableSeqno = wire.readU64(reader);
        break;
      case 32:
        lastCommittableView = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return {
    view,
    election: wire.required(election, 'election'),
    lastCommittableSeqno,
    lastCommittableView,
  };
}

export interface RequestVoteResponse {
  readonly view: number;
  readonly election: Election;
  readonly granted: boolean;
  /** The voter restarted and could not prove that what it holds is fresh. */
  readonly unproven: boolean;
}

export function writeRequestVoteResponse(
  writer: WireWriter,
  message: RequestVoteResponse,
): void {
  wire.putU64(writer, 8, message.view);
  wire.putU32(writer, 16, ELECTION_NAMES.indexOf(message.election));
  wire.putBool(writer, 24, message.granted);
  wire.putBool(writer, 32, message.unproven);
}

export function readRequestVoteResponse(reader: WireReader): RequestVoteResponse {
  let view = 0;
  let election: Election | undefined;
  let granted = false;
  let unproven = false;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        election = wire.readEnum(reader, ELECTION_NAMES, 'Election');
        break;
      case 24:
        granted = reader.bool();
        break;
      case 32:
        unproven = reader.bool();
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, election: wire.required(election, 'election'), granted, unproven };
}

/** A leader that goes asks its best follower to stand at once. */
export interface ProposeRequestVote {
  readonly view: number;
}

export function writeProposeRequestVote(writer: WireWriter, message: ProposeRequestVote): void {
  wire.putU64(writer, 8, message.view);
}

export function readProposeRequestVote(reader: WireReader): ProposeRequestVote {
  let view = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view };
}

/** A follower asks from which seqno on its reads are fresh; reads that wait together share one. */
export interface ReadIndexRequest {
  readonly view: number;
  readonly batch: number;
  /** Which life asks: a late answer must not serve a read of the next one. */
  readonly incarnation: number;
}

export function writeReadIndexRequest(writer: WireWriter, message: ReadIndexRequest): void {
  wire.putU64(writer, 8, message.view);
  wire.putU64(writer, 16, message.batch);
  wire.putU64(writer, 24, message.incarnation);
}

export function readReadIndexRequest(reader: WireReader): ReadIndexRequest {
  let view = 0;
  let batch = 0;
  let incarnation = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        batch = wire.readU64(reader);
        break;
      case 24:
        incarnation = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, batch, incarnation };
}

export interface ReadIndexResponse {
  readonly view: number;
  readonly batch: number;
  readonly seqno: number;
  /** The asking life, repeated. */
  readonly incarnation: number;
}

export function writeReadIndexResponse(writer: WireWriter, message: ReadIndexResponse): void {
  wire.putU64(writer, 8, message.view);
  wire.putU64(writer, 16, message.batch);
  wire.putU64(writer, 24, message.seqno);
  wire.putU64(writer, 32, message.incarnation);
}

export function readReadIndexResponse(reader: WireReader): ReadIndexResponse {
  let view = 0;
  let batch = 0;
  let seqno = 0;
  let incarnation = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        view = wire.readU64(reader);
        break;
      case 16:
        batch = wire.readU64(reader);
        break;
      case 24:
        seqno = wire.readU64(reader);
        break;
      case 32:
        incarnation = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { view, batch, seqno, incarnation };
}

/** A restarting node asks what it may have promised in a former life. */
export interface RestartInquiry {
  readonly incarnation: number;
  /** Whoever follows no living leader moves to this view before it answers. */
  readonly atLeastView: number;
  /** Chance: tells lives apart that begin under one incarnation. */
  readonly nonce: number;
}

export function writeRestartInquiry(writer: WireWriter, message: RestartInquiry): void {
  wire.putU64(writer, 8, message.incarnation);
  wire.putU64(writer, 16, message.atLeastView);
  wire.putU64(writer, 24, message.nonce);
}

export function readRestartInquiry(reader: WireReader): RestartInquiry {
  let incarnation = 0;
  let atLeastView = 0;
  let nonce = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        incarnation = wire.readU64(reader);
        break;
      case 16:
        atLeastView = wire.readU64(reader);
        break;
      case 24:
        nonce = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { incarnation, atLeastView, nonce };
}

/** The leader knows another life of the asking node under this incarnation or a later one. */
export interface RestartOutlived {
  /** One that would be new. */
  readonly incarnation: number;
}

export function writeRestartOutlived(writer: WireWriter, message: RestartOutlived): void {
  wire.putU64(writer, 8, message.incarnation);
}

export function readRestartOutlived(reader: WireReader): RestartOutlived {
  let incarnation = 0;
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        incarnation = wire.readU64(reader);
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { incarnation };
}

export const RESTART_REPORT_CONFIGURATIONS_COUNT_MAX = 256;
export interface RestartReport {
  /** The asking node's, repeated. */
  readonly incarnation: number;
  /** The answering node is itself restarting: its word proves nothing. */
  readonly restarting: boolean;
  readonly view: number;
  /** The highest view it took part in, promised pre-votes included. */
  readonly heardView: number;
  /** The last committable position that it holds or must not vote below. */
  readonly lastSeqno: number;
  readonly lastView: number;
  /** The living leader of its view, if it is one or hears one. */
  readonly leader: Uint8Array | undefined;
  /** Its active configurations: a disk that was away may know older ones only. */
  readonly configurations: readonly Configuration[];
}

/** At most so many bytes are written for it. */
export function sizeRestartReportMax(message: RestartReport): number {
  let size = 7 * wire.FIELD_BYTES_MAX;
  if (message.leader !== undefined) size += message.leader.length;
  for (const item of message.configurations)
    size += wire.FIELD_BYTES_MAX + sizeConfigurationMax(item);
  return size;
}

export function writeRestartReport(writer: WireWriter, message: RestartReport): void {
  wire.putU64(writer, 8, message.incarnation);
  wire.putBool(writer, 16, message.restarting);
  wire.putU64(writer, 24, message.view);
  wire.putU64(writer, 32, message.heardView);
  wire.putU64(writer, 40, message.lastSeqno);
  wire.putU64(writer, 48, message.lastView);
  wire.putOptionalBytes(writer, 58, message.leader);
  wire.putItems(
    message.configurations,
    RESTART_REPORT_CONFIGURATIONS_COUNT_MAX,
    'configurations',
    (item) => wire.putMessage(writer, 66, item, writeConfiguration),
  );
}

export function readRestartReport(reader: WireReader): RestartReport {
  let incarnation = 0;
  let restarting = false;
  let view = 0;
  let heardView = 0;
  let lastSeqno = 0;
  let lastView = 0;
  let leader: Uint8Array | undefined;
  const configurations: Configuration[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        incarnation = wire.readU64(reader);
        break;
      case 16:
        restarting = reader.bool();
        break;
      case 24:
        view = wire.readU64(reader);
        break;
      case 32:
        heardView = wire.readU64(reader);
        break;
      case 40:
        lastSeqno = wire.readU64(reader);
        break;
      case 48:
        lastView = wire.readU64(reader);
        break;
      case 58:
        leader = reader.bytes();
        break;
      case 66:
        wire.appendTo(
          configurations,
          readConfiguration(wire.readNested(reader)),
          RESTART_REPORT_CONFIGURATIONS_COUNT_MAX,
          'configurations',
        );
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return {
    incarnation,
    restarting,
    view,
    heardView,
    lastSeqno,
    lastView,
    leader,
    configurations,
  };
}

export const CONFIGURATION_NODES_COUNT_MAX = 256;
/** The nodes that vote from an entry on. */
export interface Configuration {
  readonly seqno: number;
  readonly nodes: readonly Uint8Array[];
}

/** At most so many bytes are written for it. */
export function sizeConfigurationMax(message: Configuration): number {
  let size = 1 * wire.FIELD_BYTES_MAX;
  for (const item of message.nodes) size += wire.FIELD_BYTES_MAX + item.length;
  return size;
}

export function writeConfiguration(writer: WireWriter, message: Configuration): void {
  wire.putU64(writer, 8, message.seqno);
  wire.putItems(message.nodes, CONFIGURATION_NODES_COUNT_MAX, 'nodes', (item) =>
    writer.uint32(18).bytes(item),
  );
}

export function readConfiguration(reader: WireReader): Configuration {
  let seqno = 0;
  const nodes: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.tag();
    switch (tag) {
      case 8:
        seqno = wire.readU64(reader);
        break;
      case 18:
        wire.appendTo(nodes, reader.bytes(), CONFIGURATION_NODES_COUNT_MAX, 'nodes');
        break;
      default:
        wire.skipField(reader, tag);
    }
  }
  return { seqno, nodes };
}

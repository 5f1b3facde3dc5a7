// Writes what consensus does as the events that CCF's Raft driver writes, one JSON object a line,
// so that whoever has CCF's TLA+ trace specification can hold our steps against it. A step of ours
// is several events of CCF's, told in the order in which CCF comes to them: what was received, what
// that changed, what was sent. Reads, inquiries and reports are ours alone and make no event.

import type { NodeId, Seqno, View } from '../../src/base/ids.ts';
import type { Configuration } from '../../src/consensus/configurations.ts';
import type { Append, Entry, Message } from '../../src/consensus/messages.ts';
import type { Input, Outgoing, Outputs, Role } from '../../src/consensus/outputs.ts';
import type { RetirementPhase } from '../../src/consensus/retirement.ts';
import type { Host } from './host.ts';

/** The names of all events, as CCF has them. */
export const TRACE_EVENTS = [
  'add_configuration',
  'replicate',
  'send_append_entries',
  'recv_append_entries',
  'execute_append_entries_sync',
  'send_append_entries_response',
  'recv_append_entries_response',
  'send_request_vote',
  'recv_request_vote',
  'recv_request_vote_response',
  'recv_propose_request_vote',
  'become_pre_vote_candidate',
  'become_candidate',
  'become_leader',
  'become_follower',
  'commit',
] as const;

export type TraceEvent = (typeof TRACE_EVENTS)[number];

type Fields = Readonly<Record<string, unknown>>;

const LEADERSHIP: Readonly<Record<Role, string>> = {
  follower: 'Follower',
  'pre-candidate': 'PreVoteCandidate',
  candidate: 'Candidate',
  leader: 'Leader',
  retired: 'None',
};

/** A node as it stands between two events. */
interface Standing {
  readonly role: Role;
  readonly phase: RetirementPhase | undefined;
  readonly view: View;
  readonly last: number;
  readonly commit: number;
  readonly signatures: readonly number[];
  readonly configurations: readonly Configuration[];
  readonly peers: ReadonlyMap<NodeId, { readonly sent: Seqno; readonly match: Seqno }>;
}

export class TraceWriter {
  readonly #write: (line: string) => void;
  readonly #known = new Map<NodeId, Standing>();
  #time = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** A line of a scenario is about to be played. */
  command(text: string): void {
    this.#write(JSON.stringify({ tag: 'raft_trace', cmd: text }));
  }

  /** A node began, or made a step. */
  step(host: Host, input: Input | undefined, outputs: Outputs): void {
    const after = standingOf(host);
    const before = input === undefined ? { ...after, role: 'follower' as const } : undefined;
    const teller = new Teller(
      host.id,
      before ?? this.#known.get(host.id) ?? after,
      (event, state, fields) => this.#tell(event, state, fields),
    );
    teller.told(input);
    teller.changed(input, outputs, after);
    for (const outgoing of outputs.messages) teller.sent(outgoing, host, after);
    this.#known.set(host.id, after);
  }

  #tell(event: TraceEvent, state: Fields, fields: Fields): void {
    this.#time += 1;
    const msg = { function: event, state, ...fields };
    this.#write(JSON.stringify({ h_ts: String(this.#time), tag: 'raft_trace', msg }));
  }
}

/** Tells one step of one node; its state moves on with each event. */
class Teller {
  readonly #id: NodeId;
  readonly #write: (event: TraceEvent, state: Fields, fields: Fields) => void;
  #now: Standing;

  constructor(
    id: NodeId,
    before: Standing,
    write: (event: TraceEvent, state: Fields, fields: Fields) => void,
  ) {
    this.#id = id;
    this.#now = before;
    this.#write = write;
  }

  told(input: Input | undefined): void {
    if (input?.kind !== 'message') return;
    const { from, message, entries } = input;
    const packet = packetOf(message, () => entries?.at(-1)?.view);
    const fields = { from_node_id: nameOf(from), packet };
    switch (message.kind) {
      case 'append':
        this.#tell('recv_append_entries', fields);
        break;
      case 'append-answer': {
        const { sent = 0, match = 0 } = this.#now.peers.get(from) ?? {};
        const known = { match_idx: match, sent_idx: sent };
        this.#tell('recv_append_entries_response', { ...fields, ...known });
        break;
      }
      case 'vote-request':
        this.#tell('recv_request_vote', fields);
        break;
      case 'vote-answer':
        this.#tell('recv_request_vote_response', fields);
        break;
      case 'propose-vote':
        this.#tell('recv_propose_request_vote', fields);
        break;
      default:
        break;
    }
  }

  changed(input: Input | undefined, outputs: Outputs, after: Standing): void {
    const { events, storage } = outputs;
    if (events.some(({ kind }) => kind === 'follows')) {
      this.#become('become_follower', 'follower', after);
    }
    this.#stand(outputs, after);
    for (const event of events) {
      if (event.kind === 'rolled-back') this.#move({ last: event.seqno });
    }
    for (const operation of storage) {
      if (operation.kind !== 'append') continue;
      for (const entry of operation.entries) this.#append(entry, input);
    }
    for (const event of events) {
      if (event.kind === 'leads') this.#become('become_leader', 'leader', after);
      if (event.kind !== 'committed') continue;
      const { configurations } = this.#now;
      const fields = { args: { idx: event.seqno }, configurations: listOf(configurations) };
      this.#tell('commit', fields);
      this.#move({ commit: event.seqno });
    }
    this.#now = after;
  }

  sent({ to, message }: Outgoing, host: Host, after: Standing): void {
    const packet = packetOf(message, (last) => host.node.viewAt(last));
    const fields = { to_node_id: nameOf(to), packet };
    if (message.kind === 'append') {
      const { match = 0 } = after.peers.get(to) ?? {};
      const known = { match_idx: match, sent_idx: message.previous.seqno };
      this.#tell('send_append_entries', { ...fields, ...known });
    } else if (message.kind === 'append-answer') {
      this.#tell('send_append_entries_response', fields);
    } else if (message.kind === 'vote-request') {
      this.#tell('send_request_vote', fields);
    }
  }

  #stand({ messages }: Outputs, after: Standing): void {
    const stands = (election: 'pre' | 'regular', role: Role): boolean =>
      after.role === role
        ? this.#now.role !== role || after.view > this.#now.view
        : messages.some(
            ({ message }) => message.kind === 'vote-request' && message.election === election,
          );
    const { role, view } = this.#now;
    if (stands('pre', 'pre-candidate')) {
      this.#become('become_pre_vote_candidate', 'pre-candidate', { ...after, view });
    }
    const wins = after.role === 'candidate' || after.role === 'leader';
    if (stands('regular', 'candidate') || (wins && role === 'follower' && after.view > view)) {
      this.#become('become_candidate', 'candidate', after);
    }
  }

  #append(entry: Entry, input: Input | undefined): void {
    const { seqno, view, isSignature, reconfiguration } = entry;
    if (input?.kind === 'message') {
      const fields = { from_node_id: nameOf(input.from) };
      this.#tell('execute_append_entries_sync', fields);
    } else {
      this.#tell('replicate', { view, seqno, globally_committable: isSignature });
    }
    const { signatures } = this.#now;
    this.#move({ last: seqno, ...(isSignature && { signatures: [...signatures, seqno] }) });
    if (reconfiguration === undefined) return;
    const configuration = { seqno, nodes: reconfiguration };
    const { configurations } = this.#now;
    this.#tell('add_configuration', {
      args: { configuration: fieldsOf(configuration) },
      configurations: listOf(configurations),
    });
    this.#move({ configurations: [...configurations, configuration] });
  }

  #become(event: TraceEvent, role: Role, { view }: Pick<Standing, 'view'>): void {
    this.#move({ role, view });
    this.#tell(event, { configurations: listOf(this.#now.configurations) });
  }

  #move(change: Partial<Standing>): void {
    this.#now = { ...this.#now, ...change };
  }

  #tell(event: TraceEvent, fields: Fields): void {
    this.#write(event, stateOf(this.#id, this.#now), fields);
  }
}

function standingOf(host: Host): Standing {
  const { node, written } = host;
  return {
    role: node.role,
    phase: node.retirement,
    view: node.view,
    last: node.last.seqno,
    commit: node.commit,
    signatures: written.flatMap(({ entry }) => (entry.isSignature ? [entry.seqno] : [])),
    configurations: node.configurations,
    peers: new Map([...node.peers].map(([id, { sent, match }]) => [id, { sent, match }])),
  };
}

function stateOf(id: NodeId, standing: Standing): Fields {
  const { role, phase, view, last, commit, signatures } = standing;
  return {
    node_id: nameOf(id),
    leadership_state: LEADERSHIP[role],
    membership_state: phase === undefined ? 'Active' : 'Retired',
    ...(phase === undefined ? {} : { retirement_phase: phase }),
    current_view: view,
    last_idx: last,
    commit_idx: commit,
    committable_indices: signatures.filter((seqno) => seqno > commit && seqno <= last),
    pre_vote_enabled: true,
  };
}

function packetOf(message: Message, viewOf: (last: Seqno) => View | undefined): Fields {
  switch (message.kind) {
    case 'append':
      return appendPacket(message, viewOf(message.last));
    case 'append-answer':
      return {
        msg: 'raft_append_entries_response',
        term: message.view,
        last_log_idx: message.position.seqno,
        success: message.accepted ? 'OK' : 'FAIL',
      };
    case 'vote-request':
      return {
        msg: message.election === 'pre' ? 'raft_request_pre_vote' : 'raft_request_vote',
        term: message.view,
        last_committable_idx: message.position.seqno,
        term_of_last_committable_idx: message.position.view,
      };
    case 'vote-answer':
      return {
        msg:
          message.election === 'pre'
            ? 'raft_request_pre_vote_response'
            : 'raft_request_vote_response',
        term: message.view,
        vote_granted: message.granted,
      };
    case 'propose-vote':
      return { msg: 'raft_propose_request_vote', term: message.view };
    default:
      return {};
  }
}

/** The entries of a batch are of one view. */
function appendPacket(
  { view, previous, last, commit }: Append,
  lastView: View = previous.view,
): Fields {
  return {
    msg: 'raft_append_entries',
    term: view,
    idx: last,
    prev_idx: previous.seqno,
    prev_term: previous.view,
    leader_commit_idx: commit,
    term_of_idx: lastView,
    contains_new_view: previous.view !== lastView,
  };
}

const listOf = (configurations: readonly Configuration[]): readonly Fields[] =>
  configurations.map(fieldsOf);

function fieldsOf({ seqno, nodes }: Configuration): Fields {
  const named = nodes.map((node) => [nameOf(node), { address: ':' }]);
  return { idx: seqno, nodes: Object.fromEntries(named), rid: seqno };
}

/** CCF's driver names nodes by numbers. */
function nameOf(id: NodeId): string {
  return id.replace(/^n/, '');
}

// Traces in CCF's event form: every event it has, with the fields its trace specification reads.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ScenarioPlayer } from './scenario-player.ts';
import { simulate } from './simulation.ts';
import { TRACE_EVENTS, TraceWriter } from './trace-writer.ts';

interface TraceLine {
  readonly tag: string;
  readonly h_ts?: string;
  readonly cmd?: string;
  readonly msg?: Readonly<Record<string, unknown>> & {
    readonly function: string;
    readonly state: Readonly<Record<string, unknown>>;
    readonly packet?: Readonly<Record<string, unknown>>;
  };
}

function traceOf(run: (trace: TraceWriter) => void): readonly TraceLine[] {
  const lines: string[] = [];
  run(new TraceWriter((line) => lines.push(line)));
  return lines.map((line) => JSON.parse(line) as TraceLine);
}

/** Fields besides `function` and `state`. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  add_configuration: ['args', 'configurations'],
  replicate: ['globally_committable', 'seqno', 'view'],
  send_append_entries: ['match_idx', 'packet', 'sent_idx', 'to_node_id'],
  recv_append_entries: ['from_node_id', 'packet'],
  execute_append_entries_sync: ['from_node_id'],
  send_append_entries_response: ['packet', 'to_node_id'],
  recv_append_entries_response: ['from_node_id', 'match_idx', 'packet', 'sent_idx'],
  send_request_vote: ['packet', 'to_node_id'],
  recv_request_vote: ['from_node_id', 'packet'],
  recv_request_vote_response: ['from_node_id', 'packet'],
  recv_propose_request_vote: ['from_node_id', 'packet'],
  become_pre_vote_candidate: ['configurations'],
  become_candidate: ['configurations'],
  become_leader: ['configurations'],
  become_follower: ['configurations'],
  commit: ['args', 'configurations'],
};

const PACKETS: Readonly<Record<string, readonly string[]>> = {
  raft_append_entries: [
    ...['contains_new_view', 'idx', 'leader_commit_idx', 'msg', 'prev_idx', 'prev_term'],
    ...['term', 'term_of_idx'],
  ],
  raft_append_entries_response: ['last_log_idx', 'msg', 'success', 'term'],
  raft_request_vote: ['last_committable_idx', 'msg', 'term', 'term_of_last_committable_idx'],
  raft_request_pre_vote: [
    ...['last_committable_idx', 'msg', 'term', 'term_of_last_committable_idx'],
  ],
  raft_request_vote_response: ['msg', 'term', 'vote_granted'],
  raft_request_pre_vote_response: ['msg', 'term', 'vote_granted'],
  raft_propose_request_vote: ['msg', 'term'],
};

const STATE = [
  ...['node_id', 'leadership_state', 'membership_state', 'current_view', 'last_idx'],
  ...['commit_idx', 'committable_indices', 'pre_vote_enabled'],
];

function judge(lines: readonly TraceLine[]): ReadonlySet<string> {
  const seen = new Set<string>();
  let time = 0;
  for (const { tag, h_ts, cmd, msg } of lines) {
    expect(tag).toBe('raft_trace');
    if (cmd !== undefined) continue;
    expect(Number(h_ts)).toBeGreaterThan(time);
    time = Number(h_ts);
    const { function: name = '', state = {}, packet, ...rest } = msg ?? {};
    seen.add(name);
    const named = Object.keys(packet === undefined ? rest : { ...rest, packet });
    expect(named.sort(), name).toEqual(FIELDS[name]);
    expect(Object.keys(state), name).toEqual(expect.arrayContaining(STATE));
    if (packet === undefined) continue;
    expect(Object.keys(packet).sort()).toEqual(PACKETS[String(packet.msg)]);
  }
  return seen;
}

const folder = join(import.meta.dirname, 'scenarios');

describe('a trace', () => {
  test('of all scenarios holds every event, each with its fields', () => {
    const lines = traceOf((trace) => {
      for (const name of readdirSync(folder)) {
        new ScenarioPlayer('refuse', trace).play(readFileSync(join(folder, name), 'utf8'));
      }
    });
    expect([...judge(lines)].sort()).toEqual([...TRACE_EVENTS].sort());
  });

  test('of a simulation has the same form', () => {
    const lines = traceOf((trace) => void simulate({ seed: 5, faultsMs: 2_000, trace }));
    expect(judge(lines).size).toBeGreaterThan(10);
  });

  test('tells a write from its entry to its commit', () => {
    const story = 'start_node,0\nemit_signature,2\nreplicate,2,hello\nemit_signature,2\n';
    const lines = traceOf((trace) => new ScenarioPlayer('refuse', trace).play(story));
    const told = lines.flatMap(({ cmd, msg }) => cmd ?? msg?.function ?? []);
    expect(told).toEqual([
      ...['start_node,0', 'become_leader', 'replicate', 'add_configuration'],
      ...['emit_signature,2', 'replicate', 'commit'],
      ...['replicate,2,hello', 'replicate'],
      ...['emit_signature,2', 'replicate', 'commit'],
    ]);
    const last = lines.at(-1)?.msg;
    expect(last).toMatchObject({ args: { idx: 4 }, state: { commit_idx: 2, last_idx: 4 } });
    expect(last?.state.committable_indices).toEqual([4]);
  });
});

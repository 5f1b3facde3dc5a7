// Plays scenario files: one command a line, fields parted by commas, in the grammar of CCF's Raft
// scenarios (its tests/raft_scenarios), with a few commands of our own for disks, restarts and
// reads. Nothing happens by itself: the file says who ticks, who sends and what is delivered.

import { type NodeId, viewOf } from '../../src/base/ids.ts';
import type { Event } from '../../src/consensus/outputs.ts';
import { Cluster, USUAL_OPTIONS } from './cluster.ts';
import { type DiskImage, EMPTY_POINT, type Host, type Packet } from './host.ts';
import type { TraceWriter } from './trace-writer.ts';

/** CCF's driver: heartbeats every 10 ms, elections after at most 100 ms. */
const OPTIONS = {
  ...USUAL_OPTIONS,
  electionTimeoutMs: 100,
  messageTimeoutMs: 10,
  batchEntriesMax: 20,
  inFlightEntriesMax: 100,
};
const ROUNDS_MAX = 500;

export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

interface Letter {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly packet: Packet;
}

type Command = (...fields: readonly string[]) => void;

export class ScenarioPlayer {
  readonly #cluster: Cluster;
  #letters: Letter[] = [];
  readonly #cuts = new Set<string>();
  readonly #events: { readonly host: NodeId; readonly event: Event }[] = [];
  readonly #heldDisks = new Set<NodeId>();
  readonly #images = new Map<NodeId, DiskImage>();

  readonly #trace: TraceWriter | undefined;

  constructor(unproven: 'allow' | 'refuse' = 'refuse', trace?: TraceWriter) {
    this.#trace = trace;
    this.#cluster = new Cluster(
      { ...OPTIONS, unproven },
      {
        // Unequal, or nodes that tick together would stand together for ever.
        viewLeap: () => 0,
        spread: (node) => 0.9 - 0.12 * (Number(node.slice(1)) % 6),
        transmit: (from, to, packet) => this.#letters.push({ from: from.id, to, packet }),
        onUnsynced: (host) => {
          if (!this.#heldDisks.has(host.id)) host.sync();
        },
        onEvent: (host, event) => this.#events.push({ host: host.id, event }),
        onStep: (host, input, outputs) => trace?.step(host, input, outputs),
      },
    );
  }

  /** Plays a whole file; the error of a line that fails names it. */
  play(text: string): void {
    for (const [index, line] of text.split('\n').entries()) {
      const [bare = ''] = line.split('#');
      const [name = '', ...fields] = bare.trim().split(',');
      if (name === '') continue;
      this.#trace?.command(bare.trim());
      try {
        this.#run(name, fields);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new ScenarioError(`line ${index + 1}, ${bare.trim()}: ${reason}`, {
          cause: error,
        });
      }
    }
    this.#syncAtLast();
  }

  #run(name: string, fields: readonly string[]): void {
    const command = this.#commands[name];
    if (command === undefined) throw new ScenarioError(`there is no command ${name}`);
    command(...fields);
  }

  readonly #commands: Readonly<Record<string, Command>> = {
    // Nodes.
    start_node: (node) => {
      const host = this.#cluster.found(nodeOf(node), viewOf(2));
      host.write([this.#cluster.entry(host, { reconfiguration: [host.id] })]);
    },
    create_new_node: (node) => {
      this.#cluster.join(nodeOf(node), EMPTY_POINT);
    },
    join_from_snapshot: (node, source) => {
      this.#cluster.join(nodeOf(node), this.#host(source).snapshot);
    },
    trust_node: (term, node) => this.#swap(term, [], [nodeOf(node)]),
    trust_nodes: (term, ...nodes) => this.#swap(term, [], nodes.map(nodeOf)),
    swap_node: (term, out, into) => this.#swap(term, [nodeOf(out)], [nodeOf(into)]),
    swap_nodes: (term, ...words) => {
      const lists: Record<'in' | 'out', NodeId[]> = { in: [], out: [] };
      let list: 'in' | 'out' | undefined;
      for (const word of words) {
        if (word === 'in' || word === 'out') list = word;
        else if (list !== undefined) lists[list].push(nodeOf(word));
      }
      this.#swap(term, lists.out, lists.in);
    },
    replicate_new_configuration: (term, ...nodes) => {
      this.#reconfigure(this.#leaderOf(term), nodes.map(nodeOf));
    },
    cleanup_nodes: (term, ...nodes) => {
      const host = this.#leaderOf(term);
      this.#mustWrite(host, { retiredCommitted: nodes.map(nodeOf) });
    },
    // The ledger.
    replicate: (term, text) => this.#mustWrite(this.#leaderOf(term), {}, text),
    refuse_replicate: (term, reason) => {
      const host = this.#leaderOf(term);
      const { entry } = this.#cluster.entry(host);
      mustBe(host.node.refusal([entry]), reason, 'the reason for a refusal');
    },
    emit_signature: (term) => this.#mustWrite(this.#leaderOf(term), { isSignature: true }),
    nominate_successor: (node) => {
      this.#host(node).step({ kind: 'nominate' });
    },
    // Time.
    periodic_one: (node, ms) => this.#tick([this.#host(node)], Number(ms)),
    periodic_all: (ms) => this.#tick(this.#cluster.running, Number(ms)),
    // The network.
    dispatch_all: () => this.#dispatch(() => true, true),
    dispatch_all_once: () => this.#dispatch(() => true, false),
    dispatch_one: (node) => this.#dispatch(({ from }) => from === nodeOf(node), false),
    dispatch_single: (from, to) => {
      const isMeant = this.#isBetween(from, to);
      const letter = this.#letters.find(isMeant);
      if (letter === undefined) throw new ScenarioError(`nothing waits from ${from} to ${to}`);
      this.#letters = this.#letters.filter((other) => other !== letter);
      this.#deliver(letter);
    },
    reverse: (from, to) => {
      const isMeant = this.#isBetween(from, to);
      const reversed = this.#letters.filter(isMeant).reverse();
      this.#letters = [...this.#letters.filter((letter) => !isMeant(letter)), ...reversed];
    },
    duplicate: (from, to) => {
      const letter = this.#letters.find(this.#isBetween(from, to));
      if (letter !== undefined) this.#letters.push(letter);
    },
    drop_pending: (node) => {
      this.#letters = this.#letters.filter(({ from }) => from !== nodeOf(node));
    },
    drop_pending_to: (from, to) => {
      const isMeant = this.#isBetween(from, to);
      this.#letters = this.#letters.filter((letter) => !isMeant(letter));
    },
    disconnect: (left, right) => this.#cut(nodeOf(left), nodeOf(right)),
    disconnect_node: (node) => {
      for (const other of this.#cluster.hosts.keys()) this.#cut(nodeOf(node), other);
    },
    disconnect_one_way: (from, to) => {
      this.#cuts.add(`${nodeOf(from)}>${nodeOf(to)}`);
    },
    reconnect: (left, right) => this.#heal(nodeOf(left), nodeOf(right)),
    reconnect_node: (node) => {
      for (const other of this.#cluster.hosts.keys()) this.#heal(nodeOf(node), other);
    },
    // Processes and disks.
    crash: (node) => this.#host(node).crash(),
    restart: (node) => this.#cluster.host(nodeOf(node)).restart(),
    save_disk: (node) => {
      const { id, disk } = this.#host(node);
      this.#images.set(id, disk);
    },
    restart_old: (node) => {
      const host = this.#cluster.host(nodeOf(node));
      this.#cluster.checkers.noteOldDisk(host.id);
      host.restart(this.#images.get(host.id));
    },
    hold_disk: (node) => {
      this.#heldDisks.add(nodeOf(node));
    },
    release_disk: (node) => {
      this.#heldDisks.delete(nodeOf(node));
      this.#host(node).sync();
    },
    accept_unproven: (node) => {
      this.#host(node).step({ kind: 'accept-unproven' });
    },
    install_snapshot: (node, source) => this.#host(node).install(this.#host(source).snapshot),
    // Reads.
    read: (node, id) => {
      const host = this.#host(node);
      this.#cluster.checkers.noteRead(host, Number(id));
      host.step({ kind: 'read', id: Number(id) });
    },
    assert_read: (node, id, seqno) => mustBe(this.#readAnswer(node, id), seqno, `read ${id}`),
    assert_no_read: (node, id) => mustBe(this.#readAnswer(node, id), 'none', `read ${id}`),
    // What must be so.
    assert_commit_idx: (node, seqno) => {
      mustBe(this.#host(node).node.commit, seqno, `the commit index of ${node}`);
    },
    assert_last_txid: (node, txId) => {
      const { view, seqno } = this.#host(node).node.last;
      mustBe(`${view}.${seqno}`, txId, `the last entry of ${node}`);
    },
    assert_is_primary: (node) => mustBe(this.#host(node).node.role, 'leader', 'its role'),
    assert_is_backup: (node) => mustBe(this.#host(node).node.role, 'follower', 'its role'),
    assert_is_retired: (node) => mustBe(this.#host(node).node.role, 'retired', 'its role'),
    assert_detail: (node, what, value) => mustBe(this.#detail(node, what), value, what ?? ''),
    'assert_!detail': (node, what, value) => {
      if (this.#detail(node, what) === value) throw new ScenarioError(`${what} is ${value}`);
    },
    assert_config: (node, seqno, ...nodes) => {
      const found = this.#configuration(node, seqno);
      mustBe(found?.nodes.join(' '), nodes.map(nodeOf).join(' '), `configuration ${seqno}`);
    },
    assert_absent_config: (node, seqno) => {
      mustBe(this.#configuration(node, seqno), undefined, `configuration ${seqno}`);
    },
    assert_removable: (node, ...nodes) => {
      const removable = [...this.#host(node).node.removable].sort().join(' ');
      mustBe(removable, nodes.map(nodeOf).sort().join(' '), 'the removable nodes');
    },
    assert_event: (node, kind) => {
      const isThere = this.#events.some(
        ({ host, event }) => host === nodeOf(node) && event.kind === kind,
      );
      if (!isThere) throw new ScenarioError(`${node} never said ${kind}`);
    },
    assert_pending: (from, to, count) => {
      mustBe(this.#letters.filter(this.#isBetween(from, to)).length, count, 'waiting messages');
    },
    assert_state_sync: () => {
      const open = this.#unsynced();
      if (open !== undefined) throw new ScenarioError(open);
    },
    assert_commit_safety: (node) => {
      // The checkers compare every commit of every node after each step; here it must not be idle.
      const { commit } = this.#host(node).node;
      if (commit === 0) throw new ScenarioError(`${node} has committed nothing`);
    },
    loop_until_sync: () => this.#loopUntilSync(),
  };

  #host(node: string | undefined): Host {
    const host = this.#cluster.host(nodeOf(node));
    if (!host.isRunning) throw new ScenarioError(`${host.id} does not run`);
    return host;
  }

  #leaderOf(term: string | undefined): Host {
    const leader = this.#cluster.running.find(
      ({ node }) => node.role === 'leader' && String(node.view) === term,
    );
    if (leader === undefined) throw new ScenarioError(`nobody leads in term ${term}`);
    return leader;
  }

  #mustWrite(
    host: Host,
    what: Parameters<Cluster['entry']>[1] = {},
    text: string | undefined = undefined,
  ): void {
    if (!host.write([this.#cluster.entry(host, what, text)])) {
      throw new ScenarioError(`${host.id} refuses the entry`);
    }
  }

  #swap(term: string | undefined, out: readonly NodeId[], into: readonly NodeId[]): void {
    const host = this.#leaderOf(term);
    const nodes = host.node.configurations.at(-1)?.nodes ?? [];
    this.#reconfigure(host, [...nodes.filter((node) => !out.includes(node)), ...into]);
  }

  #reconfigure(host: Host, nodes: readonly NodeId[]): void {
    for (const node of nodes) {
      if (!this.#cluster.hosts.has(node)) this.#cluster.join(node, EMPTY_POINT);
    }
    this.#mustWrite(host, { reconfiguration: nodes });
  }

  #tick(hosts: readonly Host[], elapsedMs: number): void {
    for (const host of hosts) host.step({ kind: 'tick', elapsedMs });
  }

  #isBetween(from: string | undefined, to: string | undefined): (letter: Letter) => boolean {
    return (letter) => letter.from === nodeOf(from) && letter.to === nodeOf(to);
  }

  /** Delivers what waits; with `again`, also what that gives rise to. */
  #dispatch(isMeant: (letter: Letter) => boolean, again: boolean): void {
    for (let round = 0; round < (again ? ROUNDS_MAX : 1); round += 1) {
      const letters = this.#letters.filter(isMeant);
      if (letters.length === 0) return;
      this.#letters = this.#letters.filter((letter) => !letters.includes(letter));
      for (const letter of letters) this.#deliver(letter);
    }
    if (again) throw new ScenarioError(`messages do not end in ${ROUNDS_MAX} rounds`);
  }

  #deliver({ from, to, packet }: Letter): void {
    if (this.#cuts.has(`${from}>${to}`)) return;
    const host = this.#cluster.hosts.get(to);
    if (host?.isRunning === true) host.receive(from, packet);
  }

  #cut(left: NodeId, right: NodeId): void {
    this.#cuts.add(`${left}>${right}`);
    this.#cuts.add(`${right}>${left}`);
  }

  #heal(left: NodeId, right: NodeId): void {
    this.#cuts.delete(`${left}>${right}`);
    this.#cuts.delete(`${right}>${left}`);
  }

  #readAnswer(node: string | undefined, id: string | undefined): string {
    const found = this.#events.find(
      ({ host, event }) =>
        host === nodeOf(node) && event.kind === 'read-ready' && String(event.id) === id,
    );
    return found?.event.kind === 'read-ready' ? String(found.event.seqno) : 'none';
  }

  #configuration(
    node: string | undefined,
    seqno: string | undefined,
  ): { readonly nodes: readonly NodeId[] } | undefined {
    return this.#host(node).node.configurations.find((found) => String(found.seqno) === seqno);
  }

  #detail(node: string | undefined, what: string | undefined): string {
    const { node: consensus } = this.#host(node);
    switch (what) {
      case 'current_view':
        return String(consensus.view);
      case 'leadership_state':
        return LEADERSHIP[consensus.role];
      case 'membership_state':
        return consensus.retirement === undefined ? 'Active' : 'Retired';
      case 'retirement_phase':
        return consensus.retirement ?? 'None';
      case 'leader':
        return consensus.leader?.slice(1) ?? 'none';
      case 'restarting':
        return String(consensus.isRestarting);
      default:
        throw new ScenarioError(`nothing is known of ${what}`);
    }
  }

  /** What keeps the running nodes that vote from being equal. */
  #unsynced(): string | undefined {
    const { leader } = this.#cluster;
    if (leader === undefined) return 'nobody leads';
    const { node } = leader;
    if (node.commit !== node.last.seqno) return `${leader.id} has not committed everything`;
    const members = node.configurations.flatMap(({ nodes }) => nodes);
    for (const { id, node: other } of this.#cluster.running) {
      if (!members.includes(id)) continue;
      if (other.commit !== node.commit || other.last.seqno !== node.last.seqno) {
        return `${id} is at ${other.commit} of ${other.last.seqno}, not at ${node.commit}`;
      }
    }
    return undefined;
  }

  #loopUntilSync(): void {
    let open = this.#unsynced();
    for (let round = 0; round < ROUNDS_MAX && open !== undefined; round += 1) {
      this.#tick(this.#cluster.running, OPTIONS.messageTimeoutMs);
      this.#dispatch(() => true, true);
      const { leader } = this.#cluster;
      const { last, lastCommittable } = leader?.node ?? {};
      const isOldSignature = lastCommittable?.view !== leader?.node.view;
      if (leader !== undefined && (last?.seqno !== lastCommittable?.seqno || isOldSignature)) {
        leader.write([this.#cluster.entry(leader, { isSignature: true })]);
      }
      open = this.#unsynced();
    }
    if (open !== undefined) throw new ScenarioError(`no sync: ${open}`);
  }

  /** Every story ends well: all links and nodes come back, and the service comes to rest. */
  #syncAtLast(): void {
    this.#cuts.clear();
    for (const node of this.#heldDisks) this.#cluster.hosts.get(node)?.sync();
    this.#heldDisks.clear();
    const removable = new Set(this.#cluster.running.flatMap(({ node }) => node.removable));
    for (const host of this.#cluster.hosts.values()) {
      if (!host.isRunning && !removable.has(host.id)) host.restart();
    }
    this.#loopUntilSync();
  }
}

const LEADERSHIP = {
  follower: 'Follower',
  'pre-candidate': 'PreVoteCandidate',
  candidate: 'Candidate',
  leader: 'Leader',
  retired: 'None',
} as const;

/** CCF's files name nodes by numbers. */
function nodeOf(name: string | undefined): NodeId {
  if (name === undefined || !/^\d+$/.test(name)) throw new ScenarioError(`${name} is no node`);
  return `n${name}` as NodeId;
}

function mustBe(found: unknown, expected: unknown, what: string): void {
  const [is, should] = [JSON.stringify(String(found)), JSON.stringify(String(expected))];
  if (is !== should) throw new ScenarioError(`${what} is ${is}, not ${should}`);
}

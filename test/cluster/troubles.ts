// What can befall a service of real processes: each trouble begins, lasts a while, and ends. Chance
// is the nemesis' own; a trouble says in words what it did.

import { setTimeout as sleep } from 'node:timers/promises';
import type { SeededRandom } from '../support/seeded-random.ts';
import { CLIENTS, type Cluster } from './cluster.ts';
import { type LinkState, PASS } from './link-proxy.ts';

/** A trouble that has begun: what it is, and how it is ended. */
export interface Begun {
  readonly text: string;
  end(): Promise<void>;
}

export interface Trouble {
  readonly kind: string;
  /** Undefined when there is nothing to be done just now: nobody is primary. */
  begin(cluster: Cluster, random: SeededRandom): Promise<Begun | undefined>;
}

/** How long a killed node may take until it answers again. */
const BACK_MS_MAX = 30_000;
const POLL_MS = 50;

const DEAD: readonly LinkState[] = [{ kind: 'cut' }, { kind: 'hold' }, { kind: 'swallow' }];

async function killed(cluster: Cluster, nodes: readonly string[]): Promise<Begun | undefined> {
  const lives = new Map<string, number>();
  for (const node of nodes) {
    const pid = await cluster.signal(node, 'SIGKILL');
    if (pid !== undefined) lives.set(node, pid);
  }
  if (lives.size === 0) return undefined;
  return {
    text: `killed ${[...lives.keys()].join(', ')}`,
    end: async () => {
      for (const [node, pid] of lives) await back(cluster, node, pid);
    },
  };
}

/** Resolves when a node lives again, and answers. */
async function back(cluster: Cluster, node: string, killedPid: number): Promise<void> {
  const until = performance.now() + BACK_MS_MAX;
  for (;;) {
    const pid = await cluster.processOf(node);
    if (pid !== undefined && pid !== killedPid) {
      if ((await cluster.sightOf(node)) !== undefined) return;
    }
    if (performance.now() > until) {
      throw new Error(`node ${node} is not back:\n${cluster.said().slice(-3000)}`);
    }
    await sleep(POLL_MS);
  }
}

async function paused(cluster: Cluster, node: string): Promise<Begun | undefined> {
  const pid = await cluster.signal(node, 'SIGSTOP');
  if (pid === undefined) return undefined;
  return {
    text: `paused ${node}`,
    end: async () => {
      await cluster.signal(node, 'SIGCONT');
    },
  };
}

type Link = readonly [from: string, to: string];

function without(cluster: Cluster, links: readonly Link[], state: LinkState): Begun {
  for (const [from, to] of links) cluster.set(from, to, state);
  const how = state.kind === 'pass' ? `slowed by ${state.delayMs} ms` : state.kind;
  return {
    text: `${how}: ${links.map(([from, to]) => `${from}>${to}`).join(' ')}`,
    end: async () => {
      for (const [from, to] of links) cluster.set(from, to, PASS);
    },
  };
}

/** All links between two sets of nodes, in both directions. */
function between(left: readonly string[], right: readonly string[]): readonly Link[] {
  return left.flatMap((a) =>
    right.flatMap((b): Link[] => [
      [a, b],
      [b, a],
    ]),
  );
}

const othersThan = (cluster: Cluster, node: string): readonly string[] =>
  cluster.names.filter((name) => name !== node);

export const KILL_PRIMARY: Trouble = {
  kind: 'kill primary',
  begin: async (cluster) => {
    const primary = await cluster.primary();
    return primary === undefined ? undefined : await killed(cluster, [primary]);
  },
};

export const KILL_ANY: Trouble = {
  kind: 'kill any',
  begin: async (cluster, random) => await killed(cluster, [random.pick(cluster.names)]),
};

/** Any number of nodes at once, often a majority and sometimes all. */
export const KILL_SEVERAL: Trouble = {
  kind: 'kill several',
  begin: async (cluster, random) => {
    const count = 2 + random.below(cluster.names.length - 1);
    return await killed(cluster, random.shuffled(cluster.names).slice(0, count));
  },
};

export const PAUSE_PRIMARY: Trouble = {
  kind: 'pause primary',
  begin: async (cluster) => {
    const primary = await cluster.primary();
    return primary === undefined ? undefined : await paused(cluster, primary);
  },
};

export const PAUSE_ANY: Trouble = {
  kind: 'pause any',
  begin: async (cluster, random) => await paused(cluster, random.pick(cluster.names)),
};

export const ISOLATE_PRIMARY: Trouble = {
  kind: 'isolate primary',
  begin: async (cluster, random) => {
    const primary = await cluster.primary();
    if (primary === undefined) return undefined;
    const links = between([primary], othersThan(cluster, primary));
    return without(cluster, links, random.pick(DEAD));
  },
};

export const ISOLATE_ANY: Trouble = {
  kind: 'isolate any',
  begin: async (cluster, random) => {
    const node = random.pick(cluster.names);
    return without(cluster, between([node], othersThan(cluster, node)), random.pick(DEAD));
  },
};

/** The nodes fall into two parts, of which at most one is a majority. */
export const HALVES: Trouble = {
  kind: 'halves',
  begin: async (cluster, random) => {
    const order = random.shuffled(cluster.names);
    const at = Math.floor(order.length / 2);
    const links = between(order.slice(0, at), order.slice(at));
    return without(cluster, links, random.pick(DEAD));
  },
};

/** Two parts that only one node reaches. */
export const BRIDGE: Trouble = {
  kind: 'bridge',
  begin: async (cluster, random) => {
    const [, ...rest] = random.shuffled(cluster.names);
    const at = Math.floor(rest.length / 2);
    const links = between(rest.slice(0, at), rest.slice(at));
    return without(cluster, links, random.pick(DEAD));
  },
};

/** What one node says reaches nobody, or somebody not; or what all others say does not reach it. */
export const ONE_WAY: Trouble = {
  kind: 'one-way',
  begin: async (cluster, random) => {
    const primary = await cluster.primary();
    const node =
      primary === undefined || random.oneIn(3) ? random.pick(cluster.names) : primary;
    const others = othersThan(cluster, node);
    const some = random.oneIn(2) ? others : [random.pick(others)];
    const isMute = random.oneIn(2);
    const links = some.map((other): Link => (isMute ? [node, other] : [other, node]));
    return without(cluster, links, random.pick(DEAD));
  },
};

export const SLOW: Trouble = {
  kind: 'slow',
  begin: async (cluster, random) => {
    const node = random.pick(cluster.names);
    const links = between([node], othersThan(cluster, node));
    return without(cluster, links, { kind: 'pass', delayMs: 20 + random.below(280) });
  },
};

/** One backup hears everything late, and clients go on asking it. */
export const LATE_BACKUP: Trouble = {
  kind: 'late backup',
  begin: async (cluster, random) => {
    const primary = await cluster.primary();
    if (primary === undefined) return undefined;
    const late = random.pick(othersThan(cluster, primary));
    return without(cluster, [[primary, late]], { kind: 'pass', delayMs: 300 });
  },
};

/** Clients do not reach a node that its peers do. */
export const SHUT_OUT: Trouble = {
  kind: 'shut out clients',
  begin: async (cluster, random) =>
    without(cluster, [[CLIENTS, random.pick(cluster.names)]], random.pick(DEAD)),
};

/** Two of the others at once. */
export const MIXED: Trouble = {
  kind: 'mixed',
  begin: async (cluster, random) => {
    const [one, two] = random.shuffled(PLAIN);
    const first = await one?.begin(cluster, random);
    await sleep(random.below(500));
    const second = await two?.begin(cluster, random);
    if (first === undefined || second === undefined) return first ?? second;
    return {
      text: `${first.text}, and ${second.text}`,
      end: async () => {
        // A node that was killed comes back only into a service that it reaches.
        const both = random.oneIn(2) ? [first, second] : [second, first];
        cluster.heal();
        for (const each of both) await each.end();
      },
    };
  },
};

/** Troubles of one cause. */
export const PLAIN: readonly Trouble[] = [
  ...[KILL_PRIMARY, KILL_ANY, PAUSE_PRIMARY, PAUSE_ANY, ISOLATE_PRIMARY, ISOLATE_ANY],
  ...[HALVES, BRIDGE, ONE_WAY, SLOW, LATE_BACKUP, SHUT_OUT],
];

export const ALL_TROUBLES: readonly Trouble[] = [...PLAIN, KILL_SEVERAL, MIXED];

/**
 * `concordat status`: a cluster in a terminal, once or live, as its nodes' operator listeners tell.
 */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../base/errors.ts';
import type { NodeStatus } from '../node/node-status.ts';
import type { Command, CommandIo } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { askOperatorListener, operatorOrigin } from './operator-asker.ts';
import { DATA_DEFAULT } from './sandbox/sandbox-arguments.ts';
import { knownNodes } from './sandbox/sandbox-folder.ts';
import { clusterOf, type SeenNode } from './status/cluster.ts';
import { renderStatus } from './status/render.ts';
import { Throughput } from './status/throughput.ts';

const USAGE = `Usage: concordat status [--data DIR | --url URL…] [--watch] [--json]

Shows each node of a cluster: its role, view and last commit, how far it is behind the primary,
its sessions, and how long commits take. Exit code 0 if there is a primary and all nodes follow
it, else 1.

  --data DIR     the nodes of the sandbox in DIR (default: ${DATA_DEFAULT})
  --url URL      the operator's listener of a node, http://HOST:PORT; once for each node
  --watch        look again every second until Ctrl-C, with the throughput
  --json         one line of JSON for each look`;

/** A node that does not answer by then is shown as unreachable. */
const ANSWER_MS_MAX = 1_000;
const LOOK_MS = 1_000;

export const command: Command = {
  name: 'status',
  summary: 'show the nodes of a cluster: roles, lag, sessions, commit latency',
  usage: USAGE,
  run: async (args, io) => {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        data: { type: 'string' },
        url: { type: 'string', multiple: true },
        watch: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    });
    if (values.url !== undefined && values.data !== undefined) {
      throw new CodedError('Usage', '--data and --url both say which nodes: give one of them');
    }
    const places =
      values.url?.map((url, index) => ({
        name: `node ${index + 1}`,
        url: operatorOrigin('--url', url),
      })) ?? placesIn(resolve(values.data ?? DATA_DEFAULT));
    const { watch = false, json = false } = values;
    return await look(places, { watch, json }, io);
  },
};

/** Where a node is asked, and which one it must be, if that is known. */
interface Place {
  readonly name: string;
  readonly url: string;
  readonly nodeId?: string;
}

function placesIn(data: string): readonly Place[] {
  return knownNodes(data).map(({ number, operatorUrl, nodeId }) => ({
    name: `node ${number}`,
    url: operatorUrl,
    ...(nodeId === undefined ? {} : { nodeId }),
  }));
}

async function look(
  places: readonly Place[],
  { watch, json }: { readonly watch: boolean; readonly json: boolean },
  io: CommandIo,
): Promise<number> {
  const throughput = new Throughput();
  for (;;) {
    const nodes = await Promise.all(places.map(seen));
    throughput.note(nodes, performance.now());
    const cluster = clusterOf(nodes);
    const { rates } = throughput;
    if (json) {
      const { primary, ...rest } = cluster;
      const perSecond = rates.at(-1);
      io.out(
        JSON.stringify({
          ...rest,
          ...(primary === undefined ? {} : { primary: primary.name }),
          ...(perSecond === undefined ? {} : { transactionsPerSecond: perSecond }),
        }),
      );
    } else {
      const text = renderStatus({ cluster, isColoured: io.isTty, ...(watch ? { rates } : {}) });
      // A terminal shows one picture that changes; elsewhere each look stands below the last.
      io.out(watch && io.isTty ? `${HOME}${text}` : text);
      if (watch && !io.isTty) io.out('');
    }
    if (!watch) return cluster.isWell ? EXIT.good : EXIT.bad;
    try {
      await sleep(LOOK_MS, undefined, { signal: io.signal });
    } catch {
      return EXIT.good;
    }
  }
}

/** To the top left corner, and everything below away. */
const HOME = '\u001b[H\u001b[J';

async function seen({ name, url, nodeId }: Place): Promise<SeenNode> {
  try {
    const status = await statusAt(`${url}/status`);
    if (nodeId === undefined || status.nodeId === nodeId) return { name, url, status };
    return { name, url, fault: 'a node of another service is there' };
  } catch (error) {
    return { name, url, fault: messageOf(error) };
  }
}

async function statusAt(url: string): Promise<NodeStatus> {
  const { status, text } = await askOperatorListener(url, { answerMsMax: ANSWER_MS_MAX });
  if (status !== 200) throw new Error(`it answers ${status}`);
  return statusIn(text);
}

/** A node of another version may lack what is needed here. */
function statusIn(text: string): NodeStatus {
  const status = JSON.parse(text) as Partial<NodeStatus> | null;
  const isStatus =
    typeof status?.nodeId === 'string' &&
    typeof status.committedSeqno === 'number' &&
    Array.isArray(status.peers) &&
    Array.isArray(status.waitsFor);
  if (isStatus) return status as NodeStatus;
  throw new Error('what it answers is no status that this version knows');
}

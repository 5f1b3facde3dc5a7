/**
 * The picture of a cluster in a terminal: a head line, a row for each node, and what to know.
 */
import type { NodeStatus } from '../../node/node-status.ts';
import { type Cluster, lagOf, type SeenNode } from './cluster.ts';
import { sparkline } from './throughput.ts';

export interface Look {
  readonly cluster: Cluster;
  /** Transactions a second at the last looks, when somebody watches. */
  readonly rates?: readonly number[];
  /** Whether the terminal shows colours. */
  readonly isColoured: boolean;
}

const HEADS = ['NODE', 'ROLE', 'VIEW', 'COMMITTED', 'LAG', 'UNCOMMITTED', 'SESSIONS'];
const MORE_HEADS = ['COMMIT p50/p99', 'SNAPSHOT', ''];
/** Hexadecimal digits of a node's id that tell it from others in one cluster. */
const ID_DIGITS = 8;

/** The picture, in lines. */
export function renderStatus({ cluster, rates, isColoured }: Look): string {
  const paint = isColoured ? PAINTS : PLAIN;
  const rows = cluster.nodes.map((node) => rowOf(node, cluster));
  const table = columns([[...HEADS, ...MORE_HEADS], ...rows.map(({ cells }) => cells)]);
  const [heads = '', ...lines] = table;
  return [
    headLine(cluster, rates, paint),
    ...insecureLines(cluster, paint),
    '',
    paint.dim(heads),
    ...lines.map((line, index) => {
      const tone = rows[index]?.tone ?? 'plain';
      return `${paint[tone](line)}${rows[index]?.remark ?? ''}`.trimEnd();
    }),
    ...remarks(cluster).flatMap((remark) => ['', paint.bad(remark)]),
  ].join('\n');
}

type Tone = 'plain' | 'good' | 'bad' | 'dim';
type Paints = Readonly<Record<Tone, (text: string) => string>>;

const sgr =
  (code: number) =>
  (text: string): string =>
    text === '' ? '' : `\u001b[${code}m${text}\u001b[0m`;
const PAINTS: Paints = { plain: (text) => text, good: sgr(32), bad: sgr(31), dim: sgr(2) };
const same = (text: string): string => text;
const PLAIN: Paints = { plain: same, good: same, bad: same, dim: same };

function headLine(
  cluster: Cluster,
  rates: readonly number[] | undefined,
  paint: Paints,
): string {
  const { primary, nodes } = cluster;
  const service = nodes.find(({ status }) => status !== undefined)?.status?.serviceStatus;
  const there = nodes.filter(({ status }) => status !== undefined).length;
  const parts = [
    `service ${service ?? 'unreachable'}`,
    `${there} of ${nodes.length} nodes`,
    primary === undefined ? paint.bad('no primary') : `primary ${primary.name}`,
    ...(cluster.view === undefined ? [] : [`view ${cluster.view}`]),
    ...(cluster.committed === undefined ? [] : [`committed ${cluster.committed}`]),
  ];
  const last = rates?.at(-1);
  if (rates !== undefined && last !== undefined) {
    parts.push(`${last.toFixed(0)} tx/s ${paint.good(sparkline(rates))}`);
  }
  return parts.join(' · ');
}

function insecureLines({ nodes }: Cluster, paint: Paints): readonly string[] {
  const virtual = nodes.filter(({ status }) => status?.platform === 'virtual');
  if (virtual.length === 0) return [];
  const who =
    virtual.length === nodes.length ? '' : `: ${virtual.map((n) => n.name).join(', ')}`;
  return [paint.bad(`INSECURE: virtual mode, nothing is attested${who}`)];
}

interface Row {
  readonly cells: readonly string[];
  readonly tone: Tone;
  readonly remark?: string;
}

function rowOf(node: SeenNode, cluster: Cluster): Row {
  const { status } = node;
  if (status === undefined) {
    const remark = `unreachable at ${node.url}: ${node.fault ?? 'no answer'}`;
    return { cells: [node.name, remark], tone: 'bad' };
  }
  const lag = lagOf(cluster, node);
  const { commitMs, sessions, snapshotSeqno } = status;
  const isPrimary = cluster.primary?.status.nodeId === status.nodeId;
  return {
    cells: [
      `${node.name}  ${status.nodeId.slice(0, ID_DIGITS)}`,
      roleOf(status, isPrimary),
      String(status.view),
      status.committed,
      lag === undefined ? '?' : String(lag),
      String(status.uncommitted),
      sessions === undefined ? 'closed' : String(sessions.active),
      commitMs === undefined
        ? ''
        : `${milliseconds(commitMs.p50)} / ${milliseconds(commitMs.p99)} ms`,
      snapshotSeqno === undefined ? '' : String(snapshotSeqno),
      waitingOf(status),
    ],
    tone: isPrimary ? 'good' : status.state === 'PartOfNetwork' ? 'plain' : 'bad',
  };
}

function roleOf({ role, state }: NodeStatus, isPrimary: boolean): string {
  if (state === 'PartOfPublicNetwork') return 'recovering';
  if (state !== 'PartOfNetwork') return state === 'Pending' ? 'pending' : 'catching up';
  switch (role) {
    case 'leader':
      return isPrimary ? 'primary' : 'was primary';
    case 'follower':
      return 'backup';
    default:
      return role;
  }
}

function waitingOf({ waitsFor, restart }: NodeStatus): string {
  if (waitsFor.length > 0) {
    return `waits for ${waitsFor.map((id) => id.slice(0, ID_DIGITS)).join(', ')}`;
  }
  return restart?.proven === false ? 'restarted, unproven' : '';
}

function remarks(cluster: Cluster): readonly string[] {
  const { nodes, primary } = cluster;
  if (primary !== undefined) return [];
  // A node with a ledger that takes no part yet: it has started again.
  const waiting = nodes.filter(
    ({ status }) => status?.state === 'Initialized' && status.committedSeqno > 0,
  );
  if (waiting.length === 0) return [];
  const operators = waiting.map(({ url }) => ` --operator ${url}`).join('');
  return [
    'Nodes that started again wait for others to show what is newest. If those never come back: ' +
      `concordat node restart --accept-unproven${operators}`,
  ];
}

/** Two digits that matter. */
function milliseconds(value: number): string {
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

/** Aligned columns; what is a number stands to the right. A short row's last cell may be long. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const count = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(
      0,
      ...rows.filter((row) => row.length === count).map((row) => row[column]?.length ?? 0),
    ),
  );
  const first = Math.max(...rows.map(([cell = '']) => cell.length));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const isLast = column === row.length - 1;
        const width = column === 0 ? first : (widths[column] ?? 0);
        if (isLast) return cell;
        return column > 1 && column < RIGHT_TO ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Columns of numbers end before this one. */
const RIGHT_TO = 9;

/**
 * What a client asks a node for its own sake: who it is, whom it takes for the primary, which nodes
 * there are (http-api.md §10), and how far the service has committed for certain (§5.1; design
 * decision 10).
 */
import { txIdOfText } from '../base/ids.ts';
import { READ_HEADER } from '../base/own-headers.ts';
import type { Answer } from './answer-reader.ts';
import { urlOfAddress } from './node-address.ts';
import type { WireRequest } from './session.ts';

export interface ListedNode {
  readonly nodeId: string;
  readonly status: string;
  /** Where clients reach it; undefined when it does not say. */
  readonly url: string | undefined;
}

/** The service as one node sees it. */
export interface Sighting {
  /** The node that was asked. */
  readonly nodeId: string;
  readonly view: number;
  readonly primaryId: string | undefined;
  readonly nodes: readonly ListedNode[];
}

export type Asking = (request: WireRequest) => Promise<Answer>;

/** Nodes of one service that are taken in; a list that is longer is cut. */
export const NODES_MAX = 32;

const NO_BODY = Buffer.alloc(0);

/** Looks at the service through a node; undefined when it answers, but not with this. */
export async function sightingBy(ask: Asking, url: string): Promise<Sighting | undefined> {
  const self = jsonOf(await ask(getting('/node/network/nodes/self')));
  const network = jsonOf(await ask(getting('/node/network')));
  const list = jsonOf(await ask(getting('/node/network/nodes')));
  const nodeId = self?.node_id;
  const view = network?.current_view;
  const rows = list?.nodes;
  if (typeof nodeId !== 'string' || typeof view !== 'number' || !Array.isArray(rows)) {
    return undefined;
  }
  const primaryId = network?.primary_id;
  const name = interfaceOf(self, url);
  return {
    nodeId,
    view,
    primaryId: typeof primaryId === 'string' ? primaryId : undefined,
    nodes: rows.slice(0, NODES_MAX).flatMap((row: unknown) => listedNode(row, name)),
  };
}

/**
 * How far the service has committed, as a leader confirms it to whom a majority listens; undefined
 * when that cannot be had through this node, which then is cut off, or all are. It lies nowhere
 * before what had been committed when it was asked for.
 */
export async function provenPosition(ask: Asking): Promise<number | undefined> {
  return positionIn(await ask(PROVEN_POSITION));
}

/** The request for `provenPosition`. */
export const PROVEN_POSITION = getting('/app/commit', `${READ_HEADER}: linearizable\r\n`);

/** The seqno in an answer to `GET /app/commit`. */
export function positionIn(answer: Answer): number | undefined {
  const text = jsonOf(answer)?.transaction_id;
  return typeof text === 'string' ? txIdOfText(text)?.seqno : undefined;
}

/** A request for something, without a body. */
export function getting(target: string, headerLines = ''): WireRequest {
  return { method: 'GET', target, headerLines, body: NO_BODY };
}

type Json = Readonly<Record<string, unknown>>;

/** The object in a good answer. */
export function jsonOf({ status, body }: Answer): Json | undefined {
  if (status !== 200) return undefined;
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    return isJson(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The name of the interface by which the client came, so that it goes to others by the same. */
function interfaceOf(self: Json | undefined, url: string): string | undefined {
  const interfaces = isJson(self?.rpc_interfaces) ? self.rpc_interfaces : {};
  const names = Object.keys(interfaces);
  return names.find((name) => publishedUrl(interfaces[name]) === url) ?? names[0];
}

function listedNode(row: unknown, name: string | undefined): readonly ListedNode[] {
  if (!isJson(row)) return [];
  const { node_id, status, rpc_interfaces } = row;
  if (typeof node_id !== 'string' || typeof status !== 'string') return [];
  const interfaces = isJson(rpc_interfaces) ? rpc_interfaces : {};
  const url = name === undefined ? undefined : publishedUrl(interfaces[name]);
  return [{ nodeId: node_id, status, url }];
}

function publishedUrl(one: unknown): string | undefined {
  const address = isJson(one) ? (one.published_address ?? one.bind_address) : undefined;
  if (typeof address !== 'string') return undefined;
  const url = `https://${address}`;
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, pathname } = new URL(url);
  if (pathname !== '/') return undefined;
  const host = hostname.replace(/^\[|\]$/g, '');
  return urlOfAddress({ host, port: port === '' ? 443 : Number(port) });
}

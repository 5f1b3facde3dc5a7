/**
 * What a client asks a node for its own sake: who it is, whom it takes for the primary, which nodes
 * there are (http-api.md §10), and whether it is up to date (design decisions 9 and 10).
 */
import { type TxId, textOfTxId } from '../base/ids.ts';
import { MIN_TXID_HEADER, READ_HEADER } from '../base/own-headers.ts';
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
 * Whether a node answers from a state that holds what was seen and that a confirmed leader vouches
 * for: a node cut off from the others may still answer what it is not asked to be sure of.
 */
export async function isUpToDate(ask: Asking, seen: TxId | undefined): Promise<boolean> {
  const holds = seen === undefined ? '' : `${MIN_TXID_HEADER}: ${textOfTxId(seen)}\r\n`;
  const lines = `${READ_HEADER}: linearizable\r\n${holds}`;
  const { status } = await ask(getting('/node/network', lines));
  return status === 200;
}

function getting(target: string, headerLines = ''): WireRequest {
  return { method: 'GET', target, headerLines, body: NO_BODY };
}

type Json = Readonly<Record<string, unknown>>;

function jsonOf({ status, body }: Answer): Json | undefined {
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

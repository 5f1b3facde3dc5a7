/**
 * The governance tables that `/node` tells about (governance.md §1): what of their rows is shown,
 * read with the checks that a row of another version needs.
 */
import { textOf, utf8 } from '../base/bytes.ts';
import type { Seqno } from '../base/ids.ts';
import { NODE_INFO, SERVICE_CONFIG, SERVICE_INFO, SINGLETON } from '../governance/tables.ts';
import type { ReadView } from '../kv/tables.ts';

const PREVIOUS_IDENTITY = 'public:ccf.gov.service.previous_service_identity';

type JsonObject = Readonly<Record<string, unknown>>;

/** A row of the nodes table as `/node/network/nodes` shows it. */
export interface NodeRow {
  readonly nodeId: string;
  readonly info: JsonObject;
  /** Seqno of the entry that last wrote it. */
  readonly lastWritten: Seqno | undefined;
}

/** All nodes, in byte order of their ids. */
export function nodeRows(view: ReadView): readonly NodeRow[] {
  const table = view.table(NODE_INFO);
  const rows: NodeRow[] = [];
  let after: Uint8Array | undefined;
  for (;;) {
    const page = table.page(after === undefined ? {} : { after });
    for (const { key, value } of page) {
      rows.push({
        nodeId: textOf(key),
        info: jsonObject(value),
        lastWritten: table.versionOf(key),
      });
    }
    after = page.at(-1)?.key;
    if (after === undefined) return rows;
  }
}

/** One node, or undefined. */
export function nodeRow(view: ReadView, nodeId: string): NodeRow | undefined {
  const table = view.table(NODE_INFO);
  const key = utf8(nodeId);
  const value = table.get(key);
  if (value === undefined) return undefined;
  return { nodeId, info: jsonObject(value), lastWritten: table.versionOf(key) };
}

/** The service's row, or undefined before there is a service. */
export function serviceRow(view: ReadView): JsonObject | undefined {
  return single(view, SERVICE_INFO);
}

/** The service's configuration, or undefined before there is a service. */
export function configurationRow(view: ReadView): JsonObject | undefined {
  return single(view, SERVICE_CONFIG);
}

/** PEM of the identity that this service is a recovery of, or undefined if it is none. */
export function previousIdentity(view: ReadView): string | undefined {
  const value = view.table(PREVIOUS_IDENTITY).get(SINGLETON);
  const pem: unknown = value === undefined ? undefined : JSON.parse(textOf(value));
  return typeof pem === 'string' ? pem : undefined;
}

function single(view: ReadView, table: string): JsonObject | undefined {
  const value = view.table(table).get(SINGLETON);
  return value === undefined ? undefined : jsonObject(value);
}

function jsonObject(bytes: Uint8Array): JsonObject {
  const value: unknown = JSON.parse(textOf(bytes));
  return isObject(value) ? value : {};
}

/** Whether a JSON value is an object. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

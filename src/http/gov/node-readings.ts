/**
 * `/gov/service/nodes` and `/gov/service/join-policy` (http-api.md §11): the nodes of the service,
 * and what code may join.
 */
import type { Endpoint } from '../../apps/interface.ts';
import { bytesOfBase64, textOf, utf8 } from '../../base/bytes.ts';
import { NODE_CERTIFICATES } from '../../governance/tables.ts';
import type { ReadView } from '../../kv/tables.ts';
import { errorAnswer } from '../answers.ts';
import { type NodeRow, nodeRow, nodeRows } from '../governance-rows.ts';
import {
  allRows,
  idIn,
  type JsonObject,
  objectIn,
  reading,
  sortedAnswer,
} from './gov-request.ts';

const NODES = 'public:ccf.gov.nodes.';

export const NODE_READINGS: readonly Endpoint[] = [
  reading('/service/nodes', 'All nodes', (_request, view) =>
    sortedAnswer({ value: nodeRows(view).map((row) => nodeOf(row, view)) }),
  ),
  reading('/service/nodes/{nodeId}', 'One node', (request, view) => {
    const id = idIn(request, 'nodeId');
    const row = nodeRow(view, id);
    if (row !== undefined) return sortedAnswer(nodeOf(row, view));
    return errorAnswer(404, 'ResourceNotFound', `Node n[${id}] does not exist.`);
  }),
  reading('/service/join-policy', 'What code may join', (_request, view) =>
    sortedAnswer(joinPolicyOf(view)),
  ),
];

function joinPolicyOf(view: ReadView): unknown {
  const keys = (table: string): readonly string[] =>
    allRows(view.table(NODES + table)).map(({ key }) => textOf(key));
  const values = (table: string): JsonObject =>
    Object.fromEntries(
      allRows(view.table(NODES + table)).map(({ key, value }) => [
        textOf(key),
        JSON.parse(textOf(value)) as unknown,
      ]),
    );
  return {
    sgx: { measurements: keys('code_ids') },
    virtual: {
      measurements: keys('virtual.measurements'),
      hostData: keys('virtual.host_data'),
    },
    snp: {
      measurements: keys('snp.measurements'),
      hostData: values('snp.host_data'),
      uvmEndorsements: values('snp.uvm_endorsements'),
      tcbVersions: values('snp.tcb_versions'),
    },
    // Ours: CCF knows no confidential VMs, and a service that has none shows what CCF shows.
    ...azureCvmOf(keys('azure_cvm.measurements'), values('azure_cvm.pcrs')),
  };
}

function azureCvmOf(measurements: readonly string[], pcrs: JsonObject): object {
  const isThere = measurements.length > 0 || Object.keys(pcrs).length > 0;
  return isThere ? { concordatAzureCvm: { measurements, pcrs } } : {};
}

function nodeOf({ nodeId, info }: NodeRow, view: ReadView): unknown {
  const certificate = view.table(NODE_CERTIFICATES).get(utf8(nodeId));
  const interfaces = Object.entries(Object(info.rpc_interfaces) as JsonObject);
  return {
    nodeId,
    status: info.status,
    nodeData: info.node_data ?? null,
    certificate: certificate === undefined ? undefined : textOf(certificate),
    retiredCommitted: info.retired_committed ?? false,
    quoteInfo: quoteOf(Object(info.quote_info) as JsonObject),
    rpcInterfaces: Object.fromEntries(
      interfaces.map(([name, value]) => [name, interfaceOf(Object(value) as JsonObject)]),
    ),
  };
}

function interfaceOf(row: JsonObject): unknown {
  const { published_address, bind_address, app_protocol = 'HTTP1' } = row;
  return { publishedAddress: published_address ?? bind_address, protocol: app_protocol };
}

function quoteOf({ format, quote, endorsements, uvm_endorsements }: JsonObject): unknown {
  const rawQuote = typeof quote === 'string' ? quote : '';
  if (format === 'Insecure_Virtual')
    return { format, rawQuote, details: virtualDetails(rawQuote) };
  return { format, rawQuote, endorsements, uvmEndorsements: uvm_endorsements };
}

function virtualDetails(rawQuote: string): unknown {
  const { measurement, host_data, report_data } = objectIn(bytesOfBase64(rawQuote));
  return { measurement, hostData: host_data, reportData: report_data };
}

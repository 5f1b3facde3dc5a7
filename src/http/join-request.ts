/**
 * Reads the body of `POST /node/join`: everything in it that goes into the ledger is looked at, and
 * what nobody knows is left out. A refusal names the place as CCF does, like a JSON pointer.
 */
import { EVIDENCE_FORMATS, type Evidence } from '../attestation/evidence.ts';
import { bytesOfBase64, bytesOfHex, textOf } from '../base/bytes.ts';
import { CodedError, messageOf } from '../base/errors.ts';
import { NODE_INTERFACES_MAX } from '../base/limits.ts';
import { bytesOfPem } from '../crypto/pem.ts';
import type { NetInterface } from '../governance/nodes.ts';
import type { NodeNetwork } from '../governance/nodes-joining.ts';
import type { JoinRequestBody } from './join-wire.ts';

/** Reads a request; throws `InvalidInput`. */
export function parseJoinRequest(body: Uint8Array): JoinRequestBody {
  let value: unknown;
  try {
    value = JSON.parse(textOf(body));
  } catch (cause) {
    throw invalid('#', messageOf(cause), cause);
  }
  const root = objectAt(value, '#');
  const request = optionalText(root, 'certificate_signing_request');
  const { node_data } = root;
  return {
    node_info_network: networkAt(root.node_info_network, '#/node_info_network'),
    quote_info: evidenceAt(root.quote_info, '#/quote_info'),
    public_encryption_key: encryptionKey(root.public_encryption_key),
    startup_seqno: startupSeqno(root.startup_seqno),
    ...(request === undefined ? {} : { certificate_signing_request: request }),
    ...(node_data === undefined ? {} : { node_data }),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function networkAt(value: unknown, at: string): NodeNetwork {
  const object = objectAt(value, at);
  const interfaces = objectAt(object.rpc_interfaces, `${at}/rpc_interfaces`);
  const names = Object.keys(interfaces);
  if (names.length === 0 || names.length > NODE_INTERFACES_MAX) {
    throw invalid(`${at}/rpc_interfaces`, `1 to ${NODE_INTERFACES_MAX}, not ${names.length}`);
  }
  const inside = `${at}/node_to_node_interface`;
  return {
    node_to_node_interface: interfaceAt(object.node_to_node_interface, inside),
    rpc_interfaces: Object.fromEntries(
      names.map((name) => {
        const place = `${at}/rpc_interfaces/${name}`;
        if (!/^[\w.-]{1,64}$/.test(name)) throw invalid(place, 'this is no name of one');
        return [name, interfaceAt(interfaces[name], place)] as const;
      }),
    ),
  };
}

/** What CCF's rows say of an interface besides its addresses, and of which kind each is. */
const FURTHER: Readonly<Record<string, 'string' | 'number' | 'object'>> = {
  protocol: 'string',
  app_protocol: 'string',
  endorsement: 'object',
  max_open_sessions_soft: 'number',
  max_open_sessions_hard: 'number',
  http_configuration: 'object',
  accepted_endpoints: 'object',
  forwarding_timeout_ms: 'number',
  redirections: 'object',
  enabled_operator_features: 'object',
};

function interfaceAt(value: unknown, at: string): NetInterface {
  const object = objectAt(value, at);
  const bind_address = addressAt(object.bind_address, `${at}/bind_address`);
  const published = object.published_address ?? bind_address;
  const further = Object.entries(FURTHER).flatMap(([name, kind]) => {
    const member = object[name];
    if (member === undefined) return [];
    if (typeof member !== kind || member === null)
      throw invalid(`${at}/${name}`, shown(member));
    return [[name, member] as const];
  });
  const published_address = addressAt(published, `${at}/published_address`);
  return { bind_address, published_address, ...Object.fromEntries(further) };
}

const ADDRESS = /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,255}):(\d{1,5})$/;

function addressAt(value: unknown, at: string): string {
  const port = typeof value === 'string' ? ADDRESS.exec(value)?.[1] : undefined;
  if (typeof value === 'string' && port !== undefined && Number(port) <= 65_535) return value;
  throw invalid(at, `${shown(value)} is not host:port`);
}

const FORMATS = Object.values(EVIDENCE_FORMATS);

function evidenceAt(value: unknown, at: string): Evidence {
  const object = objectAt(value, at);
  const format = FORMATS.find((each) => each === object.format);
  if (format === undefined) {
    throw invalid(`${at}/format`, `${shown(object.format)} is none of ${FORMATS.join(', ')}`);
  }
  const uvm = object.uvm_endorsements;
  const tcb = object.endorsed_tcb;
  const isHex = typeof tcb === 'string' && bytesOfHex(tcb) !== undefined;
  if (tcb !== undefined && !isHex) throw invalid(`${at}/endorsed_tcb`, shown(tcb));
  return {
    format,
    quote: base64At(object.quote, `${at}/quote`),
    endorsements: base64At(object.endorsements, `${at}/endorsements`),
    ...(uvm === undefined ? {} : { uvm_endorsements: base64At(uvm, `${at}/uvm_endorsements`) }),
    ...(isHex ? { endorsed_tcb: tcb } : {}),
  };
}

function base64At(value: unknown, at: string): string {
  if (typeof value === 'string' && bytesOfBase64(value) !== undefined) return value;
  throw invalid(at, `${shown(value)} is not base64`);
}

/** Whether it can be used shows when something is encrypted to it. */
function encryptionKey(value: unknown): string {
  const isPem = typeof value === 'string' && bytesOfPem('PUBLIC KEY', value) !== undefined;
  if (isPem) return value;
  throw invalid('#/public_encryption_key', `${shown(value)} is not a public key in PEM`);
}

function startupSeqno(value: unknown): number | null {
  if (value === null) return null;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid('#/startup_seqno', `${shown(value)} is not a seqno`);
}

function objectAt(value: unknown, at: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(at, `${shown(value)} is not an object`);
  }
  return value as JsonObject;
}

function optionalText(object: JsonObject, name: string): string | undefined {
  const value = object[name];
  if (value === undefined || typeof value === 'string') return value;
  throw invalid(`#/${name}`, `${shown(value)} is not a text`);
}

function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? 'nothing';
}

function invalid(at: string, why: string, cause?: unknown): CodedError {
  const message = `At ${at}: ${why}.`;
  return new CodedError('InvalidInput', message, { status: 400, at }, { cause });
}

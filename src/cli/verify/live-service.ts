/**
 * What a live service shows of itself: the nodes it lists with their evidence, and each node that
 * can be reached with the key it speaks under and the service it says it is of. All of it is what
 * somebody says; `service-checks.ts` says what of it is shown.
 */
import type { Evidence } from '../../attestation/evidence.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { type Certificate, certificateOfPem } from '../../crypto/x509.ts';
import { PinnedSession } from './pinned-session.ts';

/** Beyond this it is no service of organisations, but somebody who keeps us busy. */
const NODES_MAX = 100;

/** Who answered at an address. */
export interface Answerer {
  readonly url: string;
  readonly certificate: Certificate;
  /** The service's certificate in PEM, as told in this session. */
  readonly serviceCertificate: string;
}

export interface LiveNode {
  readonly nodeId: string;
  readonly evidence: Evidence;
  /** Undefined if none of its addresses answered, for this reason. */
  readonly answerer: Answerer | undefined;
  readonly silence: string;
}

export interface LiveService {
  readonly front: Answerer;
  readonly nodes: readonly LiveNode[];
}

/** Rejects with `NodeUnreachable` or `NotAService` if nobody fit answers at the address. */
export async function readService(url: string): Promise<LiveService> {
  const session = new PinnedSession(url);
  try {
    const front = await answererOf(session);
    const listed = listIn(await session.json('/node/attestations'), 'attestations', url);
    const addresses = addressesIn(await session.json('/node/network/nodes'), url);
    if (listed.length === 0 || listed.length > NODES_MAX) {
      throw odd(url, `it lists evidence of ${listed.length} nodes`);
    }
    const nodes: LiveNode[] = [];
    for (const entry of listed) nodes.push(await nodeOf(entry, addresses, url));
    return { front, nodes };
  } finally {
    session.close();
  }
}

async function answererOf(session: PinnedSession): Promise<Answerer> {
  const { url } = session;
  const certificate = member(await session.json('/node/network'), 'service_certificate');
  try {
    if (typeof certificate !== 'string')
      throw odd(url, 'it names no certificate of its service');
    certificateOfPem(certificate);
  } catch (thrown) {
    if (!isCoded(thrown, 'BadCertificate')) throw thrown;
    throw odd(url, `what it names as its service's is no certificate: ${messageOf(thrown)}`);
  }
  return { url, certificate: session.certificate(), serviceCertificate: certificate };
}

async function nodeOf(
  entry: unknown,
  addresses: ReadonlyMap<string, readonly string[]>,
  url: string,
): Promise<LiveNode> {
  const nodeId = member(entry, 'node_id');
  if (typeof nodeId !== 'string' || !/^[0-9a-f]{64}$/.test(nodeId)) {
    throw odd(url, `it names a node ${String(nodeId).slice(0, 80)}`);
  }
  const evidence = evidenceIn(entry);
  let silence = 'the service names no address of it';
  for (const address of addresses.get(nodeId) ?? []) {
    const session = new PinnedSession(`https://${address}`);
    try {
      return { nodeId, evidence, answerer: await answererOf(session), silence: '' };
    } catch (error) {
      if (!isCoded(error)) throw error;
      silence = messageOf(error);
    } finally {
      session.close();
    }
  }
  return { nodeId, evidence, answerer: undefined, silence };
}

/** What a node shows, as it shows it: what is missing or odd in it is for the verdict to say. */
function evidenceIn(entry: unknown): Evidence {
  const names = ['format', 'endorsements', 'uvm_endorsements', 'endorsed_tcb'] as const;
  const given = names
    .map((name) => [name, member(entry, name)] as const)
    .filter(([, value]) => value !== undefined);
  return { ...Object.fromEntries(given), quote: member(entry, 'raw') } as Evidence;
}

/** Node id → `host:port` of each of its interfaces. */
function addressesIn(answer: unknown, url: string): ReadonlyMap<string, readonly string[]> {
  return new Map(
    listIn(answer, 'nodes', url).map((row): [string, readonly string[]] => {
      const interfaces = member(row, 'rpc_interfaces');
      const each = typeof interfaces === 'object' && interfaces !== null ? interfaces : {};
      const addresses = Object.values(each)
        .map((one: unknown) => member(one, 'published_address') ?? member(one, 'bind_address'))
        .filter((address) => typeof address === 'string')
        .filter((address) => /^[^/\s@?#]+:\d{1,5}$/.test(address));
      return [String(member(row, 'node_id')), addresses];
    }),
  );
}

function listIn(answer: unknown, name: string, url: string): readonly unknown[] {
  const list = member(answer, name);
  if (Array.isArray(list)) return list;
  throw odd(url, `it gives no list of ${name}`);
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function odd(url: string, why: string): CodedError {
  return new CodedError('NotAService', `${url} is not a service as expected: ${why}`, { url });
}

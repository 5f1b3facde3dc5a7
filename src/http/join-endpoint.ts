/**
 * `POST /node/join`: a new node asks to be let in (node-lifecycle.md §4). The checks are made in the
 * contract's order, each with CCF's code, and all of them again in the transaction that lets it in.
 *
 * The joiner's identity is the key that its TLS session proved: its certificate is self-signed and
 * says nothing more. So the request is never forwarded, and the secrets of the service leave only
 * in answer to a session of the very key whose row is Trusted. That row may be uncommitted: with the
 * joiner's own vote needed to commit it, nobody could ever join a service of one node otherwise.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
  type Step,
} from '../apps/interface.ts';
import type { Evidence, EvidenceClaims } from '../attestation/evidence.ts';
import { base64Of, equalBytes } from '../base/bytes.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import type { Seqno } from '../base/ids.ts';
import { JOIN_BODY_BYTES_MAX } from '../base/limits.ts';
import {
  certificatePublicKeyDer,
  publicKeyPemOf,
  type Validity,
} from '../crypto/certificates.ts';
import { readCertificateRequest, validityOfCertificate } from '../crypto/endorsement.ts';
import { sha256Hex } from '../crypto/hash.ts';
import { type JoinVerdict, judgeJoin, unverifiable } from '../governance/join-policy.ts';
import {
  addressOf,
  type NodeInfoRow,
  nodeInfo,
  nodeKey,
  nodesThatAre,
  serviceInfo,
} from '../governance/nodes.ts';
import {
  isFormerNode,
  type JoiningNode,
  nodeInTheWay,
  writePendingNode,
  writeTrustedNode,
} from '../governance/nodes-joining.ts';
import { NODE_CERTIFICATES, type ServiceStatus } from '../governance/tables.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import type { DatedSecret } from '../ledger/secret-history.ts';
import { errorAnswer, jsonAnswer, renderCcfError, requestErrorOf } from './answers.ts';
import type { Backend } from './backend.ts';
import { parseJoinRequest } from './join-request.ts';
import type { JoinAnswerBody, JoinRequestBody, NetworkInfo } from './join-wire.ts';
import { urlOf } from './node-addresses.ts';

/** What joining needs of the node behind it. */
export interface JoinDesk {
  /** Seqno of the snapshot that this node began from; 0 when it has the ledger from its start. */
  readonly startupSeqno: Seqno;
  /** Every ledger secret in force so far, oldest first. */
  secrets(): readonly DatedSecret[];
  /** The service's private key: PKCS #8, PEM. */
  serviceKeyPem(): string;
  readonly coseSignatures: { readonly issuer: string; readonly subject: string };
  /** Checks what evidence proves by itself; rejects with `BadEvidence`. */
  readEvidence(evidence: Evidence): Promise<EvidenceClaims>;
  /** Makes the certificate that a request (PKCS #10, PEM) asks for. */
  endorse(requestPem: string, validity: Validity): Promise<string>;
}

/** What `POST /node/join` asks of the service. */
export type JoinBackend = Pick<Backend, 'node' | 'isPrimary'>;

const PATH = '/join';
/** Such a service trusts whom the policy admits: its members have not opened it to anybody yet. */
const TRUSTS_AT_ONCE: readonly ServiceStatus[] = ['Opening', 'Recovering'];

export function joinEndpoint(backend: JoinBackend, desk: JoinDesk): Endpoint {
  return {
    verb: 'POST',
    path: PATH,
    authentication: ['any_cert'],
    effect: 'write',
    reads: 'current',
    answers: 'local',
    forwarding: 'never',
    governs: true,
    hidden: true,
    bodyBytesMax: JOIN_BODY_BYTES_MAX,
    summary: 'Joins a node to the service',
    handle: (request, view) =>
      spoken(() => new Application(backend, desk, request).begin(view)),
  };
}

/** One request to join, from its first check to its answer. */
class Application {
  readonly #backend: JoinBackend;
  readonly #desk: JoinDesk;
  readonly #body: JoinRequestBody;
  readonly #certificatePem: string;
  readonly #publicKeyDer: Uint8Array;
  readonly #nodeId: string;

  constructor(backend: JoinBackend, desk: JoinDesk, { body, caller }: AppRequest) {
    this.#backend = backend;
    this.#desk = desk;
    this.#certificatePem = caller.policy === 'no_auth' ? '' : caller.certificatePem;
    this.#publicKeyDer = certificatePublicKeyDer(this.#certificatePem);
    this.#nodeId = sha256Hex(this.#publicKeyDer);
    this.#body = parseJoinRequest(body);
  }

  begin(view: ReadView): Step {
    const refusal = this.#unable(view) ?? this.#known(view) ?? this.#badRequest(view);
    if (refusal !== undefined) return answer(refusal);
    return { kind: 'ask', ask: () => this.#prepare(view) };
  }

  /** Has made and checked what takes time. */
  async #prepare(view: ReadView): Promise<Step> {
    let claims: EvidenceClaims;
    try {
      claims = await this.#desk.readEvidence(this.#body.quote_info);
    } catch (thrown) {
      return spoken(() => answer(invalidQuote(unverifiable(thrown))));
    }
    const request = this.#body.certificate_signing_request;
    const wants = this.#trustsAtOnce(view) && request !== undefined;
    const certificatePem = wants
      ? await this.#desk.endorse(request, validityOfCertificate(this.#certificatePem))
      : undefined;
    return { kind: 'write', apply: (tx) => this.#enter(tx, claims, certificatePem) };
  }

  /** The whole order of checks on the newest state, and then the row. */
  #enter(
    tx: Transaction,
    claims: EvidenceClaims,
    certificatePem: string | undefined,
  ): AppResponse {
    const refusal = this.#unable(tx) ?? this.#known(tx) ?? this.#badRequest(tx);
    if (refusal !== undefined) return refusal;
    const verdict = judgeJoin(claims, this.#publicKeyDer, tx);
    if (!verdict.admitted) return invalidQuote(verdict);
    try {
      return this.#write(tx, this.#joiningNode(verdict.codeDigest), certificatePem);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  #write(tx: Transaction, node: JoiningNode, certificatePem: string | undefined): AppResponse {
    if (!this.#trustsAtOnce(tx)) {
      writePendingNode(tx, node);
      return jsonAnswer({
        node_id: this.#nodeId,
        node_status: 'Pending',
      } satisfies JoinAnswerBody);
    }
    if (node.certificateRequestPem !== undefined && certificatePem === undefined) {
      // It began to trust at once only while the evidence was read.
      return errorAnswer(503, 'NodeCannotHandleRequest', 'The service has changed: ask again.');
    }
    writeTrustedNode(tx, node, certificatePem);
    return this.#welcome(tx);
  }

  /** Checks of this node and its place; the first four of the contract. */
  #unable(view: ReadView): AppResponse | undefined {
    const { state, nodeId, primaryId } = this.#backend.node();
    if (state !== 'PartOfNetwork') {
      const message = 'Target node should be part of network to accept new nodes.';
      return errorAnswer(500, 'InternalError', message);
    }
    const { startupSeqno } = this.#desk;
    const theirs = this.#body.startup_seqno ?? 0;
    if (theirs < startupSeqno) {
      const message =
        `Node requested to join from seqno ${theirs} which is older than this node startup ` +
        `seqno ${startupSeqno}. A snapshot at least as recent as ${startupSeqno} must be used ` +
        'instead.';
      return errorAnswer(400, 'StartupSeqnoIsOld', message);
    }
    if (serviceInfo(view) === undefined) {
      const message = 'No service is available to accept new node.';
      return errorAnswer(500, 'InternalError', message);
    }
    if (this.#backend.isPrimary()) return undefined;
    const primary = primaryId === nodeId ? undefined : urlOf(view, nodeId, primaryId);
    if (primary === undefined) return errorAnswer(500, 'InternalError', 'Primary unknown');
    return renderCcfError({
      status: 308,
      code: 'NodeCannotHandleRequest',
      message: 'Node is not primary; cannot handle write',
      headers: { location: `${primary}/node${PATH}` },
    });
  }

  /** A node that asked before is told how it stands. */
  #known(view: ReadView): AppResponse | undefined {
    const info = nodeInfo(view, this.#nodeId);
    switch (info?.status) {
      case undefined:
        return isFormerNode(view, this.#nodeId) ? badState('retired and removed') : undefined;
      case 'Pending':
        return jsonAnswer({
          node_id: this.#nodeId,
          node_status: 'Pending',
        } satisfies JoinAnswerBody);
      case 'Trusted':
        return this.#hasKeyOf(info) ? this.#welcome(view) : badState('of another key');
      case 'Retired':
        return badState('Retired');
    }
  }

  #hasKeyOf({ public_key }: NodeInfoRow): boolean {
    return public_key === undefined || public_key === publicKeyPemOf(this.#publicKeyDer);
  }

  /** What is wrong with the request itself. */
  #badRequest(view: ReadView): AppResponse | undefined {
    const request = this.#body.certificate_signing_request;
    if (request !== undefined) {
      try {
        const { publicKeyDer } = readCertificateRequest(request);
        if (!equalBytes(publicKeyDer, this.#publicKeyDer)) {
          return badKey('Public key in CSR does not match TLS client identity.');
        }
      } catch (thrown) {
        if (!isCoded(thrown, 'BadCertificateRequest')) throw thrown;
        return badKey(messageOf(thrown));
      }
    }
    const node = this.#joiningNode('');
    const other = nodeInTheWay(view, node);
    return other === undefined ? undefined : addressTaken(node, other.nodeId);
  }

  #trustsAtOnce(view: ReadView): boolean {
    const status = serviceInfo(view)?.status;
    return status !== undefined && TRUSTS_AT_ONCE.includes(status);
  }

  #joiningNode(codeDigest: string): JoiningNode {
    const body = this.#body;
    const request = body.certificate_signing_request;
    return {
      nodeId: this.#nodeId,
      publicKeyPem: publicKeyPemOf(this.#publicKeyDer),
      network: body.node_info_network,
      evidence: body.quote_info,
      codeDigest,
      encryptionPublicKeyPem: body.public_encryption_key,
      ...(request === undefined ? {} : { certificateRequestPem: request }),
      ...(body.node_data === undefined ? {} : { nodeData: body.node_data }),
    };
  }

  /** What a Trusted node needs to take part: the secrets of the service among it. */
  #welcome(view: ReadView): AppResponse {
    const body: JoinAnswerBody = {
      network_info: networkInfo(view, this.#desk, this.#nodeId),
      node_id: this.#nodeId,
      node_status: 'Trusted',
    };
    return jsonAnswer(body);
  }
}

function networkInfo(view: ReadView, desk: JoinDesk, nodeId: string): NetworkInfo {
  const service = serviceInfo(view);
  const certificate = view.table(NODE_CERTIFICATES).get(nodeKey(nodeId));
  return {
    public_only: false,
    last_recovered_signed_idx: 0,
    ledger_secrets: Object.fromEntries(
      desk
        .secrets()
        .map(({ from, view: made, bytes }) => [
          String(from),
          { raw_key: base64Of(bytes), concordat_view: made },
        ]),
    ),
    identity: { cert: service?.cert ?? '', priv_key: desk.serviceKeyPem() },
    service_status: service?.status ?? '',
    ...(certificate === undefined
      ? {}
      : { endorsed_certificate: Buffer.from(certificate).toString() }),
    cose_signatures_config: desk.coseSignatures,
    concordat_nodes: nodesThatAre(view, 'Trusted').map(({ nodeId: id, info }) => {
      const first = Object.values(info.rpc_interfaces)[0];
      return {
        node_id: id,
        address: addressOf(info.node_to_node_interface),
        ...(first === undefined ? {} : { service_address: addressOf(first) }),
      };
    }),
  };
}

/** Runs checks that may throw what has an HTTP status of its own. */
function spoken(check: () => Step): Step {
  try {
    return check();
  } catch (thrown) {
    return answer(refusalOf(thrown));
  }
}

function refusalOf(thrown: unknown): AppResponse {
  const error = requestErrorOf(thrown);
  if (error === undefined) throw thrown;
  return renderCcfError(error);
}

function invalidQuote(verdict: JoinVerdict): AppResponse {
  return errorAnswer(401, 'InvalidQuote', verdict.admitted ? '' : verdict.message);
}

function addressTaken({ network }: JoiningNode, nodeId: string): AppResponse {
  const address = addressOf(network.node_to_node_interface);
  const message =
    `A node with the same published node address ${address} already exists ` +
    `(node id: ${nodeId}).`;
  return errorAnswer(400, 'NodeAlreadyExists', message);
}

function badKey(message: string): AppResponse {
  return errorAnswer(400, 'CSRPublicKeyInvalid', message);
}

function badState(state: string): AppResponse {
  const message =
    `Joining node is not in expected state (${state}). ` +
    'An identity is never used again: join with an empty folder.';
  return errorAnswer(400, 'InvalidNodeState', message);
}

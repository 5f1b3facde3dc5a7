/**
 * `POST /node/join`: a new node asks to be let in (node-lifecycle.md §4). The checks are made in
 * the contract's order, each with CCF's code, and all of them again in the transaction that lets it
 * in.
 *
 * The joiner's identity is the key that its TLS session proved: its certificate is self-signed and
 * says nothing more. So the request is never forwarded, and the secrets of the service leave only
 * in answer to a session of the very key whose row is Trusted. That row may be uncommitted: it may
 * need the joiner's own vote to be committed, as it always does in a service of one node.
 */
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
  type Step,
} from '../apps/interface.ts';
import type { EvidencePolicy } from '../attestation/policy.ts';
import { equalBytes } from '../base/bytes.ts';
import { isCoded, messageOf } from '../base/errors.ts';
import { JOIN_BODY_BYTES_MAX } from '../base/limits.ts';
import { certificatePublicKeyDer, publicKeyPemOf } from '../crypto/certificates.ts';
import { readCertificateRequest, validityOfCertificate } from '../crypto/endorsement.ts';
import { sha256Hex } from '../crypto/hash.ts';
import {
  joinPolicy,
  joinVerdict,
  type RefusedJoin,
  samePolicy,
} from '../governance/join-policy.ts';
import { addressOf, type NodeInfoRow, nodeInfo, serviceInfo } from '../governance/nodes.ts';
import {
  isFormerNode,
  type JoiningNode,
  nodeInTheWay,
  writePendingNode,
  writeTrustedNode,
} from '../governance/nodes-joining.ts';
import type { ServiceStatus } from '../governance/tables.ts';
import type { ReadView, Transaction } from '../kv/tables.ts';
import { LEDGER_SECRET_BYTES } from '../ledger/secret.ts';
import { errorAnswer, jsonAnswer, renderCcfError, requestErrorOf } from './answers.ts';
import type { Backend } from './backend.ts';
import { type JoinDesk, networkInfo } from './join-desk.ts';
import { parseJoinRequest } from './join-request.ts';
import type { JoinAnswerBody, JoinRequestBody } from './join-wire.ts';
import { urlOf } from './node-addresses.ts';

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
    this.#certificatePem = 'certificatePem' in caller ? caller.certificatePem : '';
    this.#publicKeyDer = certificatePublicKeyDer(this.#certificatePem);
    this.#nodeId = sha256Hex(this.#publicKeyDer);
    this.#body = parseJoinRequest(body);
  }

  begin(view: ReadView): Step {
    const refusal = this.#unable(view) ?? this.#known(view) ?? this.#badRequest(view);
    if (refusal !== undefined) return answer(refusal);
    const policy = joinPolicy(view, this.#publicKeyDer);
    return {
      kind: 'ask',
      ask: () =>
        this.#prepare(view, policy).catch((thrown: unknown) => answer(refusalOf(thrown))),
    };
  }

  /** Has made and checked what takes time. */
  async #prepare(view: ReadView, policy: EvidencePolicy): Promise<Step> {
    const verdict = joinVerdict(await this.#desk.judge(this.#body.quote_info, policy));
    if (!verdict.admitted) return answer(invalidQuote(verdict));
    const { codeDigest } = verdict;
    const request = this.#body.certificate_signing_request;
    const wants = this.#trustsAtOnce(view) && request !== undefined;
    const certificatePem = wants
      ? await this.#desk.endorse(request, validityOfCertificate(this.#certificatePem))
      : undefined;
    return {
      kind: 'write',
      apply: (tx) => this.#enter(tx, { policy, codeDigest }, certificatePem),
    };
  }

  #enter(tx: Transaction, admitted: Admitted, certificatePem: string | undefined): AppResponse {
    try {
      return this.#entered(tx, admitted, certificatePem);
    } catch (thrown) {
      return refusalOf(thrown);
    }
  }

  /** The whole order of checks on the newest state, and then the row. */
  #entered(
    tx: Transaction,
    { policy, codeDigest }: Admitted,
    certificatePem: string | undefined,
  ): AppResponse {
    const refusal = this.#unable(tx) ?? this.#known(tx) ?? this.#badRequest(tx);
    if (refusal !== undefined) return refusal;
    if (!samePolicy(policy, joinPolicy(tx, this.#publicKeyDer))) {
      const message = 'The join policy has changed: ask again.';
      return errorAnswer(503, 'NodeCannotHandleRequest', message);
    }
    return this.#write(tx, this.#joiningNode(codeDigest), certificatePem);
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
      return this.#leaderless(view, message);
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
    if (primary === undefined) return this.#leaderless(view, 'Primary unknown');
    return renderCcfError({
      status: 308,
      code: 'NodeCannotHandleRequest',
      message: 'Node is not primary; cannot handle write',
      headers: { location: `${primary}/node${PATH}` },
    });
  }

  /**
   * Nothing is decided here while there is no primary. But a node that is Trusted already is given
   * what it needs: its own voice may be what a primary lacks, as it always is where a second node
   * joins a service of one, whose primary gives way when it does not hear the other in time.
   */
  #leaderless(view: ReadView, message: string): AppResponse {
    const info = nodeInfo(view, this.#nodeId);
    if (info?.status === 'Trusted' && this.#hasKeyOf(info)) return this.#welcome(view);
    return errorAnswer(500, 'InternalError', message);
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
    if (other !== undefined) return addressTaken(node, other.nodeId);
    try {
      // Secrets will be encrypted to it for as long as the node lives: it must work.
      this.#desk.wrapTo(node.encryptionPublicKeyPem, NO_SECRET);
    } catch (thrown) {
      if (!isCoded(thrown)) throw thrown;
      const message = `At #/public_encryption_key: ${thrown.message}.`;
      return errorAnswer(400, 'InvalidInput', message);
    }
    return undefined;
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

/** What was found good, and by which policy. */
interface Admitted {
  readonly policy: EvidencePolicy;
  readonly codeDigest: string;
}

const NO_SECRET = new Uint8Array(LEDGER_SECRET_BYTES);

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

function invalidQuote({ message }: RefusedJoin): AppResponse {
  return errorAnswer(401, 'InvalidQuote', message);
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

// A node's desk at which others ask to join, over tables in memory.

import type { AppRequest, AppResponse, Caller, Step } from '../../src/apps/interface.ts';
import { utf8 } from '../../src/base/bytes.ts';
import { seqnoOf, viewOf } from '../../src/base/ids.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { endorseRequest } from '../../src/crypto/endorsement.ts';
import { sha256Text } from '../../src/crypto/hash.ts';
import { systemKeys } from '../../src/crypto/key-source.ts';
import { writeTrustedNode } from '../../src/governance/nodes-joining.ts';
import type { NodeFacts } from '../../src/http/backend.ts';
import type { JoinDesk } from '../../src/http/join-desk.ts';
import { type JoinBackend, joinEndpoint } from '../../src/http/join-endpoint.ts';
import type { JoinAnswerBody, JoinRequestBody } from '../../src/http/join-wire.ts';
import type { Transaction } from '../../src/kv/tables.ts';
import { nodeJudge } from '../../src/node/own-evidence.ts';
import { type Joiner, NOW_MS, newJoiner, SmallService } from '../governance/small-service.ts';

export const SECRETS = [
  { from: seqnoOf(1), view: viewOf(2), bytes: sha256Text('the first secret') },
  { from: seqnoOf(40), view: viewOf(5), bytes: sha256Text('the second secret') },
];

const judge = nodeJudge({ clock: { nowMs: () => NOW_MS } });

/** What a test may turn on the node that is asked. */
export interface Turns {
  state: NodeFacts['state'];
  isPrimary: boolean;
  primaryId: string | undefined;
  startupSeqno: number;
  /** Called while evidence is judged, before the transaction. */
  meanwhile: () => void;
}

export interface DeskRig {
  readonly service: SmallService;
  /** The node that is asked, and another that is trusted. */
  readonly own: Joiner;
  readonly other: Joiner;
  readonly turns: Turns;
  /** Posts a body in a session of this certificate. */
  post(body: unknown, certificatePem: string): Promise<AppResponse>;
}

export async function deskRig(status = 'Open'): Promise<DeskRig> {
  const service = await SmallService.create(status);
  const own = await newJoiner(8101);
  const other = await newJoiner(8102);
  for (const { node } of [own, other]) {
    service.run((tx) => writeTrustedNode(tx, node, 'its certificate'));
  }
  const turns: Turns = {
    state: 'PartOfNetwork',
    isPrimary: true,
    primaryId: own.node.nodeId,
    startupSeqno: 0,
    meanwhile: () => undefined,
  };
  const issuer = { key: service.serviceKey, certificatePem: service.certificatePem };
  const desk: JoinDesk = {
    get startupSeqno() {
      return seqnoOf(turns.startupSeqno);
    },
    secrets: () => SECRETS,
    serviceKey: () => service.serviceKey.pkcs8(),
    wrapTo: systemKeys.wrapTo,
    coseSignatures: { issuer: 'us', subject: 'ledger' },
    judge: async (evidence, policy) => {
      const verdict = await judge(evidence, policy);
      turns.meanwhile();
      return verdict;
    },
    endorse: (requestPem, validity) => endorseRequest(systemKeys, requestPem, validity, issuer),
  };
  const facts = (): NodeFacts => ({
    nodeId: own.node.nodeId,
    state: turns.state,
    view: viewOf(2),
    role: turns.isPrimary ? 'leader' : 'follower',
    primaryId: turns.primaryId,
    configurations: [],
    acks: new Map(),
    lastSignedSeqno: seqnoOf(0),
    startupSeqno: seqnoOf(0),
    stopNotice: false,
    selfSignedCertificatePem: '',
    version: '0',
    platform: 'virtual',
  });
  const backend: JoinBackend = { node: facts, isPrimary: () => turns.isPrimary };
  const endpoint = joinEndpoint(backend, desk);
  return {
    service,
    own,
    other,
    turns,
    post: async (body, certificatePem) => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      let step: Step = endpoint.handle(requestOf(text, certificatePem), service.store.current);
      for (;;) {
        if (step.kind === 'answer') return step.response;
        if (step.kind === 'ask') step = await step.ask();
        else if (step.kind === 'write') return written(service, step.apply);
        else throw new Error(`joining takes no step ${step.kind}`);
      }
    },
  };
}

/** As a node runs it: what was not answered with success leaves nothing behind. */
function written(service: SmallService, apply: (tx: Transaction) => AppResponse): AppResponse {
  let refused: AppResponse | undefined;
  try {
    return service.run((tx) => {
      const response = apply(tx);
      if (response.status < 300) return response;
      refused = response;
      throw new Error('discarded');
    });
  } catch (thrown) {
    if (refused !== undefined) return refused;
    throw thrown;
  }
}

function requestOf(body: string, certificatePem: string): AppRequest {
  const id = certificateIdOf(certificatePem);
  const caller: Caller = { policy: 'any_cert', id, certificatePem };
  return {
    verb: 'POST',
    path: '/join',
    params: {},
    query: '',
    header: () => undefined,
    body: utf8(body),
    caller,
  };
}

/** What a joiner sends. */
export function bodyOf({ node, requestPem }: Joiner): JoinRequestBody {
  return {
    node_info_network: node.network,
    quote_info: node.evidence,
    public_encryption_key: node.encryptionPublicKeyPem,
    startup_seqno: 0,
    certificate_signing_request: requestPem,
  };
}

export function jsonOf(response: AppResponse): JoinAnswerBody {
  return JSON.parse(String(response.body));
}

export function errorOf(response: AppResponse): { code: string; message: string } {
  return JSON.parse(String(response.body)).error;
}

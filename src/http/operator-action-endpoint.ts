/**
 * `POST /node/concordat/operator-actions`: a member's signed order, `transition_node_to_trusted` or
 * `remove_node` (`governance/operator-actions.ts`). The signature says who orders it, so it does
 * not matter by which node and which listener it comes in; the primary carries it out.
 */
import { answer, type Endpoint, type Step } from '../apps/interface.ts';
import { CodedError } from '../base/errors.ts';
import { OPERATOR_ACTION_BYTES_MAX } from '../base/limits.ts';
import type { Validity } from '../crypto/certificates.ts';
import { timeOfText } from '../crypto/endorsement.ts';
import type { Verifier } from '../crypto/verifier.ts';
import type { WantedEndorsement } from '../governance/nodes-actions.ts';
import {
  applyOperatorAction,
  endorsementForAction,
  verifyOperatorAction,
} from '../governance/operator-actions.ts';
import type { ReadView } from '../kv/tables.ts';
import { errorAnswer, jsonAnswer } from './answers.ts';

/** What an operator's action needs of the node behind it. */
export interface ActionDesk {
  readonly verifier: Verifier;
  /** Makes the certificate that a request (PKCS #10, PEM) asks for. */
  endorse(requestPem: string, validity: Validity): Promise<string>;
}

/** Where it is, below the root of the node's frontend. */
export const OPERATOR_ACTIONS_PATH = '/concordat/operator-actions';
const CONTENT_TYPE = 'application/cose';

export function operatorActionEndpoint(desk: ActionDesk): Endpoint {
  return {
    verb: 'POST',
    path: OPERATOR_ACTIONS_PATH,
    // The body is signed; a session of its sender would show nothing more.
    authentication: ['no_auth'],
    effect: 'write',
    reads: 'current',
    // A change of nodes may need the very node that it admits to be committed.
    answers: 'local',
    governs: true,
    hidden: true,
    bodyBytesMax: OPERATOR_ACTION_BYTES_MAX,
    summary: "Carries out an operator's action that a member has signed",
    handle: (request, view) => {
      const type = request.header('content-type');
      if (type !== undefined && type !== CONTENT_TYPE) {
        const message = `The body is a signed request of type ${CONTENT_TYPE}, not ${type}.`;
        return answer(errorAnswer(415, 'UnsupportedContentType', message));
      }
      return { kind: 'ask', ask: () => carryOut(desk, request.body, view) };
    },
  };
}

async function carryOut(desk: ActionDesk, body: Uint8Array, view: ReadView): Promise<Step> {
  const action = await verifyOperatorAction(body, view, desk.verifier);
  const wanted = endorsementForAction(view, action);
  const certificatePem = wanted === undefined ? undefined : await endorsed(desk, wanted);
  return {
    kind: 'write',
    apply: (tx) => {
      const { nodeId, nodeStatus } = applyOperatorAction(tx, action, certificatePem);
      return jsonAnswer({
        action: action.order.action,
        node_id: nodeId,
        node_status: nodeStatus,
      });
    },
  };
}

async function endorsed(desk: ActionDesk, wanted: WantedEndorsement): Promise<string> {
  const { requestPem, validFrom, days } = wanted;
  const fromMs = timeOfText(validFrom);
  if (fromMs === undefined) {
    const message =
      `args.valid_from is ${JSON.stringify(validFrom.slice(0, 40))}; it is a time such as ` +
      '261121120000Z or 2026-11-21T12:00:00Z';
    throw new CodedError('InvalidInput', message, { status: 400 });
  }
  return await desk.endorse(requestPem, { fromMs, days });
}

/**
 * `POST /gov/concordat/proposals:simulate`, ours: an active member asks what a proposal would do.
 * It is signed, because it costs the node a script's time; it writes nothing, on any node.
 */
import { answer, type Endpoint } from '../../apps/interface.ts';
import { textOf } from '../../base/bytes.ts';
import { simulateProposal } from '../../governance/simulation.ts';
import { type GovernanceDesk, signedMessage, sortedAnswer, versioned } from './gov-request.ts';

export function simulationEndpoint(desk: GovernanceDesk): Endpoint {
  return {
    verb: 'POST',
    path: '/concordat/proposals:simulate',
    authentication: ['no_auth'],
    effect: 'read',
    reads: 'current',
    answers: 'local',
    forwarding: 'never',
    summary: 'What a proposal would change',
    handle: versioned((request, view) => ({
      kind: 'ask',
      ask: async () => {
        const asked = { type: 'concordat_simulation', signers: 'active_member' } as const;
        const message = await signedMessage(desk, request, view, asked);
        if ('status' in message) return answer(message);
        const body = textOf(message.payload);
        return answer(sortedAnswer(await simulateProposal(view, body, message.memberId, desk)));
      },
    })),
  };
}

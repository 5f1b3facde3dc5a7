/**
 * The constitution that a service begins with (governance.md §6). A proposal is accepted when more
 * than half of the active members say yes; members may put another constitution in its place.
 */
import { GROUNDWORK } from './groundwork.ts';
import { MEMBER_ACTIONS } from './members.ts';
import { NODE_ACTIONS } from './nodes.ts';
import { ORGANISATION_ACTIONS } from './organisations.ts';
import { SERVICE_ACTIONS } from './service.ts';

const DECISIONS = `
const parseProposal = (input) => {
  const proposal = JSON.parse(input);
  object(proposal, 'the proposal');
  array(proposal.actions, 'actions');
  if (proposal.actions.length === 0) fail('actions must not be empty');
  return proposal;
};

export function validate(input) {
  let proposal;
  try {
    proposal = parseProposal(input);
  } catch (error) {
    return { valid: false, description: error.message };
  }
  const errors = [];
  proposal.actions.forEach((step, position) => {
    const name = typeof step?.name === 'string' ? step.name : show(step?.name);
    const known = actions.get(step?.name);
    if (known === undefined) {
      errors.push(name + ': no such action');
      return;
    }
    try {
      checkArguments(known.args, step.args);
      known.also?.(step.args);
    } catch (error) {
      errors.push(name + ' at position ' + position + ' failed validation: ' + error.message);
    }
  });
  return { valid: errors.length === 0, description: errors.join(', ') };
}

export function resolve(proposal, proposerId, votes, proposalId) {
  const yes = votes.filter(({ vote, member_id }) => vote && isActive(member_id)).length;
  return yes > Math.floor(activeMembers() / 2) ? 'Accepted' : 'Open';
}

export function apply(proposal, proposalId) {
  parseProposal(proposal).actions.forEach((step, position) => {
    const known = actions.get(step.name) ?? fail(step.name + ': no such action');
    try {
      checkArguments(known.args, step.args);
      known.apply(step.args, proposalId);
    } catch (error) {
      fail(step.name + ' at position ' + position + ' failed: ' + error.message);
    }
  });
}
`;

export const DEFAULT_CONSTITUTION: string = [
  GROUNDWORK,
  MEMBER_ACTIONS,
  SERVICE_ACTIONS,
  NODE_ACTIONS,
  ORGANISATION_ACTIONS,
  DECISIONS,
]
  .join('')
  .trimStart();

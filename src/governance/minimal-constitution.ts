/**
 * The constitution of a service without governance: it accepts no proposal. Members replace it once
 * they govern.
 */
export const MINIMAL_CONSTITUTION = `export function validate(input) {
  return { valid: false, description: "This service does not take proposals." };
}

export function resolve(proposal, proposerId, votes) {
  return "Rejected";
}

export function apply(proposal, proposalId) {
  throw new Error("This service does not take proposals.");
}
`;

/**
 * The policy of an attestation service (MAA) for a release: which guests are given a token at all,
 * in that service's language, version 1.0 (attestation-azure.md).
 */

/** Permits guests with this host data, in a utility VM that Microsoft endorses, and no others. */
export function attestationServicePolicy(hostData: string): string {
  const conditions = [
    '[type=="x-ms-attestation-type", value=="sevsnpvm"]',
    '[type=="x-ms-compliance-status", value=="azure-compliant-uvm"]',
    `[type=="x-ms-sevsnpvm-hostdata", value=="${hostData}"]`,
    '[type=="x-ms-sevsnpvm-is-debuggable", value==false]',
    '[type=="x-ms-sevsnpvm-migration-allowed", value==false]',
    '[type=="x-ms-sevsnpvm-vmpl", value==0]',
  ];
  return `version= 1.0;
authorizationrules
{
  ${conditions.join(' &&\n  ')}
  => permit();
};
issuancerules
{
};
`;
}

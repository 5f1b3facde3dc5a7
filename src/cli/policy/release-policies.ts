/**
 * All policies of a release, each made of the same input: what a container may be, who is given a
 * token, to whom keys are released, who may join, and what clients and auditors accept.
 */
import { maaPolicyHash } from '../../attestation/maa-policy.ts';
import type { PolicyFile } from '../../attestation/policy-file.ts';
import { releasePolicyFor } from '../../attestation/release-policy.ts';
import { toHex, toUtf8 } from '../../base/portable-bytes.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { attestationServicePolicy } from './attestation-service-policy.ts';
import { containerPolicy } from './container-policy.ts';
import { isDraft, type ReleaseInput } from './release-input.ts';

export interface ReleasePolicies {
  /** SHA-256 of the container policy: the host data of every report of this release. */
  readonly hostData: string;
  readonly draft: boolean;
  /** File name → content. */
  readonly files: Readonly<Record<string, string>>;
}

export async function releasePolicies(input: ReleaseInput): Promise<ReleasePolicies> {
  const rego = containerPolicy(input);
  const hostData = toHex(await nodeVerifier.hash('SHA-256', toUtf8(rego)));
  const maa = attestationServicePolicy(hostData);
  const maaHash = await maaPolicyHash(maa, nodeVerifier);
  const draft = isDraft(input);
  const { name, release } = input;
  const digests = { release: `${name} ${release}`, draft, hostData, maaPolicyHash: maaHash };
  return {
    hostData,
    draft,
    files: {
      'container-policy.rego': rego,
      'maa-policy.txt': maa,
      'key-release-policy.json': json(keyReleasePolicy(input, hostData)),
      'join-proposal.json': json(joinProposal(input, hostData, rego)),
      'client-policy.json': json(clientPolicy(input, hostData, maaHash)),
      'digests.json': json(digests),
    },
  };
}

function keyReleasePolicy({ attestationServices }: ReleaseInput, hostData: string): object {
  return releasePolicyFor({
    platform: 'snp',
    issuers: attestationServices,
    hostData: [hostData],
    claims: { 'x-ms-sevsnpvm-migration-allowed': false, 'x-ms-sevsnpvm-vmpl': 0 },
  });
}

/** What members vote on: the rows of the ledger by which nodes of this release may join. */
function joinProposal(
  { utilityVm, tcbMin }: ReleaseInput,
  hostData: string,
  rego: string,
): object {
  const { issuer, feed, svnMin } = utilityVm;
  return {
    actions: [
      { name: 'add_snp_host_data', args: { host_data: hostData, security_policy: rego } },
      { name: 'add_snp_uvm_endorsement', args: { did: issuer, feed, svn: String(svnMin) } },
      ...Object.entries(tcbMin).map(([cpuid, tcb]) => ({
        name: 'set_snp_minimum_tcb_version',
        args: {
          cpuid,
          tcb_version: {
            ...(tcb.fmc === undefined ? {} : { fmc: tcb.fmc }),
            boot_loader: tcb.bootLoader,
            tee: tcb.tee,
            snp: tcb.snp,
            microcode: tcb.microcode,
          },
        },
      })),
    ],
  };
}

function clientPolicy(input: ReleaseInput, hostData: string, maaHash: string): PolicyFile {
  const { name, release, utilityVm, tcbMin, attestationServices } = input;
  const { issuer, feed, svnMin } = utilityVm;
  return {
    version: 1,
    comment: `${name} ${release}`,
    platforms: {
      snp: {
        reportVersionMin: 3,
        hostData: [hostData],
        uvmEndorsements: { [issuer]: { [feed]: svnMin } },
        tcbMin,
        committedTcb: true,
      },
    },
    tokens: {
      issuers: attestationServices,
      complianceStatus: ['azure-compliant-uvm'],
      ...(input.ownAttestationPolicy ? { policyHashes: [maaHash] } : {}),
    },
  };
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

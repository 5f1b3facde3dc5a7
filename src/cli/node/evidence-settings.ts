/** What a node's configuration and environment say of its evidence, as its source is told. */
import { join } from 'node:path';
import { ORIGIN_NAMES, type SourceSettings } from '../../attestation/sources/open-source.ts';
import type { NodeConfig } from '../../config/node-config.ts';

/** Chains are kept in this folder of the node. */
const ENDORSEMENTS = 'endorsements';

export function evidenceSettingsOf(
  { attestation, folder }: NodeConfig,
  environment: Readonly<Record<string, string | undefined>>,
): SourceSettings {
  const { platform, endorsements, configfs, aci, azure_cvm } = attestation;
  const { privilege_level: privilegeLevel } = configfs;
  const { azure_cache_client: client, from } = endorsements;
  const securityContext = aci.security_context ?? environment.UVM_SECURITY_CONTEXT_DIR;
  return {
    platform,
    endorsements: {
      from: from.length === 0 ? ORIGIN_NAMES : from,
      thimUrl: endorsements.thim_url,
      azureCacheUrl: endorsements.azure_cache_url,
      ...(client === undefined ? {} : { azureCacheClient: client }),
      amdUrl: endorsements.amd_url,
      timeoutMs: endorsements.timeout,
      folder: join(folder, ENDORSEMENTS),
    },
    configfs: {
      folder: configfs.folder,
      ...(privilegeLevel === undefined ? {} : { privilegeLevel }),
    },
    aci: {
      ...(securityContext === undefined ? {} : { securityContext }),
      report: aci.report,
      sidecarUrl: aci.sidecar_url,
      program: aci.program,
    },
    azureCvm: { programs: azure_cvm.programs },
  };
}

/** The source of evidence that a configuration names, with everything that it needs. */
import { tmpdir } from 'node:os';
import type { Clock, Random, Timers } from '../../base/environment.ts';
import { aciSource, programReport, sidecarReport } from './aci.ts';
import { configfsTsmSource, kernelTsmFiles } from './configfs-tsm.ts';
import { endorsementFolder } from './endorsement-folder.ts';
import { amdOrigin, azureCacheOrigin, thimOrigin } from './endorsement-origins.ts';
import {
  type EndorsementFinder,
  type EndorsementOrigin,
  endorsementFinder,
} from './endorsements.ts';
import { httpAsker } from './http-asker.ts';
import { programRunner } from './programs.ts';
import { type EvidenceSource, type Pause, unavailable } from './source.ts';
import { virtualSource } from './virtual-source.ts';
import { vtpmSource } from './vtpm.ts';

export type SourceKind = 'virtual' | 'snp-configfs' | 'snp-aci' | 'azure-cvm';

export type OriginName = 'thim' | 'azure-cache' | 'amd';

/** All of them, the nearest first. */
export const ORIGIN_NAMES: readonly OriginName[] = ['thim', 'azure-cache', 'amd'];

export interface EndorsementSettings {
  /** In the order in which they are asked; what the host gave comes before them. */
  readonly from: readonly OriginName[];
  readonly thimUrl: string;
  readonly azureCacheUrl: string;
  readonly azureCacheClient?: string;
  readonly amdUrl: string;
  readonly timeoutMs?: number;
  /** Chains are kept here. */
  readonly folder: string;
}

export interface SourceSettings {
  readonly platform: SourceKind;
  readonly endorsements: EndorsementSettings;
  readonly configfs: { readonly folder: string; readonly privilegeLevel?: number };
  readonly aci: {
    /** Absent where the environment does not say, as outside of a confidential container. */
    readonly securityContext?: string;
    readonly report: 'sidecar' | 'program';
    readonly sidecarUrl: string;
    readonly program: string;
  };
  readonly azureCvm: { readonly programs: string };
}

export interface SourceDependencies {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: { warn(message: string): void };
}

export function openEvidenceSource(
  settings: SourceSettings,
  dependencies: SourceDependencies,
): EvidenceSource {
  const { timers, random } = dependencies;
  const pause: Pause = (ms) => new Promise((resolve) => timers.after(ms, resolve));
  const endorsements = (): EndorsementFinder =>
    openEndorsements(settings.endorsements, dependencies, pause);
  switch (settings.platform) {
    case 'virtual':
      return virtualSource();
    case 'snp-configfs': {
      const parts = { files: kernelTsmFiles, random, pause, endorsements: endorsements() };
      return configfsTsmSource(settings.configfs, parts);
    }
    case 'snp-aci':
      return openAci(settings, endorsements());
    case 'azure-cvm': {
      const { programs } = settings.azureCvm;
      const parts = { run: programRunner(), pause, endorsements: endorsements() };
      return vtpmSource({ programs, temporary: tmpdir() }, parts);
    }
  }
}

function openAci({ aci }: SourceSettings, endorsements: EndorsementFinder): EvidenceSource {
  if (aci.securityContext === undefined) {
    const message =
      'neither UVM_SECURITY_CONTEXT_DIR nor attestation.aci.security_context names the folder ' +
      'of the security context. Is this a confidential container?';
    throw unavailable('ACI', 'missing', message);
  }
  const report =
    aci.report === 'sidecar'
      ? sidecarReport(aci.sidecarUrl, httpAsker())
      : programReport(aci.program, programRunner());
  return aciSource(aci.securityContext, { report, endorsements });
}

function openEndorsements(
  settings: EndorsementSettings,
  { clock, log }: SourceDependencies,
  pause: Pause,
): EndorsementFinder {
  const { thimUrl, azureCacheUrl, azureCacheClient, amdUrl, timeoutMs, folder } = settings;
  const parts = { ask: httpAsker(timeoutMs), pause };
  const open: Readonly<Record<OriginName, () => EndorsementOrigin>> = {
    thim: () => thimOrigin(thimUrl, parts),
    'azure-cache': () => azureCacheOrigin(azureCacheUrl, azureCacheClient, parts),
    amd: () => amdOrigin(amdUrl, parts),
  };
  const origins = settings.from.map((name) => open[name]());
  return endorsementFinder(origins, { cache: endorsementFolder(folder), clock, log });
}

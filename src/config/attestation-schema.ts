/**
 * The settings that say how a node shows what it is: its hardware, and where the certificates that
 * endorse it are found (attestation-snp.md §3, §6).
 */
import { defaulted, KINDS, optional, required } from './kinds.ts';
import { listOfValues, section } from './setting.ts';

const { choice, count, duration, path, text, url } = KINDS;

const endorsements = section({
  from: listOfValues(
    required(
      choice(['thim', 'azure-cache', 'amd']),
      'where certificates are asked for, in this order, after what the host itself gave; all ' +
        "three when empty: the machine's metadata service, Azure's cache, AMD's own service",
    ),
  ),
  thim_url: defaulted(
    url,
    'http://169.254.169.254/metadata/THIM/amd/certification',
    'the metadata service; {chip} and {tcb} in it stand for those of the report',
  ),
  azure_cache_url: defaulted(url, 'https://global.acccache.azure.net', "Azure's cache"),
  azure_cache_client: optional(text, 'how this node names itself to that cache'),
  amd_url: defaulted(url, 'https://kdsintf.amd.com', "AMD's service, or a mirror of it"),
  timeout: defaulted(duration('10ms'), '10s', 'silence after which the next one is asked'),
});

const configfs = section({
  folder: defaulted(
    path,
    '/sys/kernel/config/tsm/report',
    "snp-configfs: the kernel's folder of reports",
  ),
  privilege_level: optional(
    count(0, 3),
    "snp-configfs: privilege level to ask for; the kernel's choice when absent",
  ),
});

const aci = section({
  security_context: optional(
    path,
    'snp-aci: folder of the security context; that of UVM_SECURITY_CONTEXT_DIR when absent',
  ),
  report: defaulted(
    choice(['sidecar', 'program']),
    'sidecar',
    "snp-aci: whether reports come through Microsoft's sidecar or a program",
  ),
  sidecar_url: defaulted(url, 'http://localhost:8080', 'snp-aci: the sidecar'),
  program: defaulted(path, '/bin/get-snp-report', 'snp-aci: the program'),
});

export const ATTESTATION = section({
  platform: defaulted(
    choice(['virtual', 'snp-configfs', 'snp-aci', 'azure-cvm']),
    'virtual',
    'what proves what this node runs: nothing (virtual, INSECURE, for development), an SEV-SNP ' +
      'guest through its kernel, a confidential container on Azure, a confidential VM on Azure',
  ),
  endorsements,
  revocation_lists: listOfValues(
    required(
      path,
      "files with AMD's revocation lists, DER, as https://kdsintf.amd.com/vcek/v1/PRODUCT/crl " +
        'gives them; they are read whenever evidence is judged, so keep them current: with one ' +
        'that has expired no node is let in',
    ),
  ),
  configfs,
  aci,
  azure_cvm: section({
    programs: defaulted(path, '/usr/bin', 'azure-cvm: the folder of tpm2_quote and its like'),
  }),
});

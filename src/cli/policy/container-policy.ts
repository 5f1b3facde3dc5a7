/**
 * The container policy (CCE policy) of a release, in the form that the cloud's own tool (confcom)
 * makes: Rego of api version 0.10.0. The utility VM enforces it, and its SHA-256 is the host data
 * of every report, so every byte of it counts.
 */
import type { ContainerInput, MountRule, ReleaseInput } from './release-input.ts';

/** Where the host keeps each kind of volume, as the utility VM sees it. */
const SOURCES: Readonly<Record<MountRule['volume'], string>> = {
  emptyDir: 'sandbox:///tmp/atlas/emptydir/.+',
  azureFile: 'sandbox:///tmp/atlas/azureFileVolume/.+',
  secret: 'sandbox:///tmp/atlas/secretsVolume/.+',
  resolvconf: 'sandbox:///tmp/atlas/resolvconf/.+',
};

/** What containers of Linux are given by default; the pause container takes them. */
const PAUSE_CAPABILITIES = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW'],
  ...['CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP', 'CAP_NET_BIND_SERVICE'],
  ...['CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE'],
];
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ANY_USER = {
  group_idnames: [{ pattern: '', strategy: 'any' }],
  umask: '0022',
  user_idname: { pattern: '', strategy: 'any' },
};

/** What the host may ask of the utility VM beside containers: nothing that shows their insides. */
const ALLOWED = {
  // Without it the cloud cannot say whether a group is healthy.
  allow_properties_access: true,
  allow_dump_stacks: false,
  allow_runtime_logging: false,
  // The cloud adds variables and capabilities that are not named here: they are taken away.
  allow_environment_variable_dropping: true,
  allow_unencrypted_scratch: false,
  allow_capability_dropping: true,
} as const;

/** Left to the framework that the utility VM brings, and is measured with. */
const ENFORCED = [
  ...['mount_device', 'unmount_device', 'mount_overlay', 'unmount_overlay', 'create_container'],
  ...['exec_in_container', 'exec_external', 'shutdown_container', 'signal_container_process'],
  ...['plan9_mount', 'plan9_unmount', 'get_properties', 'dump_stacks', 'runtime_logging'],
  ...['load_fragment', 'scratch_mount', 'scratch_unmount'],
];

/** The policy's text: the same for the same input. */
export function containerPolicy(input: ReleaseInput): string {
  const { infrastructure, name, release } = input;
  const fragments = [
    {
      feed: infrastructure.fragmentFeed,
      includes: ['containers', 'fragments'],
      issuer: infrastructure.fragmentIssuer,
      minimum_svn: String(infrastructure.fragmentSvnMin),
    },
  ];
  // A container without layers could not be told from another: it is left out, and cannot start.
  const containers = input.containers.filter(({ layers }) => layers.length > 0).map(container);
  const all = [...containers, pauseContainer(infrastructure.pauseLayer)];
  return `package policy

# ${name} ${release}. Generated: concordat policy generate. Every byte is measured; edit none.

import future.keywords.every
import future.keywords.in

api_version := "0.10.0"
framework_version := "0.2.3"

fragments := ${json(fragments)}

containers := ${json(all)}

${lines(Object.entries(ALLOWED).map(([rule, value]) => `${rule} := ${value}`))}

${lines(ENFORCED.map((rule) => `${rule} := data.framework.${rule}`))}

reason := {"errors": data.framework.errors}
`;
}

function container(input: ContainerInput): object {
  const { name, image, layers, command, capabilities, signals, output } = input;
  return {
    allow_elevated: false,
    allow_stdio_access: output,
    capabilities: capabilitySet(capabilities),
    command,
    env_rules: input.environment.map(({ pattern, required, strategy }) => ({
      pattern,
      required,
      strategy,
    })),
    // Nobody starts a second process in it, not even a shell.
    exec_processes: [],
    id: image,
    layers,
    mounts: input.mounts.map(mount),
    name,
    no_new_privileges: true,
    seccomp_profile_sha256: '',
    signals,
    user: ANY_USER,
    working_dir: input.workingDirectory,
  };
}

function pauseContainer(layer: string): object {
  return {
    allow_elevated: false,
    allow_stdio_access: true,
    capabilities: capabilitySet(PAUSE_CAPABILITIES),
    command: ['/pause'],
    env_rules: [
      { pattern: PATH, required: true, strategy: 'string' },
      { pattern: 'TERM=xterm', required: false, strategy: 'string' },
    ],
    exec_processes: [],
    layers: [layer],
    mounts: [],
    name: 'pause-container',
    no_new_privileges: false,
    seccomp_profile_sha256: '',
    signals: [],
    user: ANY_USER,
    working_dir: '/',
  };
}

function capabilitySet(capabilities: readonly string[]): object {
  return {
    ambient: [],
    bounding: capabilities,
    effective: capabilities,
    inheritable: [],
    permitted: capabilities,
  };
}

function mount({ destination, volume, readOnly }: MountRule): object {
  return {
    destination,
    options: ['rbind', 'rshared', readOnly ? 'ro' : 'rw'],
    source: SOURCES[volume],
    type: 'bind',
  };
}

/** JSON is Rego. */
function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}

function lines(texts: readonly string[]): string {
  return texts.join('\n');
}

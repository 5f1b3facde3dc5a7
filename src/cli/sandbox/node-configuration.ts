/**
 * What a sandbox tells each of its nodes: a configuration as `config/node-schema.ts` has it.
 */

import { type NodeSettings, withSettings } from './node-settings.ts';
import { LOOPBACK } from './ports.ts';
import type { ResidentsByOrganisation } from './residents.ts';
import { portNames, type SandboxFolder } from './sandbox-folder.ts';

export interface SandboxPlan {
  readonly folder: SandboxFolder;
  readonly durability: 'fsync' | 'os';
  readonly organisations: number;
  readonly members: number;
  readonly partyKeysFile?: string;
  readonly residents?: ResidentsByOrganisation;
  readonly federation?: SandboxFederation;
  /** Laid over what is said here. */
  readonly nodeSettings?: NodeSettings;
  readonly portOf: (name: string) => number;
}

/** How a sandbox speaks with Tessera nodes outside. */
export interface SandboxFederation {
  readonly send: 'strict' | 'queued';
  readonly peers: readonly string[];
}

/**
 * The configuration of a node by its number: the first starts the service, the others join it by
 * way of `target`.
 */
export function nodeConfiguration(plan: SandboxPlan, number: number, target: number): unknown {
  return withSettings(ownSettings(plan, number, target), plan.nodeSettings ?? {});
}

function ownSettings(plan: SandboxPlan, number: number, target: number): NodeSettings {
  const { folder, durability, federation, portOf } = plan;
  const names = portNames(number);
  const at = (name: string): { bind_address: string } => ({
    bind_address: `${LOOPBACK}:${portOf(name)}`,
  });
  return {
    folder: folder.node(number),
    durability,
    network: {
      node_to_node_interface: at(names.peer),
      rpc_interfaces: { primary_rpc_interface: at(names.rpc) },
      operator_interface: at(names.operator),
    },
    command: {
      service_certificate_file: folder.serviceCertificate,
      ...(number === 1
        ? { type: 'Start', start: startSettings(plan) }
        : {
            type: 'Join',
            join: {
              target_rpc_address: at(portNames(target).rpc).bind_address,
              retry_timeout: '100ms',
            },
          }),
    },
    ...(federation === undefined
      ? {}
      : { federation: { ...at(names.federation), ...federation } }),
    restart: { unproven: 'allow' },
    output_files: { pid_file: folder.pidFile(number) },
  };
}

function startSettings(plan: SandboxPlan): unknown {
  const { folder, partyKeysFile, residents } = plan;
  const numbers = (count: number): readonly number[] =>
    Array.from({ length: count }, (_, index) => index + 1);
  return {
    members: numbers(plan.members).map((number) => ({
      certificate_file: folder.member(number).certificate,
      encryption_public_key_file: folder.member(number).encryptionPublicKey,
    })),
    opens: {
      organisations: numbers(plan.organisations).map((number) => ({
        name: `Organisation ${number}`,
        certificate_file: folder.organisation(number).certificate,
        residents: residents?.get(number) ?? [],
      })),
      multiple_private_states: residents !== undefined,
      ...(partyKeysFile === undefined ? {} : { party_keys_file: partyKeysFile }),
    },
  };
}

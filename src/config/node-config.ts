/**
 * Reading a node's configuration: one file of JSON, judged as a whole, so that all its faults are
 * told at once and none of them while the node already runs.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CodedError, messageOf } from '../base/errors.ts';
import type { Address } from './kinds.ts';
import { NODE_SCHEMA } from './node-schema.ts';
import { recoveryReleaseFaults } from './recovery-schema.ts';
import { sealingFaults } from './sealing-schema.ts';
import { SettingFaults } from './setting.ts';

type NodeValues = ReturnType<typeof NODE_SCHEMA.read>;
type CommandValues = NodeValues['command'];
export type StartSettings = NonNullable<CommandValues['start']>;
export type JoinSettings = NonNullable<CommandValues['join']>;
export type RecoverSettings = NonNullable<CommandValues['recover']>;
export type OpeningSettings = NonNullable<StartSettings['opens']>;

export type RedirectionSettings = NonNullable<
  NodeValues['network']['rpc_interfaces']['primary_rpc_interface']['redirections']
>;

/** How a node begins in an empty folder. */
export type Beginning =
  | { readonly kind: 'start'; readonly start: StartSettings }
  | { readonly kind: 'join'; readonly join: JoinSettings }
  | { readonly kind: 'recover'; readonly recover: RecoverSettings };

export interface NodeConfig extends Omit<NodeValues, 'command'> {
  readonly command: Beginning & { readonly serviceCertificateFile: string };
}

/** Reads a configuration file; throws `BadConfiguration` with a line for each fault. */
export function readNodeConfig(file: string): NodeConfig {
  const path = resolve(file);
  let given: unknown;
  try {
    given = JSON.parse(readFileSync(path, 'utf8')) as unknown;
  } catch (cause) {
    throw bad(path, [messageOf(cause)]);
  }
  return nodeConfigOf(given, path);
}

/** The same of what a file holds; `path` is where relative paths start and what errors name. */
export function nodeConfigOf(given: unknown, path: string): NodeConfig {
  const values = parsed(given, path);
  const { type, start, join, recover, service_certificate_file } = values.command;
  const faults = [
    ...portFaults(values),
    ...timeoutFaults(values),
    ...redirectionFaults(values),
    ...sealingFaults(values.sealing, values.attestation.platform),
    ...federationFaults(values),
    ...recoveryReleaseFaults(recover?.key_release, values.attestation.platform),
  ];
  if (type === 'Join' && join === undefined) {
    faults.push('command.join is missing; command.type is "Join"');
  }
  if (type === 'Recover' && recover === undefined) {
    faults.push('command.recover is missing; command.type is "Recover"');
  }
  if (type === 'Start' && (start === undefined || start.members.length === 0)) {
    faults.push('command.start.members is empty; a new service needs a first member');
  }
  const threshold = start?.service_configuration.recovery_threshold ?? 0;
  if (start !== undefined && threshold > start.members.length && start.members.length > 0) {
    faults.push(
      `command.start.service_configuration.recovery_threshold is ${threshold}; there are ` +
        `${start.members.length} members to hold a share`,
    );
  }
  if (faults.length > 0) throw bad(path, faults);
  const serviceCertificateFile = service_certificate_file;
  if (type === 'Join' && join !== undefined) {
    return { ...values, command: { kind: 'join', join, serviceCertificateFile } };
  }
  if (type === 'Recover' && recover !== undefined) {
    return { ...values, command: { kind: 'recover', recover, serviceCertificateFile } };
  }
  if (start === undefined) throw bad(path, ['command.start is missing']);
  return { ...values, command: { kind: 'start', start, serviceCertificateFile } };
}

function parsed(given: unknown, path: string): NodeValues {
  try {
    return NODE_SCHEMA.read(given, { name: '', folder: dirname(path) });
  } catch (thrown) {
    if (!(thrown instanceof SettingFaults)) throw thrown;
    throw bad(path, thrown.faults);
  }
}

/** These addresses stand in the ledger, so they must be known before anything is written. */
function portFaults({ network }: NodeValues): string[] {
  const { node_to_node_interface: peers, rpc_interfaces: rpc } = network;
  const written: readonly (readonly [string, Address])[] = [
    ['network.node_to_node_interface', peers.bind_address],
    ['network.rpc_interfaces.primary_rpc_interface', rpc.primary_rpc_interface.bind_address],
  ];
  return written
    .filter(([, { port }]) => port === 0)
    .map(([name]) => `${name}.bind_address has port 0; the ledger names it, so choose one`);
}

function timeoutFaults({ consensus, network }: NodeValues): string[] {
  const faults: string[] = [];
  const { message_timeout, election_timeout } = consensus;
  if (election_timeout < 2 * message_timeout) {
    faults.push(
      `consensus.election_timeout is ${election_timeout}ms; it must be at least twice ` +
        `consensus.message_timeout, ${message_timeout}ms, or nodes stand against a live primary`,
    );
  }
  const { max_open_sessions_soft: soft, max_open_sessions_hard: hard } =
    network.rpc_interfaces.primary_rpc_interface;
  if (hard < soft) {
    faults.push(
      'network.rpc_interfaces.primary_rpc_interface.max_open_sessions_hard is ' +
        `${hard}; it must not be below max_open_sessions_soft, ${soft}`,
    );
  }
  return faults;
}

/** What peers push and ask for is the transaction manager's. */
function federationFaults({ applications, federation }: NodeValues): string[] {
  if (federation === undefined || applications?.includes('quorum') !== false) return [];
  return ['federation speaks for the application quorum, which applications does not name'];
}

/** A redirection by role needs a role, one to an address needs that. */
function redirectionFaults({ network }: NodeValues): string[] {
  const { redirections } = network.rpc_interfaces.primary_rpc_interface;
  const name = 'network.rpc_interfaces.primary_rpc_interface.redirections';
  return (['to_primary', 'to_backup'] as const).flatMap((direction) => {
    const redirection = redirections?.[direction];
    if (redirection === undefined) return [];
    const { kind, target } = redirection;
    const needed = kind === 'NodeByRole' ? 'role' : 'address';
    if (target[needed] !== undefined) return [];
    return [`${name}.${direction}.target.${needed} is missing; its kind is "${kind}"`];
  });
}

function bad(path: string, faults: readonly string[]): CodedError {
  const lines = faults.length === 1 ? ` ${faults[0]}` : faults.map((each) => `\n  ${each}`);
  const text = typeof lines === 'string' ? lines : lines.join('');
  return new CodedError('BadConfiguration', `${path}:${text}`, { path, faults });
}

// A front door with a service double behind it, on a free port, and the identities to knock with.

import type { Application } from '../../src/apps/interface.ts';
import { createLogApplication } from '../../src/apps/log/application.ts';
import type { Timers } from '../../src/base/environment.ts';
import type { NodeFiles } from '../../src/http/backend.ts';
import {
  createFrontDoor,
  type FrontDoor,
  type FrontDoorOptions,
} from '../../src/http/front-door.ts';
import type { GovernanceDesk } from '../../src/http/gov/gov-request.ts';
import type { RecoveryEndpointDependencies } from '../../src/http/gov/recovery-endpoints.ts';
import type { JoinDesk } from '../../src/http/join-desk.ts';
import type { ActionDesk } from '../../src/http/operator-action-endpoint.ts';
import type { Refusal } from '../../src/http/refusal-note.ts';
import { type TestIdentity, testIdentity } from './certificates.ts';
import { type DoubleOptions, ServiceDouble } from './service-double.ts';

export interface House {
  readonly door: FrontDoor;
  readonly service: ServiceDouble;
  readonly host: string;
  readonly port: number;
  readonly server: TestIdentity;
  readonly user: TestIdentity;
  readonly member: TestIdentity;
  readonly stranger: TestIdentity;
  /** What `onFault` was told. */
  readonly faults: unknown[];
  /** What `onRefused` was told. */
  readonly refusals: Refusal[];
  close(): Promise<void>;
}

export const realTimers: Timers = {
  elapsedMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return () => clearTimeout(timer);
  },
  soon: (action) => void setImmediate(action),
};

export interface HouseOptions extends FrontDoorOptions {
  readonly service?: Partial<DoubleOptions>;
  /** Beside the log. */
  readonly applications?: readonly Application[];
  readonly nowMs?: () => number;
  readonly join?: JoinDesk;
  readonly actions?: ActionDesk;
  readonly governance?: GovernanceDesk;
  readonly recovery?: RecoveryEndpointDependencies;
}

type Identities = Pick<House, 'server' | 'user' | 'member' | 'stranger'>;

async function makeIdentities(): Promise<Identities> {
  const [server, user, member, stranger] = await Promise.all([
    testIdentity('node'),
    testIdentity('user'),
    testIdentity('member'),
    testIdentity('stranger'),
  ]);
  return { server, user, member, stranger };
}

export async function openHouse(
  options: HouseOptions = {},
  behind: { readonly files?: NodeFiles } = {},
): Promise<House> {
  return build(options, await makeIdentities(), behind.files);
}

async function build(
  options: HouseOptions,
  identities: Identities,
  files?: NodeFiles,
): Promise<House> {
  const { server, user, member } = identities;
  const service = new ServiceDouble({
    nodeCertificate: server.cert,
    serviceCertificate: server.cert,
    userCertificates: [user.cert],
    memberCertificates: [member.cert],
    ...options.service,
  });
  if (files !== undefined) service.files = files;
  const faults: unknown[] = [];
  const refusals: Refusal[] = [];
  const door = createFrontDoor(options, {
    backend: service,
    applications: [createLogApplication(), ...(options.applications ?? [])],
    clock: { nowMs: options.nowMs ?? Date.now },
    timers: realTimers,
    tls: server,
    onFault: (fault) => faults.push(fault),
    onRefused: (refusal) => refusals.push(refusal),
    ...(options.join === undefined ? {} : { join: options.join }),
    ...(options.actions === undefined ? {} : { actions: options.actions }),
    ...(options.governance === undefined ? {} : { governance: options.governance }),
    ...(options.recovery === undefined ? {} : { recovery: options.recovery }),
  });
  const { host, port } = await door.listen('127.0.0.1', 0);
  const close = (): Promise<void> => door.close();
  return { door, service, host, port, ...identities, faults, refusals, close };
}

/** Two nodes of one service: what the backup forwards, the primary's front door executes. */
export interface Pair {
  readonly primary: House;
  readonly backup: House;
  close(): Promise<void>;
}

export async function openPair(
  options: { readonly primary?: HouseOptions; readonly backup?: HouseOptions } = {},
): Promise<Pair> {
  const identities = await makeIdentities();
  const second = await testIdentity('second node');
  const nodes = [
    { certificate: identities.server.cert, port: 8000 },
    { certificate: second.cert, port: 8001 },
  ];
  const shared = { nodes, serviceCertificate: identities.server.cert };
  const primary = await build(
    { ...options.primary, service: { ...shared, ...options.primary?.service } },
    identities,
  );
  const backup = await build(
    { ...options.backup, service: { ...shared, ...options.backup?.service } },
    { ...identities, server: second },
  );
  backup.service.role = 'backup';
  backup.service.leader = primary.service;
  backup.service.primaryId = primary.service.nodeId;
  backup.service.forwardTo = (request) => primary.door.executeForwarded(request);
  const close = async (): Promise<void> => {
    await Promise.all([primary.close(), backup.close()]);
  };
  return { primary, backup, close };
}

/**
 * What is served under each of the three roots: the applications under `/app`, the built-in
 * endpoints under `/node`, and under all of them the common ones.
 */
import type { Application, Endpoint } from '../apps/interface.ts';
import type { Clock } from '../base/environment.ts';
import type { Backend } from './backend.ts';
import { commonEndpoints } from './common-endpoints.ts';
import { fileEndpoints, type OperatorFeature } from './file-endpoints.ts';
import type { GovernanceDesk } from './gov/gov-request.ts';
import { NODE_READINGS } from './gov/node-readings.ts';
import { ORGANISATION_READINGS } from './gov/organisation-readings.ts';
import { memberEndpoints, PROPOSAL_READINGS } from './gov/proposal-endpoints.ts';
import {
  type RecoveryEndpointDependencies,
  recoveryEndpoints,
} from './gov/recovery-endpoints.ts';
import { serviceEndpoints } from './gov/service-endpoints.ts';
import { simulationEndpoint } from './gov/simulation-endpoint.ts';
import type { JoinDesk } from './join-desk.ts';
import { joinEndpoint } from './join-endpoint.ts';
import { nodeEndpoints } from './node-endpoints.ts';
import { type DocumentInfo, openApiDocument } from './open-api.ts';
import { type ActionDesk, operatorActionEndpoint } from './operator-action-endpoint.ts';
import type { FrontendName, Route } from './router.ts';
import type { FrontDoorStats } from './stats.ts';

export interface FrontendDependencies {
  readonly backend: Backend;
  readonly applications: readonly Application[];
  readonly clock: Clock;
  readonly stats: () => FrontDoorStats;
  readonly features: readonly OperatorFeature[];
  /** Without it no node can join by way of this one. */
  readonly join: JoinDesk | undefined;
  /** Without it members' signed orders are not taken. */
  readonly actions: ActionDesk | undefined;
  /** Without it there are no recovery shares to be had or handed in. */
  readonly recovery: RecoveryEndpointDependencies | undefined;
  /** Without it members can read, and decide nothing. */
  readonly governance: GovernanceDesk | undefined;
  /** All routes of a frontend, once they are installed. */
  readonly routes: (frontend: FrontendName) => readonly Route[];
}

/** Everything the router is to know, as applications of a frontend. */
export function frontendApplications({
  backend,
  applications,
  clock,
  stats,
  features,
  join,
  actions,
  recovery,
  governance,
  routes,
}: FrontendDependencies): readonly { frontend: FrontendName; application: Application }[] {
  const { version } = backend.node();
  const common = (frontend: FrontendName): readonly Endpoint[] =>
    commonEndpoints(backend, () =>
      openApiDocument(frontend, { ...INFO[frontend], version }, routes(frontend)),
    );
  return [
    ...applications.map((application) => ({ frontend: 'app' as const, application })),
    builtIn('app', common('app')),
    builtIn('node', [
      ...common('node'),
      ...nodeEndpoints(backend, stats, clock),
      ...fileEndpoints(backend, features),
      ...(join === undefined ? [] : [joinEndpoint(backend, join)]),
      ...(actions === undefined ? [] : [operatorActionEndpoint(actions)]),
    ]),
    builtIn('gov', [
      ...common('gov'),
      ...PROPOSAL_READINGS,
      ...NODE_READINGS,
      ...ORGANISATION_READINGS,
      ...serviceEndpoints(backend),
      ...(governance === undefined
        ? []
        : [...memberEndpoints(governance), simulationEndpoint(governance)]),
      ...(recovery === undefined ? [] : recoveryEndpoints(recovery)),
    ]),
  ];
}

function builtIn(
  frontend: FrontendName,
  endpoints: readonly Endpoint[],
): { frontend: FrontendName; application: Application } {
  return { frontend, application: { name: frontend, endpoints, archivedTables: [] } };
}

const INFO: Readonly<Record<FrontendName, Omit<DocumentInfo, 'version'>>> = {
  app: {
    title: 'Concordat applications',
    description: 'The applications of this service, each for its own users.',
  },
  node: {
    title: 'Concordat node',
    description: 'Public, uncredentialed access to service and node state.',
  },
  gov: {
    title: 'Concordat governance',
    description: 'What members decide, and what they decided.',
  },
};

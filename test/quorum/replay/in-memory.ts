/**
 * The recorded exchanges put to the application alone: the real store in memory, the connector's
 * addressing, no network.
 */
import type { AppResponse } from '../../../src/apps/interface.ts';
import { absoluteLocation, serviceTarget } from '../../../src/connector/addresses.ts';
import type { MemoryRuntime, PlainRequest } from '../../support/memory-runtime.ts';
import { callerOfOrganisation, quorumInMemory } from '../../support/quorum-network.ts';
import type { Answer } from './compare.ts';
import { headerOf, type Recorded } from './recordings.ts';
import type { Exchange } from './replay.ts';
import { recordedKeys, residentsOfScenario19 } from './setting.ts';

/** What only the connector or Node's own parser answers. */
function needsNetwork({ request }: Recorded): boolean {
  const has = (name: string): boolean => headerOf(request.headers, name) !== undefined;
  return (
    request.path === '/metrics' ||
    request.method === 'OPTIONS' ||
    has('origin') ||
    (has('transfer-encoding') && has('content-length'))
  );
}

/** Puts a request to the application. */
export type Ask = (runtime: MemoryRuntime, request: PlainRequest) => AppResponse;

/** Plays exchanges against an application of its own. */
export function exchangeInMemory(
  withResidents: boolean,
  ask: Ask = (runtime, request) => runtime.request(request),
): Exchange {
  const residents = withResidents ? residentsOfScenario19 : undefined;
  const runtime = quorumInMemory(recordedKeys(withResidents), 3, residents);
  return async (recorded, request): Promise<Answer | undefined> => {
    if (needsNetwork(recorded)) return undefined;
    const target = serviceTarget(recorded.surface, request.path);
    if (target === undefined) {
      return { status: 400, headers: [['content-type', 'text/plain']], body: Buffer.from('-') };
    }
    const response = ask(runtime, {
      verb: request.method,
      target,
      headers: request.headers,
      body: request.body,
      caller: callerOfOrganisation(recorded.organisation),
    });
    const host = headerOf(request.headers, 'host');
    const headers = Object.entries(response.headers ?? {}).map(([name, value]) => [
      name,
      name === 'location' ? absoluteLocation(host, value) : value,
    ]) as [string, string][];
    const body = request.method === 'HEAD' ? '' : (response.body ?? '');
    return { status: response.status, headers, body: Buffer.from(body) };
  };
}

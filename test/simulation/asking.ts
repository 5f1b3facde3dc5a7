// A client's way to a node: a request on its way, run by the node as its front door would run it,
// and the answer on its way back, or silence.

import type { Application, AppRequest, AppResponse, Caller } from '../../src/apps/interface.ts';
import { NO_BYTES, utf8 } from '../../src/base/bytes.ts';
import { type CodedError, isCoded } from '../../src/base/errors.ts';
import type { TxId } from '../../src/base/ids.ts';
import type { RunOptions } from '../../src/http/backend.ts';
import { Router } from '../../src/http/router.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

export interface Asked {
  readonly verb: 'GET' | 'POST' | 'DELETE';
  /** Path and query, below `/app`. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly caller: Caller;
  readonly options?: Partial<RunOptions>;
}

export type Outcome =
  | { readonly kind: 'answer'; readonly response: AppResponse; readonly txId?: TxId }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string }
  /** Nobody was there, or nothing came back: the request may have had its effect. */
  | { readonly kind: 'silence' };

const SILENCE: Outcome = { kind: 'silence' };
/** A client gives up after so long; the service itself answers after 4 s at the latest. */
const PATIENCE_MS = 6_000;

const routers = new WeakMap<readonly Application[], Router>();

function routerOf(applications: readonly Application[]): Router {
  let router = routers.get(applications);
  if (router === undefined) {
    router = new Router();
    for (const application of applications) router.add('app', application);
    routers.set(applications, router);
  }
  return router;
}

export async function ask(world: World, machine: Machine, asked: Asked): Promise<Outcome> {
  const { process, node } = machine;
  if (process === undefined || node === undefined || !node.applicationOpen()) return SILENCE;
  const [path = '', query = ''] = `/app${asked.target}`.split('?');
  const match = routerOf(machine.applications).match(asked.verb, path);
  if (match.kind !== 'found') throw new Error(`there is no ${asked.verb} ${asked.target}`);
  const { headers = {}, body, caller } = asked;
  const request: AppRequest = {
    verb: asked.verb,
    path: match.path,
    params: match.params,
    query,
    header: (name) => headers[name],
    body: body === undefined ? NO_BYTES : utf8(body),
    caller,
  };
  const options = { waitForCommit: false, linearizable: false, ...asked.options };
  const lineMs = (): number => 0.2 + world.chance.next() * 2;
  return await new Promise<Outcome>((resolve) => {
    const answer = (outcome: Outcome): void => {
      // Whoever is dead when it would answer, never answered.
      if (!process.isDead) world.timeline.after(lineMs(), () => resolve(outcome));
    };
    world.timeline.after(PATIENCE_MS, () => resolve(SILENCE));
    world.timeline.after(lineMs(), () =>
      process.deliver(() => {
        node.run(match.route.endpoint, request, options).then(
          ({ response, txId }) =>
            answer({ kind: 'answer', response, ...(txId === undefined ? {} : { txId }) }),
          (error: unknown) => {
            if (isCoded(error)) answer(refusalOf(error));
            else if (!process.isDead) world.fail(error);
          },
        );
      }),
    );
  });
}

function refusalOf({ code, fields }: CodedError): Outcome {
  const { status } = fields;
  return { kind: 'refused', status: typeof status === 'number' ? status : 500, code };
}

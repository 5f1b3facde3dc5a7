/**
 * How the endpoints of one surface (`/quorum/q2t`, `/quorum/3p`) are made from handlers: the prefix
 * before each path, HEAD beside each GET, refusals turned into answers at every step, writes done
 * once under a request id, and what all of them share: who may call, which state they see, when
 * their answers leave.
 */
import { PAYLOAD_BODY_BYTES_MAX } from '../../base/limits.ts';
import type { ReadView } from '../../kv/tables.ts';
import {
  type AppRequest,
  type AppResponse,
  answer,
  type Endpoint,
  type Step,
  type Verb,
} from '../interface.ts';
import { onceUnderId, REQUEST_ID_PARAMETER } from './request-ids.ts';
import { Refusal } from './wire/answers.ts';

export interface Route {
  readonly verb: Verb;
  /** Template below the surface's prefix. */
  readonly path: string;
  readonly effect: Endpoint['effect'];
  readonly summary: string;
  handle(request: AppRequest, view: ReadView): Step;
}

/** The endpoints of one surface; `requestIdsKept` of each organisation's are known. */
export function mount(
  prefix: string,
  routes: readonly Route[],
  requestIdsKept: number,
): readonly Endpoint[] {
  return routes.flatMap((route) => {
    const endpoint = endpointOf(prefix, route, requestIdsKept);
    return route.verb === 'GET'
      ? [endpoint, { ...endpoint, verb: 'HEAD' as const }]
      : [endpoint];
  });
}

function endpointOf(prefix: string, route: Route, requestIdsKept: number): Endpoint {
  const handle: Endpoint['handle'] = (request, view) =>
    guarded(() => route.handle(request, view));
  return {
    verb: route.verb,
    path: prefix + route.path,
    authentication: route.effect === 'none' ? ['no_auth'] : ['user_cert'],
    effect: route.effect,
    reads: 'committed',
    answers: 'committed',
    bodyBytesMax: PAYLOAD_BODY_BYTES_MAX,
    summary: route.summary,
    ...(route.effect === 'write' ? underIds(handle, requestIdsKept) : { handle }),
  };
}

/** A writing endpoint's handler, done once under a request id, and that it takes one. */
function underIds(
  handle: Endpoint['handle'],
  kept: number,
): Pick<Endpoint, 'handle' | 'openApi'> {
  return {
    openApi: { parameters: [REQUEST_ID_PARAMETER] },
    handle: (request, view) =>
      guarded(() => onceUnderId(request, view, kept, () => handle(request, view))),
  };
}

/** An answer that needs no state at all. */
export function fixed(
  path: string,
  summary: string,
  handle: (request: AppRequest) => AppResponse,
): Route {
  return {
    verb: 'GET',
    path,
    effect: 'none',
    summary,
    handle: (asked) => answer(handle(asked)),
  };
}

/** Runs steps so that what they refuse becomes an answer. */
export function guarded(run: () => Step): Step {
  try {
    return guard(run());
  } catch (thrown) {
    return answer(responseOf(thrown));
  }
}

async function guardedLater(ask: () => Promise<Step>): Promise<Step> {
  try {
    return guard(await ask());
  } catch (thrown) {
    return answer(responseOf(thrown));
  }
}

function guard(step: Step): Step {
  switch (step.kind) {
    case 'answer':
    case 'file':
      return step;
    case 'ask':
      return { kind: 'ask', ask: async () => await guardedLater(step.ask) };
    case 'fetch':
      return {
        kind: 'fetch',
        rows: step.rows,
        next: (values) => guarded(() => step.next(values)),
      };
    case 'receipt':
      return {
        kind: 'receipt',
        seqno: step.seqno,
        form: step.form,
        next: (receipt) => guarded(() => step.next(receipt)),
      };
    case 'write':
      return {
        kind: 'write',
        apply: (tx) => {
          try {
            return step.apply(tx);
          } catch (thrown) {
            return responseOf(thrown);
          }
        },
      };
  }
}

function responseOf(thrown: unknown): AppResponse {
  if (thrown instanceof Refusal) return thrown.response;
  throw thrown;
}

/**
 * Asking to join until one is let in (node-lifecycle.md §4.5): polling while the node is Pending,
 * following the service to its primary, and trying again what may be different in a moment.
 */
import type { Timers } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { JOIN_REDIRECTS_MAX } from '../../base/limits.ts';
import type { NodeLog } from '../node-options.ts';
import type { JoinReply, JoinSources } from './join-source.ts';
import { type Admission, type AdmissionTrust, readAdmission } from './network-info.ts';
import { mustGoOn, pause } from './pause.ts';

export interface AskOptions {
  /** Nodes that are asked in turn, `host:port` each; at least one. They may become more. */
  readonly targets: () => readonly string[];
  readonly retryMs: number;
  readonly trust: AdmissionTrust;
  /** What is sent; asked for before each try. */
  readonly body: () => Uint8Array;
}

export interface AskDependencies {
  readonly sources: JoinSources;
  readonly timers: Timers;
  readonly log: NodeLog;
  readonly signal?: AbortSignal;
  /** Called each time that the node is told to wait; the next try comes after it. */
  readonly whilePending: () => Promise<void>;
  /** Called each time that a node cannot let it in: it may have been asked for another. */
  readonly whileRefused: () => Promise<void>;
}

/**
 * Resolves when the node is let in. Rejects with `JoinRefused` when the service says no for good,
 * and with `JoinStopped` when it was told to stop.
 */
export async function askToJoin(
  { targets, retryMs, trust, body }: AskOptions,
  { sources, timers, log, signal, whilePending, whileRefused }: AskDependencies,
): Promise<Admission> {
  let turn = 0;
  const nextTarget = async (): Promise<string> => {
    await whileRefused();
    turn += 1;
    const all = targets();
    return all[turn % all.length] ?? '';
  };
  let address = targets()[0] ?? '';
  let redirects = 0;
  for (let tries = 1; ; tries += 1) {
    mustGoOn(signal);
    const reply = await oneReply(sources, address, body());
    switch (reply.kind) {
      case 'answer': {
        const admission = await readAdmission(reply.body, trust);
        if (admission !== undefined) return admission;
        log.progress(
          `waiting to be trusted as node ${trust.nodeId}`,
          tries,
          undefined,
          ' tries',
        );
        await whilePending();
        redirects = 0;
        break;
      }
      case 'elsewhere':
        redirects += 1;
        if (redirects <= JOIN_REDIRECTS_MAX) {
          ({ address } = reply);
          continue;
        }
        log.progress(
          `${address} and others send it on in a circle`,
          tries,
          undefined,
          ' tries',
        );
        address = await nextTarget();
        redirects = 0;
        break;
      case 'refused':
        if (reply.status < 500) throw refused(address, reply);
        log.progress(
          `${address} cannot let it in yet: ${said(reply)}`,
          tries,
          undefined,
          ' tries',
        );
        address = await nextTarget();
        break;
      case 'silence':
        log.progress(`asking to join: ${reply.why}`, tries, undefined, ' tries');
        address = await nextTarget();
        redirects = 0;
        break;
    }
    await pause(timers, retryMs, signal);
  }
}

type Reply = JoinReply | { readonly kind: 'silence'; readonly why: string };

async function oneReply(
  sources: JoinSources,
  address: string,
  body: Uint8Array,
): Promise<Reply> {
  try {
    return await sources.at(address).join(body);
  } catch (thrown) {
    if (!isCoded(thrown, 'SourceUnreachable')) throw thrown;
    return { kind: 'silence', why: messageOf(thrown) };
  }
}

type Refusal = Extract<JoinReply, { kind: 'refused' }>;

function said({ status, code, message }: Refusal): string {
  return `${status} ${code}: ${message}`;
}

function refused(address: string, refusal: Refusal): CodedError {
  const { status, code } = refusal;
  return new CodedError(
    'JoinRefused',
    `the service refused this node (${address}: ${said(refusal)})`,
    { address, status, serviceCode: code },
  );
}

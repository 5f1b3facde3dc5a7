/**
 * What the log is told of a client that was refused: who it is by its connection, what it asked for
 * without its query, and why not in the words it was given. A 401 and a 403 speak of who asks and
 * for whom, never of what was sent.
 */
import type { AppResponse } from '../apps/interface.ts';
import type { Timers } from '../base/environment.ts';
import { ERROR_CODE_HEADER } from '../base/own-headers.ts';
import { askedFor, RefusalLog } from '../base/refusal-log.ts';
import type { Exchange } from './exchange.ts';

export interface Refusal {
  readonly who: string;
  readonly what: string;
  readonly why: string;
}

const SENTENCE_CHARS_MAX = 1024;

/** Writes refusals down, each kind once a minute. */
export function refusalNotes({
  log,
  timers,
}: {
  readonly log: { warn(line: string): void };
  readonly timers: Timers;
}): (refusal: Refusal) => void {
  const lines = new RefusalLog((line) => log.warn(line), timers);
  return ({ who, what, why }) => lines.note(who, what, why);
}

export function refusalOf(
  { method, target, session }: Exchange,
  { status, headers, body = '' }: AppResponse,
): Refusal {
  const { certificate, socket } = session;
  const shown =
    certificate === undefined
      ? 'no certificate'
      : `certificate ${certificate.id.slice(0, 16)}…`;
  const said = typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
  const code = headers?.[ERROR_CODE_HEADER];
  return {
    who: `${socket.remoteAddress ?? 'somebody'} (${shown})`,
    what: askedFor(method, target),
    why: `${status} ${code === undefined ? '' : `${code} `}${sentenceIn(said)}`.trim(),
  };
}

/** The message of an error in CCF's form, or the text as it is. */
function sentenceIn(said: string): string {
  const text = said.slice(0, SENTENCE_CHARS_MAX);
  if (!text.startsWith('{')) return text;
  try {
    const { error } = JSON.parse(said) as { readonly error?: Partial<Record<string, unknown>> };
    return `${String(error?.code ?? '')} ${String(error?.message ?? text)}`.trim();
  } catch {
    return text;
  }
}

/**
 * What an operator asks of a node: over the operator's listener, plain HTTP on loopback.
 */
import { request } from 'node:http';
import { CodedError } from '../base/errors.ts';

const ANSWER_BYTES_MAX = 4_000_000;
const ANSWER_MS_MAX = 5_000;

/** The address of a listener as an option names it. Throws `Usage` for what is none. */
export function operatorOrigin(option: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'http:' && url.pathname === '/') return url.origin;
  const said = `${option} is ${JSON.stringify(text)}`;
  throw new CodedError(
    'Usage',
    `${said}; it is the operator's listener of a node, http://HOST:PORT`,
  );
}

export interface OperatorAnswer {
  readonly status: number;
  readonly text: string;
}

/** Gets what is at a URL, or posts JSON there. Rejects, saying why, if no answer comes in time. */
export function askOperatorListener(
  url: string,
  {
    json,
    answerMsMax = ANSWER_MS_MAX,
  }: { readonly json?: string; readonly answerMsMax?: number } = {},
): Promise<OperatorAnswer> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(answerMsMax);
    const method = json === undefined ? 'GET' : 'POST';
    const headers = json === undefined ? {} : { 'content-type': 'application/json' };
    const asking = request(url, { method, headers, signal }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > ANSWER_BYTES_MAX) asking.destroy(new Error('it answers too much'));
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asking.on('error', (error) => {
      const isLate = signal.aborted;
      reject(
        isLate ? new Error(`no answer within ${answerMsMax} ms`, { cause: error }) : error,
      );
    });
    asking.end(json);
  });
}

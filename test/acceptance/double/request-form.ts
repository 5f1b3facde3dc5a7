/**
 * The form of a request: all of it but what differs from one time to the next, so that requests can
 * be held against recorded ones.
 */
import type { MadeRequest } from './requests.ts';

/** Lists whose being empty or not changes nothing of the form. */
const LISTS: ReadonlySet<string> = new Set(['to', 'affectedContractTransactions']);
/** What is sealed comes from the manager and goes back to it as it is. */
const SEALED = 'cipherText';

/** GoQuorum names its own key where it has several; then it says so behind the first field. */
const OWN_KEY_PLACE = 1;

export function formOf({ request, isOverSocket }: MadeRequest): string {
  const { method, path, headers, body } = request;
  // Over a port GoQuorum offers gzip, over a socket it does not; both count as the same.
  const offersGzip = headers.some(([name]) => name === 'Accept-Encoding');
  const link = offersGzip === isOverSocket ? 'gzip is offered over the wrong link' : '';
  const names = headers
    .filter(([name]) => name !== 'Accept-Encoding')
    .map(([name, value]) =>
      name === 'Host' || name === 'Content-Length' ? name : `${name}: ${value}`,
    );
  return [`${method} ${pathForm(path)}`, ...names, bodyForm(body.toString()), link].join(' | ');
}

function pathForm(path: string): string {
  return path.replace(/^\/transaction\/[^/?]+/, '/transaction/HASH');
}

function bodyForm(body: string): string {
  if (body === '') return '';
  // Direct clients sent other bodies too.
  if (!body.startsWith('{') || !body.trimEnd().endsWith('}')) return 'no JSON object';
  const fields = JSON.parse(body) as object;
  const end = body.endsWith('\n') ? 'newline' : 'no newline';
  if (SEALED in fields) return `sealed, ${end}`;
  const entries = Object.entries(fields);
  const forms = entries.flatMap(([name, value], place) => {
    if (name === 'from' && place === OWN_KEY_PLACE) return [];
    if (LISTS.has(name)) return `${name}: ${Array.isArray(value) ? 'list' : typeof value}`;
    if (name === 'privacyFlag') return `${name}: ${value}`;
    return `${name}: ${value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value}`;
  });
  return `${forms.join(', ')}, ${end}`;
}

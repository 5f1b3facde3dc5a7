/**
 * Media types: which of an endpoint's forms a request means, by its Content-Type and its Accept, as
 * JAX-RS chooses among Tessera's resource methods (transaction-manager.md §B).
 */
import type { AppRequest } from '../../interface.ts';
import { refuseWith } from './answers.ts';

export const TEXT = 'text/plain';
export const JSON_TYPE = 'application/json';
export const OCTETS = 'application/octet-stream';
export const COSE = 'application/cose';
export const TESSERA_2_1 = 'application/vnd.tessera-2.1+json';
export const TESSERA_3_0 = 'application/vnd.tessera-3.0+json';
export const TESSERA_4_0 = 'application/vnd.tessera-4.0+json';
/** Besu's own type for `/receive`. */
export const ORION = 'application/vnd.orion.v1+json';

/** One form of an endpoint. `consumes` is absent for forms that take no body. */
export interface Form {
  readonly consumes?: readonly string[];
  readonly produces: readonly string[];
}

export interface Chosen<Of extends Form> {
  readonly form: Of;
  /** The media type of the answer. */
  readonly type: string;
}

/** The form that fits; refuses with 415 when none takes the body, 406 when none gives the type. */
export function chooseForm<Of extends Form>(
  request: AppRequest,
  forms: readonly Of[],
): Chosen<Of> {
  const sent = mediaTypeOf(request.header('content-type'));
  const taking = forms.filter((form) => takes(form, sent, request));
  if (taking.length === 0) throw refuseWith(415, 'HTTP 415 Unsupported Media Type');
  const chosen = preferred(request.header('accept'), taking);
  if (chosen === undefined) throw refuseWith(406, 'HTTP 406 Not Acceptable');
  return chosen;
}

/** Refuses with 406 unless the client takes `type`. */
export function requireAcceptable(request: AppRequest, type: string): void {
  chooseForm(request, [{ produces: [type] }]);
}

function takes(form: Form, sent: string | undefined, request: AppRequest): boolean {
  if (form.consumes === undefined) return true;
  if (sent === undefined) return request.body.length === 0 && request.verb === 'GET';
  return form.consumes.includes(sent);
}

function preferred<Of extends Form>(
  accept: string | undefined,
  forms: readonly Of[],
): Chosen<Of> | undefined {
  for (const range of acceptedRanges(accept)) {
    for (const form of forms) {
      const type = form.produces.find((produced) => inRange(produced, range));
      if (type !== undefined) return { form, type };
    }
  }
  return undefined;
}

/** `type/subtype` in lowercase, without parameters. */
function mediaTypeOf(header: string | undefined): string | undefined {
  const type = header?.split(';', 1)[0]?.trim().toLowerCase();
  return type === '' ? undefined : type;
}

/** The ranges of an Accept header, best first; everything when there is none (RFC 9110 §12.5.1). */
function acceptedRanges(accept: string | undefined): readonly string[] {
  if (accept === undefined || accept.trim() === '') return ['*/*'];
  return accept
    .split(',')
    .map((part) => ({ range: mediaTypeOf(part) ?? '', quality: qualityOf(part) }))
    .filter(({ range, quality }) => range !== '' && quality > 0)
    .sort((left, right) => right.quality - left.quality)
    .map(({ range }) => range);
}

function qualityOf(part: string): number {
  const match = /;\s*q\s*=\s*([0-9.]+)/i.exec(part);
  const quality = match === null ? 1 : Number(match[1]);
  return Number.isFinite(quality) ? quality : 0;
}

function inRange(type: string, range: string): boolean {
  if (range === '*/*' || range === '*' || range === type) return true;
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1));
}

/**
 * `if-match` and `if-none-match` (RFC 9110 §13.1), on entity tags that are the SHA-256 of the
 * message in hexadecimal (http-api.md, top). Tags are quoted in requests, and, as with CCF's
 * sample, not quoted in answers.
 */
import { utf8 } from '../../base/bytes.ts';
import { sha256Hex } from '../../crypto/hash.ts';
import type { AppRequest, AppResponse } from '../interface.ts';
import { failure } from './answers.ts';

/** The entity tag of a message. */
export function etagOf(message: string): string {
  return sha256Hex(utf8(message));
}

/** Why a request's conditions keep it from being done, or undefined. */
export function unmet(
  request: AppRequest,
  message: string | undefined,
): AppResponse | undefined {
  const ifMatch = request.header('if-match');
  const ifNoneMatch = request.header('if-none-match');
  if (ifMatch === undefined && ifNoneMatch === undefined) return undefined;
  const matchTags = ifMatch === undefined ? undefined : tagsOf(ifMatch);
  const noneMatchTags = ifNoneMatch === undefined ? undefined : tagsOf(ifNoneMatch);
  if (matchTags === 'malformed') return malformed('if-match');
  if (noneMatchTags === 'malformed') return malformed('if-none-match');
  const etag = message === undefined ? undefined : etagOf(message);
  if (matchTags !== undefined && !matches(matchTags, etag)) {
    const what = message === undefined ? 'Resource does not exist.' : 'Resource has changed.';
    return failure(412, 'PreconditionFailed', what);
  }
  if (noneMatchTags === undefined || !matches(noneMatchTags, etag)) return undefined;
  return request.verb === 'GET' ? { status: 304 } : changed();
}

function changed(): AppResponse {
  return failure(412, 'PreconditionFailed', 'Resource has changed.');
}

function matches(tags: readonly string[] | '*', etag: string | undefined): boolean {
  if (etag === undefined) return false;
  return tags === '*' || tags.includes(etag);
}

function tagsOf(header: string): readonly string[] | '*' | 'malformed' {
  const text = header.trim();
  if (text === '*') return '*';
  const tags: string[] = [];
  for (const piece of text.split(',')) {
    const tag = /^\s*(?:W\/)?"([^"]*)"\s*$/.exec(piece)?.[1];
    if (tag === undefined) return 'malformed';
    tags.push(tag);
  }
  return tags;
}

function malformed(name: string): AppResponse {
  const message = `Invalid ${name} header: expected '*' or a list of quoted entity tags`;
  return failure(400, 'InvalidHeaderValue', message);
}

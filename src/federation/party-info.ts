/**
 * What peers tell each other of themselves every few seconds: their address, their keys, whom else
 * they know (transaction-manager.md §C, `POST /partyinfo`).
 */
import { textOf } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { FieldReader, FieldWriter } from './octet-fields.ts';

/** A party key and where its payloads go. */
export interface PartyKeyAddress {
  readonly key: Uint8Array;
  readonly url: string;
}

export interface PartyInfo {
  readonly url: string;
  readonly keys: readonly PartyKeyAddress[];
  readonly peers: readonly string[];
}

export function encodePartyInfo({ url, keys, peers }: PartyInfo): Uint8Array {
  const writer = new FieldWriter().text(url).count(keys.length);
  for (const { key, url: address } of keys) writer.field(key).text(address);
  writer.count(peers.length);
  for (const peer of peers) writer.text(peer);
  return writer.finish();
}

export function decodePartyInfo(bytes: Uint8Array): PartyInfo {
  const reader = new FieldReader(bytes, 'party information');
  const url = reader.text('a url');
  const keys = Array.from({ length: reader.count('keys') }, () => ({
    key: reader.field('a key'),
    url: reader.text("a key's url"),
  }));
  const peers = reader.list("peers' urls").map((peer) => {
    try {
      return textOf(peer);
    } catch {
      const sentence = 'party information names a peer whose url is no text';
      throw new CodedError('BadEncoding', sentence, { status: 400 });
    }
  });
  reader.finish();
  return { url, keys, peers };
}

/**
 * A peer's url in one spelling: an absolute address over HTTP with a path that ends with a slash,
 * so that equal peers have equal urls. Undefined for anything else.
 */
export function peerUrlOf(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined;
  if (url.username !== '' || url.password !== '' || url.hostname === '') return undefined;
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`;
  return `${url.protocol}//${url.host}${path}`;
}

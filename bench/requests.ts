/**
 * Requests byte for byte, as the generator sends them.
 */

export interface RequestParts {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly host: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export function requestBytes(parts: RequestParts): Uint8Array {
  const { method, path, host, headers = {}, body } = parts;
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
}

/** Go's `url.PathEscape` on base64: GoQuorum escapes the slash alone. */
export function goPathEscape(base64: string): string {
  return base64.replaceAll('/', '%2F');
}

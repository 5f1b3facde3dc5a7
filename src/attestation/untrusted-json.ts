/**
 * JSON from anybody. What parses can still make a program stumble: nested so deeply that printing
 * it exhausts the stack, or an object whose `toString` is no function. Here neither does.
 */

/** Far deeper than any evidence, token or policy, and far from exhausting a stack. */
const DEPTH_MAX = 64;
const SHOWN_CHARS_MAX = 256;

/** The third argument is the source text access of ECMAScript; older engines leave it out. */
export type Reviver = (
  key: string,
  value: unknown,
  context?: { readonly source?: string },
) => unknown;

/** Parses UTF-8; throws some error, for the caller to name, for anything that is not JSON. */
export function parseJson(json: Uint8Array | string, reviver?: Reviver): unknown {
  const text =
    typeof json === 'string' ? json : new TextDecoder('utf-8', { fatal: true }).decode(json);
  if (depthOf(text) > DEPTH_MAX) throw new Error(`it is nested more than ${DEPTH_MAX} deep`);
  return JSON.parse(text, reviver);
}

/** How deeply a text nests; of one that is not JSON, at least as deeply as a parser would go. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  // Strings are passed over whole: brackets in them nest nothing.
  for (const [piece] of text.matchAll(/"(?:[^"\\]|\\.)*"|[[\]{}]/gs)) {
    if (piece === '[' || piece === '{') deepest = Math.max(deepest, ++depth);
    else if (piece === ']' || piece === '}') depth -= 1;
  }
  return deepest;
}

/** Whatever was parsed, as a short text for people. */
export function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'missing');
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text;
}

/**
 * Names that are made anew at every run: the keys of stored payloads and the ids of privacy groups.
 * A recorded name stands for ours from the exchange on that made both.
 */

/** 64 bytes in base64, not inside a longer run of base64. */
const HASH = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==/g;

export class Names {
  readonly #ours = new Map<string, string>();

  learn(recorded: string, ours: string): void {
    this.#ours.set(recorded, ours);
  }

  knows(recorded: string): boolean {
    return this.#ours.has(recorded);
  }

  /** Our name for a recorded one; the text itself when it is no name. */
  ours(recorded: string): string {
    return this.#ours.get(recorded) ?? recorded;
  }

  /** A text (a body, a header) with every recorded name replaced. */
  inText(text: string): string {
    let replaced = text;
    for (const [recorded, ours] of this.#ours) {
      if (replaced.includes(recorded)) replaced = replaced.split(recorded).join(ours);
    }
    return replaced;
  }

  /** A path with every recorded name replaced, escaped as the recorded one was. */
  inPath(path: string): string {
    const mark = path.indexOf('?');
    const end = mark < 0 ? path.length : mark;
    const segments = path
      .slice(0, end)
      .split('/')
      .map((segment) => this.#inSegment(segment));
    return segments.join('/') + path.slice(end);
  }

  #inSegment(segment: string): string {
    const decoded = decoded64(segment);
    if (decoded === undefined || !this.#ours.has(decoded)) return segment;
    const ours = this.ours(decoded);
    // GoQuorum escapes the slash alone; other clients escape `+` and `=` too.
    return /[+=]/.test(segment) ? ours.replaceAll('/', '%2F') : encodeURIComponent(ours);
  }
}

/** The hashes that a request names, in its path and its body. */
export function hashesIn(path: string, body: string): readonly string[] {
  const named = path
    .split('?')[0]
    ?.split('/')
    .map(decoded64)
    .filter((one) => one !== undefined && new RegExp(`^${HASH.source}$`).test(one));
  return [...(named ?? []), ...(body.match(HASH) ?? [])].filter((one) => one !== undefined);
}

function decoded64(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

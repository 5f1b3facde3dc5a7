// Plants bugs in the code that is simulated, as it is loaded: one passage of one file of the
// product becomes another. The passage must be there exactly once, so that a bug cannot silently
// stop being planted.

import { registerHooks } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface PlantedChange {
  /** Below `src/`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const source = pathToFileURL(`${resolve(import.meta.dirname, '../../src')}/`).href;

/** From here on, in this thread, what is loaded has these changes. */
export function plant(changes: readonly PlantedChange[]): void {
  if (changes.length === 0) return;
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const meant = changes.filter(({ file }) => url === source + file);
      if (meant.length === 0) return loaded;
      return { ...loaded, source: meant.reduce(changedBy, String(loaded.source)) };
    },
  });
}

export function changedBy(text: string, { file, from, to }: PlantedChange): string {
  const pieces = text.split(from);
  if (pieces.length !== 2) {
    throw new Error(`the passage to change is ${pieces.length - 1} times in ${file}: ${from}`);
  }
  return pieces.join(to);
}

/**
 * Certificates are renewed while a connector runs: its files are looked at every few seconds, and
 * what has changed is taken over for new connections. Nobody has to tell it, because those who
 * renew (an agent, a mounted secret) often cannot. Files that do not go together, as halfway
 * through a renewal, change nothing; if they stay so, that is said once.
 */
import { messageOf } from '../../base/errors.ts';
import type { Connector, ConnectorOptions, RenewedFiles } from '../../connector/connector.ts';
import { optionsOf, type Settings } from './settings.ts';

const LOOK_MS = 10_000;

export interface RenewalDependencies {
  readonly connector: Pick<Connector, 'renew'>;
  readonly log: (line: string) => void;
}

/** Looks until it is stopped; gives back how. */
export function watchFiles(
  settings: Settings,
  started: ConnectorOptions,
  dependencies: RenewalDependencies,
  lookMs = LOOK_MS,
): () => void {
  const watch = new FileWatch(settings, started, dependencies);
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(() => watch.look());
  }, lookMs);
  return () => clearInterval(timer);
}

export class FileWatch {
  readonly #settings: Settings;
  readonly #deps: RenewalDependencies;
  #shown: string;
  /** What went wrong at the last look, and whether that was said. */
  #failure: { readonly what: string; readonly isSaid: boolean } | undefined;

  constructor(
    settings: Settings,
    started: ConnectorOptions,
    dependencies: RenewalDependencies,
  ) {
    this.#settings = settings;
    this.#deps = dependencies;
    this.#shown = JSON.stringify(filesIn(started));
  }

  /** Never rejects. */
  async look(): Promise<void> {
    const { connector, log } = this.#deps;
    try {
      const files = filesIn(await optionsOf(this.#settings));
      const text = JSON.stringify(files);
      if (text !== this.#shown) {
        connector.renew(files);
        this.#shown = text;
        log('certificates were renewed: new connections are made with them');
      }
      this.#failure = undefined;
    } catch (thrown) {
      const what = messageOf(thrown);
      const before = this.#failure?.what === what ? this.#failure : undefined;
      const isNews = before !== undefined && !before.isSaid;
      if (isNews) log(`certificates are not renewed, those from before are used on: ${what}`);
      this.#failure = { what, isSaid: before !== undefined };
    }
  }
}

function filesIn({ service, tls }: ConnectorOptions): RenewedFiles {
  return { service, ...(tls === undefined ? {} : { tls }) };
}

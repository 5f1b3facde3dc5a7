// The browser's verifier in one file, made by the bundler that the test runner brings along.

import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

export interface Bundled {
  readonly code: string;
  /** What it would still import: nothing, or it is not for browsers. */
  readonly imports: readonly string[];
  /** Files of ours in it, by their paths in the project, with what is left of them. */
  readonly ours: ReadonlyMap<string, string>;
}

interface Chunk {
  readonly code: string;
  readonly imports: readonly string[];
  readonly dynamicImports: readonly string[];
  readonly modules: Readonly<Record<string, { readonly code: string | null }>>;
}

interface Bundler {
  rolldown(options: object): Promise<{
    generate(options: object): Promise<{ readonly output: readonly Chunk[] }>;
    close(): Promise<void>;
  }>;
}

const ROOT = resolve(import.meta.dirname, '../..');
const NODE_ONLY = /(?<![\w$.])(?:Buffer|process|require|__dirname)(?![\w$]|\s*:)/;

export async function bundleFor(entry: string): Promise<Bundled> {
  const { rolldown } = await bundler();
  const input = resolve(ROOT, entry);
  // What cannot be resolved for a browser stays an import, and is told as one.
  const build = await rolldown({ input, platform: 'browser', logLevel: 'silent' });
  try {
    const { output } = await build.generate({ format: 'esm', codeSplitting: false });
    const imports = output.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]);
    const modules = output.flatMap((chunk) => Object.entries(chunk.modules));
    const ours = modules
      .filter(([path]) => path.startsWith(`${ROOT}/src/`))
      .map(([path, { code }]) => [path.slice(ROOT.length + 1), code ?? ''] as const);
    return { code: output[0]?.code ?? '', imports, ours: new Map(ours) };
  } finally {
    await build.close();
  }
}

/** Why a bundle is not for browsers; empty if it is. */
export function faultsOf({ imports, ours }: Bundled): readonly string[] {
  return [
    ...imports.map((name) => `it imports ${name}`),
    ...[...ours].flatMap(([path, code]) => {
      const found = NODE_ONLY.exec(withoutWords(code))?.[0];
      return found === undefined ? [] : [`${path} uses ${found}`];
    }),
  ];
}

/** Code without comments and the insides of simple strings. */
function withoutWords(code: string): string {
  return code
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(["'])(?:\\.|(?!\1)[^\\\n])*\1/g, "''")
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

async function bundler(): Promise<Bundler> {
  const vitest = createRequire(createRequire(import.meta.url).resolve('vitest/package.json'));
  const vite = createRequire(vitest.resolve('vite/package.json'));
  const found: Bundler = await import(pathToFileURL(vite.resolve('rolldown')).href);
  return found;
}
